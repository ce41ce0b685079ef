"""Rows as dictionaries (column name → value), and the statements that every resource needs, built once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.sql.base import Executable

from stackling.store.transaction import Tx

Record = dict[str, Any]


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
    """One table's prepared statements. A table with ``deleting`` hides such rows from ``get``."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.has_deleting = "deleting" in table.c
        by_id = select(table).where(table.c.id == bindparam("row_id"))
        self._any = by_id
        self._get = by_id.where(table.c.deleting.is_(False)) if self.has_deleting else by_id
        self._lock_get, self._lock_any = self._get.with_for_update(), by_id.with_for_update()
        self._generation = (select(table.c.generation).where(table.c.id == bindparam("row_id"))
                            if "generation" in table.c else None)
        self._several = select(table).where(table.c.id.in_(bindparam("ids", expanding=True)))
        self._insert = insert(table)
        self._update = update(table).where(table.c.id == bindparam("row_id"))
        self._delete = delete(table).where(table.c.id == bindparam("row_id"))
        self._selects: dict[tuple[str, ...], Any] = {}
        self._lock = threading.Lock()

    def get(self, tx: Tx, id: str) -> Record | None:
        """The row, unless it is on its way out."""
        return one(tx, self._get, row_id=id)

    def locked(self, tx: Tx, id: str, *, deleting: bool = False) -> Record | None:
        """As ``get`` (or ``any``), and nobody else changes the row before we commit.

        SQLite has one writer; MariaDB locks the row; PostgreSQL refuses a row that changed since our first
        statement, and the transaction runs again; on Galera two writers of one row meet at certification.
        """
        return one(tx, self._lock_any if deleting else self._lock_get, row_id=id)

    def any(self, tx: Tx, id: str) -> Record | None:
        """The row, in whatever state."""
        return one(tx, self._any, row_id=id)

    def generation(self, tx: Tx, id: str) -> int | None:
        """The row's generation, in whatever state it is."""
        assert self._generation is not None
        return tx.scalar(self._generation, row_id=id)

    def several(self, tx: Tx, ids: Sequence[str]) -> list[Record]:
        """The rows with these ids, in no order; on their way out or not."""
        found: list[Record] = []
        for start in range(0, len(ids), 500):
            found += many(tx, self._several, ids=list(ids[start:start + 500]))
        return found

    def where(self, tx: Tx, **equal: Any) -> list[Record]:
        """The rows (not on their way out) whose columns have these values, oldest first."""
        return many(tx, self._where(tuple(equal)), **{f"w_{key}": value for key, value in equal.items()})

    def insert(self, tx: Tx, records: Sequence[Mapping[str, Any]]) -> None:
        """Insert all; each must have the same keys."""
        if records:
            tx.connection.execute(self._insert, records if len(records) > 1 else records[0])

    def update(self, tx: Tx, id: str, values: Mapping[str, Any]) -> int:
        """Set these columns; how many rows matched."""
        return int(tx.connection.execute(self._update, {**values, "row_id": id}).rowcount)

    def delete(self, tx: Tx, id: str) -> int:
        """Remove the row."""
        return int(tx.connection.execute(self._delete, {"row_id": id}).rowcount)

    def _where(self, keys: tuple[str, ...]) -> Any:
        statement = self._selects.get(keys)
        if statement is None:
            table = self.table
            statement = select(table).where(*(table.c[key] == bindparam(f"w_{key}") for key in keys))
            if self.has_deleting:
                statement = statement.where(table.c.deleting.is_(False))
            statement = statement.order_by(table.c.created_at, table.c.id)
            with self._lock:
                self._selects[keys] = statement
        return statement


def standard(tx: Tx, id: str, project_id: str, spec: Mapping[str, Any]) -> Record:
    """The columns that every resource has, for a new row."""
    return {"id": id, "project_id": project_id, "description": spec.get("description") or "",
            "tags": sorted(set(spec.get("tags") or ())), "revision_number": 0, "created_at": tx.now,
            "updated_at": tx.now}


def desired() -> Record:
    """The columns of a new row that the fabric has to follow."""
    return {"generation": 1, "observed_generation": 0, "settled": False, "deleting": False, "last_error": None}


def touch(tx: Tx, record: Record) -> Record:
    """What a visible change sets besides itself."""
    return {"revision_number": record["revision_number"] + 1, "updated_at": tx.now}


def moved(record: Record) -> Record:
    """What a change sets that the fabric must follow."""
    return {"generation": record["generation"] + 1, "settled": False}
