"""The engine's questions are answered from an index, however much there is that isn't due."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.store import work
from stackling.store.database import Database


@pytest.mark.parametrize(("statement", "index"), [
    (work._DUE.params(kinds=["network", "port"], now=9.0).limit(8), "ix_work_due_at (due_at<?)"),
    (work._NEXT.params(kinds=["network", "port"]), "ix_work_due_at (due_at>?)"),
    (work._OLD.params(kinds=["network", "port"], before=9.0).limit(500), "ix_work_checked_at (checked_at<?)"),
], ids=["due", "next", "old"])
def test_the_queue_is_not_gone_through(sqlite: Database, statement: Any, index: str) -> None:
    text = str(statement.compile(sqlite.engine, compile_kwargs={"literal_binds": True}))
    plan = sqlite.read(lambda tx: tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())
    assert [row[3] for row in plan] == [f"SEARCH work USING INDEX {index}"]
