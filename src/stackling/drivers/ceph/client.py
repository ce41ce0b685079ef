"""Calls to a Ceph cluster through worker processes (``drivers.worker``)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.drivers.ceph.keyring import current
from stackling.drivers.worker import DOWN, PYTHON, Bytes, Worker, WorkerError

WORKER = Path(__file__).with_name("worker.py")
QUICK, DATA, LONG = 4.5, 20.0, 3600.0
"""Seconds that a call may take: a look or a small change; a chunk of data; what copies or removes a whole disk."""
PROTOCOL_SLACK = 0.5


class CephError(Exception):
    """A call failed; the message is for people. ``kind`` is the worker's (see ``worker.py``)."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class CephAccess:
    """How to reach a cluster: ``ceph.conf``, the user's name without ``client.``, and its keyring (0600).

    The keyring may hold a successor of the user instead (``drivers.ceph.keyring``). The configuration names the
    keyring in the section of whoever is in it, for QEMU's tools.
    """

    conf: Path
    user: str
    keyring: Path

    @property
    def now(self) -> str:
        """As whom the cluster knows us at present; the user itself when the keyring can't be read."""
        with contextlib.suppress(OSError):
            if found := current(self.keyring, self.user):
                return found.user
        return self.user

    def source(self, pool: str, name: str) -> str:
        """An RBD image as QEMU's tools are told it (the key is found by the configuration's ``keyring``)."""
        return f"file.driver=rbd,file.pool={pool},file.image={name},file.conf={self.conf},file.user={self.now}"


class CephClient:
    """One cluster as one user. Safe from several threads.

    Looks and small changes, data, and long operations run in processes of their own, so that none is ended because
    another one hangs: the first is given up after ``QUICK`` seconds, by the cluster's library or by killing it. A
    keyring that changes is noticed by the processes themselves: they connect anew when they have nothing to do.
    """

    def __init__(self, access: CephAccess) -> None:
        self.access = access
        self._quick = self._worker(QUICK - PROTOCOL_SLACK)
        self._data = self._worker(DATA - PROTOCOL_SLACK)
        self._fsid = ""
        self._address = ""

    @property
    def fsid(self) -> str:
        """The cluster's id. Raises ``CephError``."""
        return self._facts()[0]

    @property
    def address(self) -> str:
        """Our own address as the cluster sees it. Raises ``CephError``."""
        return self._facts()[1]

    def quick(self, call: str, /, **arguments: Any) -> Any:
        """A look or a small change, in 5 s. Raises ``CephError``."""
        return _asked(self._quick, call, QUICK, b"", arguments)

    def data(self, call: str, data: Bytes = b"", deadline: float = DATA, /, **arguments: Any) -> Any:
        """Move data, or hold an image open. Raises ``CephError``."""
        return _asked(self._data, call, deadline, data, arguments)

    def long(self, call: str, deadline: float = LONG, /, **arguments: Any) -> Any:
        """Something long, in a process of its own. Raises ``CephError``."""
        worker = self._worker(60.0)
        try:
            return _asked(worker, call, deadline, b"", arguments)
        finally:
            worker.close()

    @property
    def data_pid(self) -> int | None:
        """The process that holds images open: they are lost with it."""
        return self._data.pid

    def close(self) -> None:
        """End the workers, and with them what they hold open."""
        self._quick.close()
        self._data.close()

    # -- how

    def _worker(self, timeout: float) -> Worker:
        access = self.access
        return Worker((PYTHON, "-I", str(WORKER), str(access.conf), access.user, str(access.keyring),
                       str(int(timeout))), "ceph")

    def _facts(self) -> tuple[str, str]:
        if not self._fsid:
            found = self.quick("cluster")
            self._fsid, self._address = found["fsid"], found["address"]
        return self._fsid, self._address


def _asked(worker: Worker, call: str, deadline: float, data: Bytes, arguments: dict[str, Any]) -> Any:
    try:
        return worker.ask(call, deadline, data, **arguments)
    except WorkerError as error:
        raise CephError(error.kind, _words(error)) from None


def _words(error: WorkerError) -> str:
    match error.kind:
        case "down":
            return f"the Ceph cluster doesn't answer in time; ask your administrator to look at it ({error.words})"
        case "blocklisted":
            return "the Ceph cluster has shut this machine out (it is on the blocklist) until it is let in again"
        case "refused":
            return f"the Ceph cluster doesn't accept this machine's key, or its rights don't suffice ({error.words})"
        case "full":
            return "the Ceph pool is full"
        case _:
            return f"Ceph: {error.words}"


__all__ = ["DOWN", "CephAccess", "CephClient", "CephError"]
