"""The engine's workers in threads of their own: long turns, hanging turns, turns that die, claims that come late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stackling.core.errors import Unavailable
from stackling.engine.kinds import Fence, Outcome
from stackling.engine.worker import Worker
from stackling.store.database import Database
from stackling.store.tables.engine import work
from stackling.store.work import SqlWorkQueue

LONGEST = 20.0


@dataclass(frozen=True)
class Wanted:
    generation: int = 1
    id: str = ""


class Thing:
    """A kind of which each resource wants one step; *act* is what that step does."""

    def __init__(self, name: str, act: Callable[[str], None] = lambda id: None) -> None:
        self.name, self.act = name, act
        self.began: list[str] = []
        self.done: set[str] = set()
        self.settled: list[str] = []
        self.deaths = 0

    def load(self, tx: Any, id: str) -> Wanted:
        if self.deaths:
            self.deaths -= 1
            raise Unavailable("the database is away")
        return Wanted(id=id)

    def generation(self, tx: Any, id: str) -> int:
        return 1

    def observe(self, desired: Wanted) -> bool:
        return desired.id in self.done

    def plan(self, desired: Wanted, observed: bool) -> Sequence[str]:
        return [] if observed else ["step"]

    def apply(self, fence: Fence, desired: Wanted, step: str) -> None:
        self.began.append(desired.id)
        self.act(desired.id)
        self.done.add(desired.id)

    def settle(self, tx: Any, desired: Wanted, observed: bool, outcome: Outcome) -> None:
        if outcome.converged:
            self.settled.append(desired.id)


def nudge(database: Database, kind: str, *ids: str) -> None:
    database.write(lambda tx: [tx.nudge(kind, id) for id in ids])


def within(seconds: float, holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.stop(LONGEST)


def test_a_turn_that_takes_longer_than_its_lease_is_nobody_elses(sqlite: Database) -> None:
    kind = Thing("volume", lambda id: time.sleep(3.0))
    nudge(sqlite, "volume", "v")
    with running(*(Worker(SqlWorkQueue(sqlite), [kind], lease=1.0, poll=0.1) for _ in range(2))):
        within(LONGEST, lambda: kind.settled == ["v"])
    assert kind.began == ["v"]


def test_an_engine_that_sleeps_loses_its_turns(sqlite: Database) -> None:
    asleep = threading.Event()
    first = Thing("volume", lambda id: asleep.wait(LONGEST) and None)
    second = Thing("volume")
    sleeper = Worker(SqlWorkQueue(sqlite), [first], lease=1.0, poll=0.1)
    nudge(sqlite, "volume", "v")
    thread = threading.Thread(target=sleeper.step, daemon=True)     # without the loop, which would renew its claim
    thread.start()
    within(LONGEST, lambda: first.began == ["v"])
    with running(Worker(SqlWorkQueue(sqlite), [second], lease=1.0, poll=0.1)):
        assert within(LONGEST, lambda: second.settled == ["v"]) > 0.5
    asleep.set()
    thread.join(LONGEST)
    assert first.settled == []


def test_turns_that_hang_hold_up_none_of_other_kinds(sqlite: Database) -> None:
    healed = threading.Event()
    volumes, ports = Thing("volume", lambda id: healed.wait(LONGEST) and None), Thing("port")
    nudge(sqlite, "volume", *(f"v{number}" for number in range(30)))
    worker = Worker(SqlWorkQueue(sqlite), [volumes, ports], threads=2, poll=0.1, apart=[{"volume"}])
    with running(worker):
        within(LONGEST, lambda: len(volumes.began) == 2)
        time.sleep(0.3)
        nudge(sqlite, "port", "p1", "p2", "p3")
        worker.wake()
        within(2.0, lambda: len(ports.settled) == 3)
        assert volumes.settled == []
        healed.set()
        within(LONGEST, lambda: len(volumes.settled) == 30)


def test_what_waited_for_a_thread_past_its_lease_is_left_to_others(sqlite: Database) -> None:
    healed = threading.Event()
    slow = Thing("volume", lambda id: healed.wait(LONGEST) and None)
    other = Thing("volume")
    nudge(sqlite, "volume", "v1")
    with running(Worker(SqlWorkQueue(sqlite), [slow], threads=1, lease=1.0, poll=0.1)):
        within(LONGEST, lambda: slow.began == ["v1"])
        nudge(sqlite, "volume", "v2")
        within(LONGEST, lambda: sqlite.read(lambda tx: tx.count(work, work.c.owner.is_not(None))) == 2)
        with running(Worker(SqlWorkQueue(sqlite), [other], lease=1.0, poll=0.1)):
            within(LONGEST, lambda: other.settled == ["v2"])
        healed.set()
        within(LONGEST, lambda: slow.settled == ["v1"])
        time.sleep(0.3)
    assert slow.began == ["v1"]


def test_a_turn_that_died_is_tried_again_soon(sqlite: Database) -> None:
    kind = Thing("port")
    kind.deaths = 1
    nudge(sqlite, "port", "p")
    with running(Worker(SqlWorkQueue(sqlite), [kind], lease=600.0, poll=0.1)):
        within(5.0, lambda: kind.settled == ["p"])
