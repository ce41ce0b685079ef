"""The engine's attention to machines."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from stackling.core import clock
from stackling.ha.model import Settings
from stackling.ha.watch import CALM, LATE, Watch
from stackling.ports.membership import Standing, View


class Database:
    """One machine; every nudge is let known."""

    def __init__(self) -> None:
        self.nudged = threading.Semaphore(0)
        self.reports = itertools.count()

    def read(self, use_case: Callable[..., Any], *args: Any) -> Any:
        return [SimpleNamespace(id="i2", name="m2", last_seen=float(next(self.reports)), boot_id="b")]

    def write(self, use_case: Callable[..., Any], *args: Any) -> Any:
        self.nudged.release()


class Membership:
    """What a test says."""

    standing = Standing.MEMBER

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    def view(self) -> View:
        self.asked.release()
        return View({"m2": self.standing})


def test_a_change_of_the_membership_is_looked_at_without_waiting_for_the_next_round() -> None:
    database, membership = Database(), Membership()
    watch = Watch(database, membership, Settings(), interval=600.0)
    watch.view()
    watch.start()
    try:
        assert database.nudged.acquire(timeout=10)
        while database.nudged.acquire(timeout=0.3):         # until both threads wait for the next round
            pass
        membership.standing = Standing.LOST
        watch.view()
        assert database.nudged.acquire(timeout=10)
    finally:
        watch.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ha-")]


def test_the_membership_is_asked_at_once_when_a_heartbeat_is_late_and_seldom_otherwise(
        monkeypatch: pytest.MonkeyPatch) -> None:
    database, membership = Database(), Membership()
    watch = Watch(database, membership, Settings(), interval=600.0)
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    watch.view()
    watch.listen()
    now += 1
    watch.listen()                      # a new report
    assert watch._rounds() == CALM
    watch.start()
    try:
        for _ in range(2):              # the one above, and the thread's first
            assert membership.asked.acquire(timeout=10)
        assert not membership.asked.acquire(timeout=0.3)
        database.reports = itertools.repeat(7)
        watch.listen()
        now += 1 + LATE * Settings().heartbeat
        watch.listen()
        assert membership.asked.acquire(timeout=10)
        assert watch._rounds() == 1
    finally:
        watch.stop()
    membership.standing = Standing.LOST
    database.reports = itertools.count(100)
    watch.listen()
    assert watch._rounds() == CALM
    watch.view()
    assert watch._rounds() == 1
