"""Who is alive, who may be fenced, and what proves that a machine is. Pure.

Theory of operation (DESIGN §10). A machine is alive while the quorate membership has it *or* its agent reports; only
when both are lost may it be fenced, and never while more than a minority of machines is missing, because then it is
more likely we who are cut off. (Who is seen to be off counts as fenced even then: the cluster engine, which asks for
its own quorum, may have fenced it.) *Unknown is not dead*: where the membership, the heartbeat or the fencer's history
can't be known, nothing is concluded and nothing that was concluded is taken back.

*Pacemaker's own fencing*. Pacemaker switches off by its membership alone, usually before a heartbeat counts as lost.
What it has switched off by itself, and what reads off, isn't waited for: it needs to have been silent for two
heartbeats only, or, when nobody could take heartbeats in (the database stood still, because it lost a member, too), its
kernel must be silent at all of its addresses.

A proof of fencing is a success in the fencer's history that is younger than the machine's last sign of life, and that
nothing contradicts: the power device, where it can be asked, reads off; the machine is no member; no heartbeat came
after it. A device that says "done" while the machine lives raises an alarm and proves nothing.

A proof ends with the first request that control takes from the machine (``returned_at``): from then on the machine may
be running what it still owns, so nothing more is moved away from it on the old proof. What was moved already it gives
up; then it is at home again. A machine that comes back in the very boot that was "fenced" was never off: its fence
device can't be trusted, and it stays disabled until an operator has looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackling.core import clock
from stackling.ha.model import (
    ENOUGH,
    AdmitStorage,
    AskFencer,
    Beat,
    BlockStorage,
    Crowd,
    Proof,
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

NO_FENCING = "no fencing is configured"
GONE = (Standing.LOST, Standing.ABSENT)
FENCING_ACTIONS = ("off", "reboot")
OFTEN = 3600.0
"""Seconds within which a machine that is fenced a second time stays off."""


def judge(record: Record, sense: Sense, settings: Settings) -> Verdict:
    """What *record* is, as seen by *sense*, and what to do next."""
    if record.state in (State.FENCED, State.RETURNING):
        return _after_fencing(record, sense, settings)
    if sense.standing is None:
        return Verdict(record.state, sense.unknown or "the cluster's membership is unknown; nothing is concluded",
                       record.alarm, _waiting(record.state is not State.UP, "the membership is unknown"),
                       lost_at=record.lost_at)
    if _planned(record, sense):
        return _planned_stop(record, sense)
    if record.returned_at is not None and _heard(sense):
        return _back_again(record)
    return _present(record, sense, settings) or replace(
        _missing(record, sense, settings), distrusted=record.distrusted)


def planned(record: Record, now: float) -> bool:
    """Whether a planned stop is in force."""
    return record.planned_until is not None and now < record.planned_until


def crowd(records: Mapping[str, Record], standings: Mapping[str, Standing], now: float) -> Crowd:
    """Counts the machines of the membership, by name, but those that are proven off or stopped by plan."""
    total = missing = 0
    for name, standing in standings.items():
        record = records.get(name)
        explained = record is not None and (record.state is State.FENCED or planned(record, now))
        if standing in GONE and explained:
            continue
        total += 1
        missing += standing in GONE
    return Crowd(total, missing)


def needs_history(record: Record, sense: Sense) -> bool:
    """Whether the fencer has to be asked what it did."""
    if record.state in (State.FENCED, State.RETURNING) or sense.standing is None or _planned(record, sense):
        return False
    return record.last_seen is not None and (sense.standing in GONE or record.lost_at is not None)


def may_evacuate(state: State, strength: Strength | None, disk: str) -> str | None:
    """Why a server with this kind of disk may not be moved off a machine; None when it may."""
    if state is not State.FENCED or strength is None:
        return "its machine isn't fenced"
    if strength in ENOUGH[disk]:
        return None
    if disk == "local":
        return "its disk is on the lost machine: it stays until the machine is back or an operator decides"
    return "its disk is in a shared directory, for which the power must read off, and the device can't be asked"


# -- the present

def _present(record: Record, sense: Sense, settings: Settings) -> Verdict | None:
    """A machine that is alive or may be."""
    if record.last_seen is None:
        return Verdict(State.UNMANAGED, "its agent has never reported")
    if sense.standing is Standing.MEMBER:
        if sense.beat is Beat.LOST:
            reason = (f"it is a member of the cluster, but its agent has not reported for {_age(sense)}; a living "
                      "machine is not fenced")
            return Verdict(State.SILENT, reason, _contradiction(record, sense))
        state = State.UP if sense.beat is Beat.ALIVE or record.state is not State.SILENT else State.SILENT
        admit = (AdmitStorage(),) if sense.blocked_since is not None and sense.beat is Beat.ALIVE else ()
        return Verdict(state, record.reason if state is State.SILENT else None, _contradiction(record, sense), admit,
                       home=record.planned_until is not None and sense.beat is Beat.ALIVE)
    if sense.standing is Standing.LEAVING:
        return Verdict(State.LEAVING, "it is leaving the cluster", steps=_waiting(True, "it is leaving"))
    if _is_off_already(record, sense, settings):
        return None
    if sense.beat is Beat.ALIVE:
        reason = (f"it isn't a member of the cluster, but its agent reported {_age(sense)} ago: a living machine is "
                  "not fenced")
        return Verdict(State.APART, reason, _contradiction(record, sense), _waiting(True, reason), lost_at=None)
    if sense.beat is Beat.UNKNOWN:
        reason = "it isn't a member of the cluster; its heartbeat can't be judged yet"
        return Verdict(record.state, reason, record.alarm, _waiting(True, reason), lost_at=record.lost_at)
    return None


def _is_off_already(record: Record, sense: Sense, settings: Settings) -> bool:
    """Whether the membership has switched it off by itself, so surely that its heartbeat says nothing any more."""
    if sense.standing is not Standing.ABSENT or sense.power_off is not True:
        return False
    age = sense.beat_age
    if (age is not None and age < 2 * settings.heartbeat) or (sense.beat is Beat.UNKNOWN and not sense.silent):
        return False
    event = _switched_off(record, sense, _lost_at(record, sense), settings)
    return event is not None and event.device != BY_HAND and _refutation(record, sense, event, settings) is None


def _contradiction(record: Record, sense: Sense) -> str | None:
    """The alarm when the fencer claims to have switched off, since the last loss, a machine that lives in that very
    boot. It stays until an operator says ``resume``."""
    since = record.lost_at
    if since is None:
        if sense.standing is Standing.MEMBER or sense.member_at is None:
            return record.alarm
        since = sense.member_at
    event = success(sense.history, since)
    boot = record.lost_boot_id or sense.member_boot_id
    if event is None or boot is None or record.boot_id != boot or (record.last_seen or 0.0) <= event.completed_at:
        return None
    return (f"fence device {event.device or 'of ' + record.name} said at {_time(event.completed_at)} that the machine "
            "is off, and the machine goes on reporting: the device can't be trusted")


# -- the planned stop

def _planned(record: Record, sense: Sense) -> bool:
    return planned(record, sense.now)


def _planned_stop(record: Record, sense: Sense) -> Verdict:
    until = _time(record.planned_until or 0.0)
    if sense.standing is Standing.MEMBER or sense.beat is Beat.ALIVE:
        if record.planned_gone and sense.standing is Standing.MEMBER and sense.beat is Beat.ALIVE:
            return Verdict(State.UP, home=True)
        return Verdict(State.UP, f"a planned stop is announced until {until}: no fail-over")
    reason = f"stopped by plan until {until}: no fail-over"
    return Verdict(State.STOPPED, reason, steps=_waiting(True, reason))


# -- lost

def _lost_at(record: Record, sense: Sense) -> float:
    """Since when it is lost: its last sign of life."""
    if record.lost_at is not None:
        return record.lost_at
    signs = (sense.member_at, record.planned_until, record.last_seen, record.returned_at)
    return min(max((at for at in signs if at is not None), default=sense.now), sense.now)


def _switched_off(record: Record, sense: Sense, lost_at: float, settings: Settings) -> FenceEvent | None:
    """The fencer's success that is of this loss."""
    return success(sense.history, max(lost_at - settings.clock_margin, record.returned_at or 0.0))


