"""What changed lately, in the order of its numbers: for those who follow it, and for those who come back.

Theory of operation. A transaction writes a row for each resource that it told of (``Tx.tell``) as its last statement,
so a row is seen when its change is. SQLite has one writer: there numbers rise as transactions are committed. Elsewhere
a number may become visible after a higher one did (each Galera node has numbers of its own), so whoever reads on reads
a little of what it has seen again, and what is told twice does no harm. The newest row is never dropped: SQLite would
give its number to another one. A restored backup counts from further back, which the era tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from stackling.core import clock
from stackling.store.tables.engine import changes
from stackling.store.transaction import Tx

KEPT = 50_000
"""How far back the numbers reach at least; those who come back later look at everything again."""
_RANGE = select(func.min(changes.c.seq).label("oldest"), func.max(changes.c.seq).label("newest"))
_SINCE = select(changes).where(changes.c.seq > bindparam("after")).order_by(changes.c.seq).limit(bindparam("most"))
_SINCE_OF = select(changes).where(
    changes.c.seq > bindparam("after"), changes.c.project_id == bindparam("project"),
).order_by(changes.c.seq).limit(bindparam("most"))
_DROP = delete(changes).where(changes.c.seq < bindparam("before"))


@dataclass(frozen=True, slots=True)
class Change:
    """The resource looks different since ``at`` (an instant). ``project_id`` None: it belongs to the cloud."""

    seq: int
    at: str
    kind: str
    id: str
    project_id: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """The era, and the numbers of the oldest and the newest row that there is (0: none)."""

    era: int
    first: int
    last: int


def position(tx: Tx) -> Position:
    """How far it has come."""
    (found,) = tx.all(_RANGE)
    return Position(int(tx.setting("era") or 1), int(found.oldest or 0), int(found.newest or 0))


def since(tx: Tx, after: int, most: int, project_id: str | None = None) -> list[Change]:
    """At most *most* changes with numbers above *after*, the lowest first; of one project, or of all."""
    if project_id is None:
        rows = tx.all(_SINCE, after=after, most=most)
    else:
        rows = tx.all(_SINCE_OF, after=after, most=most, project=project_id)
    return [_change(row) for row in rows]


def prune(tx: Tx) -> None:
    """Drop what is older than the last ``KEPT``."""
    tx.execute(_DROP, {"before": position(tx).last - KEPT})


def _change(row: Any) -> Change:
    return Change(row.seq, clock.instant(row.at), row.kind, row.resource_id, row.project_id)
