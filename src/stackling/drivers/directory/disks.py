"""Servers' disks in a directory that all machines have mounted: qcow2 overlays of shared bases, as in a local one.

Theory of operation. A server's directory holds its disks as *sets*, each under the name of the order that made it
(``<rebuilds>-<era>-<generation>``, never used again), and the owner file (``owner.py``), which says which set counts
and by which order it was last made, started or removed. Who comes with an older order is refused: a machine that was
cut off and returns neither starts nor deletes what has moved on; and what it deletes, having slept between looking and
deleting, is a set that was old already.

Before a start, ``guard`` makes the server this machine's by writing the owner file (reading it wouldn't do: over NFS
what is read may be a minute old), and then looks whether some QEMU has a disk open to write, by the locks that QEMU
takes; QEMU itself refuses as well. That is the second line of defence against a guest running twice, as far as locks
reach other machines, which is proven for each of them (``place.py``); fencing by power is the first.

Console logs are local. Disks belong to QEMU's account, so that libvirt needn't change that on its way, and bases to
root: QEMU can read every base whose checksum it is told, list none, and change none.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pwd
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from stackling.core import clock
from stackling.core.journal import sync_directory
from stackling.drivers.directory import locks
from stackling.drivers.directory.bases import SharedBases, wanted
from stackling.drivers.directory.owner import HALF_MADE, Owner, OwnerFile, Stale
from stackling.drivers.directory.patience import Patience
from stackling.drivers.directory.place import GIB, Place
from stackling.drivers.local.disks import LEAST_FREE, LocalDisks, cut_logs
from stackling.ports.document import ServerDesired
from stackling.ports.hypervisor import GuestDisks, GuestRefused, HypervisorError

log = logging.getLogger(__name__)
T = TypeVar("T")
SOON, QUICK, LONG = 3.0, 20.0, 3600.0
TIDY = 600.0                # seconds between two looks for what nobody needs
DAY = 86_400.0
FULL = "the shared directory is full; the server is made when there is room"
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}\Z")
_SET = re.compile(r"[0-9]{1,10}-([0-9]{1,18})-([0-9]{1,18})\Z")


class SharedDisks(LocalDisks):
    """``InstanceDisks`` in *place*. *instances* holds what is local: console logs; *account* is QEMU's (None: ours)."""

    def __init__(self, place: Place, bases: SharedBases, *, instances: Path, account: str | None = None) -> None:
        super().__init__(instances, bases, account=account)
        self._place, self._bases = place, bases
        self._patience = Patience(f"the shared directory {place.path}")
        self._at: dict[str, str] = {}
        self._tidied = -TIDY

    def find(self, server_id: str) -> int | None:
        return self._in_time(server_id, lambda: self._find(server_id))

    def make(self, server: ServerDesired, progress: Callable[[str], None], era: int = 1) -> None:
        self._in_time(server.id, lambda: self._make_new(server, progress, era), LONG)

    def expect(self, server: ServerDesired, own_disks: bool, progress: Callable[[str], None]) -> None:
        if own_disks:
            raise GuestRefused("This server's disks come from another storage than this host's.")
        self._in_time(server.id, lambda: self._find(server.id))
        self._local(server.id)

    def guard(self, server: ServerDesired, era: int = 1) -> None:
        self._in_time(server.id, lambda: self._guard(server, era), LONG)

    def resize(self, server: ServerDesired) -> None:
        there = super().resize
        self._in_time(server.id, lambda: there(server), LONG)

    def forget_kept(self, server: ServerDesired) -> None:
        there = super().forget_kept
        self._in_time(server.id, lambda: there(server), LONG)

    def make_rescue(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        there = super().make_rescue
        self._in_time(server.id, lambda: there(server, progress), LONG)

    def drop_rescue(self, server: ServerDesired) -> None:
        there = super().drop_rescue
        self._in_time(server.id, lambda: there(server))

    def export(self, server: ServerDesired) -> None:
        there = super().export
        self._in_time(server.id, lambda: there(server), LONG)

    def drop_export(self, server: ServerDesired) -> None:
        there = super().drop_export
        self._in_time(server.id, lambda: there(server))

    def paths(self, server: ServerDesired) -> GuestDisks:
        there = super().paths
        return self._in_time(server.id, lambda: there(server))

    def remove(self, server_id: str, era: int, generation: int) -> None:
        self._in_time(server_id, lambda: self._remove(server_id, (era, generation)), LONG)

    def tidy(self, images: Collection[str]) -> None:
        cut_logs(self._root)
        if clock.monotonic() - self._tidied >= TIDY:
            self._tidied = clock.monotonic()
            self._in_time("tidy", lambda: self._tidy(images), LONG)

    def room_gib(self) -> tuple[int, int]:
        """How large the directory is, and how much is free. Raises ``HypervisorError`` where it can't be used."""
        total, free = self._in_time("", self._place.room, SOON)
        return total // GIB, free // GIB

    # -- making

    def _make_new(self, server: ServerDesired, progress: Callable[[str], None], era: int) -> None:
        file = self._file(server.id)
        owner, number = self._read(server.id)
        if owner is None or not owner.set or owner.rebuilds != server.rebuilds or owner.removing:
            _refuse_older((era, server.generation), owner)
            making = f"{server.rebuilds}-{era}-{server.generation}"
            bases = wanted(server.root)
            begun = msgspec.structs.replace(
                owner or Owner(generation=0), era=era, generation=server.generation, making=making,
                machine=self._place.machine, bases=(*(owner.bases if owner else ()), *bases))
            number = file.replace(begun, number)
            self._local(server.id)
            self._make_set(server, making, progress)
            owner = Owner(era=era, generation=server.generation, rebuilds=server.rebuilds, set=making,
                          machine=self._place.machine, bases=bases)
            file.replace(owner, number)
        self._at[server.id] = owner.set
        self._drop_others(server.id, owner.set)

    def _make_set(self, server: ServerDesired, making: str, progress: Callable[[str], None]) -> None:
        directory = self._server(server.id) / making
        if directory.exists():                  # a crash has left it
            shutil.rmtree(directory)
        if self._place.room()[1] < LEAST_FREE:
            raise HypervisorError(FULL)
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)
        self._at[server.id] = making
        try:
            with self._cache.base(server.root, progress) if server.root else contextlib.nullcontext() as base:
                self._make(server, base)
        except BaseException:
            del self._at[server.id]
            raise

    def _mark(self, server: ServerDesired, base: str | None) -> None:
        """All of it is on the disk before the owner file says so."""
        directory = self._directory(server.id)
        for path in directory.iterdir():
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        sync_directory(directory)
        sync_directory(directory.parent)

    def _drop_others(self, server_id: str, ours: str) -> None:
        """Throw away sets that don't count any more; one made later than ours isn't ours to judge."""
        for name in self._sets(server_id):
            if name != ours and _order_of(name) <= _order_of(ours):
                shutil.rmtree(self._server(server_id) / name)

    # -- starting and removing

    def _guard(self, server: ServerDesired, era: int) -> None:
        owner, number = self._read(server.id)
        if owner is None or not owner.set:
            raise HypervisorError("the server's disks aren't there")
        _refuse_older((era, server.generation), owner)
        self._file(server.id).replace(msgspec.structs.replace(
            owner, era=era, generation=server.generation, machine=self._place.machine), number)
        if server.root is not None and wanted(server.root):
            self._bases.ensure(server.root)
        directory = self._server(server.id) / owner.set
        _check_unused(directory)
        if self._account is not None:
            account = pwd.getpwnam(self._account).pw_uid
            for path in _files(directory):
                os.chown(path, account, -1)
        self._local(server.id)

    def _remove(self, server_id: str, order: tuple[int, int]) -> None:
        owner, number = self._read(server_id)
        if owner is None:
            self._forget_local(server_id)
            return
        if owner.order > order:
            raise HypervisorError(
                f"the server's disks belong to a newer state of it (generation {owner.generation}, on machine "
                f"{owner.machine}) than the one to be removed ({order[1]}); they are left alone")
        for name in self._sets(server_id):
            _check_unused(self._server(server_id) / name)
        file = self._file(server_id)
        number = file.replace(msgspec.structs.replace(owner, removing=True, era=order[0], generation=order[1]), number)
        for name in self._sets(server_id):
            if _order_of(name) <= order:
                shutil.rmtree(self._server(server_id) / name)
        file.retire(number)
        sync_directory(self._place.instances)
        self._at.pop(server_id, None)
        self._forget_local(server_id)

    # -- tidying

    def _tidy(self, images: Collection[str]) -> None:
        self._forget_departed()
        bases: set[str] = set()
        for directory in self._place.instances.iterdir():
            owner, _ = OwnerFile(directory).read()
            if owner is None:
                with contextlib.suppress(OSError):
                    directory.rmdir()
            else:
                bases.update(owner.bases)
        with contextlib.suppress(FileNotFoundError):        # another machine tidies as well
            self._cache.prune(bases, images)

    def _forget_departed(self) -> None:
        """Drop the local directories of servers that are gone, or have been elsewhere for a day."""
        for directory in self._root.iterdir():
            if not directory.is_dir() or not _ID.match(directory.name):
                continue
            owner, _ = self._read(directory.name)
            times = [path.stat().st_mtime for path in directory.iterdir()] or [directory.stat().st_mtime]
            old = max(times) < clock.wall() - DAY
            if owner is None or (old and owner.machine != self._place.machine):
                self._forget_local(directory.name)

    # -- how

    def _in_time(self, key: str, function: Callable[[], T], seconds: float = QUICK) -> T:
        def checked() -> T:
            self._place.check()
            with _explained():
                return function()

        if seconds > QUICK:
            self._patience.call(QUICK, "", self._place.check)
        return self._patience.call(seconds, key, checked)

    def _find(self, server_id: str) -> int | None:
        owner, _ = self._read(server_id)
        if owner is None:
            return None
        return owner.rebuilds if owner.set and not owner.removing else HALF_MADE

    def _read(self, server_id: str) -> tuple[Owner | None, int]:
        owner, number = self._file(server_id).read()
        if owner is not None and owner.set:
            self._at[server_id] = owner.set
        else:
            self._at.pop(server_id, None)
        return owner, number

    def _file(self, server_id: str) -> OwnerFile:
        return OwnerFile(self._server(server_id))

    def _server(self, server_id: str) -> Path:
        if not _ID.match(server_id):
            raise GuestRefused(f"{server_id!r} is no server id")
        return self._place.instances / server_id

    def _sets(self, server_id: str) -> list[str]:
        return [path.name for path in self._server(server_id).iterdir() if _SET.match(path.name)]

    def _directory(self, server_id: str) -> Path:
        """That of the set that counts (or is being made)."""
        found = self._at.get(server_id) or (self._read(server_id)[0] or Owner(generation=0)).set
        if not found:
            raise HypervisorError("the server's disks aren't there")
        return self._server(server_id) / found

    def _local(self, server_id: str) -> None:
        directory = self._root / server_id
        directory.mkdir(mode=0o711, exist_ok=True)
        directory.chmod(0o711)

    def _forget_local(self, server_id: str) -> None:
        shutil.rmtree(self._root / server_id, ignore_errors=True)


def _refuse_older(order: tuple[int, int], owner: Owner | None) -> None:
    if owner is not None and owner.order > order:
        raise HypervisorError(
            f"machine {owner.machine} has this server's disks by a newer order (generation {owner.generation}) than "
            f"this machine's ({order[1]}); nothing is done here")


def _check_unused(directory: Path) -> None:
    for path in _files(directory):
        if locks.is_written(path):
            raise HypervisorError(
                f"the server's disk {path.name} is still open in a QEMU, here or on another machine, which holds its "
                "lock; the server isn't started a second time. The lock of a machine that is off ends by itself: with "
                "NFS after its server's lease (90 s), with CephFS after a minute")


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_file()]


def _order_of(name: str) -> tuple[int, int]:
    found = _SET.match(name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Errors as the agent knows them."""
    try:
        yield
    except Stale:
        raise HypervisorError("another machine has changed the server's disks meanwhile; looking again") from None
    except msgspec.MsgspecError as error:
        raise HypervisorError(f"a server's owner file in the shared directory is damaged: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HypervisorError(FULL) from None
        raise HypervisorError(f"the shared directory: {error.strerror}: {error.filename}") from None
