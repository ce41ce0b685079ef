"""What a member by pacemaker_remote says when it goes and when it is there again."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.deploy.pacemaker.agents import connection, machine


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each control machine says, in turn; one that has nothing to say is silent. Paths and askers in "asked"."""
    found: dict[str, list[str]] = {"asked": []}

    def ask(place: Any, limit: float, method: str, path: str, **more: Any) -> tuple[int, Any]:
        found["asked"].append(f"{place[0]} {path}")
        if not found.get(place[0]):
            raise OSError("no route to host")
        return 200, {"wait": found[place[0]].pop(0)}

    monkeypatch.delenv("MAINPID", raising=False)
    monkeypatch.setattr(machine, "control_addresses", lambda: ["10.0.0.1", "10.0.0.2"])
    monkeypatch.setattr(machine, "identity", lambda: None)
    monkeypatch.setattr(machine, "ask", ask)
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    monkeypatch.setattr(connection, "SILENCE", 0.05)
    return found


def test_it_goes_when_its_connection_is_ended(answers: dict[str, list[str]]) -> None:
    answers["10.0.0.2"] = ["its connection is being ended", "its connection is being ended", ""]
    connection.leave()
    assert answers["asked"] == [f"10.0.0.{number} {connection.LEAVE}" for number in (1, 2)] * 3


def test_it_goes_when_nobody_answers(answers: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    connection.leave()
    assert "may count as a loss" in capsys.readouterr().err


def test_who_is_there_says_so_until_somebody_answers(answers: dict[str, list[str]]) -> None:
    answers["10.0.0.1"] = ["crm_mon: not connected"] * 2
    answers["10.0.0.2"] = ["it can't be connected", ""]
    connection.join()
    assert answers["asked"] == [f"10.0.0.{number} {connection.JOIN}" for number in (1, 2)] * 2
