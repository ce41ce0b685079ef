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
    assert standing(node, frozenset()) is expected


def remote(name: str, states: str, code: int = 0) -> Standing:
    """How m2, a member by pacemaker_remote, stands."""
    answers = {"crm_mon": Result(0, (HERE / f"{name}.xml").read_text(), ""), "cibadmin": Result(code, states, ""),
               "crm_node": Result(0, "1", "")}
    return PacemakerMembership(("m1", "m2"), lambda command, **_: answers[command[0]]).view().standings["m2"]


@pytest.mark.parametrize("name", ["remote_member", "remote_connecting"])
def test_a_remote_member_is_there_while_it_is_connected(name: str) -> None:
    there = '<node_state remote_node="true" id="m2" uname="m2" in_ccm="true" node_fenced="0"><lrm/></node_state>'
    gone = '<node_state remote_node="true" id="m2" uname="m2" in_ccm="false" node_fenced="1795386691"/>'
    assert remote(name, there) is Standing.MEMBER
    assert remote(name, gone) is Standing.ABSENT
    assert remote(name, f"<xpath-query>{gone}{there}</xpath-query>".replace("m2", "m3", 2)) is Standing.MEMBER
    assert remote(name, "", code=105) is Standing.ABSENT        # never connected


def test_a_remote_member_that_is_to_be_fenced_is_lost() -> None:
    node = next(one for one in recorded("remote_member").iterfind("nodes/node") if one.get("type") == "remote")
    node.attrib.update({"online": "false", "unclean": "true"})
    assert standing(node, frozenset({"m2"})) is Standing.LOST


def test_remote_members_that_cannot_be_asked_for_are_unknown() -> None:
    with pytest.raises(MembershipUnknown, match="cibadmin"):
        remote("remote_member", "", code=102)


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
