"""What a machine that has booted is told, by what Pacemaker thinks of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stackling.drivers.pacemaker.programs import Result
from stackling.drivers.pacemaker.returning import admit
from stackling.ports.membership import MembershipUnknown

MONITOR = ('<pacemaker-result><nodes><node name="m3" online="{online}" unclean="{unclean}"/></nodes>'
           '<status code="0" message="OK"/></pacemaker-result>')


class Pacemaker:
    """Its programs."""

    def __init__(self, online: str = "false", unclean: str = "false") -> None:
        self.shows = MONITOR.format(online=online, unclean=unclean)
        self.confirmed: list[str] = []

    def __call__(self, command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
        if command[0] == "crm_mon":
            return Result(0, self.shows, "")
        assert list(command[:2]) == ["stonith_admin", "--confirm"]
        self.confirmed.append(command[2])
        self.shows = MONITOR.format(online="false", unclean="false")
        return Result(0, "", "")


def test_who_counts_as_lost_is_no_longer_and_joins_then() -> None:
    pacemaker = Pacemaker(unclean="true")
    assert "counted as lost" in admit("m3", pacemaker)
    assert admit("m3", pacemaker) == ""
    assert pacemaker.confirmed == ["m3"]


def test_whose_loss_was_not_noticed_yet_waits_and_nothing_is_confirmed() -> None:
    pacemaker = Pacemaker(online="true")
    assert "still counts as a member" in admit("m3", pacemaker)
    assert pacemaker.confirmed == []


@pytest.mark.parametrize("name", ["m3", "m9"])
def test_whose_former_life_is_over_or_unknown_joins(name: str) -> None:
    pacemaker = Pacemaker()
    assert admit(name, pacemaker) == ""
    assert pacemaker.confirmed == []


def test_where_pacemaker_does_not_answer_nobody_waits() -> None:
    def down(command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
        raise MembershipUnknown("crm_mon: not connected")
    assert admit("m3", down) == ""
