"""Moving servers off a fenced machine: queueing them, moving one, how they stand.

Theory of operation. Whether the proof still holds and the move itself are one transaction, which takes the machine's
lock first; so does whoever hears of the machine again (``machines.heard_of``). Of the two, one comes first everywhere:
either the server has left the machine's document before the machine gets that document, or the move doesn't happen.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from stackling.compute import facade as compute
from stackling.ha import plan, rows
from stackling.ha.model import Evacuation, Look, Server, Settings, State, Strength
from stackling.ha.rules import may_evacuate
from stackling.store.transaction import Tx


class Full(Exception):
    """As many evacuated servers as may are starting on the host that was chosen."""

    def __init__(self, host: str, number: int) -> None:
        super().__init__(f"{number} evacuated servers are starting on {host}; this one waits for its turn")


def queue(tx: Tx, machine: Row[Any], strength: Strength, settings: Settings) -> tuple[int, int]:
    """Queue what can be moved off *machine*, hold what can't; (queued, held) that are new. Idempotent."""
    queued = held = 0
    for host in rows.hosts_of(tx, machine.id):
        for position, moving in enumerate(compute.servers_to_move(tx, host.id)):
            found = rows.server(tx, moving.id)
            disk = "doomed" if found is not None and found.deleting else moving.disk
            why = may_evacuate(State.FENCED, strength, disk)
            state = Evacuation.QUEUED if why is None else Evacuation.HELD
            known = rows.evacuation(tx, moving.id)
            if known is not None and not _is_new(known, machine.id, state):
                continue
            values = {
                "machine_id": machine.id, "host_id": host.id, "state": state.value, "disk": disk,
                "priority": moving.priority, "position": position, "reason": why, "target_id": None, "target": None,
                "since": tx.time, "moved_at": None, "deadline_at": tx.time + settings.deadline}
            if known is None:
                rows.add_evacuation(tx, {"server_id": moving.id, "generation": 1, "updated_at": tx.now, **values})
            else:
                rows.set_evacuation(tx, moving.id, generation=known.generation + 1, **values)
            if why is None:
                queued += 1
                tx.nudge(rows.EVACUATION, moving.id, deadline=settings.deadline)
            else:
                held += 1
            _event(tx, moving.id, "evacuation_queued" if why is None else "evacuation_held",
                   why or "its host is lost and fenced; another host is sought")
    return queued, held


def _is_new(known: Row[Any], machine_id: str, state: Evacuation) -> bool:
    """Whether the row is of an earlier loss, or was held and needn't be any more."""
    if known.machine_id != machine_id or known.state in (*plan.OVER, Evacuation.MOVING):
        return True
    return known.state == Evacuation.HELD and state is Evacuation.QUEUED


def look(tx: Tx, server_id: str) -> Look | None:
    """How the evacuation stands; None when there is none."""
    row = rows.evacuation(tx, server_id)
    if row is None:
        return None
    machine = rows.machine(tx, row.machine_id)
    state = State.UP if machine is None or machine.state is None else State(machine.state)
    if rows.holder(tx, row.host_id) != row.machine_id:
        state = State.UP                # the identity has moved, with its servers
    strength = None if machine is None or machine.strength is None else Strength(machine.strength)
    found = rows.server(tx, server_id)
    return Look(Evacuation(row.state), row.host_id, row.disk, state, strength, _server(found),
                rows.ahead(tx, row) if row.state == Evacuation.QUEUED else None)


def _server(row: Row[Any] | None) -> Server:
    if row is None or row.deleted:
        return Server(None, None, settled=True, gone=True)
    settled = bool(row.observed_converged) and row.observed_generation >= row.generation
    return Server(row.host_id, row.host, settled, False, None if settled else row.observed_error)


def move(tx: Tx, server_id: str, generation: int, settings: Settings) -> str | None:
    """Give the server another host, if the proof still holds; why not, or None. Raises ``Full``, changing nothing."""
    row = rows.evacuation(tx, server_id)
    if row is None or row.generation != generation:
        return None
    rows.lock(tx, row.machine_id)
    now = look(tx, server_id)
    assert now is not None
    state, reason = plan.standing(now)
    if state not in (Evacuation.QUEUED, Evacuation.WAITING):
        return reason
    machine = rows.machine(tx, row.machine_id)
    name = machine.name if machine is not None else row.machine_id
    refusal = compute.evacuate(tx, server_id, reason=f"machine {name} is lost and fenced")
    if refusal is not None:
        rows.set_evacuation(tx, server_id, state=Evacuation.WAITING.value, reason=refusal)
    else:
        server = rows.server(tx, server_id)
        assert server is not None
        tx.guard(f"ha.target:{server.host_id}")
        starting = rows.starting(tx, server.host_id, server_id, tx.time - settings.slow)
        if starting >= settings.at_once:
            raise Full(server.host, starting)
        rows.set_evacuation(tx, server_id, state=Evacuation.MOVING.value, reason=None, target_id=server.host_id,
                            target=server.host, moved_at=tx.time)
        tx.event(None, rows.MACHINE, row.machine_id, "evacuated", f"server {server_id} moves to {server.host}",
                 source="ha")
    tx.wake_blocked(rows.EVACUATION, server_id)
    return refusal


def conclude(tx: Tx, server_id: str, error: str | None, *, overdue: bool) -> None:
    """Write down how the evacuation stands after a turn. *error*: why the turn didn't end it."""
    row, now = rows.evacuation(tx, server_id), look(tx, server_id)
    if row is None or now is None:
        return
    state, reason = plan.standing(now)
    if state in (Evacuation.QUEUED, Evacuation.WAITING):
        reason = error
    if overdue and row.state == state and not (row.reason or "").startswith("overdue"):
        reason = f"overdue: {reason}"
        _event(tx, server_id, "evacuation_overdue", reason)
    elif overdue and row.reason is not None and row.reason.startswith("overdue"):
        reason = f"overdue: {reason}"
    values = {"state": state.value, "reason": reason}
    if state is Evacuation.MOVING and row.target_id != now.server.host_id:
        values |= {"target_id": now.server.host_id, "target": now.server.host, "moved_at": tx.time}
    if all(getattr(row, name) == value for name, value in values.items()):
        return
    rows.set_evacuation(tx, server_id, **values)
    if state is Evacuation.DONE and row.state != Evacuation.DONE:
        _event(tx, server_id, "evacuation_done", f"runs on {now.server.host}")


def _event(tx: Tx, server_id: str, event: str, message: str) -> None:
    found = rows.server(tx, server_id)
    tx.event(None, "server", server_id, event, message, source="ha",
             project_id=None if found is None else found.project_id)
