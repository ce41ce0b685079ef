"""What the engines do now, and what waits for them: the work that isn't settled, over all resources."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, case, func, select

from stackling.core import clock
from stackling.store import audit
from stackling.store.tables.engine import work
from stackling.store.transaction import Tx

_TAKEN = and_(work.c.owner.is_not(None), work.c.lease_until > bindparam("now"))
_OPEN = work.c.due_at > 0       # null once it is settled
_FIRST = case((_TAKEN, 0), (work.c.error.is_not(None), 1), else_=2)
_SHOWN = select(work).where(_OPEN).order_by(_FIRST, work.c.due_at, work.c.kind, work.c.id).limit(bindparam("most"))


def _number(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


_COUNTS = select(
    _number(_TAKEN).label("under_way"), _number(work.c.error.is_not(None)).label("failing"),
    func.count().label("unsettled")).where(_OPEN)


def find(tx: Tx, most: int) -> dict[str, Any]:
    """Up to *most* resources that an engine has to do something for, those that one has in hand first, then those
    whose last turn failed; and how many there are. ``engine`` is the node whose engine has it, or None."""
    now = tx.time
    rows = tx.all(_SHOWN, now=now, most=most)
    named = audit.names(tx, {(row.kind, row.id) for row in rows})
    counts = tx.one(_COUNTS, now=now)
    return {"work": [_shown(row, named.get((row.kind, row.id)), now) for row in rows],
            "counts": {name: int(getattr(counts, name)) for name in ("under_way", "failing", "unsettled")}}


def _shown(row: Any, name: str | None, now: float) -> dict[str, Any]:
    taken = row.owner is not None and row.lease_until is not None and row.lease_until > now
    return {"kind": row.kind, "id": row.id, "name": name, "engine": row.owner if taken else None,
            "attempts": row.attempts, "reason": row.error, "waits_for": row.blocked_on,
            "next_try_in": None if taken else round(max(0.0, row.due_at - now), 1),
            "deadline_at": None if row.deadline_at is None else clock.instant(row.deadline_at)}
