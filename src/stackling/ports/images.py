"""Where image data lies (a local directory, later Ceph).

An upload has a number, unique for its image and growing. Its data lies under ``(image id, number)``, first staged,
then committed; both survive a crash or vanish whole. The number tells whoever removes data whether it may still be
wanted: what the database doesn't refer to and is no younger than the row's generation never will be again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: bytes, and digests in hex."""

    size: int
    md5: str
    sha512: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an image file really is, found by the limited inspector."""

    format: str
    virtual_size: int
    problem: str | None = None
    """Why it is refused (backing file, external data, beyond limits …)."""
    mismatch: bool = False
    """Whether the problem is only that it isn't what was declared."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the store: an upload, staged or committed. ``location`` names it."""

    image_id: str
    number: int
    staged: bool
    location: str


class NoSpace(Exception):
    """The store is full; nothing of the upload is kept."""


class Upload(Protocol):
    """One writer's hold on its staged file; while it is held, ``ImageStore.writing`` says so."""

    @property
    def location(self) -> str:
        """Where the staged data lies, for inspection."""
        ...

    async def write(self, chunks: AsyncIterator[bytes], *, limit: int) -> Stored:
        """Stream *chunks* in, hashing on the way, and make them durable.

        Raises ``NoSpace``, ``core.errors.TooLarge`` beyond *limit* bytes, and whatever *chunks* raises.
        """
        ...

    def keep(self) -> None:
        """Leave the staged file in place when let go."""
        ...

    def commit(self) -> str:
        """Move it to its final place and return its location. Blocking; may be repeated."""
        ...

    def close(self) -> None:
        """Let go; the staged file is removed unless it is kept or committed. Blocking."""
        ...


class ImageStore(Protocol):
    """Everything blocks unless it is ``async``. Locations are the store's own names; an alien one is ``NotFound``."""

    name: str

    def open(self, image_id: str, number: int) -> Upload:
        """Begin an upload. Raises ``NoSpace`` where not even a file can be made."""
        ...

    def writing(self, image_id: str, number: int) -> bool:
        """Whether a living process still holds this upload."""
        ...

    def commit(self, image_id: str, number: int) -> str:
        """Move a staged file that was kept to its final place; its location. Raises ``core.errors.NotFound``."""
        ...

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        """Make a committed upload of a disk of server *owner* that lies in the same storage, at *source*; its location
        and bytes. Nothing passes through this process. Raises ``core.errors.Unavailable`` where that can't be."""
        ...

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        """Which of these uploads of the image exist, staged or committed."""
        ...

    def inventory(self) -> list[Piece]:
        """Every file in the store, for the audit."""
        ...

    def delete(self, location: str) -> None:
        """Remove it; nothing happens when it is gone already."""
        ...

    def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        """The bytes, in chunks of about a MiB, valid until the consumer drops them. Raises ``core.errors.NotFound``."""
        ...

    def size(self, location: str) -> int | None:
        """Bytes of the file, None when it is gone."""
        ...

    def inspect(self, location: str, declared_format: str) -> Inspection:
        """Look at the file in a process limited in CPU, memory, time and file size."""
        ...

    def path(self, location: str) -> Path | None:
        """The file itself where there is one on this machine (spares a copy), else None."""
        ...

    def close(self) -> None:
        """Let running calls end."""
        ...


@runtime_checkable
class SeveralStores(Protocol):
    """Several stores, which are also an ``ImageStore`` together: what is new goes into the default one, and every
    location says by itself in which one it is."""

    @property
    def members(self) -> Mapping[str, ImageStore]:
        """Each by its name, those included that take nothing new."""
        ...

    @property
    def weights(self) -> Mapping[str, int]:
        """How much each is preferred for reading; 0 for one that isn't named."""
        ...
