"""What happened to a resource, and what it waits for: the timeline that every service writes to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from stackling.core import clock
from stackling.store.tables.engine import events, tombstones, work
from stackling.store.transaction import Tx

MOST = 200
_EVENTS = select(events).where(
    events.c.kind == bindparam("kind"), events.c.resource_id == bindparam("id"),
).order_by(events.c.seq.desc()).limit(MOST)
_OWNER = select(events.c.project_id).where(
    events.c.kind == bindparam("kind"), events.c.resource_id == bindparam("id"), events.c.project_id.is_not(None),
).order_by(events.c.seq).limit(1)
_WORK = select(work).where(work.c.kind == bindparam("kind"), work.c.id == bindparam("id"))
_GONE = select(tombstones.c.deleted_at).where(
    tombstones.c.kind == bindparam("kind"), tombstones.c.id == bindparam("id"))


def owner(tx: Tx, kind: str, id: str) -> str | None:
    """The project in which the resource was made; None for one that nobody owns or knows."""
    return tx.scalar(_OWNER, kind=kind, id=id)


def explain(tx: Tx, kind: str, id: str) -> dict[str, Any] | None:
    """Its timeline (oldest first) and its present work; None when nothing is known of it."""
    found = tx.all(_EVENTS, kind=kind, id=id)
    row = tx.one(_WORK, kind=kind, id=id)
    if not found and row is None:
        return None
    return {"kind": kind, "id": id, "deleted_at": tx.scalar(_GONE, kind=kind, id=id),
            "work": None if row is None else _work(tx, row), "events": [_event(event) for event in reversed(found)]}


def _work(tx: Tx, row: Any) -> dict[str, Any]:
    return {
        "settled": row.due_at is None, "reason": row.error, "waits_for": row.blocked_on, "attempts": row.attempts,
        "next_try_in": None if row.due_at is None else round(max(0.0, row.due_at - tx.time), 1),
        "under_way": row.lease_until is not None and row.lease_until > tx.time,
        "checked_at": None if row.checked_at is None else clock.instant(row.checked_at),
        "deadline_at": None if row.deadline_at is None else clock.instant(row.deadline_at)}


def _event(row: Any) -> dict[str, Any]:
    return {"at": row.at, "source": row.source, "event": row.event, "message": row.message,
            "request_id": row.request_id, "user_id": row.user_id, "details": row.details}
