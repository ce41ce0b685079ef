"""Who is alive, who may be fenced, what proves it: every scenario of a machine's life, one at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from stackling.ha import rules
from stackling.ha.model import (
    ENOUGH,
    AdmitStorage,
    AskFencer,
    Beat,
    BlockStorage,
    Crowd,
    Record,
    Sense,
    Settings,
    State,
    Strength,
    SwitchOn,
    Verdict,
    Wait,
)
from stackling.ports.membership import BY_HAND, FenceEvent, Standing

NOW = 1_000_000.0
SETTINGS = Settings()
MACHINE = Record("i2", "m2", boot_id="boot-1", last_seen=NOW - 1)
LOST = replace(MACHINE, state=State.LOST, lost_at=NOW - 10, last_seen=NOW - 11, lost_boot_id="boot-1")
WELL = Sense(NOW, Standing.MEMBER, Crowd(3, 0), Beat.ALIVE, 1.0, NOW)
GONE = Sense(NOW, Standing.LOST, Crowd(3, 1), Beat.LOST, 10.0, NOW - 10, history=())
OFF = FenceEvent("m2", "off", "success", NOW - 3, "fence-m2")


def judge(record: Record, sense: Sense, settings: Settings = SETTINGS) -> Verdict:
    return rules.judge(record, sense, settings)


def fenced(sense: Sense = GONE, record: Record = LOST, *, power: bool | None = True,
           event: FenceEvent = OFF) -> Verdict:
    return judge(record, replace(sense, history=(event,), power_off=power))


# -- alive

def test_a_member_that_reports_is_up() -> None:
    assert judge(MACHINE, WELL) == Verdict(State.UP)


def test_only_both_losses_together_make_it_lost() -> None:
    found = {(standing, beat): judge(MACHINE, replace(GONE, standing=standing, beat=beat)).state
             for standing, beat in product(Standing, Beat)}
    assert {key for key, state in found.items() if state is State.LOST} == {
        (Standing.LOST, Beat.LOST), (Standing.ABSENT, Beat.LOST)}
    assert found[Standing.MEMBER, Beat.LOST] is State.SILENT
    assert found[Standing.LOST, Beat.ALIVE] is State.APART
    assert found[Standing.LEAVING, Beat.LOST] is State.LEAVING


def test_nothing_but_a_loss_that_is_written_down_is_fenced() -> None:
    for standing, beat, state in product((None, *Standing), Beat, State):
        record = replace(LOST, state=state)
        verdict = judge(record, replace(GONE, standing=standing, beat=beat))
        asks = any(isinstance(step, AskFencer) for step in verdict.steps)
        gone = standing is Standing.LOST and beat is Beat.LOST and state is State.LOST
        absent = standing is Standing.ABSENT and beat is Beat.LOST and state is State.LOST
        assert not (asks and not (gone or absent)), (standing, beat, state)


def test_unknown_is_not_dead_and_takes_nothing_back() -> None:
    for state in State:
        if state in (State.FENCED, State.RETURNING):
            continue
        verdict = judge(replace(LOST, state=state), replace(GONE, standing=None, unknown="no quorum"))
        assert verdict.state is state
        assert verdict.reason == "no quorum"
        assert verdict.proof is None
        assert not any(isinstance(step, AskFencer) for step in verdict.steps)
        assert verdict.lost_at == LOST.lost_at
    still = replace(LOST, state=State.FENCED, strength=Strength.POWER_READ)
    assert judge(still, replace(GONE, standing=None, unknown="no quorum")).state is State.FENCED


def test_heartbeats_that_nobody_could_take_in_say_nothing() -> None:
    verdict = judge(MACHINE, replace(GONE, beat=Beat.UNKNOWN))
    assert verdict.state is State.UP
    assert "judged yet" in (verdict.reason or "")
    assert judge(LOST, replace(GONE, beat=Beat.UNKNOWN, history=(OFF,), power_off=True)).proof is None


def test_a_machine_that_never_reported_is_never_fenced() -> None:
    verdict = judge(Record("i9", "m9"), GONE)
    assert (verdict.state, verdict.steps) == (State.UNMANAGED, ())


# -- lost

def test_a_loss_is_written_down_before_the_fencer_is_asked() -> None:
    first = judge(MACHINE, GONE)
    assert (first.state, first.lost_at) == (State.LOST, NOW - 1)
    assert first.steps == (Wait(first.reason or ""),)
    assert AskFencer() in judge(LOST, GONE).steps


@pytest.mark.parametrize(("total", "missing", "asks"), [
    (3, 1, True), (3, 2, False), (4, 1, True), (4, 2, False), (5, 2, True), (5, 3, False), (2, 1, False),
    (1, 1, False)])
def test_more_than_a_minority_missing_is_an_alarm(total: int, missing: int, asks: bool) -> None:
    verdict = judge(LOST, replace(GONE, crowd=Crowd(total, missing)))
    assert (AskFencer() in verdict.steps) is asks
    assert (verdict.alarm is None) is asks
    assert fenced(replace(GONE, crowd=Crowd(total, missing)), power=None).state is (
        State.FENCED if asks else State.LOST)
    assert fenced(replace(GONE, crowd=Crowd(total, missing)), power=True).state is State.FENCED


def test_proven_and_planned_absences_are_no_riddle() -> None:
    standings = dict.fromkeys(("m1", "m3"), Standing.MEMBER) | dict.fromkeys(("m2", "m4", "m5"), Standing.ABSENT)
    records = {"m4": replace(LOST, name="m4", state=State.FENCED),
               "m5": replace(MACHINE, name="m5", state=State.STOPPED, planned_until=NOW + 60)}
    assert rules.crowd(records, standings, NOW) == Crowd(3, 1)
    assert rules.crowd(records, standings, NOW + 61) == Crowd(4, 2)
    assert rules.crowd({}, standings | {"m2": Standing.LEAVING}, NOW) == Crowd(5, 2)


def test_a_machine_that_left_in_order_gets_time_to_come_back() -> None:
    absent = replace(GONE, standing=Standing.ABSENT)
    assert AskFencer() not in judge(LOST, absent).steps
    late = replace(absent, now=NOW + SETTINGS.left_grace)
    assert AskFencer() in judge(LOST, late).steps
    assert fenced(absent).state is State.FENCED         # absent because it was fenced


def test_without_fencing_its_servers_stay() -> None:
    verdict = judge(LOST, replace(GONE, fencing=False, history=None))
    assert verdict.state is State.LOST
    assert "no fencing is configured" in (verdict.reason or "")
    assert verdict.steps == (Wait(verdict.reason or ""),)


def test_a_fencer_that_cannot_be_asked_is_asked_again() -> None:
    verdict = judge(LOST, replace(GONE, history=None, fencer_problem="no device for m2"))
    assert "no device for m2" in (verdict.reason or "")
    assert "servers stay" in (verdict.reason or "")
    assert AskFencer() in verdict.steps


def test_the_fencer_is_asked_with_pauses() -> None:
    asked = replace(GONE, asked_at=NOW - 1)
    assert AskFencer() not in judge(LOST, asked).steps
    assert AskFencer() not in judge(replace(LOST, asked_at=NOW - 1), GONE).steps
    assert AskFencer() in judge(LOST, replace(asked, asked_at=NOW - SETTINGS.fence_retry)).steps


def test_fencing_under_way_is_waited_for() -> None:
    pending = replace(OFF, status="pending", completed_at=0.0)
    verdict = judge(LOST, replace(GONE, history=(pending,)))
    assert verdict.steps == (Wait("not fenced yet: fencing is under way; its servers stay"),)


def test_a_failed_fencing_is_named() -> None:
    failed = replace(OFF, status="failed", detail="did not answer within 40 s")
    verdict = judge(LOST, replace(GONE, history=(failed,)))
    assert verdict.state is State.LOST
    assert verdict.reason == "not fenced: fence-m2 failed: did not answer within 40 s; its servers stay"


# -- proof

def test_a_success_after_the_loss_whose_power_reads_off_is_a_proof() -> None:
    verdict = fenced()
    assert (verdict.state, verdict.steps) == (State.FENCED, ())
    assert verdict.proof is not None
    assert (verdict.proof.source, verdict.proof.strength) == ("power", Strength.POWER_READ)
    assert verdict.proof.evidence["event"]["completed_at"] == OFF.completed_at
    assert verdict.proof.evidence["lost_at"] == LOST.lost_at


def test_who_is_switched_off_is_shut_out_of_shared_storage_before_its_servers_move() -> None:
    seen = replace(GONE, history=(OFF,), power_off=True, storage=True)
    first = judge(LOST, seen)
    assert (first.state, first.steps) == (State.FENCED, (BlockStorage(),))
    assert judge(LOST, replace(seen, blocked_since=NOW)).steps == ()
    fenced_one = replace(LOST, state=State.FENCED, strength=Strength.POWER_READ)
    assert judge(fenced_one, seen).steps == (BlockStorage(),)       # it ran out


SWITCHED_OFF = replace(GONE, standing=Standing.ABSENT, beat=Beat.ALIVE, beat_age=5.0, member_at=NOW - 4, silent=True)


def test_what_pacemaker_has_switched_off_by_itself_is_not_waited_for() -> None:
    record = replace(MACHINE, last_seen=NOW - 5)
    verdict = fenced(SWITCHED_OFF, record)
    assert (verdict.state, verdict.proof is not None) == (State.FENCED, True)
    nobody_listened = replace(SWITCHED_OFF, beat=Beat.UNKNOWN, beat_age=None)
    assert fenced(nobody_listened, record).state is State.FENCED


@pytest.mark.parametrize("sense", [
    replace(SWITCHED_OFF, beat_age=3.9),                                            # a heartbeat may be on its way
    replace(SWITCHED_OFF, standing=Standing.LOST),                                  # somebody doesn't believe it yet
    replace(SWITCHED_OFF, answers_at="10.0.1.2", silent=False),
    replace(SWITCHED_OFF, beat=Beat.UNKNOWN, beat_age=None, silent=False),          # nobody has asked its kernel
])
def test_it_is_waited_for_where_anything_is_in_doubt(sense: Sense) -> None:
    verdict = fenced(sense, replace(MACHINE, last_seen=NOW - 5))
    assert verdict.state is not State.FENCED
    assert verdict.proof is None


@pytest.mark.parametrize(("power", "event"), [
    (None, OFF), (False, OFF), (True, replace(OFF, completed_at=NOW - 20)), (True, replace(OFF, device=BY_HAND)),
    (True, replace(OFF, status="failed"))])
def test_only_power_that_reads_off_after_this_loss_makes_the_heartbeat_say_nothing(
        power: bool | None, event: FenceEvent) -> None:
    assert fenced(SWITCHED_OFF, replace(MACHINE, last_seen=NOW - 5), power=power, event=event).state is State.APART


def test_a_device_that_cannot_be_asked_proves_less() -> None:
    proof = fenced(power=None).proof
    assert proof is not None
    assert proof.strength is Strength.POWER
    by_hand = fenced(power=None, event=replace(OFF, device=BY_HAND)).proof
    assert by_hand is not None
    assert by_hand.strength is Strength.OPERATOR


def test_power_that_reads_on_refutes_and_alarms() -> None:
    verdict = fenced(power=False)
    assert (verdict.state, verdict.proof) == (State.LOST, None)
    assert "its power reads on" in (verdict.alarm or "")
    assert "its power reads on" in (verdict.reason or "")


def test_a_heartbeat_after_the_switching_off_refutes() -> None:
    verdict = fenced(record=replace(LOST, last_seen=OFF.completed_at + SETTINGS.clock_margin + 0.1))
    assert (verdict.state, verdict.proof) == (State.LOST, None)
    assert "heartbeat" in (verdict.alarm or "")


@pytest.mark.parametrize("event", [
    replace(OFF, status="failed"), replace(OFF, status="pending"), replace(OFF, action="on"),
    replace(OFF, action="status"), replace(OFF, completed_at=NOW - 60)])
def test_what_is_no_proof(event: FenceEvent) -> None:
    assert fenced(event=event).proof is None


def test_a_reboot_counts_only_when_the_power_does_not_read_on() -> None:
    assert fenced(event=replace(OFF, action="reboot"), power=None).state is State.FENCED
    assert fenced(event=replace(OFF, action="reboot"), power=False).state is State.LOST


def test_an_older_fencing_proves_nothing_about_a_machine_that_has_returned_since() -> None:
    record = replace(LOST, lost_at=NOW - 4, last_seen=NOW - 4, returned_at=NOW - 2.5)
    assert fenced(record=record).proof is None          # OFF was at NOW - 3


@pytest.mark.parametrize(("standing", "beat"), [(Standing.LOST, Beat.ALIVE), (Standing.MEMBER, Beat.ALIVE)])
def test_a_device_that_says_off_while_the_machine_lives_is_an_alarm(standing: Standing, beat: Beat) -> None:
    sense = replace(GONE, standing=standing, beat=beat, beat_age=0.5, history=(OFF,), power_off=None,
                    member_boot_id="boot-1")
    verdict = judge(replace(LOST, last_seen=NOW - 0.5), sense)
    assert verdict.proof is None
    assert "can't be trusted" in (verdict.alarm or "")
    booted = judge(replace(LOST, last_seen=NOW - 0.5, boot_id="boot-2"), sense)
    assert booted.alarm is None


def test_storage_alone_proves_only_behind_a_watchdog() -> None:
    blocked = replace(GONE, fencing=False, history=None, blocked_since=NOW - 100)
    assert judge(replace(LOST, lost_at=NOW - 100), blocked).proof is None
    settings = replace(SETTINGS, self_fence_after=30.0)
    early = judge(LOST, blocked, settings)
    assert early.proof is None
    assert BlockStorage() in early.steps
    proof = judge(replace(LOST, lost_at=NOW - 31), replace(blocked, blocked_since=NOW - 30), settings).proof
    assert proof is not None
    assert proof.strength is Strength.STORAGE


def test_who_was_shut_out_and_never_fenced_is_let_in_again() -> None:
    verdict = judge(replace(LOST, last_seen=NOW - 1), replace(WELL, blocked_since=NOW - 5))
    assert (verdict.state, verdict.steps) == (State.UP, (AdmitStorage(),))


def test_nobody_is_at_home_while_it_is_unknown_whether_the_storage_shuts_it_out() -> None:
    verdict = judge(BACK, replace(WELL, storage_silent=True))
    assert (verdict.state, verdict.home) == (State.RETURNING, False)
    assert "can't be asked" in (verdict.reason or "")
    assert judge(BACK, replace(WELL, storage=True)).home


def test_which_disks_a_proof_is_enough_for() -> None:
    may = {(disk, strength): rules.may_evacuate(State.FENCED, strength, disk) is None
           for disk, strength in product(ENOUGH, Strength)}
    assert {key for key, allowed in may.items() if allowed} == {
        ("shared", Strength.POWER_READ), ("shared", Strength.OPERATOR), ("rbd", Strength.STORAGE),
        ("rbd", Strength.POWER), ("rbd", Strength.POWER_READ), ("rbd", Strength.OPERATOR),
        *(("doomed", strength) for strength in Strength)}
    for state, strength, disk in product(State, (None, *Strength), ENOUGH):
        if state is not State.FENCED or strength is None:
            assert rules.may_evacuate(state, strength, disk)


# -- planned

@pytest.mark.parametrize("standing", [Standing.LOST, Standing.ABSENT, Standing.LEAVING])
def test_a_planned_stop_is_no_loss_until_its_end(standing: Standing) -> None:
    record = replace(MACHINE, planned_until=NOW + 1, planned_at=NOW - 60)
    verdict = judge(record, replace(GONE, standing=standing))
    assert verdict.state is State.STOPPED
    assert "no fail-over" in (verdict.reason or "")
    late = judge(replace(record, state=State.STOPPED, planned_gone=True),
                 replace(GONE, standing=Standing.LOST, now=NOW + 2))
    assert (late.state, late.lost_at) == (State.LOST, NOW + 1)


def test_a_planned_stop_ends_when_the_machine_is_back_or_never_went() -> None:
    record = replace(MACHINE, planned_until=NOW + 60)
    assert not judge(record, WELL).home
    assert judge(replace(record, planned_gone=True, state=State.STOPPED), WELL).home
    assert judge(replace(record, planned_until=NOW - 1), WELL).home


# -- back

BACK = replace(LOST, state=State.RETURNING, returned_at=NOW - 5, last_seen=NOW - 1, boot_id="boot-2")


RETURNS = replace(SETTINGS, return_after=60.0)
FENCED = replace(LOST, state=State.FENCED, strength=Strength.POWER_READ, lost_at=NOW - 61)
FENCED_BEFORE = replace(OFF, completed_at=NOW - 55)
STAYS_OFF = replace(GONE, standing=Standing.ABSENT, power_off=True, history=(FENCED_BEFORE,))


def test_a_fenced_machine_is_switched_on_again_where_that_is_wanted() -> None:
    assert judge(FENCED, STAYS_OFF, RETURNS).steps == (SwitchOn(),)
    assert judge(FENCED, STAYS_OFF).steps == ()
    assert judge(replace(FENCED, lost_at=NOW - 59), STAYS_OFF, RETURNS).steps == ()


@pytest.mark.parametrize("sense", [
    replace(STAYS_OFF, power_off=False), replace(STAYS_OFF, power_off=None), replace(STAYS_OFF, history=None),
    replace(STAYS_OFF, history=(replace(FENCED_BEFORE, action="on", completed_at=NOW - 20), FENCED_BEFORE)),
    replace(STAYS_OFF, history=(replace(FENCED_BEFORE, action="on", status="failed", completed_at=NOW - 20),)),
    replace(STAYS_OFF, history=(replace(FENCED_BEFORE, action="on", status="pending", completed_at=0),)),
    replace(STAYS_OFF, history=(FENCED_BEFORE, replace(OFF, completed_at=NOW - 1800))),
    replace(STAYS_OFF, history=(replace(FENCED_BEFORE, device=BY_HAND),)),
])
def test_it_is_switched_on_once_and_not_when_it_is_fenced_often_or_by_hand(sense: Sense) -> None:
    assert not any(isinstance(step, SwitchOn) for step in judge(FENCED, sense, RETURNS).steps)


def test_who_a_person_has_seen_to_be_off_stays_off() -> None:
    assert judge(replace(FENCED, strength=Strength.OPERATOR), STAYS_OFF, RETURNS).steps == ()


def test_a_fenced_machine_that_is_a_member_again_is_returning() -> None:
    record = replace(LOST, state=State.FENCED, strength=Strength.POWER_READ)
    assert judge(record, GONE).state is State.FENCED
    assert judge(record, WELL).state is State.RETURNING
    assert judge(record, replace(GONE, beat=Beat.ALIVE)).state is State.RETURNING


def test_it_is_at_home_once_it_has_given_up_what_is_not_its_own() -> None:
    assert judge(BACK, WELL) == Verdict(State.UP, home=True)
    for record, sense in ((replace(BACK, strangers=("s1",)), WELL), (replace(BACK, caught_up=False), WELL),
                          (BACK, replace(WELL, standing=Standing.LOST)), (BACK, replace(WELL, beat=Beat.UNKNOWN)),
                          (replace(BACK, last_seen=NOW - 6), WELL)):
        verdict = judge(record, sense)
        assert (verdict.state, verdict.home) == (State.RETURNING, False)
        assert verdict.reason


def test_the_boot_that_was_fenced_is_not_trusted_again() -> None:
    verdict = judge(replace(BACK, boot_id="boot-1"), WELL)
    assert (verdict.state, verdict.distrusted, verdict.home) == (State.RETURNING, True, False)
    assert "never went off" in (verdict.alarm or "")


def test_a_returning_machine_that_is_lost_again_needs_a_new_proof() -> None:
    gone = replace(GONE, now=NOW + 60, beat_age=61.0, member_at=NOW)
    verdict = judge(BACK, replace(gone, history=(OFF,), power_off=True))
    assert (verdict.state, verdict.proof, verdict.lost_at) == (State.LOST, None, NOW)
    booting = replace(GONE, now=NOW, member_at=None)
    assert judge(replace(BACK, last_seen=NOW - 60), booting).state is State.RETURNING


def test_one_that_was_lost_again_before_it_was_at_home_still_has_to_come_home() -> None:
    again = replace(BACK, state=State.LOST, distrusted=True)
    verdict = judge(again, WELL)
    assert (verdict.state, verdict.home, verdict.distrusted) == (State.RETURNING, False, True)
    assert judge(again, replace(GONE, now=NOW + 60)).distrusted


def test_a_stronger_proof_is_taken_when_the_device_answers_again() -> None:
    record = replace(LOST, state=State.FENCED, strength=Strength.POWER)
    proof = judge(record, replace(GONE, power_off=True)).proof
    assert proof is not None
    assert proof.strength is Strength.POWER_READ


# -- settings

@pytest.mark.parametrize("settings", [
    Settings(heartbeat=3.0), Settings(grace=1.0), Settings(stall=0.0), Settings(stall=11.0), Settings(at_once=0),
    Settings(take_over="maybe")])
def test_settings_that_would_take_the_living_for_lost_are_refused(settings: Settings) -> None:
    with pytest.raises(ValueError):
        settings.check()
    SETTINGS.check()


def test_a_machine_that_answers_somewhere_is_not_off_whatever_its_device_says() -> None:
    verdict = fenced(replace(GONE, answers_at="10.0.1.2"))
    assert verdict.state is State.LOST
    assert verdict.proof is None
    assert "answers at 10.0.1.2" in (verdict.alarm or "")