def _missing(record: Record, sense: Sense, settings: Settings) -> Verdict:
    """Neither a member nor heard of."""
    lost_at = _lost_at(record, sense)

    def wait(reason: str, alarm: str | None = None) -> Verdict:
        return Verdict(State.LOST, reason, alarm, (Wait(reason),), lost_at=lost_at)

    refused: str | None = None
    event = _switched_off(record, sense, lost_at, settings)
    if event is not None:
        refused = _refutation(record, sense, event, settings)
        certain = sense.power_off is True or event.device == BY_HAND
        if refused is None and (certain or sense.crowd.minority):
            proof = _power_proof(record, sense, event, lost_at)
            return Verdict(State.FENCED, None, None, _shut_out(sense), lost_at=lost_at, proof=proof)
    if not sense.crowd.minority:
        missing = f"{sense.crowd.missing} of {sense.crowd.total} machines are missing, which is no minority"
        return wait(f"{missing}: nothing is fenced", f"{missing}; nothing is fenced before more of them are back, or "
                                                     "an operator confirms that they are off")
    if event is None and sense.standing is Standing.ABSENT and sense.now < lost_at + settings.left_grace:
        return wait(f"it left the cluster in order at {_time(lost_at)}; it counts as lost after "
                    f"{settings.left_grace:.0f} s")
    if proof := _storage_proof(record, sense, lost_at, settings):
        return Verdict(State.FENCED, None, refused, lost_at=lost_at, proof=proof)
    return _ask(record, sense, settings, lost_at, refused)


