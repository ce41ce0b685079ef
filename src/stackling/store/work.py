"""The work queue in SQL: one row a key, claims by compare-and-set on the epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, case, delete, func, or_, select, update

from stackling.core import clock
from stackling.engine.kinds import Key
from stackling.engine.queue import Claim
from stackling.store import changes
from stackling.store.database import Database
from stackling.store.tables.engine import requests, tombstones, work
from stackling.store.transaction import Tx

log = logging.getLogger(__name__)
_OF_KINDS = func.coalesce(work.c.kind, "").in_(bindparam("kinds", expanding=True))
"""Kept from being looked up in an index: SQLite, which has no statistics here, would go through all there is of the
kinds to find the few that are due."""
_DUE = select(work.c.kind, work.c.id, work.c.epoch, work.c.nudges, work.c.attempts, work.c.deadline_at).where(
    _OF_KINDS, work.c.due_at <= bindparam("now"),
    or_(work.c.lease_until.is_(None), work.c.lease_until < bindparam("now")),
).order_by(work.c.due_at).limit(bindparam("most"))
_TAKE = update(work).where(
    work.c.kind == bindparam("k"), work.c.id == bindparam("i"), work.c.epoch == bindparam("e"),
).values(epoch=work.c.epoch + 1, owner=bindparam("o"), lease_until=bindparam("until"))
_RENEW = update(work).where(
    work.c.kind == bindparam("k"), work.c.id == bindparam("i"), work.c.epoch == bindparam("e"),
).values(lease_until=bindparam("until"))
_DROP = delete(work).where(
    work.c.kind == bindparam("k"), work.c.id == bindparam("i"), work.c.epoch == bindparam("e"))
_RELEASE = update(work).where(work.c.owner == bindparam("o")).values(
    epoch=work.c.epoch + 1, owner=None, lease_until=None)
_SETTLE = update(work).where(
    work.c.kind == bindparam("k"), work.c.id == bindparam("i"), work.c.epoch == bindparam("e"),
).values(
    owner=None, lease_until=None, checked_at=bindparam("now"),
    due_at=case((work.c.nudges != bindparam("n"), bindparam("now")), else_=bindparam("due")),
    blocked_on=case((work.c.nudges != bindparam("n"), None), else_=bindparam("on")),
    attempts=bindparam("tries"), error=bindparam("why"),
    deadline_at=case((bindparam("done") == 1, None), else_=work.c.deadline_at),
)
_NEXT = select(func.min(case((work.c.lease_until > work.c.due_at, work.c.lease_until), else_=work.c.due_at))).where(
    _OF_KINDS, work.c.due_at > 0)
_OLD = select(work.c.kind, work.c.id).where(
    _OF_KINDS, func.coalesce(work.c.due_at, 0) == 0, work.c.checked_at <= bindparam("before"),
).order_by(work.c.checked_at).limit(bindparam("most"))
_MAKE_DUE = update(work).where(
    work.c.kind == bindparam("k"), work.c.id == bindparam("i"), work.c.due_at.is_(None)).values(due_at=bindparam("now"))

_LIVING = select(work.c.id).where(work.c.kind == bindparam("k"), work.c.id.in_(bindparam("ids", expanding=True)))
_BURIED = select(tombstones.c.id, tombstones.c.generation).where(
    tombstones.c.kind == bindparam("k"), tombstones.c.id.in_(bindparam("ids", expanding=True)))
TOMBSTONES_KEPT = 30 * 86400.0
REQUESTS_KEPT = 3600.0
PRUNED_EVERY = 30.0         # seconds, by whichever engine comes first
SWEPT_AT_ONCE = 1000


class _Moved(Exception):
    """The claim or the generation isn't ours any more."""


