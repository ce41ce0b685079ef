"""Whose a server's disks are: a small file next to them, changed only as it was read.

Theory of operation. The file is ``owner.<number>.json``; the one with the highest number counts. A change writes the
next number by ``link(2)``, which fails where that exists: of two machines that have read the same, one succeeds, also
over NFS, where a listing may be a minute old: who read an old one finds the next number taken. Who slept in between,
until the next number was made and tidied away again, finds a higher one right after (its own link has made its view
fresh), and what it wrote has never counted. Numbers begin at the clock's milliseconds, so that those of a server that
was removed and made anew don't come again. No lock is needed for any of this, so a machine that lost its locks while it
was paused can do no harm.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

import msgspec

from stackling.core import clock
from stackling.core.journal import sync_directory

HALF_MADE = -1
_FILE = re.compile(r"owner\.([1-9][0-9]{0,17})\.json\Z")
_LOOKS = 8


class Owner(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The text. ``set`` counts ("": none yet); ``making`` is being made; ``removing``: all must go. ``era`` and
    ``generation`` are of the latest order that made, started or removed the disks, ``machine`` who had it. ``bases``:
    the files of images that the set needs, and those that the one that is being made will need."""

    era: int = 1
    generation: int
    rebuilds: int = HALF_MADE
    set: str = ""
    making: str = ""
    removing: bool = False
    machine: str = ""
    bases: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """Which order it was."""
        return self.era, self.generation


class Stale(Exception):
    """Somebody else was quicker: nothing was written, or somebody has read and replaced it already."""


class OwnerFile:
    """The file in *directory*, which needn't be there. Everything may raise ``OSError``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> tuple[Owner | None, int]:
        """The owner and the number of the file; (None, 0) where there is none."""
        for _ in range(_LOOKS):
            number = max(self._numbers(), default=0)
            if not number:
                return None, 0
            try:
                return msgspec.json.decode(self._file(number).read_bytes(), type=Owner), number
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESTALE):     # else it was replaced meanwhile
                    raise
        raise Stale

    def replace(self, owner: Owner, number: int) -> int:
        """Write *owner* where the number is still *number* (0: none); the new one. Raises ``Stale``."""
        following = number + 1 if number else int(clock.wall() * 1000)
        self._directory.mkdir(mode=0o711, exist_ok=True)
        self._directory.chmod(0o711)
        temporary = self._directory / f".owner.{secrets.token_hex(4)}"
        try:
            with temporary.open("xb") as file:
                file.write(msgspec.json.encode(owner))
                file.flush()
                os.fsync(file.fileno())
            if not number and self._numbers():
                raise Stale
            try:
                os.link(temporary, self._file(following))
            except FileExistsError:
                raise Stale from None
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._directory)
        found = self._numbers()
        if max(found) != following or (not number and len(found) > 1):
            self._file(following).unlink(missing_ok=True)
            raise Stale
        for older in found:
            if older < following:
                self._file(older).unlink(missing_ok=True)
        return following

    def retire(self, number: int) -> None:
        """Remove the file, and the directory unless there is something newer in it."""
        self._file(number).unlink(missing_ok=True)
        for path in self._directory.glob(".owner.*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._directory.rmdir()

    def _numbers(self) -> list[int]:
        try:
            return [int(found[1]) for path in self._directory.iterdir() if (found := _FILE.match(path.name))]
        except FileNotFoundError:
            return []

    def _file(self, number: int) -> Path:
        return self._directory / f"owner.{number}.json"
