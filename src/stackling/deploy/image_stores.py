"""More stores of images in ``stackling.toml`` and ``cluster.toml``: a table ``[image_stores.NAME]`` each.

The store that the cloud has by itself is called ``local``, or ``ceph`` once images are kept there; a table of its name
says only how it is described and preferred. With images in Ceph, a table ``local`` keeps the former directory as a
store that takes images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

Tables = Mapping[str, Mapping[str, Any]]
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KINDS: Mapping[str, type] = {"weight": int, "default": bool}


@dataclass(frozen=True, slots=True)
class StoreTable:
    """One table. ``type`` is file (with ``path``) or rbd (with ``pool``; ``conf``, ``user`` and ``keyring`` where it
    isn't the cloud's own Ceph cluster and user), and empty for the cloud's own store. The store of the highest
    ``weight`` is read first; the ``default`` one takes what names no store."""

    name: str
    type: str = ""
    path: str = ""
    pool: str = ""
    conf: str = ""
    user: str = ""
    keyring: str = ""
    description: str = ""
    weight: int = 0
    default: bool = False


def settings(tables: Tables, own: str) -> tuple[StoreTable, ...]:
    """What the tables say, where the cloud's own store is called *own*. Raises ``ValueError``, whose message names the
    key."""
    if not isinstance(tables, Mapping) or not all(isinstance(one, Mapping) for one in tables.values()):   # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("image_stores are tables: [image_stores.NAME]")
    found = tuple(_store(name, table, own) for name, table in tables.items())
    for key in ("path", "pool"):
        values = [getattr(one, key) for one in found if getattr(one, key)]
        if len(values) != len(set(values)):
            raise ValueError(f"image_stores: two stores have the same {key}")
    if sum(one.default for one in found) > 1:
        raise ValueError("image_stores: only one store can be the default")
    return found


def _store(name: str, table: Mapping[str, Any], own: str) -> StoreTable:
    at = f"image_stores.{name}"
    if not _NAME.fullmatch(name) or name.startswith("os_glance_"):
        raise ValueError(f"{at}: a store's name is of lower-case letters, digits, hyphens and underscores")
    known = [one.name for one in fields(StoreTable) if one.name != "name"]
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"{at}: unknown key {unknown[0]!r}; there are {', '.join(known)}")
    for key, value in table.items():
        kind = _KINDS.get(key, str)
        if type(value) is not kind:
            raise ValueError(f"{at}.{key} must be a {kind.__name__}, not {value!r}")
    made = StoreTable(name, **table)
    _check(made, at, is_own=name in (own, "local"))
    return made


def _check(made: StoreTable, at: str, *, is_own: bool) -> None:
    if is_own:
        if made.type or made.path or made.pool:
            raise ValueError(f"{at}: this is the cloud's own store, which has only description, weight and default")
        return
    match made.type:
        case "file":
            if not Path(made.path).is_absolute() or made.pool:
                raise ValueError(f"{at}: a store of type file has a path, which is absolute, and no pool")
        case "rbd":
            if not made.pool or made.path:
                raise ValueError(f"{at}: a store of type rbd has a pool and no path")
            if bool(made.conf) != bool(made.keyring) or bool(made.conf) != bool(made.user):
                raise ValueError(f"{at}: conf, user and keyring go together: another cluster, or another user of it")
        case _:
            raise ValueError(f"{at}.type must be file or rbd; it is {made.type!r}")
