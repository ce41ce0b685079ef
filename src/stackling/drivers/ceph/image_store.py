"""Image data in a Ceph pool: each upload an RBD image, a protected snapshot of which makes it a parent of clones.

Theory of operation. Data is streamed into an image that the writer holds open, which is what ``writing`` looks for: the
cluster forgets a holder that died within 30 s. Committed is what has the snapshot, and it never changes after. What
was uploaded stays as it was, so that checksums and ranges are those of the client's own file; where it isn't a raw
disk, committing first converts it into a second image, from Ceph to Ceph, which is the one that disks are cloned
from. The format is the inspector's, kept with the image, and never probed again.

An image that is deleted while disks are clones of it goes into the trash and leaves it with the last of them (as
glance_store's RBD driver does it since 4.4), so that deleting never waits for a user.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from stackling.core.errors import NotFound, TooLarge, Unavailable
from stackling.drivers.ceph import names
from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.drivers.ceph.names import RAW, SNAP, Location
from stackling.drivers.ceph.tools import ToolFailed, qemu_img
from stackling.drivers.local import inspection
from stackling.ports.images import Inspection, NoSpace, Piece, Stored

log = logging.getLogger(__name__)
MIB = 1 << 20
BATCH, FLYING = 4 * MIB, 4
"""Bytes that are hashed and written at once, and how many such writes are under way."""
CHUNK, AHEAD = 2 * MIB, 3
SPACE_EVERY = 64 * MIB
CONVERT_SECONDS = 3600.0
_FORMAT, _SIZE = "stackling.format", "stackling.virtual_size"


class RbdImageStore:
    """``ImageStore`` in the pool *pool*. *reserve* bytes of the pool are never used for images."""

    def __init__(self, access: CephAccess, pool: str, *, name: str = "ceph", reserve: int = 64 * MIB,
                 virtual_size_cap: int = 1 << 40) -> None:
        self.name, self.pool, self.reserve = name, pool, reserve
        self.client = CephClient(access)
        self.threads = ThreadPoolExecutor(12, thread_name_prefix="image-data")
        self._virtual_size_cap = virtual_size_cap
        self._purging, self._purge_waits = threading.Lock(), False

    def open(self, image_id: str, number: int) -> RbdUpload:
        return RbdUpload(self, image_id, number)

    def writing(self, image_id: str, number: int) -> bool:
        found = self.show(self.at(image_id, number))
        return found is not None and bool(found["watchers"])

    def commit(self, image_id: str, number: int) -> str:
        name = self.at(image_id, number)
        found = self.show(name)
        if found is None:
            raise NotFound(f"Image {image_id} has no staged data.")
        if not _committed(found):
            if found["metadata"].get(_FORMAT, "raw") == "qcow2":
                self._convert(name, int(found["metadata"][_SIZE]))
            self.ask("snapshot", name=name, snapshot=SNAP, protect=True)
        return self.location(name)

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        there = Location.parse(source)
        if there is None or there.fsid != self.fsid or not names.is_id(owner) or not there.name.startswith(f"{owner}."):
            raise Unavailable(f"{source} is no disk of server {owner} in this store's cluster.")
        name = self.at(image_id, number)
        if self.show(name) is None:
            self.ask("clone", pool=there.pool, name=there.name, snapshot=there.snapshot, to_pool=self.pool,
                     to_name=name, size=0)
        try:
            handle = self.client.data("open_hold", pool=self.pool, name=name)     # ``writing`` says so
            try:
                self.client.long("flatten", pool=self.pool, name=name)
                location = self.commit(image_id, number)
            finally:
                with suppress(CephError):
                    self.client.data("close", handle=handle)
        except CephError as error:
            raise explained(error) from None
        return location, self.size(location) or 0

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        found: list[Piece] = []
        for number in dict.fromkeys(numbers):
            name = self.at(image_id, number)
            if facts := self.show(name):
                found.append(Piece(image_id, number, not _committed(facts), self.location(name)))
        return found

    def inventory(self) -> list[Piece]:
        try:
            everything = self.client.long("show_all", 300.0, pool=self.pool)
        except CephError as error:
            raise explained(error) from None
        self.threads.submit(self._purge)
        uploads = ((each, names.upload_of(each["name"])) for each in everything)
        return [Piece(*upload, not _committed(each), self.location(each["name"])) for each, upload in uploads if upload]

    def delete(self, location: str) -> None:
        name = self._name(location)
        for each in (name + RAW, name):         # the second is what ``pieces`` looks for
            self.ask("discard", name=each, delay=0.0)
        self.threads.submit(self._purge)

    async def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        loop = asyncio.get_running_loop()
        name = self._name(location)
        reader = await loop.run_in_executor(self.threads, Reader, self, name)
        coming: deque[asyncio.Future[bytes]] = deque()
        try:
            end = reader.size if length is None else min(reader.size, start + length)
            at = start
            while at < end or coming:
                while at < end and len(coming) < AHEAD:
                    coming.append(loop.run_in_executor(self.threads, reader.read, at, min(CHUNK, end - at)))
                    at += CHUNK
                data = memoryview(await coming.popleft())
                for offset in range(0, len(data), MIB):
                    yield data[offset:offset + MIB]
        finally:
            for future in coming:
                future.cancel()
            loop.run_in_executor(self.threads, reader.close)

    def size(self, location: str) -> int | None:
        found = self.show(self._name(location))
        return found["size"] if found else None

    def inspect(self, location: str, declared_format: str) -> Inspection:
        name = self._name(location)
        reader = Reader(self, name)
        try:
            found = inspection.inspect_remote(reader.read, reader.size, self.client.access.source(self.pool, name),
                                              declared_format, self._virtual_size_cap)
        finally:
            reader.close()
        if found.problem is None:
            self.ask("remember", name=name, metadata={_FORMAT: found.format, _SIZE: str(found.virtual_size)})
        return found

    def path(self, location: str) -> Path | None:
        self._name(location)
        return None

    def close(self) -> None:
        """Let running calls end, and the workers."""
        self.threads.shutdown()
        self.client.close()

    # -- how

    @property
    def fsid(self) -> str:
        """The cluster's id."""
        try:
            return self.client.fsid
        except CephError as error:
            raise explained(error) from None

    def at(self, image_id: str, number: int) -> str:
        """The RBD image of one upload."""
        name = names.piece(image_id, number)
        if name is None:
            raise NotFound(f"No image data can be called {image_id}.{number}.")
        return name

    def location(self, name: str) -> str:
        """What the database keeps."""
        return str(Location(self.fsid, self.pool, name))

    def ask(self, call: str, **arguments: Any) -> Any:
        """A quick call on our pool. Raises ``Unavailable`` or ``NoSpace``."""
        try:
            return self.client.quick(call, **{"pool": self.pool, **arguments})
        except CephError as error:
            raise explained(error) from None

    def show(self, name: str) -> dict[str, Any] | None:
        """What there is of an RBD image."""
        return self.ask("show", name=name)

    def free(self) -> int:
        """Bytes that images may still take."""
        return self.ask("space")["free"] - self.reserve

    def _name(self, location: str) -> str:
        found = Location.parse(location)
        if found is None or found.pool != self.pool or names.upload_of(found.name) is None:
            raise NotFound("There is no such image data.")
        return found.name

    def _purge(self) -> None:
        """Empty the trash of what no clone needs; one at a time, and one more for what came meanwhile. What can't go
        now goes another time."""
        if self._purge_waits:
            return
        self._purge_waits = True
        with self._purging:
            self._purge_waits = False
            try:
                self.client.long("purge", pool=self.pool)
            except CephError as error:
                log.warning("the trash of pool %s isn't emptied: %s", self.pool, error)

    def _convert(self, name: str, size: int) -> None:
        """Make the raw disk of an uploaded qcow2 file, committed."""
        target = name + RAW
        found = self.show(target)
        if found is not None and _committed(found):
            return
        if found is not None:
            self.ask("discard", name=target, delay=0.0)
        if size > self.free():
            log.warning("the disk in %s may not fit into pool %s", name, self.pool)
        self.ask("create", name=target, size=size)
        source, raw = (self.client.access.source(self.pool, each) for each in (name, target))
        try:
            qemu_img("convert", "-n", "--target-is-zero", "-m", "4", "-W", "--image-opts", "--target-image-opts",
                     f"driver=qcow2,{source}", f"driver=raw,{raw}", seconds=CONVERT_SECONDS)
        except ToolFailed as error:
            raise Unavailable(f"The image couldn't be converted to raw: {error}.") from None
        self.ask("snapshot", name=target, snapshot=SNAP, protect=True)