def _shut_out(sense: Sense) -> tuple[BlockStorage, ...]:
    """Who is fenced by power is shut out of the shared storage as well: that ends its hold on disks at once, which the
    storage would honour for half a minute, and it counts should the device have lied."""
    return (BlockStorage(),) if sense.storage and sense.blocked_since is None else ()


def _ask(record: Record, sense: Sense, settings: Settings, lost_at: float, refused: str | None) -> Verdict:
    """Ask the fencer, as often as is decent, and say why there is no proof yet.

    It is asked only after the loss stands in the database: asking may take as long as a device hangs.
    """
    known = record.state is State.LOST
    block = (BlockStorage(),) if settings.self_fence_after > 0 and known else ()
    reason, may_ask = _why_unfenced(sense, settings, lost_at, refused)
    asked_at = max(record.asked_at or 0.0, sense.asked_at or 0.0)
    if known and may_ask and sense.now - asked_at >= settings.fence_retry:
        return Verdict(State.LOST, reason, refused, (*block, AskFencer()), lost_at=lost_at)
    return Verdict(State.LOST, reason, refused, (*block, Wait(reason)), lost_at=lost_at)


def _why_unfenced(sense: Sense, settings: Settings, lost_at: float, refused: str | None) -> tuple[str, bool]:
    """(why there is no proof, whether asking the fencer can help)."""
    if not sense.fencing:
        return f"not fenced: {NO_FENCING}; its servers stay", False
    if sense.history is None:
        return f"not fenced: {sense.fencer_problem or 'the fencer can not be asked'}; its servers stay", True
    latest = next((event for event in sense.history if event.action in FENCING_ACTIONS), None)
    if latest is not None and latest.status == "pending":
        return "not fenced yet: fencing is under way; its servers stay", False
    why = refused or sense.fencer_problem
    recent = latest is not None and latest.completed_at >= lost_at - settings.clock_margin
    if why is None and latest is not None and latest.status == "failed" and recent:
        why = f"{latest.device or 'the fence device'} failed" + (f": {latest.detail}" if latest.detail else "")
    return (f"not fenced: {why}; its servers stay" if why else "not fenced yet: the fencer is asked"), True


