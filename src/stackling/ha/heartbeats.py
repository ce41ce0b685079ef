"""Whose heartbeat is alive, by this process's own attention and monotonic clock.

Theory of operation. Reports are taken in by any control node and leave their time in the database; the clocks of those
nodes may differ, so what counts here is *that* the time changed, and when we noticed. Silence says nothing while nobody
listened: before the process started, while it was paused (SIGSTOP, a suspended machine), while the database didn't
answer. Each ``tick`` notices such a gap, and then everybody gets a new period before anything is said about them: that
of a loss after a short gap, a longer one after a long gap or a start, when agents may still be waiting between two
tries.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from stackling.ha.model import Beat, Settings


@dataclass(slots=True)
class _Seen:
    value: float | None
    changed: float | None       # monotonic; None: not since we listen
    pardoned_until: float


class Heartbeats:
    """Safe from several threads. *now* is monotonic time everywhere."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[str, _Seen] = {}
        self._ticked: float | None = None
        self._pardoned_until = 0.0
        self._lock = threading.Lock()

    def tick(self, now: float, last_seen: Mapping[str, float | None]) -> None:
        """Every machine's last report, as the database has it now."""
        settings = self._settings
        with self._lock:
            if self._ticked is None or now - self._ticked > settings.away:
                self._pardoned_until = now + settings.grace
            elif now - self._ticked > settings.stall:
                self._pardoned_until = max(self._pardoned_until, now + settings.loss_after)
            self._ticked = now
            for id, value in last_seen.items():
                seen = self._seen.get(id)
                if seen is None:
                    self._seen[id] = _Seen(value, None, now + settings.grace)
                elif seen.value != value:
                    seen.value, seen.changed = value, now
            for id in self._seen.keys() - last_seen.keys():
                del self._seen[id]

    def beat(self, id: str, now: float) -> tuple[Beat, float | None]:
        """What can be said of a machine, and the age of its last heartbeat."""
        with self._lock:
            seen = self._seen.get(id)
            if seen is None or self._ticked is None:
                return Beat.UNKNOWN, None
            age = None if seen.changed is None else now - seen.changed
            if age is not None and age <= self._settings.loss_after:
                return Beat.ALIVE, age
            attentive = now - self._ticked <= self._settings.stall
            if not attentive or now < self._pardoned_until or (seen.changed is None and now < seen.pardoned_until):
                return Beat.UNKNOWN, age
            return Beat.LOST, age
