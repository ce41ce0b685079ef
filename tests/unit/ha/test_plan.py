"""What becomes of one evacuation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from stackling.ha import plan
from stackling.ha.model import Behind, Evacuation, Look, Move, Server, Starting, State, Strength

HERE = Server("h2", "host-2", settled=True, gone=False)
QUEUED = Look(Evacuation.QUEUED, "h2", "rbd", State.FENCED, Strength.POWER_READ, HERE)
MOVED = replace(QUEUED, server=Server("h3", "host-3", settled=False, gone=False))


def test_a_queued_one_is_moved() -> None:
    assert plan.steps(QUEUED) == (Move(),)
    assert plan.steps(replace(QUEUED, state=Evacuation.WAITING)) == (Move(),)


def test_those_of_higher_priority_go_first_and_hold_nobody_up_who_was_tried() -> None:
    assert plan.steps(replace(QUEUED, ahead="s1")) == (Behind("s1"),)
    assert plan.steps(replace(QUEUED, state=Evacuation.WAITING, ahead="s1")) == (Move(),)


def test_it_is_done_when_the_new_host_has_it() -> None:
    assert plan.steps(MOVED) == (Starting("starting on host-3"),)
    assert plan.standing(MOVED)[0] is Evacuation.MOVING
    done = replace(MOVED, server=replace(MOVED.server, settled=True))
    assert (plan.steps(done), plan.standing(done)) == ((), (Evacuation.DONE, None))
    failing = replace(MOVED, server=replace(MOVED.server, error="no space"))
    assert plan.steps(failing) == (Starting("no space"),)


@pytest.mark.parametrize("state", [state for state in State if state is not State.FENCED])
def test_nothing_is_moved_off_a_machine_that_is_not_fenced(state: State) -> None:
    look = replace(QUEUED, machine=state, strength=None)
    assert plan.steps(look) == ()
    assert plan.standing(look)[0] is Evacuation.VOID


def test_a_local_disk_stays() -> None:
    for strength in Strength:
        look = replace(QUEUED, disk="local", strength=strength)
        assert plan.steps(look) == ()
        state, reason = plan.standing(look)
        assert state is Evacuation.HELD
        assert reason is not None
        assert "until the machine is back" in reason


def test_a_move_happens_only_with_a_proof_that_is_enough() -> None:
    for machine, strength, disk, state in product(
            State, (None, *Strength), ("local", "shared", "rbd"), Evacuation):
        moves = Move() in plan.steps(replace(QUEUED, machine=machine, strength=strength, disk=disk, state=state))
        if moves:
            assert machine is State.FENCED
            assert strength is not None
            assert disk != "local"
            assert disk != "shared" or strength in (Strength.POWER_READ, Strength.OPERATOR)


def test_a_deleted_server_needs_no_evacuation() -> None:
    look = replace(QUEUED, server=Server(None, None, settled=True, gone=True))
    assert (plan.steps(look), plan.standing(look)[0]) == ((), Evacuation.VOID)
