"""The workers of one engine process: claim what is due, run turns in threads, sweep.

Theory of operation. A claim holds for a lease, which is short, so that the work of an engine that died is taken over
soon. A turn that takes longer (a volume that is copied, say) has its lease renewed while it runs, by the loop and not
by its own thread: an engine that sleeps renews nothing. What was claimed and waits for a thread isn't renewed, and is
left to others when its lease is over before it has got one.

Kinds whose turns may hang on different things (the storage, the network) have threads apart: however many turns wait
for a storage that is away, none of the network waits for them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from stackling.core import clock
from stackling.core.errors import Unavailable
from stackling.core.ids import new_id
from stackling.engine.audit import Audited, audit
from stackling.engine.backoff import delay
from stackling.engine.kinds import Kind
from stackling.engine.queue import Claim, WorkQueue
from stackling.engine.turn import turn

log = logging.getLogger(__name__)
LONGEST = 6 * 3600.0
"""Seconds after which a turn that still runs counts as hung: its lease isn't renewed any more."""


@dataclass(slots=True)
class _Lane:
    """Kinds that share threads."""

    kinds: list[str]
    pool: ThreadPoolExecutor | None = None
    running: int = 0


@dataclass(slots=True)
class _Taken:
    """A claim that is ours until ``until`` (monotonic) as far as we know; its turn runs since ``began``."""

    claim: Claim
    lane: _Lane
    until: float
    began: float | None = None


