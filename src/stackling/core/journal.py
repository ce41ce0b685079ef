"""A small file of records that only grows, for state that must survive a crash and is changed piece by piece.

Theory of operation. One record a line, with a checksum in front. ``append`` returns after the record is on disk
(``durable``) or in the page cache (a killed process loses nothing, a power cut may). A crash leaves at most a torn
last line, which ``load`` cuts off; a write that fails half-way (disk full) is taken back at once, so that the next
one doesn't follow a torn line. ``rewrite`` replaces the file by the live records: temporary file, fsync, rename.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path


class Journal:
    """Records are bytes without a newline (JSON). Not safe from several threads or processes at once."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path, self.durable = path, durable
        self.size = 0
        self._file = -1

    def load(self) -> list[bytes]:
        """Every whole record, oldest first. Makes the file (0600) where there is none."""
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        records: list[bytes] = []
        good = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            record = _record(line)
            if record is None:
                break
            records.append(record)
            good += len(line)
        if good != os.fstat(self._file).st_size:
            os.ftruncate(self._file, good)
        self.size = good
        return records

    def append(self, *records: bytes) -> None:
        """Add records, all or none. Raises ``OSError`` (disk full, read-only …) and keeps nothing of them then."""
        line = b"".join(_line(record) for record in records)
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
            if self.durable:
                os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(line)

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace everything by *records*, atomically."""
        temporary = self.path.with_name(self.path.name + ".new")
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with open(file, "ab", closefd=False) as stream:
                stream.writelines(_line(record) for record in records)
            if self.durable:
                os.fsync(file)
            temporary.rename(self.path)
        except OSError:
            os.close(file)
            temporary.unlink(missing_ok=True)
            raise
        self.close()
        self._file, self.size = file, os.fstat(file).st_size
        if self.durable:
            sync_directory(self.path.parent)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def sync_directory(path: Path) -> None:
    """Make a rename in *path* durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _line(record: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(record), record)


def _record(line: bytes) -> bytes | None:
    if len(line) < 10 or not line.endswith(b"\n"):
        return None
    record = line[9:-1]
    return record if line[:8] == b"%08x" % zlib.crc32(record) else None
