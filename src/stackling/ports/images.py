"""Where image data lies (a local directory, Ceph, memory for simulation)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written. Sizes in bytes; digests in hex."""

    location: str
    size: int
    md5: str
    sha512: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an image file really is, found by the limited inspector."""

    format: str
    virtual_size: int
    problem: str | None = None          # why it is refused (backing file, external data, beyond limits …)


class NoSpace(Exception):
    """The store is full; nothing of the upload is kept."""


class ImageStore(Protocol):
    """Data is written under a staging name and becomes visible only when committed; both survive a crash or vanish."""

    async def write(self, image_id: str, chunks: AsyncIterator[bytes], *, limit: int) -> Stored:
        """Stream *chunks* in, hashing on the way. Raises ``NoSpace`` or ``TooLarge``; leaves nothing then."""
        ...

    def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes, in chunks of about a MiB. Raises ``core.errors.NotFound``."""
        ...

    def inspect(self, location: str, declared_format: str) -> Inspection:
        """Look at the file in a process limited in CPU, memory and time. Blocking."""
        ...

    def delete(self, location: str) -> None:
        """Remove it; nothing happens when it is gone already. Blocking."""
        ...

    def locations(self) -> list[str]:
        """Every location in the store, staged ones included, for the audit."""
        ...

    def path(self, location: str) -> Path | None:
        """The file itself where there is one on this machine (spares a copy), else None."""
        ...
