"""One connection to the northbound database: a thread that reads, and group commit for those who write.

Theory of operation. Requests of several threads are put into one OVSDB transaction: whoever gets the lock commits
for all that wait. A request's operations are built from our copy of the database, under the lock; the transaction
carries ``wait`` operations on what they were built from (the fence of each object among them), so a copy that is
behind, a second engine, or a process that was paused between building and sending makes the server refuse the whole
transaction. Then everything is built again from what is there now, and a request that has become stale is refused.
An answer that doesn't come in time leaves it open whether the transaction went through; as requests are idempotent
and fenced, the next turn settles that.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from ovs import poller
from ovs.db import idl

from stackling.core import clock
from stackling.drivers.ovn.replica import Key, Replica
from stackling.drivers.ovn.rows import Operation
from stackling.ports.fabric import FabricDown, Missing, Refused

log = logging.getLogger(__name__)
MOST = 50               # requests in one transaction; more gain nothing
AFTER_FAILURE = 1.0     # seconds
TRIES = 8               # of one request, when the server keeps refusing it


class Request(Protocol):
    """A change of one object. ``build`` gives the operations (none: nothing to do), or raises."""

    @property
    def key(self) -> Key: ...
    def shared(self, replica: Replica) -> list[Operation]:
        """Operations on rows that all objects share; done once in a transaction."""
        ...

    def build(self, replica: Replica) -> list[Operation]: ...


@dataclass(slots=True, eq=False)
class Pending:
    """A request and how it ended."""

    request: Request
    tries: int = 0
    done: bool = False
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.done, self.error = True, error


@dataclass(slots=True)
class Round:
    """One transaction under way: who is in it, and what its operations are."""

    active: list[Pending] = field(default_factory=list[Pending])
    operations: list[Operation] = field(default_factory=list[Operation])
    later: list[Pending] = field(default_factory=list[Pending])


class Link:
    """A connection to *remote* (``unix:/path`` or ``tcp:host:port``, several with commas). Opened on first use.

    Every call ends within *timeout* seconds. *told* hears of changes that this connection didn't make itself.
    """

    def __init__(self, remote: str, timeout: float, told: Callable[[str, str], None]) -> None:
        self.remote, self._timeout, self._told = remote, timeout, told
        self._changed = threading.Condition()
        self._leader = threading.Lock()
        self._waiting: list[Pending] = []
        self._writing: set[Key] = set()
        self._replica: Replica | None = None
        self._thread: threading.Thread | None = None
        self._wake = -1
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[Replica]:
        """The current copy, which doesn't change inside. Raises ``FabricDown``."""
        with self._changed:
            yield self._current(clock.monotonic() + self._timeout)

    def submit(self, request: Request) -> None:
        """Carry it out, together with others that wait. Raises what building it raises, or ``FabricDown``."""
        pending = Pending(request)
        deadline = clock.monotonic() + 2 * self._timeout
        with self._changed:
            self._waiting.append(pending)
        while not pending.done:
            if not self._leader.acquire(timeout=max(0.0, deadline - clock.monotonic())):
                with self._changed:
                    if pending in self._waiting:
                        self._waiting.remove(pending)
                        pending.end(self._down("is too busy"))
                break
            try:
                if not pending.done:
                    self._commit(self._take())
            finally:
                self._leader.release()
        if pending.error is not None:
            raise pending.error
        if not pending.done:
            raise self._down("is too busy")

    def close(self) -> None:
        """Disconnect and end the thread."""
        with self._changed:
            self._closed = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            self._alert()
            thread.join(self._timeout)

    # -- the connection

    def _down(self, why: str) -> FabricDown:
        return FabricDown(f"OVN's northbound database at {self.remote} {why}")

    def _current(self, deadline: float) -> Replica:
        """The copy, once it is complete; the lock is held."""
        if self._closed:
            raise self._down("is closed")
        if self._thread is None:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._replica = Replica(self.remote, self._hear)
            self._thread = threading.Thread(target=self._run, args=(self._replica,), name="ovn-nb", daemon=True)
            self._thread.start()
        replica = self._replica
        assert replica is not None
        if not self._changed.wait_for(lambda: replica.current or self._closed, max(0.0, deadline - clock.monotonic())):
            raise self._down(f"did not answer within {self._timeout:g} s; is ovsdb-server running?")
        if self._closed:
            raise self._down("is closed")
        return replica

    def _run(self, replica: Replica) -> None:
        failed = False
        while True:
            if failed:
                time.sleep(AFTER_FAILURE)
            polling, failed = poller.Poller(), False
            with self._changed:
                if self._closed:
                    break
                try:
                    replica.run()
                except Exception:
                    log.exception("reading OVN's northbound database failed; connecting anew")
                    replica.force_reconnect()
                    failed = True
                self._changed.notify_all()
                replica.wait(polling)
            polling.fd_wait(self._wake, poller.POLLIN)
            polling.block()
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        replica.close()
        os.close(self._wake)

    def _alert(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _hear(self, kind: str, id: str) -> None:
        if (kind, id) not in self._writing:
            self._told(kind, id)

    # -- group commit

    def _take(self) -> list[Pending]:
        """Up to ``MOST`` waiting requests, no two for the same object."""
        with self._changed:
            taken: dict[Key, Pending] = {}
            for one in self._waiting:
                if len(taken) < MOST:
                    taken.setdefault(one.request.key, one)
            self._waiting = [one for one in self._waiting if taken.get(one.request.key) is not one]
        return list(taken.values())

    def _commit(self, batch: list[Pending]) -> None:
        deadline = clock.monotonic() + self._timeout
        try:
            while batch:
                batch = self._attempt(batch, deadline)
        except Exception as error:
            for one in batch:
                if not one.done:
                    one.end(error)

    def _attempt(self, batch: list[Pending], deadline: float) -> list[Pending]:
        """One transaction; returns the requests that must be tried again."""
        with self._changed:
            replica = self._current(deadline)
            seqno = replica.change_seqno
            current = self._build(batch, replica)
            if not current.active:
                return current.later
            self._writing = {one.request.key for one in current.active}
            try:
                status, error = self._transact(replica, current.operations, deadline)
            finally:
                self._writing = set()
            if status == idl.Transaction.SUCCESS:
                for one in current.active:
                    one.end()
                return current.later
            if status == idl.Transaction.INCOMPLETE:
                raise self._down(f"did not answer within {self._timeout:g} s")
            if status != idl.Transaction.TRY_AGAIN and len(current.active) == 1:
                log.warning("OVN refused the transaction for %s: %s", current.active[0].request.key, error)
            again = self._tried(current, status, error)
            if status == idl.Transaction.TRY_AGAIN or len(again) == 1:
                self._changed.wait_for(lambda: replica.change_seqno != seqno or not replica.current, 0.05)
        if status != idl.Transaction.TRY_AGAIN and len(again) > 1:
            for one in again:                       # one of them is to blame: each by itself
                self._commit([one])
            again = []
        return again + current.later

    def _build(self, batch: list[Pending], replica: Replica) -> Round:
        current, keys = Round(), {one.request.key for one in batch}
        for one in batch:
            try:
                operations = one.request.build(replica)
            except Missing as missing:
                # It may be in this very batch, and is then there in the next round.
                if (str(missing.kind), missing.id) in keys - {one.request.key} and one.tries < TRIES:
                    one.tries += 1
                    current.later.append(one)
                else:
                    one.end(missing)
                continue
            except Refused as refused:
                one.end(refused)
                continue
            if not current.operations:
                current.operations += one.request.shared(replica)
            current.operations += operations
            current.active.append(one)
        if not current.operations:
            for one in current.active:
                one.end()
            current.active = []
        return current

    def _tried(self, current: Round, status: str, error: str) -> list[Pending]:
        again: list[Pending] = []
        for one in current.active:
            one.tries += 1
            if one.tries < TRIES:
                again.append(one)
            else:
                why = error if status == idl.Transaction.ERROR else "somebody else keeps changing the same rows"
                one.end(self._down(f"refused the change: {why}"))
        return again

    def _transact(self, replica: Replica, operations: list[Operation], deadline: float) -> tuple[str, str]:
        transaction: Any = idl.Transaction(replica)
        for operation in operations:
            transaction.add_op(operation)
        status = transaction.commit()
        if replica.backlog:
            self._alert()
        self._changed.wait_for(lambda: transaction.commit() != idl.Transaction.INCOMPLETE,
                               max(0.0, deadline - clock.monotonic()))
        status = transaction.commit()
        return status, transaction.get_error()
