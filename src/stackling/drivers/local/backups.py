"""Backups as files in a directory, which may be another file system's, or one that several machines share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from stackling.core.ids import new_id
from stackling.core.journal import sync_directory
from stackling.drivers.chunked import ChunkedBackups, failure
from stackling.drivers.local.scratch import sweep
from stackling.ports.volumes import BackupMissing, FromFile, Kept, StoreRefused

_NAME = re.compile(r"[0-9a-f-]{36}\.(?:data|index|qcow2)\Z")


class DirectoryShelf:
    """``Shelf`` in *directory* (made where missing). What is being written has a name that nobody else uses, so several
    machines may write; only the last one's stays."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with suppress(OSError):         # it may come later; whatever is done until then says that it isn't there
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def size(self, name: str) -> int | None:
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(error) from None

    def names(self) -> Sequence[str]:
        try:
            return [path.name for path in self._directory.iterdir() if _NAME.match(path.name)]
        except OSError as error:
            raise failure(error) from None

    @contextmanager
    def write(self, name: str) -> Iterator[_File]:
        path = self.path(name)
        new = path.with_name(f".{name}.{new_id()[:8]}.new")
        try:
            with new.open("xb") as file:
                new.chmod(0o600)
                yield _File(file)
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
            sync_directory(self._directory)
        except OSError as error:
            raise failure(error) from None
        finally:
            new.unlink(missing_ok=True)

    @contextmanager
    def read(self, name: str) -> Iterator[_File]:
        try:
            with self.path(name).open("rb") as file:
                yield _File(file)
        except FileNotFoundError:
            raise BackupMissing(f"The backup's file {name} is missing.") from None
        except OSError as error:
            raise failure(error) from None

    def remove(self, name: str) -> None:
        try:
            self.path(name).unlink(missing_ok=True)
            for half in self._directory.glob(f".{name}.*.new"):
                half.unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise failure(error) from None

    def close(self) -> None:
        """Nothing is held."""

    def path(self, name: str) -> Path:
        """Raises ``StoreRefused``."""
        if not _NAME.match(name):
            raise StoreRefused(f"{name!r} is no name of a backup's file")
        return self._directory / name


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def read(self, offset: int, length: int) -> bytes:
        found = os.pread(self._file.fileno(), length, offset)
        while len(found) < length and (more := os.pread(self._file.fileno(), length - len(found),
                                                        offset + len(found))):
            found += more
        return found


class LocalBackups(ChunkedBackups):
    """``BackupStore`` in a directory; also knows those of former versions, a qcow2 file each. *scratch* is a directory
    of this machine for disks that are read out of it (None: the same, which then is this machine's alone)."""

    def __init__(self, directory: Path, scratch: Path | None = None) -> None:
        self._files = DirectoryShelf(directory)
        if scratch is None:
            sweep(directory)
        super().__init__(self._files, scratch or directory)

    def find(self, backup_id: str) -> Kept | None:
        old = self._files.size(f"{backup_id}.qcow2")
        return super().find(backup_id) if old is None else Kept(old)

    @contextmanager
    def read(self, backup_id: str) -> Iterator[FromFile]:
        old = self._files.path(f"{backup_id}.qcow2")
        if old.exists():
            yield FromFile(old, "qcow2")
            return
        with super().read(backup_id) as found:
            yield found

    def delete(self, backup_id: str) -> None:
        super().delete(backup_id)
        self._files.remove(f"{backup_id}.qcow2")
