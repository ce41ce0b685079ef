"""Restarts of units that somebody else starts and stops, too."""

from __future__ import annotations

import pytest

from stackling.deploy.cluster import systemd
from stackling.deploy.embedded.command import CommandFailed


class Systemctl:
    """Fails with *words* the first *times*."""

    def __init__(self, words: str, times: int) -> None:
        self.words, self.times, self.asked = words, times, 0

    def __call__(self, *argv: str, timeout: float = 0.0) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise CommandFailed(f"`{' '.join(argv)}` failed: {self.words}")
        return ""


@pytest.fixture
def systemctl(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Systemctl:
    found = Systemctl(*request.param)
    monkeypatch.setattr(systemd, "run", found)
    monkeypatch.setattr(systemd, "BETWEEN", 0.0)
    return found


@pytest.mark.parametrize("systemctl", [("Job for stackling-engine.service canceled.", 2)], indirect=True)
def test_a_job_that_anothers_took_the_place_of_is_asked_for_again(systemctl: Systemctl) -> None:
    systemd.restart(["stackling-engine.service"])
    assert systemctl.asked == 3


@pytest.mark.parametrize("systemctl", [("Job for stackling-engine.service canceled.", 1000),
                                       ("Job for stackling-engine.service failed.", 1000)], indirect=True)
def test_what_does_not_start_is_told(systemctl: Systemctl) -> None:
    with pytest.raises(CommandFailed, match=r"stackling-engine\.service"):
        systemd.restart(["stackling-engine.service"])
    assert systemctl.asked == (systemd.TRIES if "canceled" in systemctl.words else 1)


@pytest.mark.parametrize("systemctl", [("", 0)], indirect=True)
def test_nothing_is_asked_for_no_units(systemctl: Systemctl) -> None:
    systemd.restart([])
    assert systemctl.asked == 0