class Reader:
    """An RBD image held open for reading, opened again when the process that holds it is replaced."""

    def __init__(self, store: RbdImageStore, name: str) -> None:
        self._store, self._name = store, name
        self._handle, self.size = self._open()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises ``Unavailable``."""
        try:
            return self._read(offset, length)
        except CephError as error:
            if error.kind != "missing":
                raise explained(error) from None
        self._handle, _ = self._open()
        try:
            return self._read(offset, length)
        except CephError as error:
            raise explained(error) from None

    def close(self) -> None:
        """Let go."""
        with suppress(CephError):
            self._store.client.data("close", handle=self._handle)

    def _read(self, offset: int, length: int) -> bytes:
        return self._store.client.data("read", handle=self._handle, offset=offset, length=length)

    def _open(self) -> tuple[int, int]:
        try:
            found = self._store.client.data("open_old", pool=self._store.pool, name=self._name)
        except CephError as error:
            if error.kind == "missing":
                raise NotFound("The image's data is missing from the store.") from None
            raise explained(error) from None
        return found["handle"], found["size"]


class RbdUpload:
    """``Upload`` into one RBD image."""

    def __init__(self, store: RbdImageStore, image_id: str, number: int) -> None:
        self._store, self._image_id, self._number = store, image_id, number
        self._name = store.at(image_id, number)
        self._kept = False
        self._location = store.location(self._name)
        if store.free() <= 0:
            raise NoSpace("the Ceph pool is full")
        self._handle: int | None = self._ask("open_new", pool=store.pool, name=self._name)

    @property
    def location(self) -> str:
        return self._location

    async def write(self, chunks: AsyncIterator[bytes], *, limit: int) -> Stored:
        loop = asyncio.get_running_loop()
        writer = _Writer(self._store, self._put)
        flying: deque[asyncio.Future[None]] = deque()
        batch: list[bytes] = []
        batched = size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"The incoming image is too large: it may have {limit} bytes at most.")
                batch.append(chunk)
                batched += len(chunk)
                if batched >= BATCH:
                    await self._launch(writer, b"".join(batch), flying)
                    batch, batched = [], 0
            if batch:
                await self._launch(writer, b"".join(batch), flying)
            while flying:
                await flying.popleft()
            await loop.run_in_executor(self._store.threads, self._finish, size)
        finally:
            for future in flying:       # nothing may write to an image that we let go of
                with suppress(Exception):
                    await asyncio.shield(future)
        return Stored(size, writer.md5.hexdigest(), writer.sha512.hexdigest())

    def keep(self) -> None:
        self._kept = True

    def commit(self) -> str:
        location = self._store.commit(self._image_id, self._number)
        self._kept = True
        return location

    def close(self) -> None:
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with suppress(CephError):       # its worker may be gone, and with it the hold
            self._store.client.data("close", handle=handle)
        if not self._kept:
            try:
                self._store.delete(self._location)
            except Unavailable as error:        # the engine removes what an upload leaves
                log.warning("upload %s can't be removed now: %s", self._name, error)

    # -- how

    async def _launch(self, writer: _Writer, data: bytes, flying: deque[asyncio.Future[None]]) -> None:
        """Hash, and begin to write."""
        loop = asyncio.get_running_loop()
        offset = await loop.run_in_executor(self._store.threads, writer.take, data)
        flying.append(loop.run_in_executor(self._store.threads, writer.put, data, offset))
        if len(flying) >= FLYING:
            await flying.popleft()

    def _put(self, data: bytes, offset: int) -> None:
        self._ask("write", data, offset=offset, handle=self._handle)

    def _finish(self, size: int) -> None:
        self._ask("finish", size=size, handle=self._handle)

    def _ask(self, call: str, data: bytes = b"", **arguments: Any) -> Any:
        try:
            return self._store.client.data(call, data, **arguments)
        except CephError as error:
            raise explained(error) from None


class _Writer:
    """Hashes in order, and writes; in worker threads."""

    def __init__(self, store: RbdImageStore, put: Callable[[bytes, int], None]) -> None:
        self._store, self._put = store, put
        self._size, self._checked = 0, -SPACE_EVERY
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()

    def take(self, data: bytes) -> int:
        """The place of *data*. Raises ``NoSpace``: a full cluster would let the write wait for ever."""
        if self._size - self._checked >= SPACE_EVERY:
            if self._store.free() < len(data):
                raise NoSpace("the Ceph pool is full")
            self._checked = self._size
        self.md5.update(data)
        self.sha512.update(data)
        offset, self._size = self._size, self._size + len(data)
        return offset

    def put(self, data: bytes, offset: int) -> None:
        self._put(data, offset)


def explained(error: CephError) -> Exception:
    """As the image service knows it."""
    return NoSpace(str(error)) if error.kind == "full" else Unavailable(f"Image store: {error}.")


def _committed(found: dict[str, Any]) -> bool:
    return found["snapshots"].get(SNAP, {}).get("protected", False)
