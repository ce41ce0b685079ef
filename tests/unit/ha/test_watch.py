"""The engine's attention to machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from stackling.ha.model import Settings
from stackling.ha.watch import Watch
from stackling.ports.membership import Standing, View


class Database:
    """One machine; every nudge is let known."""

    def __init__(self) -> None:
        self.nudged = threading.Semaphore(0)

    def read(self, use_case: Callable[..., Any], *args: Any) -> Any:
        return [SimpleNamespace(id="i2", name="m2", last_seen=1.0, boot_id="b")]

    def write(self, use_case: Callable[..., Any], *args: Any) -> Any:
        self.nudged.release()


class Membership:
    """What a test says."""

    standing = Standing.MEMBER

    def view(self) -> View:
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
