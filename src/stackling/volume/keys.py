"""The keys of encrypted volumes.

Theory of operation. A key is 256 random bits, made in the transaction that asks for the volume, and kept sealed in the
database (``store.sealing``) under an id of its own, the ``encryption_key_id`` of the API. Its hexadecimal digits are
the passphrase of the volume's LUKS container, as with Cinder and Nova. What is made of an encrypted volume (a clone, a
volume of a snapshot, a backup) is the same container, so it gets a key of its own with the same content: whichever is
deleted first takes only its own. A key is opened for a turn of the engine that makes a container, and for a machine
whose document names the volume, which keeps it in libvirt's memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import Invalid, Unavailable
from stackling.core.ids import new_id
from stackling.ports.volumes import Luks
from stackling.store.sealing import Seal
from stackling.store.tables.volume import volume_keys
from stackling.store.transaction import Tx

BYTES = 32
_ADD = insert(volume_keys)
_ONE = select(volume_keys).where(volume_keys.c.id == bindparam("id"))
_DROP = delete(volume_keys).where(volume_keys.c.id == bindparam("k"))
_TAKE = update(volume_keys).where(volume_keys.c.id == bindparam("k")).values(sealed=bindparam("s"))


def _seal(tx: Tx) -> Seal:
    if tx.seal is None:
        raise Unavailable("This process has no cluster key, so it can't handle the keys of encrypted volumes.")
    return tx.seal


def make(tx: Tx, volume_id: str) -> str:
    """A new key for a volume; its id. Raises ``Unavailable`` without a cluster key."""
    return _add(tx, volume_id, _seal(tx).seal(secrets.token_bytes(BYTES)))


def copy(tx: Tx, id: str, volume_id: str | None) -> str:
    """A key with the content of another, for a volume or a backup (None); its id. Raises ``Unavailable``."""
    return _add(tx, volume_id, _sealed(tx, id))


def sealed(tx: Tx, id: str) -> str:
    """As it is stored, to be kept outside: only a cloud with the same cluster key opens it. Raises ``Unavailable``."""
    return _sealed(tx, id)


def add_sealed(tx: Tx, sealed: str) -> str:
    """A key for a backup, of what ``sealed`` has given; its id. Raises ``Invalid`` where it can't be opened here."""
    try:
        _seal(tx).open(sealed)
    except (Unavailable, ValueError):
        raise Invalid("The record's key was sealed under another cluster key: the backup can't be opened here."
                      ) from None
    return _add(tx, None, sealed)


def take(tx: Tx, id: str, other: str) -> None:
    """Let a key have the content of *other*: what it opens is a copy of what that opens."""
    tx.execute(_TAKE, {"k": id, "s": _sealed(tx, other)})


def drop(tx: Tx, id: str) -> None:
    """Forget it: what it opened stays closed. Nothing where it is gone."""
    tx.execute(_DROP, {"k": id})


def passphrase(tx: Tx, id: str) -> str:
    """What opens the container. Raises ``Unavailable`` where it is gone, or can't be opened here."""
    return _seal(tx).open(_sealed(tx, id)).hex()


def volume_of(tx: Tx, id: str) -> str | None:
    """The volume that a key opens."""
    row = tx.one(_ONE, id=id)
    return None if row is None else row.volume_id


def key_id(row: Mapping[str, Any]) -> str | None:
    """The id of a volume's key; None where it isn't encrypted."""
    found: Mapping[str, str | None] = row["encryption"] or {}
    return found.get("key_id")


def luks(tx: Tx, row: Mapping[str, Any]) -> Luks | None:
    """How a volume is encrypted, and what opens it; None where it isn't. Raises ``Unavailable``."""
    id = key_id(row)
    if id is None:
        return None
    found: Mapping[str, Any] = row["encryption"]
    return Luks(str(found.get("provider")), found.get("cipher"), found.get("key_size"), passphrase(tx, id))


def _add(tx: Tx, volume_id: str | None, sealed: str) -> str:
    id = new_id()
    tx.execute(_ADD, {"id": id, "volume_id": volume_id, "sealed": sealed, "created_at": tx.now})
    return id


def _sealed(tx: Tx, id: str) -> str:
    row = tx.one(_ONE, id=id)
    if row is None:
        raise Unavailable(f"The key {id} of an encrypted volume is gone.")
    return str(row.sealed)
