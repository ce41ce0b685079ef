"""Long polls: who waits for what.

Theory of operation. A request notes an event for its key, reads, and if nothing is new waits for the event or the end
of its time, then reads again. The event is set by any wake-up that names the key; the note is made before the reading,
so that a change committed in between isn't missed. A wake-up that is lost costs at most ``RECHECK`` seconds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from stackling.api.call import Call
from stackling.core import clock
from stackling.core.errors import Invalid

T = TypeVar("T")
LONGEST_WAIT = 30.0
RECHECK = 2.0
CREDENTIAL = "X-Machine-Credential"


class Wakeups:
    """Events by key, set from any thread; ``woken`` is what listens to the bus."""

    def __init__(self) -> None:
        self.closing = False
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None

    def woken(self, keys: Sequence[tuple[str, str]]) -> None:
        """Somebody changed *keys* (none: anything)."""
        if self._loop is not None and self._waiting:
            self._loop.call_soon_threadsafe(self._set, list(keys))

    def close(self) -> None:
        """The process is ending: nobody waits any more."""
        self.closing = True
        self.woken(())

    def _set(self, keys: list[tuple[str, str]]) -> None:
        for key in keys or list(self._waiting):
            for event in self._waiting.get(key, ()):
                event.set()

    def note(self, key: tuple[str, str]) -> asyncio.Event:
        """An event that is set when *key* changes, until ``forget``."""
        self._loop = asyncio.get_running_loop()
        event = asyncio.Event()
        self._waiting[key].add(event)
        return event

    def forget(self, key: tuple[str, str], event: asyncio.Event) -> None:
        """The event isn't waited for any more."""
        self._waiting[key].discard(event)
        if not self._waiting[key]:
            del self._waiting[key]


def integer(call: Call, name: str) -> int | None:
    """A number of the query, None where it isn't there. Raises ``Invalid``."""
    text = call.query.last(name)
    if text is None or text == "":
        return None
    if not text.isdecimal() or len(text) > 18:
        raise Invalid(f"{name} must be a number.")
    return int(text)


def waiting_time(call: Call) -> float:
    """For how many seconds the request may be held. Raises ``Invalid``."""
    return min(float(integer(call, "wait") or 0), LONGEST_WAIT)


async def poll(wakeups: Wakeups, first: tuple[tuple[str, str], T | None],
               look: Callable[[], Awaitable[tuple[tuple[str, str], T | None]]], wait: float,
               over: type[Exception]) -> T | None:
    """What *look* finds (with the key to wait for) within *wait* seconds, beginning with *first*; None when that is
    nothing, or *look* raises *over*: there is nobody left to answer."""
    end = clock.monotonic() + wait
    key, found = first
    while found is None and not wakeups.closing and (left := end - clock.monotonic()) > 0:
        event = wakeups.note(key)
        try:
            key, found = await look()
            if found is None:
                async with asyncio.timeout(min(left, RECHECK)):
                    await event.wait()
        except TimeoutError:
            pass
        except over:
            return None
        finally:
            wakeups.forget(key, event)
    try:
        return found if found is not None else (await look())[1]
    except over:
        return None
