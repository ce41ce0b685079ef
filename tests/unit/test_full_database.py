"""A disk with no room for the database: the change is refused, nothing else is, and room helps."""

from __future__ import annotations

import pytest
from sqlalchemy import event, insert, select

from stackling.core.errors import Unavailable
from stackling.store.database import Database
from stackling.store.tables.engine import settings
from stackling.store.transaction import Tx


def _keep(tx: Tx, name: str, size: int) -> None:
    tx.execute(insert(settings), {"name": name, "value": "x" * size})


def _limit(database: Database, pages: int) -> None:
    def connected(connection: object, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")        # type: ignore[attr-defined]

    database.close()
    event.listen(database.engine, "connect", connected)


def test_a_full_disk_is_said_and_got_over(sqlite: Database) -> None:
    sqlite.write(_keep, "before", 10)
    _limit(sqlite, 1)
    with pytest.raises(Unavailable, match="disk is full"):
        sqlite.write(_keep, "during", 4_000_000)
    assert sqlite.read(lambda tx: tx.all(select(settings.c.name))) == [("before",)]
    _limit(sqlite, 100_000)
    sqlite.write(_keep, "after", 4_000_000)
    assert len(sqlite.read(lambda tx: tx.all(select(settings.c.name)))) == 2
