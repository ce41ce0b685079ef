"""What changed lately, and who did what, mean the same on SQLite, MariaDB and PostgreSQL."""

from __future__ import annotations

import pytest

from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.store import audit, changes
from stackling.store.database import Database
from stackling.store.tables.fleet import machines
from stackling.store.transaction import CHANGED, Tx, makes_due

ANN = Context("req-1", user_id="ann", project_id="p")


def _tell(database: Database, *told: tuple[str, str, str | None]) -> None:
    def use_case(tx: Tx) -> None:
        for kind, id, project in told:
            tx.tell(kind, id, project)

    database.write(use_case)


def test_what_was_told_is_read_in_order_and_once_a_transaction(database: Database) -> None:
    assert database.read(changes.position) == changes.Position(1, 0, 0)
    _tell(database, ("server", "a", "p"), ("port", "b", "q"), ("server", "a", "p"))
    _tell(database, ("server", "a", "p"), ("host", "h", None))
    found = database.read(changes.since, 0, 100)
    assert [(one.kind, one.id, one.project_id) for one in found] == [
        ("server", "a", "p"), ("port", "b", "q"), ("server", "a", "p"), ("host", "h", None)]
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    place = database.read(changes.position)
    assert (place.first, place.last) == (found[0].seq, found[-1].seq)
    assert database.read(changes.since, found[1].seq, 100) == found[2:]
    assert database.read(changes.since, 0, 1) == found[:1]
    assert [one.seq for one in database.read(changes.since, 0, 100, "p")] == [found[0].seq, found[2].seq]


def test_a_transaction_that_fails_tells_nothing(database: Database) -> None:
    sent: list[tuple[str, str]] = []
    database.on_nudge = sent.extend

    def failing(tx: Tx) -> None:
        tx.tell("server", "a", "p")
        raise Conflict("no")

    with pytest.raises(Conflict):
        database.write(failing)
    assert database.read(changes.since, 0, 100) == []
    assert sent == []
    _tell(database, ("server", "a", "p"))
    assert sent == [CHANGED]


def test_the_newest_stays_whatever_is_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        _tell(database, ("server", str(number), "p"))
    monkeypatch.setattr(changes, "KEPT", 2)
    before = database.read(changes.position)
    database.write(changes.prune)
    after = database.read(changes.position)
    assert after.last == before.last
    assert after.first > before.first
    monkeypatch.setattr(changes, "KEPT", 0)
    database.write(changes.prune)
    _tell(database, ("server", "next", "p"))
    assert database.read(changes.position).last > before.last


def test_a_line_of_the_timeline_tells_its_owner_and_is_found_again(database: Database) -> None:
    def use_case(tx: Tx) -> None:
        tx.execute(machines.insert(), {"id": "m", "name": "m1", "credential_hash": "", "created_at": tx.now})
        tx.event(ANN, "server", "a", "create", "small", project_id="p")
        tx.event(None, "server", "a", "launched", source="agent", project_id="p")
        tx.event(ANN, "machine", "m", "stop_planned")

    database.write(use_case)
    told = {(one.kind, one.id): one.project_id for one in database.read(changes.since, 0, 10)}
    assert told == {("server", "a"): "p", ("machine", "m"): None}
    found = database.read(audit.find, {})
    assert [(one["event"], one["user_id"], one["resource_name"]) for one in found] == [
        ("stop_planned", "ann", "m1"), ("launched", None, None), ("create", "ann", None)]
    assert [one["event"] for one in database.read(audit.find, {}, by_people=True)] == ["stop_planned", "create"]
    assert [one["event"] for one in database.read(audit.find, {"kind": "server", "user_id": "ann"})] == ["create"]
    assert [one["event"] for one in database.read(audit.find, {}, below=found[0]["seq"], limit=1)] == ["launched"]
    assert database.read(audit.find, {}, before=found[-1]["at"]) == []
    assert len(database.read(audit.find, {}, since=found[-1]["at"])) == 3


def test_only_work_wakes_engines() -> None:
    assert makes_due([])
    assert makes_due([CHANGED, ("server", "a")])
    assert not makes_due([CHANGED])