def success(history: tuple[FenceEvent, ...] | None, since: float) -> FenceEvent | None:
    """The latest completed switching off since then."""
    for event in history or ():
        if event.action in FENCING_ACTIONS and event.status == "success" and event.completed_at > since:
            return event
    return None


def _refutation(record: Record, sense: Sense, event: FenceEvent, settings: Settings) -> str | None:
    """Why a success in the history proves nothing; None when nothing contradicts it."""
    device = event.device or "the fence device"
    if sense.power_off is False:
        return f"{device} said that it switched the machine off, and its power reads on"
    if sense.answers_at is not None:
        return f"{device} said that it switched the machine off, and it answers at {sense.answers_at}"
    if record.last_seen is not None and record.last_seen > event.completed_at + settings.clock_margin:
        return f"{device} said that it switched the machine off, and a heartbeat came after that"
    return None


def _power_proof(record: Record, sense: Sense, event: FenceEvent, lost_at: float) -> Proof:
    read = sense.power_off is True
    strength = Strength.POWER_READ if read else Strength.OPERATOR if event.device == BY_HAND else Strength.POWER
    how = "the power reads off" if read else "the power can't be read back"
    device = f" by {event.device}" if event.device and event.device != BY_HAND else ""
    if strength is Strength.OPERATOR:
        device = ", as an operator told the fencer,"
    summary = f"switched off ({event.action}){device} at {_time(event.completed_at)}; {how}"
    return Proof("power", strength, summary, sense.now, _evidence(record, sense, lost_at) | {"event": {
        "action": event.action, "status": event.status, "completed_at": event.completed_at, "device": event.device,
        "origin": event.origin, "detail": event.detail}})


def _storage_proof(record: Record, sense: Sense, lost_at: float, settings: Settings) -> Proof | None:
    """Its storage address is blocked, and the watchdog of its self-fence has had its time."""
    if settings.self_fence_after <= 0 or sense.blocked_since is None:
        return None
    if sense.now < max(sense.blocked_since, lost_at) + settings.self_fence_after:
        return None
    return Proof("storage", Strength.STORAGE,
                 f"its storage address is blocked since {_time(sense.blocked_since)}, and its watchdog has ended its "
                 "guests", sense.now, _evidence(record, sense, lost_at) | {"blocked_since": sense.blocked_since})


def _evidence(record: Record, sense: Sense, lost_at: float) -> dict[str, object]:
    return {"lost_at": lost_at, "last_heartbeat": record.last_seen, "boot_id": record.boot_id,
            "standing": sense.standing, "power_off": sense.power_off, "standings": dict(sense.standings)}


# -- fenced, and back

def _after_fencing(record: Record, sense: Sense, settings: Settings) -> Verdict:
    if record.state is State.FENCED and not _heard(sense):
        proof = None
        if record.strength is Strength.POWER and sense.power_off is True:
            proof = Proof("power", Strength.POWER_READ, "switched off; the power reads off by now", sense.now,
                          _evidence(record, sense, record.lost_at or 0.0))
        switch_on, reason = _switch_on(record, sense, settings)
        return Verdict(State.FENCED, reason or record.reason, record.alarm, (*_shut_out(sense), *switch_on),
                       lost_at=record.lost_at, proof=proof)
    if sense.standing is None:
        reason = sense.unknown or "the cluster's membership is unknown; nothing is concluded"
        return Verdict(State.RETURNING, reason, record.alarm, (Wait(reason),), lost_at=record.lost_at,
                       distrusted=record.distrusted)
    if sense.standing in GONE and sense.beat is Beat.LOST and (
            record.returned_at is None or sense.now >= record.returned_at + settings.grace):
        return replace(_missing(replace(record, lost_at=None), sense, settings), distrusted=record.distrusted)
    return _returning(record, sense)


