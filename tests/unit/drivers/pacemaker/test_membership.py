"""What is concluded from what Pacemaker 2.1.5 printed (recorded; see the .xml files)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackling.drivers.pacemaker.membership import PacemakerMembership, standing, standings
from stackling.drivers.pacemaker.programs import Result, run
from stackling.ports.membership import MembershipUnknown, Standing

HERE = Path(__file__).parent


def recorded(name: str) -> ET.Element:
    return ET.fromstring((HERE / f"{name}.xml").read_text())


def membership(name: str, quorum: str = "1\n", code: int = 0) -> PacemakerMembership:
    def execute(command: Sequence[str], *, deadline: float = 0, given: str = "") -> Result:
        if command[0] == "crm_node":
            return Result(code, quorum, "")
        return Result(0, (HERE / f"{name}.xml").read_text(), "")
    return PacemakerMembership(("m1", "m2", "m3"), execute)


@pytest.mark.parametrize(("name", "machine", "expected"), [
    ("members", "m3", Standing.MEMBER),
    ("lost", "m3", Standing.LOST),                  # the network was cut, the fence device didn't answer yet
    ("fenced", "m2", Standing.ABSENT),
    ("standby", "m2", Standing.LEAVING),
    ("returning", "m3", Standing.ABSENT),           # in Corosync's membership, not yet in Pacemaker's
])
def test_how_a_machine_stands(name: str, machine: str, expected: Standing) -> None:
    view = membership(name).view()
    assert view.standings[machine] is expected
    others = {found for other, found in view.standings.items() if other != machine}
    assert others == {Standing.MEMBER}
    assert view.missing == (expected is not Standing.MEMBER)


def test_a_partition_without_quorum_knows_nothing() -> None:
    with pytest.raises(MembershipUnknown, match="no quorum"):
        membership("minority").view()


def test_quorum_that_was_lost_since_the_picture_was_taken_spoils_it() -> None:
    with pytest.raises(MembershipUnknown, match="no quorum"):
        membership("members", "0\n", 106).view()


def test_a_machine_that_pacemaker_never_met_is_lost_not_absent() -> None:
    standings = PacemakerMembership(
        ("m1", "m9"), lambda command, **_: Result(0, "1" if command[0] == "crm_node" else
                                                  (HERE / "members.xml").read_text(), "")).view().standings
    assert standings == {"m1": Standing.MEMBER, "m9": Standing.LOST}


def test_without_a_controller_nothing_is_known() -> None:
    monitor = recorded("members")
    leader = monitor.find("summary/current_dc")
    assert leader is not None
    leader.set("present", "false")
    with pytest.raises(MembershipUnknown, match="no designated controller"):
        standings(monitor)


@pytest.mark.parametrize(("changes", "expected"), [
    ({"online": "true", "shutdown": "true"}, Standing.LEAVING),
    ({"online": "false", "expected_up": "true"}, Standing.LOST),       # fencing is off: nobody marks it unclean
    ({"online": "false", "expected_up": "false"}, Standing.ABSENT),
    ({"online": "true", "unclean": "true"}, Standing.LOST),
])
def test_other_states_of_a_node(changes: dict[str, str], expected: Standing) -> None:
    node = recorded("members").find("nodes/node")
    assert node is not None
    node.attrib.update(changes)
    assert standing(node) is expected


def test_pacemaker_that_is_down_is_one_line() -> None:
    answer = ('<pacemaker-result api-version="2.25"><status code="102" message="Not connected"><errors>'
              "<error>crm_mon: Connection to cluster failed: Connection refused</error></errors></status>"
              "</pacemaker-result>")
    with pytest.raises(MembershipUnknown) as raised:
        PacemakerMembership(("m1",), lambda command, **_: Result(102, answer, "")).view()
    assert str(raised.value) == "crm_mon: Connection to cluster failed: Connection refused"


def test_programs_are_bounded_and_their_absence_told() -> None:
    with pytest.raises(MembershipUnknown, match=r"within 0\.2 s"):
        run(["sh", "-c", "sleep 60 & wait"], deadline=0.2)
    with pytest.raises(MembershipUnknown, match="isn't installed"):
        run(["no-such-program-of-pacemaker"])
