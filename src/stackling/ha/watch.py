"""One engine process's attention: heartbeats, looked at once a second, and membership.

What is seen is kept in memory only; where it differs from what was seen before, the machine's key is nudged, and its
turn decides. Losing a nudge costs a sweep. Two threads, because asking the membership may hang, and a hung membership
must not look like heartbeats that nobody listened to.

To ask the membership runs programs. While everybody is a member and no heartbeat is late it is asked every ``CALM``
rounds; a heartbeat that is late has it asked at once, and each round from then on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from stackling.core import clock
from stackling.ha import rows
from stackling.ha.heartbeats import Heartbeats
from stackling.ha.model import Beat, Settings
from stackling.ports.membership import Membership, MembershipUnknown, Standing
from stackling.store.transaction import Tx

log = logging.getLogger(__name__)
INTERVAL = 1.0
CALM = 3
LATE = 1.75                 # periods of a heartbeat
OLD = 5.0                   # seconds after which a view of the membership says nothing any more


class Transactions(Protocol):
    """The database, as ``store.database.Database`` is."""

    def read(self, use_case: Callable[..., Any], *args: Any) -> Any: ...
    def write(self, use_case: Callable[..., Any], *args: Any) -> Any: ...


class Watch:
    """Start it once; everything may be called from any thread. *interval* is in seconds."""

    def __init__(self, database: Transactions, membership: Membership, settings: Settings, *,
                 interval: float = INTERVAL) -> None:
        self._database, self._membership, self._interval = database, membership, interval
        self.heartbeats = Heartbeats(settings)
        self._standings: dict[str, Standing] | None = None
        self._unknown = "the membership has not been asked yet"
        self._viewed: float | None = None
        self._member_at: dict[str, float] = {}
        self._member_boot: dict[str, str] = {}
        self._boots: dict[str, str] = {}
        self._told: dict[str, tuple[Standing | None, Beat]] = {}
        self._late_after = LATE * settings.heartbeat
        self._some_are_late = True
        self._stopping, self._changed, self._doubted = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Look from now on."""
        for name, look, early, rounds in (("ha-heartbeats", self.listen, self._changed, lambda: 1),
                                          ("ha-membership", self.view, self._doubted, self._rounds)):
            thread = threading.Thread(target=self._loop, args=(look, early, rounds), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Look no more."""
        self._stopping.set()
        self._changed.set()
        self._doubted.set()
        for thread in self._threads:
            thread.join(timeout)

    # -- what is known

    def standings(self) -> dict[str, Standing]:
        """The present membership. Raises ``MembershipUnknown``."""
        if self._standings is None or self._viewed is None:
            raise MembershipUnknown(self._unknown)
        age = clock.monotonic() - self._viewed
        if age > OLD:
            raise MembershipUnknown(f"the cluster's membership has not answered for {age:.0f} s")
        return self._standings

    def member_at(self, name: str) -> tuple[float | None, str | None]:
        """When a machine was last seen as a member (by the wall clock), and in which boot."""
        return self._member_at.get(name), self._member_boot.get(name)

    # -- looking

    def view(self) -> None:
        """Ask the membership once."""
        began, at = clock.monotonic(), clock.wall()
        try:
            standings = self._membership.view().standings
        except MembershipUnknown as unknown:
            self._standings, self._unknown = None, f"the cluster's membership is unknown: {unknown}"
            return
        for name, standing in standings.items():
            if standing is Standing.MEMBER:
                self._member_at[name] = at
                if name in self._boots:
                    self._member_boot[name] = self._boots[name]
        changed = standings != self._standings
        self._standings, self._viewed = standings, began
        if changed:
            self._changed.set()

    def listen(self) -> None:
        """Look at the heartbeats once, and nudge the machines of which something new is to be said."""
        pulse = self._database.read(rows.pulse)
        now = clock.monotonic()
        self.heartbeats.tick(now, {row.id: row.last_seen for row in pulse})
        try:
            standings = self.standings()
        except MembershipUnknown:
            standings = None
        changed: list[str] = []
        late = False
        for row in pulse:
            if row.boot_id is not None:
                self._boots[row.name] = row.boot_id
            beat, age = self.heartbeats.beat(row.id, now)
            late = late or age is None or age > self._late_after
            said = (None if standings is None else standings.get(row.name), beat)
            if self._told.get(row.id) != said:
                changed.append(row.id)
                self._told[row.id] = said
        if late and not self._some_are_late:
            self._doubted.set()
        self._some_are_late = late
        if changed:
            self._database.write(_nudge, changed)

    def _rounds(self) -> int:
        """Until the membership is asked again."""
        known = self._standings
        calm = known is not None and not self._some_are_late and all(
            standing is Standing.MEMBER for standing in known.values())
        return CALM if calm else 1

    def _loop(self, look: Callable[[], None], early: threading.Event, rounds: Callable[[], int]) -> None:
        """*look* again and again, after so many *rounds*, at once when *early* is set."""
        while not self._stopping.is_set():
            try:
                look()
            except Exception as error:
                log.warning("looking at the machines failed: %s", error)
            if early.wait(self._interval * rounds()) and not self._stopping.is_set():
                early.clear()


def _nudge(tx: Tx, machine_ids: list[str]) -> None:
    for id in machine_ids:
        tx.nudge(rows.MACHINE, id)
