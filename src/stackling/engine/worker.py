"""The workers of one engine process: claim what is due, run turns in threads, sweep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from stackling.core import clock
from stackling.core.errors import Unavailable
from stackling.core.ids import new_id
from stackling.engine.audit import Audited, audit
from stackling.engine.kinds import Kind
from stackling.engine.queue import Claim, WorkQueue
from stackling.engine.turn import turn

log = logging.getLogger(__name__)


class Worker:
    """Runs the engine until ``stop``.

    *threads* turns run at once; *lease* (seconds) is how long a claim holds; *poll* bounds how late a lost
    wake-up is noticed; *sweep* is the age at which a converged resource is checked against its backend again, and
    how often the backends of *audits* are compared with the database. An *owner* that stays the same over restarts
    takes up at once what its former process left claimed.
    """

    def __init__(self, queue: WorkQueue, kinds: Iterable[Kind], *, threads: int = 4, lease: float = 60.0,
                 poll: float = 2.0, sweep: float = 60.0, owner: str | None = None,
                 audits: Iterable[Audited] = ()) -> None:
        self._queue = queue
        self._kinds = {kind.name: kind for kind in kinds}
        self._audits = tuple(audits)
        self._threads, self._lease, self._poll, self._sweep = threads, lease, poll, sweep
        self.owner = owner or new_id()
        self._woken = threading.Event()
        self._stopping = False
        self._running = 0
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
        with ThreadPoolExecutor(self._threads, thread_name_prefix="turn") as pool:
            while not self._stopping:
                self._woken.clear()
                try:
                    if not released:
                        self._queue.release(self.owner)
                        released = True
                    if clock.monotonic() - swept >= min(self._sweep, 5.0):
                        first = swept < 0
                        self._queue.sweep(list(self._kinds), 0.0 if first else self._sweep, 100_000 if first else 500)
                        swept = clock.monotonic()
                    if clock.monotonic() - audited >= self._sweep:
                        audited = clock.monotonic()
                        pool.submit(self._audit)
                    self._go_on(pool)
                except Unavailable as error:
                    log.warning("the engine waits: %s", error.message)
                    self._woken.wait(1.0)
                except Exception:
                    log.exception("engine loop failed; going on in a second")
                    self._woken.wait(1.0)

    # -- how

    def _go_on(self, pool: ThreadPoolExecutor) -> None:
        """Start what is due and fits, or wait for it."""
        with self._lock:
            room = self._threads * 2 - self._running
        due = self._queue.next_due(list(self._kinds)) if room > 0 else None
        if due is not None and due <= 0:
            for claim in self._queue.claim(list(self._kinds), self.owner, self._lease, room):
                self._submit(pool, claim)
        else:
            self._woken.wait(self._poll if due is None else min(self._poll, due))

    def _submit(self, pool: ThreadPoolExecutor, claim: Claim) -> None:
        with self._lock:
            self._running += 1
        pool.submit(self._turn, claim).add_done_callback(self._done)

    def _done(self, future: Future[bool]) -> None:
        with self._lock:
            full = self._running >= self._threads * 2
            self._running -= 1
        error = future.exception()
        if error is not None:
            log.error("turn died", exc_info=error)
        if full or error is not None or not future.result():     # a converged turn leaves nothing to look for
            self._woken.set()

    def _audit(self) -> None:
        self._queue.prune()
        for kind in self._audits:
            try:
                audit(self._queue, kind)
            except Exception as error:
                log.warning("audit of %s failed: %s", kind.name, error)

    def _turn(self, claim: Claim) -> bool:
        return turn(self._queue, self._kinds[claim.key.kind], claim, self._queue.era())
