"""The journal of the simulated fabric: what several processes append to is one backend for all of them.

Theory of operation. The file is the truth and its order is the order of events. Whoever changes something reads what
others have appended, checks, appends a line, and then reads on up to and including that line; what a line means is
decided by those before it, in every reader in the same way. So no lock is held, and a process that slept between its
check and its line finds that the line counts for nothing. The file is rewritten without what is superseded by whoever
opens it alone.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from stackling.ports.fabric import FabricKind

log = logging.getLogger(__name__)
NOTHING = msgspec.Raw(b"null")


class Line(msgspec.Struct, array_like=True):
    """A change. ``body`` is the object, null when it was removed."""

    kind: FabricKind
    id: str
    era: int
    generation: int
    body: msgspec.Raw = NOTHING


_decode = msgspec.json.Decoder(Line).decode


class SharedJournal:
    """*take* is given each line in order, those of this process only where ``append`` says so; *whole* gives the
    lines that say all that the former ones said."""

    def __init__(self, file: Path, take: Callable[[Line], None], whole: Callable[[], list[Line]]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._take = take
        self._lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            _compact(file, take, whole)
        fcntl.flock(self._lock, fcntl.LOCK_SH)      # from here on nobody rewrites it
        self._file = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._read = 0
        self.catch_up()
        if self._read < os.fstat(self._file).st_size:
            os.write(self._file, b"\n")             # ends a line that a crash cut short
            self.catch_up()

    def catch_up(self) -> None:
        """Take the lines that were appended since the last time."""
        size = os.fstat(self._file).st_size
        if size == self._read:
            return
        data = os.pread(self._file, size - self._read, self._read)
        whole = data[:data.rfind(b"\n") + 1]
        self._read += len(whole)
        for raw in whole.split(b"\n"):
            _give(raw, self._take)

    def append(self, line: Line) -> bool:
        """Append *line*. True: nothing came before it that wasn't known, so it counts. False: others did, and they
        and it have been taken in the order of the file."""
        data = msgspec.json.encode(line) + b"\n"
        os.write(self._file, data)
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if end - len(data) == self._read:
            self._read = end
            return True
        self.catch_up()
        return False

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)
        os.close(self._lock)


def _give(raw: bytes, take: Callable[[Line], None]) -> None:
    if not raw:
        return
    try:
        line = _decode(raw)
    except msgspec.MsgspecError:
        log.warning("a torn line in the simulated fabric's journal is left out: %r", raw[:100])
        return
    take(line)


def _compact(file: Path, take: Callable[[Line], None], whole: Callable[[], list[Line]]) -> None:
    """Rewrite *file* without what is superseded."""
    if not file.exists():
        return
    for raw in file.read_bytes().split(b"\n")[:-1]:
        _give(raw, take)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in whole()))
    fresh.replace(file)
