"""The bus of one machine's processes."""

from __future__ import annotations

import queue
import subprocess
import sys
from pathlib import Path

from stackling.drivers.local.bus import LocalBus

IMPORTS = "import os; from pathlib import Path; from stackling.drivers.local.bus import LocalBus"


def heard(bus: LocalBus) -> queue.Queue[list[tuple[str, str]]]:
    inbox: queue.Queue[list[tuple[str, str]]] = queue.Queue()
    bus.listen(lambda keys: inbox.put(list(keys)))
    return inbox


def test_every_listener_hears_also_the_sender_itself(tmp_path: Path) -> None:
    sender, other, third = LocalBus(tmp_path), LocalBus(tmp_path), LocalBus(tmp_path)
    inboxes = [heard(bus) for bus in (sender, other, third)]
    sender.send([("server", "a"), ("port", "b")])
    for inbox in inboxes:
        assert inbox.get(timeout=5) == [("server", "a"), ("port", "b")]
    for bus in (sender, other, third):
        bus.close()
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_heard(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    inbox = heard(bus)
    script = f"{IMPORTS}; LocalBus(Path({str(tmp_path)!r})).send([('network', 'n')])"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
    assert inbox.get(timeout=5) == [("network", "n")]
    bus.close()


def test_what_a_killed_listener_left_is_removed(tmp_path: Path) -> None:
    script = f"{IMPORTS}; LocalBus(Path({str(tmp_path)!r})).listen(print); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    assert len(list(tmp_path.iterdir())) == 1
    bus = LocalBus(tmp_path)
    bus.send([("server", "a")])
    assert list(tmp_path.iterdir()) == []
    bus.close()


def test_a_long_message_becomes_one_that_means_anything(tmp_path: Path) -> None:
    sender, other = LocalBus(tmp_path), LocalBus(tmp_path)
    inbox = heard(other)
    sender.send([("server", str(number) * 10) for number in range(10_000)])
    assert inbox.get(timeout=5) == []
    sender.close()
    other.close()


def test_sending_never_waits_for_a_listener_that_does_not_read(tmp_path: Path) -> None:
    import socket

    stuck = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stuck.bind(str(tmp_path / "stuck"))
    bus = LocalBus(tmp_path)
    for _ in range(2000):
        bus.send([("server", "x" * 1000)])
    assert (tmp_path / "stuck").exists()
    bus.close()
    stuck.close()


def test_a_listener_that_fails_does_not_silence_the_others(tmp_path: Path) -> None:
    bus = LocalBus(tmp_path)
    bus.listen(lambda keys: 1 / 0)
    inbox = heard(bus)
    bus.send([("server", "a")])
    assert inbox.get(timeout=5) == [("server", "a")]
    bus.close()