def _heard(sense: Sense) -> bool:
    return sense.standing is Standing.MEMBER or sense.beat is Beat.ALIVE


def _back_again(record: Record) -> Verdict:
    """It was lost again before it was at home, and not proven to be off: it may still run what isn't its own."""
    reason = "it is back again, and hadn't been at home when it was lost"
    return Verdict(State.RETURNING, reason, record.alarm, (Wait(reason),), lost_at=record.lost_at,
                   distrusted=record.distrusted)


def may_return(record: Record, now: float, settings: Settings) -> bool:
    """Whether it is time to switch a fenced machine on again. Not where a person has said that it is off: that one may
    have hands in it."""
    return (settings.return_after > 0 and record.state is State.FENCED and record.lost_at is not None
            and record.strength in (Strength.POWER, Strength.POWER_READ)
            and now >= record.lost_at + settings.return_after)


def _switch_on(record: Record, sense: Sense, settings: Settings) -> tuple[tuple[SwitchOn, ...], str | None]:
    """Once after each fencing, unless it is fenced often; and what to say of it."""
    if not may_return(record, sense.now, settings) or sense.power_off is not True or sense.history is None:
        return (), None
    since = record.lost_at or 0.0
    tried = next((event for event in sense.history if event.action == "on"
                  and (event.completed_at > since or event.status == "pending")), None)
    if tried is not None:
        return (), "it was to be switched on again, and is off; that isn't tried twice"
    times = [event for event in sense.history if event.action in FENCING_ACTIONS and event.status == "success"
             and event.completed_at > sense.now - OFTEN]
    if len(times) > 1 or any(event.device == BY_HAND for event in times):
        return (), f"it stays off: it was fenced {len(times)} times within an hour, or a person saw to it"
    return (SwitchOn(),), "it is switched on again"


def _returning(record: Record, sense: Sense) -> Verdict:
    """It is heard of again; is it at home?"""
    alarm, distrusted = record.alarm, record.distrusted
    reports = sense.beat is Beat.ALIVE and (record.last_seen or 0.0) > (record.returned_at or 0.0)
    if reports and record.lost_boot_id is not None and record.boot_id == record.lost_boot_id:
        distrusted = True
        alarm = (f"{record.name} was taken for fenced and never went off: its fence device can't be trusted, and its "
                 "servers may have run twice")
    if reports and not distrusted and sense.blocked_since is not None:
        return Verdict(State.RETURNING, "it is back, and is let in to the shared storage again", alarm,
                       (AdmitStorage(),), lost_at=record.lost_at)
    if sense.standing is not Standing.MEMBER:
        reason = "it is coming back: it isn't a member of the cluster yet"
    elif not reports:
        reason = "it is coming back: its agent doesn't report yet"
    elif sense.storage_silent and not distrusted:
        reason = "it is back; whether the shared storage still shuts it out can't be asked now"
    elif not record.caught_up:
        reason = "it is back, and gives up what is no longer its own"
    elif record.strangers:
        reason = f"it is back, and still runs what isn't its own: {', '.join(record.strangers[:5])}"
    elif distrusted:
        reason = ("it was taken for fenced and never went off: see to its fence device, then say "
                  f"`stackling ha resume {record.name}`")
    else:
        return Verdict(State.UP, home=True)
    return Verdict(State.RETURNING, reason, alarm, (Wait(reason),), lost_at=record.lost_at, distrusted=distrusted)


# -- words

def _waiting(waits: bool, reason: str) -> tuple[Wait, ...]:
    return (Wait(reason),) if waits else ()


def _age(sense: Sense) -> str:
    return "long" if sense.beat_age is None else f"{sense.beat_age:.0f} s"


def _time(at: float) -> str:
    return clock.instant(at)[11:19]
