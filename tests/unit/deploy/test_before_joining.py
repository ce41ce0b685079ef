"""What a machine says before Corosync starts for the first time in a boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackling.deploy.pacemaker.agents import before_joining, machine


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked; the others object once each, and 10.0.0.3 is silent."""
    found: list[str] = []

    def ask(place: Any, limit: float, method: str, path: str, **more: Any) -> tuple[int, Any]:
        found.append(place[0])
        if place[0] == "10.0.0.3":
            raise OSError("no route to host")
        return 200, {"wait": "it counted as lost" if found.count(place[0]) == 1 else ""}

    monkeypatch.setattr(machine, "RUN", tmp_path / "run")
    monkeypatch.setattr(machine, "address", lambda: "10.0.0.1")
    monkeypatch.setattr(machine, "control_addresses", lambda: ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    monkeypatch.setattr(machine, "identity", lambda: None)
    monkeypatch.setattr(machine, "ask", ask)
    monkeypatch.setattr(before_joining, "PAUSE", 0.0)
    monkeypatch.setattr(before_joining, "runs_guests", lambda: False)
    return found


def test_it_joins_when_nobody_who_answers_objects(asked: list[str]) -> None:
    before_joining.main()
    assert asked == ["10.0.0.2", "10.0.0.3"] * 2


def test_a_second_start_in_the_same_boot_says_nothing(asked: list[str]) -> None:
    before_joining.main()
    asked.clear()
    before_joining.main()
    assert asked == []


def test_a_machine_that_runs_guests_has_not_just_booted(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_joining, "runs_guests", lambda: True)
    before_joining.main()
    assert asked == []


def test_guests_are_known_by_their_processes(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    (tmp_path / "12/comm").write_text("systemd\n")
    assert not before_joining.runs_guests(tmp_path)
    (tmp_path / "13").mkdir()
    (tmp_path / "13/comm").write_text("qemu-system-x86\n")
    assert before_joining.runs_guests(tmp_path)
