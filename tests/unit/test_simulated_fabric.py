"""What the simulated fabric does beyond the contract: restarts, and failing on demand."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.drivers.simulated.shared import Line, SharedJournal
from stackling.ports.fabric import FabricDown, Refused
from tests.fabric_objects import Cloud


def test_it_survives_a_restart_and_a_torn_line(tmp_path: Path) -> None:
    cloud = Cloud()
    first = SimulatedFabric(tmp_path)
    for one in cloud.objects():
        first.put(1, one)
    first.remove(1, cloud.floating.kind, cloud.floating.id, 5)
    first.close()
    with (tmp_path / "fabric.jsonl").open("ab") as journal:
        journal.write(b'["port","cut of')
    again = SimulatedFabric(tmp_path)
    for one in cloud.objects():
        if one is cloud.floating:
            continue
        assert again.compare(one).drift == ()
        assert again.compare(one).generation == 1
    with pytest.raises(Refused):
        again.put(1, cloud.floating)
    again.close()


def test_it_fails_as_often_as_told() -> None:
    fabric, cloud = SimulatedFabric(), Cloud()
    fabric.faults.fail_next(2)
    for _ in range(2):
        with pytest.raises(FabricDown):
            fabric.put(1, cloud.one)
    fabric.put(1, cloud.one)
    fabric.faults.fail_next(1, Refused)
    with pytest.raises(Refused):
        fabric.compare(cloud.one)


def test_it_hangs_until_its_deadline_or_its_release() -> None:
    fabric, cloud = SimulatedFabric(), Cloud()
    fabric.faults.deadline = 0.05
    fabric.faults.hang()
    with pytest.raises(FabricDown, match="did not answer"):
        fabric.put(1, cloud.one)
    fabric.faults.deadline = 10
    waiting = threading.Thread(target=fabric.put, args=(1, cloud.one))
    waiting.start()
    fabric.faults.release()
    waiting.join(5)
    assert fabric.compare(cloud.one).generation == 1


def test_it_goes_on_step_by_step() -> None:
    fabric, cloud = SimulatedFabric(), Cloud()
    fabric.faults.hold()
    done = threading.Event()

    def work() -> None:
        fabric.put(1, cloud.one)
        fabric.put(1, cloud.two)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    fabric.faults.step()
    assert not done.wait(0.05)
    fabric.faults.step()
    assert done.wait(5)
    thread.join(5)


def test_two_processes_share_it(tmp_path: Path) -> None:
    cloud = Cloud()
    first, second = SimulatedFabric(tmp_path), SimulatedFabric(tmp_path)
    first.put(1, cloud.one)
    assert second.compare(cloud.one) == first.compare(cloud.one)
    newer = replace(cloud.one, generation=2, name="newer")
    second.put(1, newer)
    with pytest.raises(Refused):
        first.put(1, cloud.one)
    second.remove(1, newer.kind, newer.id, 3)
    with pytest.raises(Refused):
        first.put(1, newer)
    assert first.find(newer.kind, newer.id).generation is None
    for one in (first, second):
        one.close()
    third = SimulatedFabric(tmp_path)
    assert third.inventory(newer.kind) == {}
    third.close()


def test_whoever_sleeps_between_the_check_and_the_line_is_refused(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    first, second = SimulatedFabric(tmp_path), SimulatedFabric(tmp_path)
    newer, append = replace(cloud.one, generation=2), SharedJournal.append

    def slow(journal: SharedJournal, line: Line) -> bool:
        monkeypatch.setattr(SharedJournal, "append", append)
        second.put(1, newer)
        return append(journal, line)

    monkeypatch.setattr(SharedJournal, "append", slow)
    with pytest.raises(Refused):
        first.put(1, cloud.one)
    for one in (first, second, SimulatedFabric(tmp_path)):
        assert one.compare(newer).drift == ()
        one.close()
