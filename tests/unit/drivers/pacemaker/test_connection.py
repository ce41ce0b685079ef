"""A member by pacemaker_remote goes and comes: what Pacemaker is told, and when the machine may go on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stackling.drivers.pacemaker.connection import leave, take_in
from stackling.drivers.pacemaker.programs import Result
from stackling.drivers.pacemaker.returning import admit
from stackling.ports.membership import MembershipUnknown

MONITOR = ('<pacemaker-result><nodes><node name="m1" type="member" online="true" unclean="false"/>'
           '<node name="m4" type="remote" online="true" unclean="{unclean}"/></nodes>'
           '<status code="0" message="OK"/></pacemaker-result>')


class Pacemaker:
    """Its programs, with one connection, to m4."""

    def __init__(self, *, connected: bool = True, unclean: str = "false", role: str = "") -> None:
        self.connected, self.unclean, self.role = connected, unclean, role
        self.changes = 0

    def __call__(self, command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
        match command:
            case ["crm_mon", *_]:
                return Result(0, MONITOR.format(unclean=self.unclean), "")
            case ["cibadmin", *_]:
                return Result(0, f'<node_state uname="m4" remote_node="true" in_ccm="{str(self.connected).lower()}"/>',
                              "")
            case [*_, "--get-parameter", "target-role"]:
                return Result(0, f"{self.role}\n", "") if self.role else Result(105, "", "not set")
            case [*_, "--resource", "m4", "--meta", "--set-parameter", "target-role", "--parameter-value", role]:
                self.role = role
            case [*_, "--resource", "m4", "--meta", "--delete-parameter", "target-role"]:
                self.role = ""
            case _:
                raise AssertionError(command)
        self.changes += 1
        return Result(0, "", "")


def test_who_leaves_waits_until_the_connection_is_ended() -> None:
    pacemaker = Pacemaker()
    assert "being ended" in leave("m4", pacemaker)
    assert pacemaker.role == "Stopped"
    assert "being ended" in leave("m4", pacemaker)
    pacemaker.connected = False
    assert leave("m4", pacemaker) == ""
    assert pacemaker.changes == 1


def test_who_is_there_again_is_connected_again() -> None:
    pacemaker = Pacemaker(connected=False, role="Stopped")
    assert take_in("m4", pacemaker) == ""
    assert take_in("m4", pacemaker) == ""
    assert (pacemaker.role, pacemaker.changes) == ("", 1)


@pytest.mark.parametrize("name", ["m1", "m9"])
def test_full_members_and_strangers_have_no_connection(name: str) -> None:
    pacemaker = Pacemaker()
    assert (leave(name, pacemaker), take_in(name, pacemaker), pacemaker.changes) == ("", "", 0)


def test_a_loss_is_not_made_a_leave_afterwards() -> None:
    pacemaker = Pacemaker(unclean="true")
    assert leave("m4", pacemaker) == ""
    assert pacemaker.changes == 0


def test_where_pacemaker_does_not_answer_another_machine_is_asked() -> None:
    def down(command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
        raise MembershipUnknown("crm_mon: not connected")
    assert "not connected" in leave("m4", down)
    assert "not connected" in take_in("m4", down)


def test_a_remote_member_that_boots_waits_only_while_it_is_connected() -> None:
    assert "still counts as a member" in admit("m4", Pacemaker())
    assert admit("m4", Pacemaker(connected=False)) == ""
