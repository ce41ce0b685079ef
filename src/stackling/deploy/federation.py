"""Identity providers in ``stackling.toml`` and ``cluster.toml``: a table ``[identity_providers.NAME]`` each.

NAME is the id of the identity provider in Identity (``openstack identity provider create NAME``); the keys are the
attributes of ``ports.oidc.ProviderSettings``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any
from urllib.parse import urlsplit

from stackling.ports.oidc import ProviderSettings, host_of

Tables = Mapping[str, Mapping[str, Any]]
_LISTS, _FLAGS = ("audiences", "scopes", "hosts"), ("introspect",)


def settings(tables: Tables) -> tuple[ProviderSettings, ...]:
    """What the tables say. Raises ``ValueError``, whose message names the key."""
    return tuple(_provider(name, table) for name, table in tables.items())


def _provider(name: str, table: Mapping[str, Any]) -> ProviderSettings:
    at = f"identity_providers.{name}"
    known = {one.name: one for one in fields(ProviderSettings) if one.name != "id"}
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"{at}: unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}")
    for key, value in table.items():
        fits = (isinstance(value, bool) if key in _FLAGS else _are_texts(value) if key in _LISTS
                else isinstance(value, str) and value != "")
        if not fits:
            kind = "true or false" if key in _FLAGS else "a list of texts" if key in _LISTS else "a text"
            raise ValueError(f"{at}.{key} must be {kind}, not {value!r}")
    for key, one in known.items():
        if one.default is MISSING and key not in table:
            raise ValueError(f"{at} has no {key}")
    values: dict[str, Any] = {key: tuple(v) if key in _LISTS else v for key, v in table.items()}
    made = ProviderSettings(name, **values)
    try:
        host_of(made.issuer)
    except ValueError as error:
        raise ValueError(f"{at}.issuer: {error}") from None
    if "openid" not in made.scopes:
        raise ValueError(f"{at}.scopes must have openid among them")
    return made


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) and one for one in value)   # pyright: ignore[reportUnknownVariableType]


def check(tables: Tables, dashboards: Sequence[str]) -> None:
    """Raises ``ValueError``, whose message names the key."""
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):    # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("identity_providers are tables: [identity_providers.NAME]")
    settings(tables)
    if not _are_texts(dashboards):
        raise ValueError(f"trusted_dashboards must be a list of texts, not {dashboards!r}")
    for url in dashboards:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"trusted_dashboards: {url!r} isn't the URL of a dashboard, as "
                             "https://dashboard.example.org/auth/websso/")
