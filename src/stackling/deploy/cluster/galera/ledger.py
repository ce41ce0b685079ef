"""What a node must not forget: its promises. On disk before anybody is told."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See ``rules``: the highest epoch promised and the one accepted; ``floor``: the position that it votes with while
    it takes part in an epoch that it hasn't accepted; ``joining`` and ``first``.
    """

    promised: int = 0
    accepted: int = 0
    floor: int | None = None
    joining: bool = False
    first: str = ""


def read(path: Path) -> Ledger:
    """The ledger in *path*; an empty one when there is none. Raises ``msgspec.DecodeError`` for a broken one, which is
    never to be ignored: a promise may have been in it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()


def write(path: Path, ledger: Ledger) -> None:
    """Replace the ledger in *path*, durably."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(ledger))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove *path*, durably."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
