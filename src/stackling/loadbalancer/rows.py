"""Rows as dictionaries, and the statements that every resource needs, built once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.sql.base import Executable

from stackling.store.tables import loadbalancer as tables
from stackling.store.tables.loadbalancer import lb_tags
from stackling.store.transaction import Tx

Record = dict[str, Any]
MOST_AT_ONCE = 500
_ADD_TAG = insert(lb_tags)
_DROP_TAGS = delete(lb_tags).where(lb_tags.c.resource_id == bindparam("resource"))


def one(tx: Tx, statement: Executable, **parameters: Any) -> Record | None:
    """The first row, or None."""
    result = tx.connection.execute(statement, parameters)
    row = result.first()
    return None if row is None else dict(zip(result.keys(), row, strict=True))


def many(tx: Tx, statement: Executable, **parameters: Any) -> list[Record]:
    """Every row."""
    result = tx.connection.execute(statement, parameters)
    keys = tuple(result.keys())
    return [dict(zip(keys, row, strict=True)) for row in result.all()]


class Rows:
    """One table's prepared statements. ``shown``: what messages call such a thing."""

    def __init__(self, table: Table, shown: str) -> None:
        self.table, self.shown = table, shown
        by_id = table.c.id == bindparam("row_id")
        self._get = select(table).where(by_id)
        self._locked = self._get.with_for_update()
        self._update, self._delete = update(table).where(by_id), delete(table).where(by_id)
        self._insert = insert(table)
        parent = "load_balancer_id" if "load_balancer_id" in table.c else "id"
        self._of = select(table).where(table.c[parent].in_(bindparam("ids", expanding=True))).order_by(
            table.c.created_at, table.c.id)
        pool = "pool_id" if "pool_id" in table.c else "id"
        self._of_pools = select(table).where(table.c[pool].in_(bindparam("ids", expanding=True))).order_by(
            table.c.created_at, table.c.id)

    def get(self, tx: Tx, id: str) -> Record | None:
        """The row."""
        return one(tx, self._get, row_id=id)

    def locked(self, tx: Tx, id: str) -> Record | None:
        """As ``get``, and nobody else changes the row before we commit."""
        return one(tx, self._locked, row_id=id)

    def of(self, tx: Tx, balancer_ids: Sequence[str]) -> list[Record]:
        """The rows of these load balancers, oldest first."""
        return self._several(tx, self._of, balancer_ids)

    def of_pools(self, tx: Tx, pool_ids: Sequence[str]) -> list[Record]:
        """The rows of these pools, oldest first."""
        return self._several(tx, self._of_pools, pool_ids)

    def insert(self, tx: Tx, record: Mapping[str, Any]) -> None:
        """Add a row, with its tags."""
        tx.execute(self._insert, record)
        store_tags(tx, record["id"], record["tags"] or (), fresh=True)

    def update(self, tx: Tx, id: str, values: Mapping[str, Any]) -> None:
        """Set these columns."""
        tx.execute(self._update, {**values, "row_id": id})
        if "tags" in values:
            store_tags(tx, id, values["tags"] or ())

    def delete(self, tx: Tx, id: str) -> None:
        """Remove the row, with its tags."""
        tx.execute(_DROP_TAGS, {"resource": id})
        tx.execute(self._delete, {"row_id": id})

    def _several(self, tx: Tx, statement: Executable, ids: Sequence[str]) -> list[Record]:
        found: list[Record] = []
        for start in range(0, len(ids), MOST_AT_ONCE):
            found += many(tx, statement, ids=list(ids[start:start + MOST_AT_ONCE]))
        return found


def store_tags(tx: Tx, id: str, tags: Iterable[str], *, fresh: bool = False) -> None:
    """Make *tags* the searchable tags of the resource."""
    if not fresh:
        tx.execute(_DROP_TAGS, {"resource": id})
    rows = [{"resource_id": id, "tag": tag} for tag in dict.fromkeys(tags)]
    if rows:
        tx.execute(_ADD_TAG, rows)


BALANCERS = Rows(tables.load_balancers, "Load Balancer")
LISTENERS = Rows(tables.lb_listeners, "Listener")
POOLS = Rows(tables.lb_pools, "Pool")
MEMBERS = Rows(tables.lb_members, "Member")
MONITORS = Rows(tables.lb_health_monitors, "Health Monitor")
CHILDREN = (LISTENERS, POOLS, MEMBERS, MONITORS)
