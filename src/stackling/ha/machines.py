"""Machines: writing down what was concluded, hearing of a fenced one again, planned stops, the operator's word."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from stackling.compute import facade as compute
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.ha import evacuations, rows
from stackling.ha.model import Proof, Record, Sense, Settings, State, Strength, Verdict
from stackling.store.transaction import Tx

LONGEST_STOP = 7 * 86400
HELD_BACK = "ha: planned stop"
"""How the reason begins for which a planned stop keeps new servers away from a host."""


def record_of(tx: Tx, machine_id: str) -> Record | None:
    """All that the rules must know of a machine."""
    row = rows.machine(tx, machine_id)
    return None if row is None else full_record(tx, row)


def full_record(tx: Tx, row: Row[Any]) -> Record:
    """The same, from its row."""
    strangers: list[str] = []
    caught_up = True
    if row.state == State.RETURNING:
        for host in rows.hosts_of(tx, row.id):
            strangers += host.unknown_guests or []
            caught_up = caught_up and not compute.to_give_up(tx, host.id)
    return rows.record(row, strangers, caught_up)


def records(tx: Tx) -> dict[str, Record]:
    """What is concluded of every machine, by name (without what it still runs)."""
    return {row.name: rows.record(row) for row in rows.every(tx)}


# -- conclusions

def conclude(tx: Tx, record: Record, sense: Sense, verdict: Verdict, settings: Settings) -> None:
    """Write down what a turn has concluded, with all that follows from it."""
    row = rows.machine(tx, record.id)
    if row is None:
        return
    values: dict[str, Any] = {
        "state": verdict.state.value, "reason": verdict.reason, "alarm": verdict.alarm,
        "standing": None if sense.standing is None else sense.standing.value, "distrusted": verdict.distrusted,
        "lost_at": verdict.lost_at}
    if sense.asked_at is not None and sense.asked_at > (record.asked_at or 0.0):
        values["asked_at"] = sense.asked_at
    if verdict.state is State.LOST and record.state is not State.LOST:
        values["lost_boot_id"] = record.boot_id
    if verdict.proof is not None:
        values |= _fenced(tx, row, record, verdict, verdict.proof)
    if verdict.state is State.STOPPED:
        values["planned_gone"] = 1
    if verdict.state is State.RETURNING and record.state is State.FENCED:
        values |= _returning(tx, row)
    elif verdict.state is State.RETURNING and record.state is not State.RETURNING:
        values["lost_boot_id"] = None           # nobody took it for fenced this time: it may be in the same boot
    if verdict.home:
        values |= _home(tx, row, record)
    if verdict.state is not record.state:
        rows.set_suspect(tx, row.id, verdict.state not in (State.UP, State.UNMANAGED))
    _tell(tx, row, record, verdict)
    before = rows.mapping(row)
    if row.state is None or any(before[name] != value for name, value in values.items()):
        rows.put(tx, record.id, values)
    if verdict.state is State.FENCED:
        _follow(tx, row, verdict, record, settings)
    if verdict.state is State.LOST and record.state is not State.LOST:
        tx.nudge(rows.MACHINE, record.id)


def _fenced(tx: Tx, row: Row[Any], record: Record, verdict: Verdict, proof: Proof) -> dict[str, Any]:
    """A proof has been found (or a stronger one): store it and mark the hosts."""
    rows.lock(tx, row.id)
    id = new_id()
    rows.add_proof(tx, id, row.id, proof, verdict.lost_at)
    for host in rows.hosts_of(tx, row.id):
        compute.host_lost(tx, host.id, proof.summary)
    tx.event(None, rows.MACHINE, row.id, "fenced", proof.summary, source="ha",
             details={"source": proof.source, "strength": proof.strength.value, "evidence": proof.evidence})
    boot = record.lost_boot_id or record.boot_id
    return {"proof_id": id, "fenced_at": proof.proven_at, "lost_boot_id": boot, "returned_at": None}


def _follow(tx: Tx, row: Row[Any], verdict: Verdict, record: Record, settings: Settings) -> None:
    strength = verdict.proof.strength if verdict.proof is not None else record.strength
    if settings.take_over != "evacuate" or strength is None:
        return
    queued, held = evacuations.queue(tx, row, strength, settings)
    if queued or held:
        tx.event(None, rows.MACHINE, row.id, "evacuating",
                 f"{queued} servers are moved to other hosts, {held} must stay", source="ha")


def _home(tx: Tx, row: Row[Any], record: Record) -> dict[str, Any]:
    """It may take servers again."""
    for host in rows.hosts_of(tx, row.id):
        if host.fenced and record.state is State.RETURNING:
            compute.host_back(tx, host.id)
        if host.disabled and (host.disabled_reason or "").startswith(HELD_BACK):
            rows.set_disabled(tx, host.id, None)
    rows.forget_evacuations(tx, row.id)
    return {"proof_id": None, "fenced_at": None, "lost_boot_id": None, "returned_at": None, "planned_at": None,
            "planned_until": None, "planned_reason": None, "planned_by": None, "planned_gone": 0}


_EVENTS = {
    State.UP: "up", State.SILENT: "silent", State.APART: "apart", State.LEAVING: "leaving", State.STOPPED: "stopped",
    State.LOST: "lost", State.RETURNING: "returning", State.UNMANAGED: "unmanaged",
}


def _tell(tx: Tx, row: Row[Any], record: Record, verdict: Verdict) -> None:
    """Write changes to the timelines of the machine and of its servers."""
    if verdict.alarm is not None and verdict.alarm != record.alarm:
        tx.event(None, rows.MACHINE, row.id, "alarm", verdict.alarm, source="ha")
    changed = verdict.state is not record.state
    if verdict.state is State.FENCED or not (changed or verdict.reason != record.reason):
        return
    if changed and not (row.state is None and verdict.state is State.UP):
        tx.event(None, rows.MACHINE, row.id, _EVENTS[verdict.state], verdict.reason, source="ha")
    elif verdict.state is State.LOST and verdict.reason is not None:
        tx.event(None, rows.MACHINE, row.id, "held_back", verdict.reason, source="ha")
    if changed and verdict.state is State.LOST:
        for server in rows.servers_on(tx, row.id):
            tx.event(None, "server", server.id, "host_lost", "its host is lost; it is moved only once the host is "
                     "proven to be off", source="ha", project_id=server.project_id)


# -- a machine that is heard of

def beat(tx: Tx, machine_id: str, boot_id: str) -> None:
    """The heartbeat of a machine that holds no host and so has nothing else to report."""
    heard_of(tx, machine_id)
    rows.seen(tx, machine_id, boot_id)


def booted(tx: Tx, ref: str, boot_id: str) -> None:
    """The machine of this name or id says that it has booted: a sign of life, and nothing more."""
    row = rows.named(tx, ref)
    if row is not None:
        beat(tx, row.id, boot_id)


def is_fenced(tx: Tx, machine_id: str) -> bool:
    """Whether a proof is in force, which must end (``heard_of``) before the machine gets any answer."""
    return rows.state(tx, machine_id) is State.FENCED


def heard_of(tx: Tx, machine_id: str) -> None:
    """Control takes a request from the machine: whatever proof there was ends before it is answered."""
    if rows.state(tx, machine_id) is not State.FENCED:
        return
    rows.lock(tx, machine_id)
    row = rows.machine(tx, machine_id)
    if row is None or row.state != State.FENCED:
        return
    values = _returning(tx, row)
    tx.event(None, rows.MACHINE, machine_id, "returning", "its agent asks for its documents again", source="ha")
    rows.put(tx, machine_id, {"state": State.RETURNING.value, **values}, desired=True)
    tx.nudge(rows.MACHINE, machine_id)


def _returning(tx: Tx, row: Row[Any]) -> dict[str, Any]:
    rows.lock(tx, row.id)
    rows.end_proof(tx, row.proof_id)
    left = rows.void_evacuations(tx, row.id, "its machine came back first")
    if left:
        tx.event(None, rows.MACHINE, row.id, "evacuation_ended", f"{left} servers weren't moved and stay", source="ha")
    return {"returned_at": tx.time, "proof_id": None}


# -- what operators say

def get_machine(tx: Tx, ref: str) -> Row[Any]:
    """By name or id; raises ``NotFound``."""
    row = rows.named(tx, ref)
    if row is None:
        raise NotFound(f"There is no machine {ref}.")
    return row


def plan_stop(tx: Tx, ctx: Context, ref: str, seconds: float, reason: str | None) -> None:
    """Announce that the machine will go: no fail-over for so long, and no new servers. Repeating it moves the end.

    Raises ``NotFound``, ``Invalid``, ``Conflict``.
    """
    row = get_machine(tx, ref)
    if not 0 < seconds <= LONGEST_STOP:
        raise Invalid(f"A planned stop lasts up to {LONGEST_STOP} seconds, not {seconds:g}.")
    if row.state in (State.LOST, State.FENCED, State.RETURNING):
        raise Conflict(f"Machine {row.name} is {row.state} already; a stop can be planned only beforehand.")
    rows.lock(tx, row.id)
    until = tx.time + seconds
    words = HELD_BACK + (f": {reason}" if reason else "")
    for host in rows.hosts_of(tx, row.id):
        if not host.disabled:
            rows.set_disabled(tx, host.id, words)
    rows.put(tx, row.id, {"planned_at": tx.time, "planned_until": until, "planned_reason": reason,
                          "planned_by": ctx.user_id, "planned_gone": 0}, desired=True)
    tx.event(ctx, rows.MACHINE, row.id, "stop_planned",
             f"no fail-over until {clock.seconds_z(clock.instant(until))}" + (f": {reason}" if reason else ""))
    tx.nudge(rows.MACHINE, row.id)


def resume(tx: Tx, ctx: Context, ref: str) -> None:
    """End a planned stop, and trust a machine again that was taken for fenced and lived on."""
    row = get_machine(tx, ref)
    rows.lock(tx, row.id)
    for host in rows.hosts_of(tx, row.id):
        if host.disabled and (host.disabled_reason or "").startswith(HELD_BACK):
            rows.set_disabled(tx, host.id, None)
    values: dict[str, Any] = {"planned_at": None, "planned_until": None, "planned_reason": None, "planned_by": None,
                              "planned_gone": 0, "distrusted": False, "alarm": None}
    if row.state == State.RETURNING:
        values["lost_boot_id"] = None
    rows.put(tx, row.id, values, desired=True)
    tx.event(ctx, rows.MACHINE, row.id, "resumed", "an operator ended the planned stop or gave the all-clear")
    tx.nudge(rows.MACHINE, row.id)


def confirm_off(tx: Tx, ctx: Context, ref: str, confirmation: object, settings: Settings) -> None:
    """An operator has seen that a lost machine is off, and takes the responsibility: its servers are moved.

    *confirmation* must be the machine's name. Raises ``Invalid``, ``Conflict``.
    """
    row = get_machine(tx, ref)
    if confirmation != row.name:
        raise Invalid(f"To confirm that the machine is off, `confirm` must be its name, {row.name!r}. If it isn't off, "
                      "servers will run twice and destroy their disks.")
    rows.lock(tx, row.id)
    record = rows.record(row)
    if record.state is not State.LOST:
        raise Conflict(f"Machine {row.name} is {record.state}, not lost: there is nothing to confirm.")
    proof = Proof("operator", Strength.OPERATOR, f"user {ctx.user_id} confirmed that it is off", tx.time, {
        "user_id": ctx.user_id, "request_id": ctx.request_id, "lost_at": record.lost_at, "boot_id": record.boot_id,
        "last_heartbeat": record.last_seen, "reason_before": record.reason})
    verdict = Verdict(State.FENCED, None, None, lost_at=record.lost_at, proof=proof)
    values = _fenced(tx, row, record, verdict, proof)
    rows.put(tx, row.id, {"state": State.FENCED.value, "reason": None, "alarm": None, **values}, desired=True)
    _follow(tx, row, verdict, record, settings)
    tx.nudge(rows.MACHINE, row.id)
