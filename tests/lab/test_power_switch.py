"""The stand-in for the machines' power switches, as a fencer meets it: by the fence agent, from another machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from stackling.lab import Lab, Machine
from stackling.lab.power import Mode, set_mode

pytestmark = [pytest.mark.root, pytest.mark.lab]
OK, FAILED, OFF = 0, 1, 2


def fence(asker: Machine, action: str, victim: str = "m1") -> int:
    """The exit status of the fence agent, asked as Pacemaker asks."""
    given = f"action={action}\nport={victim}\nnodename={victim}\n"
    return asker.run(["fence_lab"], input=given, check=False).returncode


def until(done: Callable[[], bool], timeout: float = 20) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_off_and_on_are_read_back(lab: Lab, m1: Machine, m2: Machine) -> None:
    assert fence(m2, "monitor") == OK
    assert fence(m2, "status") == OK
    assert fence(m2, "off") == OK
    assert not m1.is_on()
    assert fence(m2, "status") == OFF
    assert fence(m2, "off") == OK
    assert fence(m2, "on") == OK
    assert m1.is_on()
    life = m1.life()
    assert fence(m2, "on") == OK
    assert m1.life() == life
    assert fence(m2, "reboot") == OK
    assert m1.life() not in (None, life)
    assert m2.run(["fence_lab", "-o", "list"]).stdout.splitlines() == ["m1,m1", "m2,m2"]
    assert fence(m2, "status", "m7") == FAILED
    assert fence(m2, "explode") == FAILED


def test_a_machine_may_switch_itself_off(lab: Lab, m1: Machine) -> None:
    subprocess.run(m1.command(["fence_lab", "-o", "off", "-n", "m1"]), check=False, timeout=20)
    until(lambda: not m1.is_on())       # the agent dies with its machine, a moment before that is off


def test_retries_and_rivals_wait_for_each_other(m1: Machine, m2: Machine) -> None:
    rivals = [subprocess.Popen(m2.command(["fence_lab", "-o", "off", "-n", "m1"])) for _ in range(5)]
    assert [rival.wait(30) for rival in rivals] == [OK] * 5
    assert not m1.is_on()
    rivals = [subprocess.Popen(m2.command(["fence_lab", "-o", "on", "-n", "m1"])) for _ in range(5)]
    assert [rival.wait(30) for rival in rivals] == [OK] * 5
    assert m1.wait_running() == "running"


def test_an_absent_switch_fails_at_once(lab: Lab, m1: Machine, m2: Machine) -> None:
    life = m1.life()
    set_mode(lab.directory, Mode.ABSENT)
    for action in ("off", "status", "monitor"):
        assert fence(m2, action) == FAILED
    assert m1.life() == life


def test_a_hanging_switch_does_not_strike_later_for_one_who_has_given_up(lab: Lab, m1: Machine, m2: Machine) -> None:
    life = m1.life()
    set_mode(lab.directory, Mode.HANG, "m1")
    assert fence(m2, "status", "m2") == OK      # other machines' switches work
    asker = m2.run(["timeout", "1", "fence_lab", "-o", "off", "-n", "m1"], check=False)
    assert asker.returncode == 124
    set_mode(lab.directory, Mode.OK)
    time.sleep(0.3)     # nothing to wait for: it must not happen
    assert m1.life() == life
    set_mode(lab.directory, Mode.HANG)
    with subprocess.Popen(m2.command(["fence_lab", "-o", "off", "-n", "m1"])) as patient:
        with pytest.raises(subprocess.TimeoutExpired):
            patient.wait(0.5)
        set_mode(lab.directory, Mode.OK)
        assert patient.wait(20) == OK
    assert not m1.is_on()


def test_a_lying_switch_says_off_while_the_machine_lives(lab: Lab, m1: Machine, m2: Machine) -> None:
    life = m1.life()
    set_mode(lab.directory, Mode.LIE)
    assert fence(m2, "status") == OK
    assert fence(m2, "off") == OK
    assert fence(m2, "status") == OFF
    assert m1.life() == life
    set_mode(lab.directory, Mode.OK)
    assert fence(m2, "status") == OK


def test_metadata_is_what_pacemaker_reads(m2: Machine) -> None:
    tree = ElementTree.fromstring(m2.run(["fence_lab", "-o", "metadata"]).stdout)
    assert tree.tag == "resource-agent"
    assert {action.get("name") for action in tree.iter("action")} >= {"on", "off", "reboot", "status", "monitor",
                                                                     "list", "metadata"}
    assert {parameter.get("name") for parameter in tree.iter("parameter")} >= {"action", "port"}
