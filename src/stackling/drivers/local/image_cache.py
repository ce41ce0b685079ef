"""Images on the machine, as bases of overlays: fetched once, verified, never changed, pruned when nobody needs them.

Theory of operation. A file's name is its SHA-512, so what is there is either right or damaged, never old. It is
fetched under a temporary name, hashed on the way, and renamed only when size and checksum are those of the document.
Before it is used again its size and modification time are compared with what was written down then, and its checksum
once a day; a damaged file is fetched anew, to the same name, which repairs the overlays on it. One agent a machine
uses the directory (its lock sees to that), so counting users in memory is enough to keep ``prune`` from racing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from stackling.core import clock
from stackling.core.journal import sync_directory
from stackling.ports.disks import Fetch
from stackling.ports.document import RootDisk
from stackling.ports.hypervisor import GuestRefused, HypervisorError

log = logging.getLogger(__name__)
DAY = 86_400.0
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an unused image is kept, and how much unused ones may take together."""

    days: float = 7.0
    gib: float = 50.0


class ImageCache:
    """The directory *root*, readable for members of *group* (QEMU's account) only; made now unless *there* is set."""

    def __init__(self, root: Path, fetch: Fetch, limits: Limits = Limits(), *, group: str | None = None,
                 there: bool = False) -> None:
        self._root, self._fetch, self._limits = root, fetch, limits
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()
        if not there:
            root.mkdir(mode=0o750, parents=True, exist_ok=True)
        if group is not None:
            shutil.chown(root, group=group)
            root.chmod(0o750)

    @contextlib.contextmanager
    def base(self, disk: RootDisk, progress: Callable[[str], None]) -> Iterator[Path]:
        """The verified file of an image, kept as long as the context lasts. Raises as ``Fetch`` does."""
        name = base_name(disk)
        with self._lock:
            self._users[name] += 1
            lock = self._locks.setdefault(name, threading.Lock())
        try:
            with lock:
                path = self._root / name
                if not self._sound(path, disk):
                    progress("downloading image")
                    self._download(path, disk)
                os.utime(_record(path))
            yield path
        finally:
            with self._lock:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name], self._locks[name]

    def prune(self, bases: Collection[str], images: Collection[str]) -> None:
        """Remove what no overlay (*bases*: file names) and no document (*images*: ids) needs and is old or too much."""
        with self._lock:
            busy = set(self._users)
            unused: list[tuple[float, int, Path]] = []
            for path in self._root.iterdir():
                name = path.name.partition(".part")[0]
                if path.suffix in (".json", ".lock") or path.is_dir() or name in busy:
                    continue
                if ".part" in path.name:
                    if self._is_left_over(path):
                        path.unlink(missing_ok=True)
                elif name not in bases and noted(path).get("image") not in images:
                    unused.append((_used_at(path), path.stat().st_size, path))
            self._remove_most(unused)

    def _remove_most(self, unused: list[tuple[float, int, Path]]) -> None:
        total = sum(size for _, size, _ in unused)
        for used_at, size, path in sorted(unused, key=lambda each: each[0]):
            if clock.wall() - used_at > self._limits.days * DAY or total > self._limits.gib * 2**30:
                log.info("image file %s isn't used any more; removed", path.name)
                self._discard(path)
                _record(path).unlink(missing_ok=True)
                total -= size

    # -- how

    def _is_left_over(self, part: Path) -> bool:
        """Whether a crash has left it: nobody is fetching it here."""
        return True

    def _discard(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _part(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.part")

    def _put(self, part: Path, path: Path) -> None:
        part.rename(path)

    def _sound(self, path: Path, disk: RootDisk) -> bool:
        kept = noted(path)
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        kept_now = kept.get("size"), kept.get("mtime_ns"), disk.image_size
        if kept_now != (found.st_size, found.st_mtime_ns, found.st_size):
            log.warning("image file %s isn't as it was written; fetched anew", path.name)
            return False
        if clock.wall() - float(str(kept.get("checked", 0))) < DAY:
            return True
        if digest(path) != disk.image_checksum:
            log.error("image file %s is damaged; fetched anew", path.name)
            return False
        note(path, disk)
        return True

    def _download(self, path: Path, disk: RootDisk) -> None:
        part = self._part(path)
        arrived, size = hashlib.sha512(), 0
        try:
            with part.open("wb") as file:
                def write(chunk: bytes) -> None:
                    nonlocal size
                    size += len(chunk)
                    if size > disk.image_size:
                        raise HypervisorError("the image is longer than its record says")
                    arrived.update(chunk)
                    file.write(chunk)

                self._fetch(disk, write)
                file.flush()
                os.fsync(file.fileno())
            if size != disk.image_size or arrived.hexdigest() != disk.image_checksum:
                raise HypervisorError("the image arrived damaged (its checksum differs); it is fetched again")
            part.chmod(0o444)
            self._put(part, path)
            note(path, disk)
            sync_directory(self._root)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HypervisorError("the image cache of this host is full; it is tried again later") from None
            raise HypervisorError(f"the image can't be kept on this host: {error.strerror}") from None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def base_name(disk: RootDisk) -> str:
    """The name of an image's file. Raises ``GuestRefused``."""
    checksum = disk.image_checksum.lower()
    if disk.image_format not in ("qcow2", "raw") or len(checksum) != 128 or not checksum.isalnum():
        raise GuestRefused(f"The image's format {disk.image_format!r} or checksum can't be used; upload it again as "
                           "qcow2 or raw.")
    return f"{checksum[:40]}.{disk.image_format}"


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def noted(path: Path) -> dict[str, object]:
    """What was written down of a file."""
    try:
        found = json.loads(_record(path).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note(path: Path, disk: RootDisk) -> None:
    """Write down that the file is now as its image."""
    found = path.stat()
    _record(path).write_text(json.dumps({
        "image": disk.image_id, "size": found.st_size, "mtime_ns": found.st_mtime_ns, "checked": clock.wall()}))


def _used_at(path: Path) -> float:
    try:
        return _record(path).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def digest(path: Path) -> str:
    """Its SHA-512."""
    found = hashlib.sha512()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
