"""Machines and their evacuations for people, and why nothing more is done about one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Row

from stackling.core import clock
from stackling.ha import machines, rows
from stackling.ha.model import Evacuation, State
from stackling.store.transaction import Tx


def list_machines(tx: Tx) -> list[dict[str, Any]]:
    """Every machine, by name, with the number of its evacuations by state."""
    counts = rows.evacuation_counts(tx)
    held: dict[str, list[Row[Any]]] = {}
    for host in rows.all_hosts(tx):
        held.setdefault(host.machine_id or "", []).append(host)
    return [_machine(tx, row, held.get(row.id, ()), counts.get(row.id, {})) for row in rows.every(tx)]


def show_machine(tx: Tx, ref: str) -> dict[str, Any]:
    """One machine, with its proofs and evacuations. Raises ``NotFound``."""
    row = machines.get_machine(tx, ref)
    moves = rows.evacuations(tx, row.id)
    counts: dict[str, int] = {}
    for move in moves:
        counts[move.state] = counts.get(move.state, 0) + 1
    shown = _machine(tx, row, rows.hosts_of(tx, row.id), counts)
    return shown | {
        "evacuations": [_evacuation(move) for move in moves],
        "proofs": [_proof(proof) for proof in rows.proofs(tx, row.id)]}


def why(tx: Tx, kind: str, id: str) -> str | None:
    """Why nothing more is done about a machine, or a server whose machine isn't well; None when all is well.

    Names no machine to those who ask about a server: its owner may not know them.
    """
    if kind == rows.MACHINE:
        row = rows.named(tx, id)
        return None if row is None else _sentence(row, f"machine {row.name}")
    if kind != "server":
        return None
    move = rows.evacuation(tx, id)
    if move is not None and move.state in (Evacuation.WAITING, Evacuation.QUEUED, Evacuation.HELD) and move.reason:
        return f"its host is lost; not moved: {move.reason}"
    server = rows.server(tx, id)
    holder = None if server is None or server.deleted or server.host_id is None else rows.holder(tx, server.host_id)
    row = None if holder is None else rows.machine(tx, holder)
    return None if row is None else _sentence(row, "its host")


def _sentence(row: Row[Any], subject: str) -> str | None:
    if row.state in (None, State.UP) and not row.reason:
        return None
    since = f" since {_time(row.lost_at)}" if row.lost_at is not None and row.state == State.LOST else ""
    proof = f" ({row.summary})" if row.state == State.FENCED and row.summary else ""
    return f"{subject} is {row.state}{since}{proof}" + (f"; {row.reason}" if row.reason else "")


def _machine(tx: Tx, row: Row[Any], held: Sequence[Row[Any]], counts: Mapping[str, int]) -> dict[str, Any]:
    fenced = row.proof_id is not None
    return {
        "id": row.id, "name": row.name, "state": row.state or State.UP.value, "standing": row.standing,
        "reason": row.reason, "alarm": row.alarm, "boot_id": row.boot_id,
        "heartbeat_at": _time(row.last_seen),
        "heartbeat_age": None if row.last_seen is None else round(max(0.0, tx.time - row.last_seen), 1),
        "lost_at": _time(row.lost_at), "fenced_at": _time(row.fenced_at) if fenced else None,
        "returned_at": _time(row.returned_at),
        "proof": {"source": row.source, "strength": row.strength, "summary": row.summary,
                  "proven_at": _time(row.proven_at), "evidence": row.evidence} if fenced else None,
        "planned_stop": None if row.planned_until is None else {
            "from": _time(row.planned_at), "until": _time(row.planned_until), "reason": row.planned_reason,
            "user_id": row.planned_by},
        "hosts": [{"id": host.id, "name": host.name, "epoch": host.lease_epoch, "disabled": bool(host.disabled),
                   "disabled_reason": host.disabled_reason, "fenced": bool(host.fenced),
                   "forced_down": bool(host.forced_down)} for host in held],
        "evacuation_counts": {state.value: counts.get(state.value, 0) for state in Evacuation}}


def _evacuation(move: Row[Any]) -> dict[str, Any]:
    return {"server_id": move.server_id, "server": move.server, "state": move.state, "reason": move.reason,
            "disk": move.disk, "priority": move.priority, "target": move.target, "since": _time(move.since),
            "moved_at": _time(move.moved_at), "deadline_at": _time(move.deadline_at)}


def _proof(proof: Row[Any]) -> dict[str, Any]:
    return {"id": proof.id, "source": proof.source, "strength": proof.strength, "summary": proof.summary,
            "evidence": proof.evidence, "lost_at": _time(proof.lost_at), "proven_at": _time(proof.proven_at),
            "ended_at": _time(proof.ended_at)}


def _time(at: float | None) -> str | None:
    return None if at is None else clock.seconds_z(clock.instant(at))