class Worker:
    """Runs the engine until ``stop``.

    *threads* turns run at once, and as many of each of the sets of kinds in *apart*; *lease* (seconds) is how long a
    claim holds unless it is renewed, which is done where *renews*; *poll* bounds how late a lost
    wake-up is noticed; *sweep* is the age at which a converged resource is checked against its backend again, and
    how often the backends of *audits* are compared with the database. An *owner* that stays the same over restarts
    takes up at once what its former process left claimed.
    """

    def __init__(self, queue: WorkQueue, kinds: Iterable[Kind], *, threads: int = 4, lease: float = 60.0,
                 poll: float = 2.0, sweep: float = 60.0, owner: str | None = None,
                 audits: Iterable[Audited] = (), apart: Iterable[Collection[str]] = (), renews: bool = True) -> None:
        self._queue = queue
        self._kinds = {kind.name: kind for kind in kinds}
        self._audits = tuple(audits)
        self._threads, self._lease, self._poll, self._sweep = threads, lease, poll, sweep
        self._renews = renews
        self.owner = owner or new_id()
        self._woken = threading.Event()
        self._stopping = False
        self._lanes = _lanes(self._kinds, apart)
        self._taken: list[_Taken] = []
        self._died: list[Claim] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
    def wake(self) -> None:
        """Something may be due. Cheap, callable from any thread; losing it costs ``poll`` seconds."""
        self._woken.set()

    def start(self) -> None:
        """Start in a thread of its own; everything is due once, so that what a crash left is found."""
        self._thread = threading.Thread(target=self.run, name="engine", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Finish the running turns, if that takes no longer than *timeout* seconds, and stop."""
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def step(self, limit: int = 1) -> int:
        """Claim and run up to *limit* due turns in this thread; how many there were. For tests and tools."""
        claims = self._queue.claim(list(self._kinds), self.owner, self._lease, limit)
        for claim in claims:
            self._turn(claim)
        return len(claims)

    def run(self) -> None:
        """The loop."""
        swept, audited, released = -1e9, clock.monotonic(), False
        audits: Future[None] | None = None
        with ExitStack() as pools:
            for lane in self._lanes:
                lane.pool = pools.enter_context(ThreadPoolExecutor(self._threads, thread_name_prefix="turn"))
            auditing = pools.enter_context(ThreadPoolExecutor(1, thread_name_prefix="audit"))
            while not self._stopping:
                self._woken.clear()
                try:
                    if not released:
                        self._queue.release(self.owner)
                        released = True
                    self._renew()
                    self._give_back()
                    if clock.monotonic() - swept >= min(self._sweep, 5.0):
                        first = swept < 0
                        self._queue.sweep(list(self._kinds), 0.0 if first else self._sweep, 100_000 if first else 500)
                        swept = clock.monotonic()
                    if clock.monotonic() - audited >= self._sweep and (audits is None or audits.done()):
                        audited = clock.monotonic()
                        audits = auditing.submit(self._audit)
                    self._go_on()
                except Unavailable as error:
                    log.warning("the engine waits: %s", error.message)
                    self._woken.wait(1.0)
                except Exception:
                    log.exception("engine loop failed; going on in a second")
                    self._woken.wait(1.0)

    # -- how

    def _go_on(self) -> None:
        """Start what is due and fits, or wait for it."""
        with self._lock:
            rooms = [(lane, room) for lane in self._lanes if (room := self._threads * 2 - lane.running) > 0]
        due = self._queue.next_due([name for lane, _ in rooms for name in lane.kinds]) if rooms else None
        if due is not None and due <= 0:
            for lane, room in rooms:
                if len(rooms) > 1 and self._queue.next_due(lane.kinds) != 0.0:
                    continue            # a look costs less than a claim of nothing
                until = clock.monotonic() + self._lease
                for claim in self._queue.claim(lane.kinds, self.owner, self._lease, room):
                    self._submit(_Taken(claim, lane, until))
        else:
            self._woken.wait(self._poll if due is None else min(self._poll, due))

    def _submit(self, taken: _Taken) -> None:
        with self._lock:
            taken.lane.running += 1
            self._taken.append(taken)
        assert taken.lane.pool is not None
        taken.lane.pool.submit(self._run, taken).add_done_callback(lambda future: self._done(taken, future))

    def _run(self, taken: _Taken) -> bool:
        with self._lock:
            taken.began = clock.monotonic()
            if taken.began >= taken.until:
                log.info("%s waited too long for a thread; it is left to whoever takes it", taken.claim.key)
                return False
        return self._turn(taken.claim)

    def _done(self, taken: _Taken, future: Future[bool]) -> None:
        error = future.exception()
        with self._lock:
            full = taken.lane.running >= self._threads * 2
            taken.lane.running -= 1
            self._taken.remove(taken)
            if error is not None:
                self._died.append(taken.claim)
        if error is not None:
            log.error("turn died", exc_info=error)
        if full or error is not None or not future.result():     # a converged turn leaves nothing to look for
            self._woken.set()

    def _renew(self) -> None:
        """Keep what is under way."""
        now = clock.monotonic()
        with self._lock:
            soon = [taken for taken in self._taken if taken.began is not None and now - taken.began < LONGEST
                    and taken.until - now < self._lease * 2 / 3]
        if soon and self._renews:
            self._queue.renew([taken.claim for taken in soon], self._lease)
            for taken in soon:
                taken.until = now + self._lease

    def _give_back(self) -> None:
        """Turns that died, as when the database was away, needn't wait for the end of their leases."""
        while self._died:
            claim = self._died[0]
            self._queue.settle(claim, next_due=delay(claim.attempts), converged=False, error=None, blocked_on=None,
                               write=None)
            self._died.pop(0)           # only this thread takes any away

    def _audit(self) -> None:
        self._queue.prune()
        for kind in self._audits:
            try:
                audit(self._queue, kind)
            except Exception as error:
                log.warning("audit of %s failed: %s", kind.name, error)

    def _turn(self, claim: Claim) -> bool:
        return turn(self._queue, self._kinds[claim.key.kind], claim, self._queue.era())


def _lanes(kinds: Iterable[str], apart: Iterable[Collection[str]]) -> list[_Lane]:
    """Those *apart*, and one of all others."""
    left = set(kinds)
    lanes: list[_Lane] = []
    for names in apart:
        if found := left & set(names):
            lanes.append(_Lane(sorted(found)))
            left -= found
    return [*lanes, _Lane(sorted(left))] if left or not lanes else lanes
