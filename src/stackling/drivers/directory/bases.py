"""The bases of overlays in the shared directory: fetched by whichever machine needs one first, used by all.

Theory of operation. A file's name is its SHA-512, as in ``local.image_cache``. Who fetches holds a lock, so that others
wait for the file; should the lock be lost, two fetch the same, and the second one's is thrown away: a file that is
there and sound is never replaced beneath its readers. What no server's owner file names and nobody has used for long
goes into ``trash`` first, by a rename that doesn't disturb who has it open, and is deleted an hour later, after another
look at all owner files; who needs it meanwhile takes it back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from stackling.core import clock
from stackling.drivers.directory import locks
from stackling.drivers.local.image_cache import ImageCache, Limits, base_name, digest, note, noted
from stackling.ports.disks import Fetch
from stackling.ports.document import RootDisk
from stackling.ports.hypervisor import HypervisorError

log = logging.getLogger(__name__)
DAY = 86_400.0
TRASH_SECONDS = 3600.0
WAIT = 1800.0               # seconds that another machine may take to fetch an image
LOOK = 0.5


class SharedBases(ImageCache):
    """``ImageCache`` in a directory of all machines."""

    def __init__(self, root: Path, fetch: Fetch, limits: Limits) -> None:
        super().__init__(root, fetch, limits, there=True)

    @property
    def _trash(self) -> Path:
        return self._root / "trash"

    def ensure(self, disk: RootDisk) -> None:
        """Have the base there. Raises as ``base`` does."""
        with self.base(disk, lambda words: None):
            pass

    def prune(self, bases: Collection[str], images: Collection[str]) -> None:
        """*bases* are all that any server's owner file names."""
        self._trash.mkdir(mode=0o700, exist_ok=True)
        for path in self._trash.iterdir():
            if path.name in bases:
                self._take_back(self._root / path.name)
            elif clock.wall() - path.stat().st_ctime > TRASH_SECONDS:
                path.unlink(missing_ok=True)
        super().prune(bases, images)

    # -- how

    def _is_left_over(self, part: Path) -> bool:
        """Another machine may be writing it; a day later nobody is."""
        return part.stat().st_mtime < clock.wall() - DAY

    def _discard(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.rename(self._trash / path.name)

    def _take_back(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.link(self._trash / path.name, path)
        (self._trash / path.name).unlink(missing_ok=True)

    def _sound(self, path: Path, disk: RootDisk) -> bool:
        if not path.exists():
            self._take_back(path)
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        if found.st_size != disk.image_size:
            return False
        if clock.wall() - float(str(noted(path).get("checked", 0))) < DAY:
            return True
        if digest(path) != disk.image_checksum:
            log.error("image file %s is damaged; fetched anew", path.name)
            return False
        note(path, disk)
        return True

    def _download(self, path: Path, disk: RootDisk) -> None:
        with self._alone(path):
            if not self._sound(path, disk):
                super()._download(path, disk)

    def _part(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.part-{secrets.token_hex(4)}")

    def _put(self, part: Path, path: Path) -> None:
        if path.exists():                   # and damaged
            part.rename(path)
            return
        with contextlib.suppress(FileExistsError):
            os.link(part, path)             # never over one that another machine has put there meanwhile

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        try:
            file = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HypervisorError(f"the shared directory can't be written: {error.strerror}") from None
        try:
            deadline = time.monotonic() + WAIT
            while not locks.take(file, locks.WHOLE, exclusive=True):
                if time.monotonic() > deadline:
                    raise HypervisorError("another machine is still fetching the server's image; waiting for it")
                time.sleep(LOOK)
            yield
        finally:
            os.close(file)


def wanted(disk: RootDisk | None) -> tuple[str, ...]:
    """The base that a disk needs for as long as it is there."""
    return () if disk is None or disk.flat else (base_name(disk),)
