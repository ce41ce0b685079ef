"""Who follows changes, and what waits to be sent to them.

Theory of operation. However many follow, one task a process reads what is new, and only while somebody follows: at
once when a wake-up says that something changed (``store.transaction.CHANGED``), and every ``POLL`` seconds, since
wake-ups may be lost. It hands each change to the followers of its project and to those who follow everything. What
waits for a follower is kept by resource: told twice, a resource waits once, and a follower that doesn't read for long
has at most ``MOST_WAITING`` entries; with more it is told to look at everything again.

Numbers of changes may become visible a little out of order (``store.changes``), so that on databases other than SQLite
what was seen within ``SETTLES`` seconds is read again; a change that shows up later still is found when followers look
by themselves, as they do now and then in any case.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from stackling.api.cloud import Cloud
from stackling.core import clock
from stackling.core.errors import QuotaExceeded, Unavailable

log = logging.getLogger(__name__)
POLL, PAUSE, AFTER_ERROR, BEGINS = 2.0, 0.2, 1.0, 5.0        # seconds
SETTLES = 2.0
OVERLAP = 100           # numbers that are read again by whoever comes back, where they may be out of order
PAGE = 1000             # changes read at once
MOST_WAITING = 2000
MOST_STREAMS, MOST_OF_USER = 2000, 50


class Change(Protocol):
    """As ``store.changes.Change``."""

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...


class Position(Protocol):
    """As ``store.changes.Position``."""

    @property
    def era(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...


class Changes(Protocol):
    """What is asked of ``store.changes``."""

    def position(self, tx: Any, /) -> Position: ...
    def since(self, tx: Any, after: int, most: int, project_id: str | None = None, /) -> Sequence[Change]: ...


class Follower:
    """One stream: of a project's changes, or (None) of all."""

    def __init__(self, project_id: str | None, user_id: str | None) -> None:
        self.project_id, self.user_id = project_id, user_id
        self.lost = False
        self._waiting: dict[tuple[str, str], Change] = {}
        self._event = asyncio.Event()

    def put(self, change: Change) -> None:
        """Let it wait, at the end."""
        self._waiting.pop((change.kind, change.id), None)
        self._waiting[change.kind, change.id] = change
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self.lost = True
        self._event.set()

    def wake(self) -> None:
        """Look around: something else has happened."""
        self._event.set()

    def take(self) -> tuple[list[Change], bool]:
        """What waits, and whether something was lost before it."""
        found, lost = list(self._waiting.values()), self.lost
        self._waiting.clear()
        self.lost = False
        return found, lost

    async def wait(self, seconds: float) -> None:
        """Until something waits, or it is woken; no longer than *seconds*."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()


class Seen:
    """Which numbers were read. ``after``: what is below needs no second look."""

    def __init__(self, after: int, settles: float) -> None:
        self.after, self._settles = after, settles
        self._at: dict[int, float] = {}

    def fresh(self, found: Iterable[Change], now: float) -> list[Change]:
        """Those of *found* that are new, at *now* (seconds of a clock that never steps)."""
        new = [change for change in found if change.seq > self.after and change.seq not in self._at]
        if self._settles == 0:
            self.after = max([self.after, *(change.seq for change in new)])
            return new
        self._at.update((change.seq, now) for change in new)
        old = [seq for seq, at in self._at.items() if now - at > self._settles]
        if old:
            self.after = max(old)
            self._at = {seq: at for seq, at in self._at.items() if seq > self.after}
        return new


class Feed:
    """One process's followers. ``woken`` is what listens to the bus; *longest* bounds every stream, in seconds."""

    def __init__(self, changes: Changes, *, longest: float | None = None) -> None:
        self.changes, self.longest = changes, longest
        self.closing = False
        self._followers: defaultdict[str | None, set[Follower]] = defaultdict(set)
        self._of_user: Counter[str | None] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news, self._begun = asyncio.Event(), asyncio.Event()
        self._tail: asyncio.Task[None] | None = None

    def woken(self, keys: Sequence[tuple[str, str]]) -> None:
        """Somebody changed *keys* (none: anything). From any thread."""
        loop = self._loop
        if loop is not None and self._followers and (not keys or any(kind == "changes" for kind, _ in keys)):
            loop.call_soon_threadsafe(self._look)

    def close(self) -> None:
        """The process is ending: every stream ends."""
        self.closing = True
        for follower in self._all():
            follower.wake()

    def admit(self, user_id: str | None) -> None:
        """Raises ``QuotaExceeded`` or ``Unavailable`` where there is no room for one more stream."""
        if self._of_user[user_id] >= MOST_OF_USER:
            raise QuotaExceeded(f"You follow {MOST_OF_USER} streams of events already; close some of them.")
        if self.closing or self._of_user.total() >= MOST_STREAMS:
            raise Unavailable("This control node has no room for another stream of events; try again later.")

    def join(self, cloud: Cloud, project_id: str | None, user_id: str | None) -> Follower:
        """Follow a project (None: everything) until ``leave``."""
        follower = Follower(project_id, user_id)
        self._followers[project_id].add(follower)
        self._of_user[user_id] += 1
        if self._tail is None or self._tail.done():
            self._loop, self._news, self._begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
            self._tail = self._loop.create_task(self._run(cloud, self._news, self._begun))
        return follower

    async def begun(self) -> None:
        """Until changes are read: what a follower looks at from then on and what it is told leave no gap."""
        try:
            async with asyncio.timeout(BEGINS):
                await self._begun.wait()
        except TimeoutError:
            log.info("changes can't be read yet")

    def leave(self, follower: Follower) -> None:
        """The stream has ended."""
        self._followers[follower.project_id].discard(follower)
        if not self._followers[follower.project_id]:
            del self._followers[follower.project_id]
        self._of_user[follower.user_id] -= 1
        if not self._of_user[follower.user_id]:
            del self._of_user[follower.user_id]
        if not self._followers and self._tail is not None:
            self._tail.cancel()
            self._tail = None

    # -- how

    def _all(self) -> list[Follower]:
        return [follower for followers in self._followers.values() for follower in followers]

    def _look(self) -> None:
        self._news.set()

    async def _run(self, cloud: Cloud, news: asyncio.Event, begun: asyncio.Event) -> None:
        seen: Seen | None = None
        while True:
            try:
                if seen is None:
                    seen = await self._begin(cloud)
                    begun.set()
                else:
                    await self._read(cloud, seen)
                pause = PAUSE
            except Unavailable as error:
                log.info("changes can't be read now: %s", error.message)
                pause = AFTER_ERROR
            except Exception:
                log.exception("changes can't be read")
                pause = AFTER_ERROR
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(POLL):
                    await news.wait()
            except TimeoutError:
                pass
            news.clear()

    async def _begin(self, cloud: Cloud) -> Seen:
        """Start at the end. Who joined meanwhile looks for itself at what was before."""
        last = (await cloud.read(self.changes.position)).last
        if cloud.database.is_sqlite:
            return Seen(last, 0.0)
        seen = Seen(max(0, last - OVERLAP), SETTLES)
        seen.fresh(await cloud.read(self.changes.since, seen.after, PAGE), clock.monotonic())
        return seen

    async def _read(self, cloud: Cloud, seen: Seen) -> None:
        after = seen.after
        while True:
            found = await cloud.read(self.changes.since, after, PAGE)
            for change in seen.fresh(found, clock.monotonic()):
                for project in {change.project_id, None}:
                    for follower in self._followers.get(project, ()):
                        follower.put(change)
            if len(found) < PAGE:
                return
            after = found[-1].seq
