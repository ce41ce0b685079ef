"""What every bus does: unix datagrams of one machine, and brokers of several."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackling.drivers.local.bus import LocalBus
from stackling.drivers.rabbitmq.bus import RabbitBus
from stackling.ports.bus import Bus
from tests.cluster.bench import machines
from tests.cluster.brokers import Brokers

Keys = list[tuple[str, str]]


def heard(bus: Bus) -> queue.Queue[Keys]:
    inbox: queue.Queue[Keys] = queue.Queue()
    bus.listen(lambda keys: inbox.put(list(keys)))
    return inbox


def until(inbox: queue.Queue[Keys], wanted: Keys, timeout: float = 60.0) -> None:
    """Wait for *wanted*, past "anything"."""
    deadline = time.monotonic() + timeout
    while inbox.get(timeout=max(0.01, deadline - time.monotonic())) != wanted:
        pass


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with machines(2) as bench, Brokers(bench) as started:
        yield started


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.root)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Bus]]:
    """Makes buses that reach each other."""
    made: list[Bus] = []
    if request.param == "local":
        def one() -> Bus:
            made.append(LocalBus(tmp_path))
            return made[-1]
    else:
        brokers: Brokers = request.getfixturevalue("brokers")
        brokers.up()

        def one() -> Bus:
            made.append(brokers.bus())
            return made[-1]
    yield one
    for bus in made:
        bus.close()


def test_everybody_hears_also_the_sender_itself(make: Callable[[], Bus]) -> None:
    sender, other = make(), make()
    inboxes = [heard(sender), heard(other)]
    _joined(sender, other)
    sender.send([("server", "a"), ("port", "b")])
    for inbox in inboxes:
        until(inbox, [("server", "a"), ("port", "b")])


def test_what_is_too_large_becomes_anything(make: Callable[[], Bus]) -> None:
    sender, other = make(), make()
    inbox = heard(other)
    _joined(sender, other)
    sender.send([("server", "first")])
    until(inbox, [("server", "first")])
    time.sleep(0.2)
    while not inbox.empty():
        inbox.get_nowait()
    sender.send([("server", "x" * 100)] * 1000)
    assert inbox.get(timeout=30) == []


def test_a_listener_that_fails_does_not_silence_the_others(make: Callable[[], Bus]) -> None:
    bus = make()
    bus.listen(lambda keys: 1 / 0)
    inbox = heard(bus)
    bus.send([("server", "a")])
    until(inbox, [("server", "a")])


def test_sending_never_waits(make: Callable[[], Bus]) -> None:
    bus = make()
    started = time.monotonic()
    for number in range(5000):
        bus.send([("server", str(number))])
    assert time.monotonic() - started < 5


def test_nobody_there_at_all() -> None:
    """No broker listens: sending neither raises nor waits, and the sender's own process hears."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bus = RabbitBus([f"127.0.0.1:{silent.getsockname()[1]}", "127.0.0.1:1"], "secret")
        inbox = heard(bus)
        started = time.monotonic()
        for _ in range(1000):
            bus.send([("server", "a")])
        assert time.monotonic() - started < 2
        assert inbox.get(timeout=5) == [("server", "a")]
        bus.close()


@pytest.mark.root
def test_processes_of_one_machine_need_no_broker_and_hear_once(brokers: Brokers, tmp_path: Path) -> None:
    brokers.up()
    one, two = (brokers.bus(near=LocalBus(tmp_path), machine="m1") for _ in range(2))
    far = brokers.bus(near=LocalBus(tmp_path / "far"), machine="m2")
    inboxes = [heard(bus) for bus in (one, two, far)]
    _joined(one, two, far)
    one.send([("server", "a")])
    one.send([("server", "b")])
    for inbox in inboxes:
        until(inbox, [("server", "a")])
        until(inbox, [("server", "b")])
        assert inbox.empty()
    for bus in (one, two, far):
        bus.close()


@pytest.mark.root
@pytest.mark.crash
def test_brokers_die_and_come_back(brokers: Brokers) -> None:
    brokers.up()
    sender, other = brokers.bus(), brokers.bus()
    inbox = heard(other)
    _joined(sender, other)
    brokers.kill("m1")                              # one is enough
    started = time.monotonic()
    sender.send([("server", "one is left")])
    until(inbox, [("server", "one is left")], 3)
    assert time.monotonic() - started < 3
    brokers.kill("m2")                              # none: what is sent is lost, quietly
    brokers.gone(sender, other)
    sender.send([("server", "lost")])
    brokers.start("m2")
    until(inbox, [], 120)                           # and whoever listens is told to look
    _joined(sender, other, count=1)
    sender.send([("server", "again")])
    until(inbox, [("server", "again")])
    sender.close()
    other.close()


def _joined(*buses: Bus, count: int = 2) -> None:
    deadline = time.monotonic() + 120
    while any(isinstance(bus, RabbitBus) and bus.connected < count for bus in buses):
        assert time.monotonic() < deadline
        time.sleep(0.05)
