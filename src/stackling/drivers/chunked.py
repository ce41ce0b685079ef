"""Backups in chunks, on any storage that keeps whole things by name (a *shelf*): ``BackupStore``.

Theory of operation. A backup is two things: ``<id>.data``, its chunks one after another, and ``<id>.index``, which says
for each chunk of the disk that isn't zeros its SHA-256 and where it lies. An incremental backup's index names every
chunk of the disk as well, but its data holds only those whose digest differs from its parent's; the others are found in
the data of the backups before it, so restoring reads one index, however long the chain is. The index is written last: a
backup that has one is whole, and one that a crash interrupted is written anew. What is read is checked against the
digests, and so is the index against its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import msgspec

from stackling.drivers.local.scratch import PREFIX
from stackling.ports.volumes import BackupMissing, FromFile, Kept, StoreDown, StoreFull, StoreRefused

CHUNK = 1 << 20
MAGIC = b"stackling backup 1\n"
_ENTRY = struct.Struct("<Q32sIQ")       # number of the chunk, its digest, which backup of the chain, offset there
_ZEROS = bytes(CHUNK)
NO_ROOM = "there is no room for the backup"


class Writing(Protocol):
    """Something that is being written."""

    def write(self, data: bytes) -> None:
        """Add to its end."""
        ...


class Reading(Protocol):
    """Something that is being read."""

    def read(self, offset: int, length: int) -> bytes:
        """Raises ``StoreDown``."""
        ...


class Shelf(Protocol):
    """Where things lie. Every call may raise ``StoreDown``, ``StoreFull`` and ``StoreRefused``."""

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such thing."""
        ...

    def names(self) -> Sequence[str]:
        """What there is."""
        ...

    def write(self, name: str) -> AbstractContextManager[Writing]:
        """When the context ends well, it is there, durable; otherwise nothing of it is. One of that name goes."""
        ...

    def read(self, name: str) -> AbstractContextManager[Reading]:
        """Raises ``BackupMissing``."""
        ...

    def remove(self, name: str) -> None:
        """Nothing where it is gone."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Index(msgspec.Struct, frozen=True):
    """What a backup's index says: bytes of the disk, the backups that hold its chunks (its own id first), and the
    packed entries in the order of the disk. ``own``: how many of them are its own."""

    size: int
    chain: tuple[str, ...]
    own: int
    entries: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk that isn't zeros."""

    number: int
    digest: bytes
    where: int
    offset: int


_NOTHING = Index(0, (), 0, b"")


class ChunkedBackups:
    """``BackupStore`` on *shelf*; *scratch* is a directory for disks that are read out of it."""

    def __init__(self, shelf: Shelf, scratch: Path) -> None:
        self._shelf, self._scratch = shelf, scratch

    def find(self, backup_id: str) -> Kept | None:
        size = self._shelf.size(f"{backup_id}.index")
        if size is None:
            return None
        return Kept(size + (self._shelf.size(f"{backup_id}.data") or 0))

    def inventory(self) -> Sequence[str]:
        return sorted({name.partition(".")[0] for name in self._shelf.names()})

    def write(self, backup_id: str, disk: Path, parent: str | None = None) -> None:
        if self.find(backup_id) is not None:
            return
        before = self._index(parent) if parent is not None else _NOTHING
        known, packed, own, offset = entries(before), bytearray(), 0, 0
        entry = next(known, None)
        try:
            size = disk.stat().st_size
            with disk.open("rb") as file, self._shelf.write(f"{backup_id}.data") as data:
                for number, chunk in chunks(file.fileno(), size):
                    digest = hashlib.sha256(chunk).digest()
                    while entry is not None and entry.number < number:
                        entry = next(known, None)
                    if entry is not None and (entry.number, entry.digest) == (number, digest):
                        packed += _ENTRY.pack(number, digest, entry.where + 1, entry.offset)
                        continue
                    data.write(chunk)
                    packed += _ENTRY.pack(number, digest, 0, offset)
                    own, offset = own + 1, offset + len(chunk)
            index = Index(size, (backup_id, *before.chain), own, bytes(packed))
            with self._shelf.write(f"{backup_id}.index") as out:
                out.write(encode(index))
        except OSError as error:
            raise failure(error) from None

    @contextmanager
    def read(self, backup_id: str) -> Iterator[FromFile]:
        index = self._index(backup_id)
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=PREFIX, dir=self._scratch) as directory, ExitStack() as stack:
            path = Path(directory) / "disk"
            open_: dict[int, Reading] = {}
            try:
                with path.open("wb") as file:
                    os.truncate(file.fileno(), index.size)
                    for entry in entries(index):
                        if entry.where not in open_:
                            name = f"{index.chain[entry.where]}.data"
                            open_[entry.where] = stack.enter_context(self._shelf.read(name))
                        at = entry.number * CHUNK
                        chunk = open_[entry.where].read(entry.offset, min(CHUNK, index.size - at))
                        if hashlib.sha256(chunk).digest() != entry.digest:
                            raise StoreRefused(f"the backup is damaged: its bytes from {at} on aren't those that were "
                                               f"written (backup {index.chain[entry.where]})")
                        os.pwrite(file.fileno(), chunk, at)
            except OSError as error:
                raise failure(error) from None
            yield FromFile(path, "raw")

    def delete(self, backup_id: str) -> None:
        for kind in ("index", "data"):      # without its index it isn't there any more
            self._shelf.remove(f"{backup_id}.{kind}")

    def close(self) -> None:
        self._shelf.close()

    def _index(self, backup_id: str) -> Index:
        size = self._shelf.size(f"{backup_id}.index")
        if size is None:
            if self.find(backup_id) is not None:        # kept in another way
                return _NOTHING
            raise BackupMissing(f"The data of backup {backup_id} is missing.")
        with self._shelf.read(f"{backup_id}.index") as found:
            return decode(found.read(0, size), backup_id)


def encode(index: Index) -> bytes:
    """An index as it is stored."""
    body = msgspec.msgpack.encode(index)
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes, backup_id: str) -> Index:
    """Raises ``StoreRefused`` for what isn't what was stored."""
    head, body = len(MAGIC) + 32, data[len(MAGIC) + 32:]
    if data[:len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != data[len(MAGIC):head]:
        raise StoreRefused(f"the index of backup {backup_id} is damaged")
    return msgspec.msgpack.decode(body, type=Index)


def entries(index: Index) -> Iterator[Entry]:
    """In the order of the disk."""
    for number, digest, where, offset in _ENTRY.iter_unpack(index.entries):
        yield Entry(number, digest, where, offset)


def chunks(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The chunks of a disk that aren't zeros, and their numbers; holes aren't read."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA) // CHUNK * CHUNK
        except OSError as error:
            if error.errno == errno.ENXIO:      # nothing but a hole is left
                return
            raise
        chunk = os.pread(fd, min(CHUNK, size - at), at)
        if chunk != _ZEROS[:len(chunk)]:
            yield at // CHUNK, chunk
        at += CHUNK


def failure(error: OSError) -> Exception:
    """As the volume service knows it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(NO_ROOM)
    return StoreDown(f"the backup can't be read or written: {error.strerror}")
