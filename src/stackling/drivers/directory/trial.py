"""What one machine does in the proof of a shared directory, a step at a time, as ``deploy.directory.proof`` asks.

Everything happens in ``trial-<number>`` in the directory, and is removed again. Locks are held from one step to
another, for a minute at most, so that nothing is left of a proof that was broken off.
"""

from __future__ import annotations

import errno
import mmap
import os
import pwd
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stackling.core.journal import sync_directory
from stackling.drivers.directory import locks
from stackling.drivers.directory.patience import Patience
from stackling.drivers.directory.place import GIB, Place, identity
from stackling.ports.disks import TrialFailed
from stackling.ports.hypervisor import HypervisorError

BLOCK = 4096
MACHINES = 1024
HELD = 60.0                 # seconds after which a lock is dropped by itself
SEEN_WITHIN = 8.0           # seconds that another machine's file may take to be seen
ANSWER = 15.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62})\Z")
_TRIAL = re.compile(r"[0-9a-f]{8,32}\Z")


class Trial:
    """The steps on *machine*. *account* is QEMU's (None: ours); *own*: how many servers have disks that are in a
    directory of this machine alone."""

    def __init__(self, machine: str, *, account: str | None, own: Callable[[], int]) -> None:
        self._machine, self._account, self._own = machine, account, own
        self._patience = Patience("the directory")
        self._held: dict[str, int] = {}
        self._steps: Mapping[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]] = {
            "look": self._look, "write": self._write, "see": self._see, "join": self._join, "joined": self._joined,
            "lock": self._lock, "locked": self._locked, "unlock": self._unlock, "unlocked": self._unlocked,
            "link": self._link, "replace": self._replace, "replaced": self._replaced, "note": self._note,
            "end": self._end}

    def __call__(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do ``asked["step"]`` in ``asked["path"]``; what was found. Raises ``TrialFailed``."""
        step, path, trial = self._steps.get(str(asked.get("step"))), Path(str(asked.get("path"))), asked.get("trial")
        if step is None or not path.is_absolute() or ".." in path.parts or not _TRIAL.match(str(trial)):
            raise TrialFailed("that is no step of a proof")
        if not all(_NAME.match(str(name)) for name in asked.get("machines", ())):
            raise TrialFailed("that is no machine's name")
        try:
            return self._patience.call(ANSWER, "", lambda: step(path, asked))
        except HypervisorError as error:
            raise TrialFailed(str(error)) from None
        except OSError as error:
            raise TrialFailed(_words(error)) from None
        except (KeyError, ValueError, TypeError):
            raise TrialFailed("that is no step of a proof") from None

    # -- the steps

    def _look(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        if not path.is_dir():
            raise TrialFailed(f"{path} is no directory here: mount it")
        place = Place(path, "", self._machine)
        total, free = place.room()
        return {"mount": place.mount.words, "kind": place.mount.kind, "type": place.mount.type,
                "account": pwd.getpwnam(self._account).pw_uid if self._account else os.geteuid(),
                "total_gib": total // GIB, "free_gib": free // GIB, "id": identity(path), "own": self._own(),
                "path": str(path.resolve())}

    def _write(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A file by way of another name, and a disk that QEMU's account writes."""
        directory = _directory(path, asked)
        directory.mkdir(mode=0o711, exist_ok=True)
        directory.chmod(0o711)
        temporary = directory / f"{self._machine}.new"
        with temporary.open("w") as file:
            file.write(_content(self._machine, asked))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(directory / self._machine)
        disk = directory / f"{self._machine}.disk"
        with disk.open("xb") as file:
            file.truncate(MACHINES * BLOCK)
        disk.chmod(0o600)
        self._as_qemu(disk)
        sync_directory(directory)
        return {}

    def _see(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the others have written."""
        deadline = time.monotonic() + SEEN_WITHIN
        missing = [str(name) for name in asked["machines"]]
        while missing and time.monotonic() < deadline:
            missing = [name for name in missing if not _holds(_directory(path, asked) / name, _content(name, asked))]
            if missing:
                time.sleep(0.2)
        return {"missing": missing}

    def _join(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Write a block of everybody's disk, past the page cache."""
        for name in asked["machines"]:
            file = os.open(_directory(path, asked) / f"{name}.disk", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
            try:
                with mmap.mmap(-1, BLOCK) as block:
                    block.write(_content(self._machine, asked).encode().ljust(BLOCK, b"."))
                    os.pwrite(file, block, BLOCK * (1 + int(asked["number"])))
                os.fsync(file)
            finally:
                os.close(file)
        return {}

    def _joined(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Whose blocks aren't in our disk."""
        file = os.open(_directory(path, asked) / f"{self._machine}.disk", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        missing: list[str] = []
        try:
            with mmap.mmap(-1, BLOCK) as block:
                for number, name in enumerate(asked["machines"]):
                    os.preadv(file, [block], BLOCK * (1 + number))
                    if block[:] != _content(name, asked).encode().ljust(BLOCK, b"."):
                        missing.append(name)
        finally:
            os.close(file)
        return {"missing": missing}

    def _lock(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Hold our disk as a QEMU that writes it, and one byte for ourselves alone."""
        self._drop(str(asked["trial"]))
        file = os.open(_directory(path, asked) / f"{self._machine}.disk", os.O_RDWR | os.O_CLOEXEC)
        try:
            taken = [locks.take(file, byte, exclusive=False) for byte in (locks.WRITES, locks.LETS_NOBODY_WRITE)]
            taken.append(locks.take(file, locks.WHOLE, exclusive=True))
            if not all(taken):
                raise TrialFailed("a lock that nobody holds is refused")
        except BaseException:
            os.close(file)
            raise
        self._held[str(asked["trial"])] = file
        timer = threading.Timer(HELD, self._drop, [str(asked["trial"]), file])
        timer.daemon = True
        timer.start()
        return {}

    def _locked(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the locks that another machine holds on its disk are seen and respected here."""
        holder, = asked["machines"]
        file = os.open(_directory(path, asked) / f"{holder}.disk", os.O_RDWR | os.O_CLOEXEC)
        try:
            seen = locks.is_taken(file, locks.WRITES) and locks.is_taken(file, locks.LETS_NOBODY_WRITE)
            return {"seen": seen, "refused": not locks.take(file, locks.WHOLE, exclusive=True)}
        finally:
            os.close(file)

    def _unlock(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._drop(str(asked["trial"]))
        return {}

    def _unlocked(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Whether they are free again."""
        holder, = asked["machines"]
        file = os.open(_directory(path, asked) / f"{holder}.disk", os.O_RDWR | os.O_CLOEXEC)
        try:
            return {"free": locks.take(file, locks.WHOLE, exclusive=True) and not locks.is_taken(file, locks.WRITES)}
        finally:
            os.close(file)

    def _link(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Try to be the one who makes a name; all machines do at once."""
        directory = _directory(path, asked)
        try:
            os.link(directory / self._machine, directory / "first")
        except FileExistsError:
            return {"first": False}
        return {"first": True}

    def _replace(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Put another file in our file's place."""
        directory = _directory(path, asked)
        temporary = directory / f"{self._machine}.new"
        temporary.write_text(_content(self._machine, asked) + " again")
        temporary.rename(directory / self._machine)
        sync_directory(directory)
        return {}

    def _replaced(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + SEEN_WITHIN
        holder, = asked["machines"]
        while not _holds(_directory(path, asked) / holder, _content(holder, asked) + " again"):
            if time.monotonic() > deadline:
                return {"seen": False}
            time.sleep(0.2)
        return {"seen": True}

    def _note(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        place = Place(path, str(asked["id"]), self._machine)
        place.prepare()
        place.note_proof()
        place.check()
        return {}

    def _end(self, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._drop(str(asked["trial"]))
        shutil.rmtree(_directory(path, asked), ignore_errors=True)
        return {}

    # -- how

    def _drop(self, trial: str, only: int | None = None) -> None:
        if only is None or self._held.get(trial) == only:
            file = self._held.pop(trial, None)
            if file is not None:
                os.close(file)

    def _as_qemu(self, disk: Path) -> None:
        """Give it to QEMU's account, which must be able to write it."""
        if self._account is None:
            return
        account = pwd.getpwnam(self._account)
        os.chown(disk, account.pw_uid, -1)
        done = subprocess.run(
            ["dd", "if=/dev/zero", f"of={disk}", "bs=4096", "count=1", "conv=notrunc,fsync", "status=none"],
            user=account.pw_uid, group=account.pw_gid, extra_groups=[], capture_output=True, text=True, timeout=ANSWER,
            check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise TrialFailed(f"QEMU's account ({self._account}) can't write its files: {done.stderr.strip()}. Every "
                              "directory above must let it pass (mode o+x), and an NFS export needs no_root_squash")


def _directory(path: Path, asked: Mapping[str, Any]) -> Path:
    return path / f"trial-{asked['trial']}"


def _content(machine: str, asked: Mapping[str, Any]) -> str:
    return f"{machine} {asked['trial']}"


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except (FileNotFoundError, OSError):
        return False


def _words(error: OSError) -> str:
    what = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    match error.errno:
        case errno.ENOLCK | errno.ENOSYS | errno.EOPNOTSUPP:
            return f"{what}: this mount doesn't do that. With NFS, mount with vers=4.1 or newer, and without nolock"
        case errno.EACCES | errno.EPERM:
            return f"{what}: root must be able to write, link and give away files there (NFS: no_root_squash)"
        case errno.EINVAL:
            return f"{what}: the mount doesn't take direct input and output (O_DIRECT), which disks need"
        case _:
            return what
