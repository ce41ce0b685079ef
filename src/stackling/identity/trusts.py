"""Trusts: a user lets another act with some of their roles on a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from stackling.identity import state
from stackling.identity.listing import select_page
from stackling.identity.model import Extra, Listing
from stackling.store.tables.identity import trusts
from stackling.store.transaction import Tx

_c = trusts.c
_COLUMNS = (_c.id, _c.trustor_user_id, _c.trustee_user_id, _c.project_id, _c.impersonation, _c.deleted_at,
            _c.expires_at, _c.remaining_uses, _c.redelegated_trust_id, _c.redelegation_count, _c.roles, _c.extra)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"), _c.deleted_at.is_(None))


@dataclass(frozen=True, slots=True)
class Trust:
    """``roles`` are role ids."""

    id: str
    trustor_user_id: str
    trustee_user_id: str
    project_id: str | None
    impersonation: bool
    deleted_at: str | None
    expires_at: str | None
    remaining_uses: int | None
    redelegated_trust_id: str | None
    redelegation_count: int
    roles: tuple[str, ...]
    extra: Extra

    def usable(self, now: str) -> bool:
        """Not expired. (Its uses are counted at issue, so a token made with the last one stays good.)"""
        return self.expires_at is None or self.expires_at > now


def _trust(row: Any) -> Trust:
    return Trust(*row[:10], roles=tuple(row.roles), extra=row.extra)


def get_trust(tx: Tx, trust_id: str) -> Trust | None:
    row = tx.one(_ONE, id=trust_id)
    return None if row is None else _trust(row)


def list_trusts(tx: Tx, listing: Listing) -> list[Trust]:
    statement = select_page(select(*_COLUMNS), trusts, listing).where(_c.deleted_at.is_(None))
    return [_trust(row) for row in tx.execute(statement)]


def create_trust(tx: Tx, id_: str, values: Mapping[str, Any]) -> Trust:
    state.bump(tx)
    tx.execute(insert(trusts), {"extra": {}, "project_id": None, "expires_at": None, "remaining_uses": None,
                                "redelegated_trust_id": None, "redelegation_count": 0, **values, "id": id_})
    found = get_trust(tx, id_)
    assert found is not None
    return found


def delete_trust(tx: Tx, trust: Trust) -> None:
    """The trust, and those that were delegated on from it."""
    state.bump(tx)
    doomed = [trust.id]
    while doomed:
        tx.execute(update(trusts).where(_c.id.in_(doomed)).values(deleted_at=tx.now))
        doomed = list(tx.execute(select(_c.id).where(
            _c.redelegated_trust_id.in_(doomed), _c.deleted_at.is_(None))).scalars())


def consume(tx: Tx, trust: Trust) -> bool:
    """Use it once; False where no use is left."""
    if trust.remaining_uses is None:
        return True
    state.bump(tx)
    return tx.changed(update(trusts).where(_c.id == trust.id, _c.remaining_uses > 0).values(
        remaining_uses=_c.remaining_uses - 1)) == 1
