"""Backups as qcow2 files in a directory, which may be another file system's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stackling.core.journal import sync_directory
from stackling.ports.volumes import StoreRefused

_ID = re.compile(r"[0-9a-f-]{36}\Z")


class LocalBackups:
    """``BackupStore`` in *directory* (made where missing)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, backup_id: str) -> Path:
        path = self._new(backup_id)
        path.unlink(missing_ok=True)
        return path

    def commit(self, backup_id: str) -> int:
        new, path = self._new(backup_id), self._path(backup_id)
        with new.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        new.chmod(0o600)
        new.rename(path)
        sync_directory(self._directory)
        return size

    def find(self, backup_id: str) -> Path | None:
        path = self._path(backup_id)
        return path if path.exists() else None

    def delete(self, backup_id: str) -> None:
        for path in (self._path(backup_id), self._new(backup_id)):
            path.unlink(missing_ok=True)

    def _path(self, backup_id: str) -> Path:
        if not _ID.match(backup_id):
            raise StoreRefused(f"{backup_id!r} is no backup's id")
        return self._directory / f"{backup_id}.qcow2"

    def _new(self, backup_id: str) -> Path:
        return self._path(backup_id).with_suffix(".new")
