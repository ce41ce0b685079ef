"""Image data in a directory.

``DIR/staging/<image id>.<number>`` while it is written or staged, ``DIR/images/<image id>.<number>`` once it is
committed. A file is written, synced and renamed, never changed after. The writer holds an ``flock`` on it for as
long as the upload is its own, through the rename; when the process dies the kernel lets go, which is how
``writing`` knows. Files are 0640: the group (the agent's) may read.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import mmap
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from stackling.core.errors import NotFound, TooLarge, Unavailable
from stackling.drivers.local import inspection
from stackling.ports.images import Inspection, NoSpace, Piece, Stored

MIB = 1 << 20
BATCH = MIB
"""Bytes that are hashed and written at once."""
WINDOW, CHUNK = 8 * MIB, MIB
LOCK_TRIES = 200
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAME = re.compile(r"([0-9A-Za-z][0-9A-Za-z_-]{0,63})\.([1-9][0-9]{0,18})\Z")
_PLACES = ("staging", "images")


class LocalImageStore:
    """``ImageStore`` in *directory* (made where missing, unless it is *foreign*: a mount of somebody else's).

    *reserve* bytes of the file system are never used for images, so that a full one leaves room for the database.
    *virtual_size_cap* is the most bytes that the disk in an image may have. *prefix* stands before each location, where
    there are several such stores.
    """

    def __init__(self, directory: Path, *, name: str = "local", reserve: int = 64 * MIB,
                 virtual_size_cap: int = 1 << 40, mode: int = 0o640, prefix: str = "", foreign: bool = False) -> None:
        self.name = name
        self.directory = directory
        self.reserve = reserve
        self.mode = mode
        self._virtual_size_cap = virtual_size_cap
        self._prefix = prefix
        self._foreign = foreign
        self.pool = ThreadPoolExecutor(4, thread_name_prefix="image-data")
        if not foreign:
            for place in _PLACES:
                (directory / place).mkdir(parents=True, exist_ok=True, mode=0o750)

    def open(self, image_id: str, number: int) -> LocalUpload:
        self._check()
        return LocalUpload(self, self.at("staging", image_id, number), self.at("images", image_id, number))

    def writing(self, image_id: str, number: int) -> bool:
        return any(_is_locked(self.at(place, image_id, number)) for place in _PLACES)

    def commit(self, image_id: str, number: int) -> str:
        source, target = self.at("staging", image_id, number), self.at("images", image_id, number)
        try:
            source.replace(target)
        except FileNotFoundError:
            if not target.exists():
                raise NotFound(f"Image {image_id} has no staged data.") from None
        for place in _PLACES:
            _sync_directory(self.directory / place)
        return self.location(target)

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        raise Unavailable(f"Images are kept in a directory here, which can't take {source} over in place.")

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        self._check()
        found: list[Piece] = []
        for number in dict.fromkeys(numbers):
            for place in _PLACES:
                path = self.at(place, image_id, number)
                if path.exists():
                    found.append(Piece(image_id, number, place == "staging", self.location(path)))
        return found

    def inventory(self) -> list[Piece]:
        self._check()
        found: list[Piece] = []
        for place in _PLACES:
            for path in (self.directory / place).iterdir():
                if match := _NAME.match(path.name):
                    found.append(Piece(match[1], int(match[2]), place == "staging", self.location(path)))
        return found

    def delete(self, location: str) -> None:
        path = self.file(location)
        self._check()
        path.unlink(missing_ok=True)
        _sync_directory(path.parent)

    async def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        # Pages are mapped, a window at a time and in a thread (which waits for the disk), and go to the socket
        # without a copy. The files never change, and it is the kernel that touches the pages, so an error of the
        # disk is an error of the socket.
        file, size = self._opened(location)
        try:
            end = size if length is None else min(size, start + length)
            at = start
            while at < end:
                offset = at // mmap.PAGESIZE * mmap.PAGESIZE
                window = memoryview(await asyncio.get_running_loop().run_in_executor(
                    self.pool, _map, file, offset, min(WINDOW, end - offset)))
                last = min(offset + WINDOW, end)
                while at < last:
                    until = min(at + CHUNK, last)
                    yield window[at - offset:until - offset]
                    at = until
        finally:
            os.close(file)

    def size(self, location: str) -> int | None:
        path = self.file(location)
        self._check()
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def inspect(self, location: str, declared_format: str) -> Inspection:
        return inspection.inspect(self.file(location), declared_format, self._virtual_size_cap)

    def path(self, location: str) -> Path | None:
        return self.file(location)

    def close(self) -> None:
        """Let running writes end."""
        self.pool.shutdown()

    # -- how

    def at(self, place: str, image_id: str, number: int) -> Path:
        """The path of one upload."""
        name = f"{image_id}.{number}"
        if not _NAME.match(name):
            raise NotFound(f"No image data can be called {name}.")
        return self.directory / place / name

    def location(self, path: Path) -> str:
        """``<prefix>images/<image id>.<number>``."""
        return f"{self._prefix}{path.parent.name}/{path.name}"

    def file(self, location: str) -> Path:
        """The path of a location of ours. Raises ``NotFound`` for any other text."""
        place, _, name = location.removeprefix(self._prefix).partition("/")
        if not location.startswith(self._prefix) or place not in _PLACES or not _NAME.match(name):
            raise NotFound("There is no such image data.")
        return self.directory / place / name

    def _check(self) -> None:
        """Raises ``Unavailable`` where somebody else's directory isn't there (it isn't mounted)."""
        if not self._foreign:
            return
        try:
            there = self.directory.is_dir()
            for place in _PLACES if there else ():
                (self.directory / place).mkdir(exist_ok=True, mode=0o750)
        except OSError as error:
            raise Unavailable(f"The image store {self.name} doesn't work ({error.strerror}).") from None
        if not there:
            raise Unavailable(f"The directory of the image store {self.name} isn't there; tell your administrator.")

    def _opened(self, location: str) -> tuple[int, int]:
        try:
            file = os.open(self.file(location), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("The image's data is missing from the store.") from None
        return file, os.fstat(file).st_size


class LocalUpload:
    """``Upload`` into one file."""

    def __init__(self, store: LocalImageStore, staged: Path, final: Path) -> None:
        self._store, self._staged, self._final = store, staged, final
        self._kept = False
        try:
            self._file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, store.mode)
            _lock(self._file)
            os.fchmod(self._file, store.mode)
        except OSError as error:
            raise _explained(error) from error

    @property
    def location(self) -> str:
        return self._store.location(self._staged)

    async def write(self, chunks: AsyncIterator[bytes], *, limit: int) -> Stored:
        loop = asyncio.get_running_loop()
        writer = _Writer(self._file, self._store.reserve)
        batch: list[bytes] = []
        batched = size = 0
        running: asyncio.Future[None] | None = None
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"The incoming image is too large: it may have {limit} bytes at most.")
                batch.append(chunk)
                batched += len(chunk)
                if batched >= BATCH:
                    if running is not None:
                        await running
                    running = loop.run_in_executor(self._store.pool, writer.put, b"".join(batch))
                    batch, batched = [], 0
            if running is not None:
                await running
            running = loop.run_in_executor(self._store.pool, writer.end, b"".join(batch))
            await running
        except OSError as error:
            raise _explained(error) from error
        finally:
            if running is not None and not running.done():      # nothing may write to a file that we let go of
                with suppress(Exception):
                    await asyncio.shield(running)
        return Stored(size, writer.md5.hexdigest(), writer.sha512.hexdigest())

    def keep(self) -> None:
        self._kept = True

    def commit(self) -> str:
        self._staged.replace(self._final)
        self._kept = True
        _sync_directory(self._final.parent)
        _sync_directory(self._staged.parent)
        return self._store.location(self._final)

    def close(self) -> None:
        if self._file >= 0:
            if not self._kept:
                self._staged.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


class _Writer:
    """Hashes and writes, in a worker thread; both let other threads run."""

    def __init__(self, file: int, reserve: int) -> None:
        self._file, self._reserve = file, reserve
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()

    def put(self, data: bytes) -> None:
        space = os.fstatvfs(self._file)
        if space.f_bavail * space.f_frsize < self._reserve + len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.md5.update(data)
        self.sha512.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view):]

    def end(self, data: bytes) -> None:
        if data:
            self.put(data)
        os.fsync(self._file)


def _explained(error: OSError) -> Exception:
    return NoSpace(os.strerror(error.errno or 0)) if error.errno in _FULL else error


def _lock(file: int) -> None:
    """Whoever asks ``_is_locked`` holds the lock for a moment: try again then."""
    for left in range(LOCK_TRIES, -1, -1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.005)


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _map(file: int, offset: int, length: int) -> mmap.mmap:
    return mmap.mmap(file, length, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ, offset=offset)


def _sync_directory(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
