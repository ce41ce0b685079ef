"""A machine's turn while its power devices hang: it must end while its claim holds, or nothing is ever concluded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackling.core import clock
from stackling.drivers.pacemaker.fencing import PacemakerFence
from stackling.drivers.pacemaker.programs import DEADLINE, Result
from stackling.engine.kinds import Fence
from stackling.engine.turn import drive
from stackling.ha import rules
from stackling.ha.kinds import DesiredMachine, MachineKind, SharedStorage
from stackling.ha.model import Beat, Record, Settings, State, Strength
from stackling.ha.watch import Watch
from stackling.main.availability import LEASE
from stackling.ports.membership import MembershipUnknown, Standing
from tests.ha_world import Clock

DEVICE = """<primitive id="{0}" class="stonith" type="fence_ipmilan"><instance_attributes id="{0}-params">
  <nvpair id="{0}-host" name="pcmk_host_list" value="m2"/></instance_attributes></primitive>"""
STANDINGS = {"m1": Standing.MEMBER, "m2": Standing.ABSENT, "m3": Standing.MEMBER}


class Programs:
    """Pacemaker's programs answer, its fence agents don't."""

    def __init__(self, now: Clock) -> None:
        self.clock = now
        self.off_at = datetime.fromtimestamp(now.at - 3, UTC).strftime("%Y-%m-%d %H:%M:%SZ")

    def __call__(self, command: Sequence[str], *, deadline: float = DEADLINE, given: str = "") -> Result:
        self.clock.at += 0.2
        if command[0] == "cibadmin":
            return Result(0, f"<resources>{DEVICE.format('a')}{DEVICE.format('b')}</resources>", "")
        if command[0] == "stonith_admin":
            return Result(0, f'<x><fence_event target="m2" action="off" status="success" completed="{self.off_at}"/>'
                             '<status code="0"/></x>', "")
        self.clock.at += deadline
        raise MembershipUnknown("no answer")


class Storage:
    """Answers slowly."""

    def __init__(self, now: Clock) -> None:
        self.clock = now

    def shut_out(self, address: str, seconds: float) -> None:
        self.clock.at += 4.0

    def let_in(self, address: str) -> None:
        self.clock.at += 4.0

    def shut_out_until(self) -> dict[str, float]:
        return {}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.install(monkeypatch)


def test_a_machine_that_was_switched_off_counts_as_fenced_although_its_devices_hang_since(now: Clock) -> None:
    watch = SimpleNamespace(standings=lambda: STANDINGS, member_at=lambda name: (now.at - 12, "boot-1"),
                            heartbeats=SimpleNamespace(beat=lambda id, at: (Beat.LOST, 11.0)))

    def answering(machine: str) -> None:
        now.at += 1.2

    kind = MachineKind(cast("Watch", watch), PacemakerFence(Programs(now)), Settings(),
                       SharedStorage(cast("Any", Storage(now)), {"m2": "10.0.0.2"}), answering)
    record = Record("i2", "m2", state=State.LOST, boot_id="boot-1", last_seen=now.at - 11, lost_at=now.at - 10)
    desired = DesiredMachine(1, record, {})
    began = clock.monotonic()
    result = drive(kind, desired, Fence(1, 1), 0)
    assert clock.monotonic() - began < LEASE
    verdict = rules.judge(record, result.observed, Settings())
    assert verdict.state is State.FENCED
    assert verdict.proof is not None
    assert verdict.proof.strength is Strength.POWER
