"""Backups in a Ceph pool: each thing on the shelf is an RBD image of its size, which is renamed when it is whole.

They are as safe as the cluster, whatever becomes of the machines with the control plane, all of which reach them; but
not against the loss of the cluster that the volumes are in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.drivers.chunked import NO_ROOM, ChunkedBackups
from stackling.ports.volumes import BackupMissing, StoreDown, StoreFull, StoreRefused

PIECE = 4 << 20
HALF_MADE = ".new"
ABANDONED = 86_400.0        # seconds after which what is half made is nobody's
_NAME = re.compile(r"[0-9a-f-]{36}\.(?:data|index)\Z")


class RbdShelf:
    """``drivers.chunked.Shelf`` in the pool *pool*."""

    def __init__(self, access: CephAccess, pool: str) -> None:
        self._pool, self._client = pool, CephClient(access)

    def size(self, name: str) -> int | None:
        found = self._ask("show", name=_checked(name))
        return None if found is None else int(found["size"])

    def names(self) -> Sequence[str]:
        return [name for name in self._ask("names") if _NAME.match(name)]

    @contextmanager
    def write(self, name: str) -> Iterator[_Image]:
        new = _checked(name) + HALF_MADE
        self._ask("discard", name=new, delay=0.0)
        image = _Image(self, self.data("open_new", pool=self._pool, name=new))
        try:
            yield image
            image.flush()
            self.data("finish", handle=image.handle, size=image.size)
        finally:
            with suppress(CephError):
                self._client.data("close", handle=image.handle)
        self._ask("discard", name=name, delay=0.0)
        self._ask("rename", name=new, to=name)

    @contextmanager
    def read(self, name: str) -> Iterator[_Image]:
        if self.size(name) is None:
            raise BackupMissing(f"The backup's image {name} is missing.")
        image = _Image(self, self.data("open_old", pool=self._pool, name=name)["handle"])
        try:
            yield image
        finally:
            with suppress(CephError):
                self._client.data("close", handle=image.handle)

    def remove(self, name: str) -> None:
        for each in (_checked(name) + HALF_MADE, name):
            self._ask("discard", name=each, delay=0.0)

    def purge(self) -> None:
        """Make room of what was removed; what can't go now goes another time."""
        with suppress(CephError):
            self._client.long("abandon", pool=self._pool, suffix=HALF_MADE, seconds=ABANDONED)
            self._client.long("purge", pool=self._pool)

    def close(self) -> None:
        self._client.close()

    # -- how

    def _ask(self, call: str, **arguments: Any) -> Any:
        try:
            return self._client.quick(call, pool=self._pool, **arguments)
        except CephError as error:
            raise self._failure(error) from None

    def data(self, call: str, data: bytes = b"", **arguments: Any) -> Any:
        """A call that moves data. Raises ``StoreDown`` and ``StoreFull``."""
        try:
            return self._client.data(call, data, **arguments)
        except CephError as error:
            raise self._failure(error) from None

    def _failure(self, error: CephError) -> Exception:
        match error.kind:
            case "full":
                return StoreFull(NO_ROOM)
            case "missing" | "refused":
                return StoreDown(f"the pool {self._pool} for backups isn't there, or isn't ours to write: run "
                                 f"`stackling storage add ceph` again ({error})")
            case "busy" | "exists":
                return StoreDown(f"another machine is writing the backup ({error})")
            case _:
                return StoreDown(str(error))


class _Image:
    """An image that is held open; what is written is gathered into pieces."""

    def __init__(self, shelf: RbdShelf, handle: int) -> None:
        self.handle, self.size = handle, 0
        self._shelf, self._rest = shelf, bytearray()

    def write(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) >= PIECE:
            self.flush()

    def flush(self) -> None:
        if self._rest:
            self._shelf.data("write", bytes(self._rest), handle=self.handle, offset=self.size)
            self.size += len(self._rest)
            self._rest.clear()

    def read(self, offset: int, length: int) -> bytes:
        found = b""
        while len(found) < length:
            step = min(PIECE, length - len(found))
            found += (more := self._shelf.data("read", handle=self.handle, offset=offset + len(found), length=step))
            if len(more) < step:
                break
        return found


class RbdBackups(ChunkedBackups):
    """``BackupStore`` in a pool; *scratch* is a directory for disks that are read out of it."""

    def __init__(self, access: CephAccess, pool: str, scratch: Path) -> None:
        self._images = RbdShelf(access, pool)
        super().__init__(self._images, scratch)

    def delete(self, backup_id: str) -> None:
        super().delete(backup_id)
        self._images.purge()


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise StoreRefused(f"{name!r} is no name of a backup's image")
    return name