class SqlWorkQueue:
    """``engine.queue.WorkQueue`` over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._era: int | None = None

    def claim(self, kinds: Sequence[str], owner: str, lease: float, limit: int) -> list[Claim]:
        return self._database.write(_claim, kinds, owner, lease, limit)

    def renew(self, claims: Sequence[Claim], lease: float) -> None:
        self._database.write(_renew, claims, lease)

    def release(self, owner: str) -> None:
        self._database.write(lambda tx: tx.execute(_RELEASE, {"o": owner}))

    def load(self, use_case: Callable[..., Any], *args: Any) -> Any:
        return self._database.read(use_case, *args)

    def settle(self, claim: Claim, *, next_due: float | None, converged: bool, error: str | None,
               blocked_on: str | None, write: Callable[[Any], bool] | None) -> bool:
        try:
            self._database.write(_settle, claim, next_due, converged, error, blocked_on, write)
        except _Moved as moved:
            if moved.args[0] == "generation":
                self._database.write(_settle, claim, 0.0, False, None, None, None, keep_attempts=True)
            else:
                log.info("%s: somebody else has taken this turn over; it counts for nothing", claim.key)
            return False
        return True

    def drop(self, claim: Claim) -> None:
        self._database.write(lambda tx: tx.execute(_DROP, {"k": claim.key.kind, "i": claim.key.id, "e": claim.epoch}))

    def next_due(self, kinds: Sequence[str]) -> float | None:
        return self._database.read(_next_due, kinds)

    def sweep(self, kinds: Sequence[str], older_than: float, limit: int) -> int:
        before, found = clock.wall() - older_than, 0
        while found < limit:            # in several transactions: a long one loses against every short one
            some = self._database.write(_sweep, kinds, before, min(SWEPT_AT_ONCE, limit - found))
            found += some
            if some < SWEPT_AT_ONCE:
                break
        return found

    def standing(self, kind: str, ids: Sequence[str]) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for start in range(0, len(ids), 500):
            found.update(self._database.read(standing, kind, ids[start:start + 500]))
        return found

    def prune(self) -> None:
        self._database.write(_prune)

    def era(self) -> int:
        if self._era is None:
            self._era = int(self._database.read(lambda tx: tx.setting("era")) or 1)
        return self._era


def _claim(tx: Tx, kinds: Sequence[str], owner: str, lease: float, limit: int) -> list[Claim]:
    rows = tx.all(_DUE, kinds=list(kinds), now=tx.time, most=limit)
    return [
        Claim(Key(row.kind, row.id), row.epoch + 1, row.nudges, row.attempts, row.deadline_at) for row in rows
        if tx.changed(_TAKE, k=row.kind, i=row.id, e=row.epoch, o=owner, until=tx.time + lease)
    ]


def _renew(tx: Tx, claims: Sequence[Claim], lease: float) -> None:
    tx.execute(_RENEW, [{"k": claim.key.kind, "i": claim.key.id, "e": claim.epoch, "until": tx.time + lease}
                        for claim in claims])


def _settle(tx: Tx, claim: Claim, next_due: float | None, converged: bool, error: str | None, blocked_on: str | None,
            write: Callable[[Any], bool] | None, keep_attempts: bool = False) -> None:
    tries = claim.attempts if keep_attempts else 0 if converged else claim.attempts + 1
    if not tx.changed(_SETTLE, k=claim.key.kind, i=claim.key.id, e=claim.epoch, n=claim.nudges, now=tx.time,
                      due=None if next_due is None else tx.time + next_due, on=blocked_on, tries=tries, why=error,
                      done=int(converged)):
        raise _Moved("claim")
    if write is not None and not write(tx):
        raise _Moved("generation")
    if converged:
        tx.wake_blocked(claim.key.kind, claim.key.id)


def _next_due(tx: Tx, kinds: Sequence[str]) -> float | None:
    at = tx.scalar(_NEXT, kinds=list(kinds))
    return None if at is None else max(0.0, at - tx.time)


def _sweep(tx: Tx, kinds: Sequence[str], before: float, limit: int) -> int:
    rows = tx.all(_OLD, kinds=list(kinds), before=before, most=limit)
    if rows:
        tx.execute(_MAKE_DUE, [{"k": row.kind, "i": row.id, "now": tx.time} for row in rows])
    return len(rows)


def standing(tx: Tx, kind: str, ids: Sequence[str]) -> dict[str, int | None]:
    """For each id that is known: None while it lives, its last generation when it has a tombstone."""
    found: dict[str, int | None] = {row.id: row.generation for row in tx.all(_BURIED, k=kind, ids=list(ids))}
    found.update(dict.fromkeys(row.id for row in tx.all(_LIVING, k=kind, ids=list(ids))))
    return found


def _prune(tx: Tx) -> None:
    if 0 <= tx.time - float(tx.setting("pruned_at") or 0) < PRUNED_EVERY:
        return
    tx.set_setting("pruned_at", tx.time)
    tx.execute(delete(tombstones).where(tombstones.c.deleted_at < clock.instant(tx.time - TOMBSTONES_KEPT)))
    tx.execute(delete(requests).where(requests.c.at < tx.time - REQUESTS_KEPT))
    changes.prune(tx)
