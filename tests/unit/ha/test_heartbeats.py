"""Whose heartbeat is alive, and about whom nothing can be said because nobody listened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackling.ha.heartbeats import Heartbeats
from stackling.ha.model import Beat, Settings

SETTINGS = Settings(heartbeat=2.0, loss_after=6.0, stall=3.0, away=10.0, grace=30.0)


class Listening:
    """Ticks once a second; machines in ``beating`` report every two seconds."""

    def __init__(self) -> None:
        self.heartbeats = Heartbeats(SETTINGS)
        self.now = 1000.0
        self.beating = {"a", "b"}
        self.last: dict[str, float | None] = {"a": 5.0, "b": 5.0}

    def listen(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            self.last |= dict.fromkeys(self.beating, self.now // 2)
            self.heartbeats.tick(self.now, self.last)

    def beat(self, id: str) -> Beat:
        return self.heartbeats.beat(id, self.now)[0]

    def until(self, id: str, beat: Beat, limit: float = 100.0) -> float:
        """Seconds until that is said of it."""
        began = self.now
        while self.beat(id) is not beat:
            assert self.now - began < limit
            self.listen(1.0)
        return self.now - began


@pytest.fixture
def listening() -> Listening:
    found = Listening()
    found.listen(60.0)
    return found


def test_silence_counts_after_its_time(listening: Listening) -> None:
    assert (listening.beat("a"), listening.beat("b")) == (Beat.ALIVE, Beat.ALIVE)
    listening.beating.discard("b")
    assert 5.0 <= listening.until("b", Beat.LOST) <= 8.0
    assert listening.beat("a") is Beat.ALIVE
    listening.beating.add("b")
    assert listening.until("b", Beat.ALIVE) <= 2.0


def test_who_is_silent_from_the_start_gets_the_grace() -> None:
    found = Listening()
    found.beating.clear()
    found.listen(1.0)
    assert found.beat("a") is Beat.UNKNOWN
    assert found.until("a", Beat.LOST) == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize(("gap", "period"), [(4.0, 6.0), (9.0, 6.0), (11.0, 30.0), (3600.0, 30.0)])
def test_nobody_is_judged_by_what_nobody_could_hear(listening: Listening, gap: float, period: float) -> None:
    """The process is stopped (or the database away) for *gap* seconds, during which b falls silent."""
    listening.beating.discard("b")
    listening.now += gap
    assert listening.beat("b") is not Beat.LOST
    listening.listen(1.0)
    assert listening.beat("b") is not Beat.LOST
    assert listening.until("b", Beat.LOST) == pytest.approx(period, abs=2.0)
    assert listening.beat("a") is Beat.ALIVE


def test_a_machine_that_comes_later_gets_the_grace_too(listening: Listening) -> None:
    listening.last["c"] = None
    listening.listen(20.0)
    assert listening.beat("c") is Beat.UNKNOWN
    listening.listen(12.0)
    assert listening.beat("c") is Beat.LOST


def test_a_machine_that_was_forgotten_is_unknown(listening: Listening) -> None:
    del listening.last["b"]
    listening.beating.discard("b")
    listening.listen(1.0)
    assert listening.beat("b") is Beat.UNKNOWN


def test_clocks_of_other_machines_do_not_matter(listening: Listening) -> None:
    """Reports carry the time of whichever control node took them in; only that it changes counts."""
    offsets: list[Callable[[float], float]] = [lambda at: at + 3600, lambda at: at - 3600]
    for number in range(20):
        listening.now += 1.0
        listening.heartbeats.tick(listening.now, {"a": offsets[number % 2](listening.now), "b": 5.0})
    assert (listening.beat("a"), listening.beat("b")) == (Beat.ALIVE, Beat.LOST)
