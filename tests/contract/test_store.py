"""Transactions and the work queue mean the same on SQLite, MariaDB and PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import bindparam, select, update

from stackling.core.errors import Conflict, Raced
from stackling.engine.queue import Claim
from stackling.store.database import Database
from stackling.store.tables.engine import events, guards, tombstones, work
from stackling.store.tables.fleet import machines
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue


def _nudge(database: Database, *ids: str, deadline: float | None = None) -> None:
    def use_case(tx: Tx) -> None:
        for id in ids:
            tx.nudge("thing", id, deadline=deadline)

    database.write(use_case)


def _claim(database: Database, owner: str = "me", lease: float = 60.0, limit: int = 10) -> list[Claim]:
    return SqlWorkQueue(database).claim(["thing"], owner, lease, limit)


def _settle(database: Database, claim: Claim, *, converged: bool = True, next_due: float | None = None,
            blocked_on: str | None = None, write: object = None) -> bool:
    return SqlWorkQueue(database).settle(
        claim, next_due=next_due, converged=converged, error=None if converged else "no", blocked_on=blocked_on,
        write=write)    # type: ignore[arg-type]


def test_a_raising_use_case_leaves_nothing(database: Database) -> None:
    def use_case(tx: Tx) -> None:
        tx.set_setting("a", {"b": [1, "ü"]})
        raise Conflict("no")

    with pytest.raises(Conflict):
        database.write(use_case)
    assert database.read(lambda tx: tx.setting("a")) is None


def test_settings_keep_json_and_are_replaced(database: Database) -> None:
    for value in ({"x": [1, None, "ü"]}, "other"):
        database.write(lambda tx, v: tx.set_setting("a", v), value)
        assert database.read(lambda tx: tx.setting("a")) == value


def test_wake_ups_are_sent_after_the_commit_only(database: Database) -> None:
    sent: list[tuple[str, str]] = []
    database.on_nudge = sent.extend

    def failing(tx: Tx) -> None:
        tx.nudge("thing", "1")
        raise Conflict("no")

    with pytest.raises(Conflict):
        database.write(failing)
    assert sent == []
    _nudge(database, "2")
    assert sent == [("thing", "2")]


def test_names_are_compared_exactly(database: Database) -> None:
    def use_case(tx: Tx) -> None:
        for id, name in (("1", "web"), ("2", "Web"), ("3", "wéb")):
            tx.execute(machines.insert(), {"id": id, "name": name, "credential_hash": "", "created_at": tx.now})

    database.write(use_case)
    found = database.read(lambda tx: tx.all(select(machines.c.id).where(machines.c.name == bindparam("n")), n="Web"))
    assert [row.id for row in found] == ["2"]


def test_concurrent_guarded_counts_never_pass_the_limit(database: Database) -> None:
    """Twelve clients want the last five units; the rule spans rows, so only the guard can hold it."""
    limit, barrier = 5, threading.Barrier(12)

    def use_case(tx: Tx, id: str) -> None:
        tx.guard("quota:things")
        if tx.count(machines) >= limit:
            raise Conflict("quota")
        tx.execute(machines.insert(), {"id": id, "name": id, "credential_hash": "", "created_at": tx.now})

    def client(n: int) -> bool:
        barrier.wait(30)
        try:
            database.write(use_case, f"m{n}")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(client, range(12)))
    assert sum(won) == limit
    assert database.read(lambda tx: tx.count(machines)) == limit


def test_concurrent_increments_lose_none(database: Database) -> None:
    database.write(lambda tx: tx.execute(guards.insert(), {"name": "g", "generation": 0}))

    def use_case(tx: Tx) -> None:
        tx.guard("g2")
        found = tx.scalar(select(guards.c.generation).where(guards.c.name == "g"))
        tx.execute(update(guards).where(guards.c.name == "g"), {"generation": found + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: database.write(use_case), range(40)))
    assert database.read(lambda tx: tx.scalar(select(guards.c.generation).where(guards.c.name == "g"))) == 40


def test_who_loses_a_race_looks_again(database: Database) -> None:
    """On a database with one writer there is no race, and what looks like one is refused at once."""
    seen: list[int] = []

    def use_case(tx: Tx) -> int:
        seen.append(1)
        if len(seen) < 3:
            raise Raced("It was changed at the same time; try again.")
        return len(seen)

    if database.is_sqlite:
        with pytest.raises(Raced):
            database.write(use_case)
        return
    assert database.write(use_case) == 3

    def hopeless(_tx: Tx) -> None:
        raise Raced("It was changed at the same time; try again.")

    with pytest.raises(Conflict, match="same time"):
        database.write(hopeless)


def test_a_key_is_claimed_once_until_its_lease_ends(database: Database) -> None:
    _nudge(database, "1", "2")
    assert sorted(claim.key.id for claim in _claim(database)) == ["1", "2"]
    assert _claim(database, "other") == []
    _nudge(database, "3")
    assert [claim.key.id for claim in _claim(database, "other", lease=-1)] == ["3"]
    assert [claim.key.id for claim in _claim(database, "third")] == ["3"]


def test_a_restarted_owner_takes_up_its_claims_and_its_former_turns_are_void(database: Database) -> None:
    _nudge(database, "1")
    (former,) = _claim(database, "me")
    SqlWorkQueue(database).release("other")
    assert _claim(database, "me") == []
    SqlWorkQueue(database).release("me")
    assert len(_claim(database, "me")) == 1
    assert not _settle(database, former)


def test_many_claimers_share_the_work_without_overlap(database: Database) -> None:
    _nudge(database, *[str(n) for n in range(40)])
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: _claim(database, f"w{n}", limit=15), range(4)))
    ids = [claim.key.id for claims in taken for claim in claims]
    assert len(ids) == len(set(ids))
    assert {claim.key.id for claim in _claim(database, limit=40)} | set(ids) == {str(n) for n in range(40)}


def test_a_settled_key_is_due_again_only_when_nudged(database: Database) -> None:
    _nudge(database, "1", deadline=30)
    (claim,) = _claim(database)
    assert claim.deadline_at is not None
    assert _settle(database, claim)
    assert _claim(database) == []
    assert SqlWorkQueue(database).next_due(["thing"]) is None
    _nudge(database, "1")
    (again,) = _claim(database)
    assert again.epoch == claim.epoch + 1
    assert again.deadline_at is None


def test_a_nudge_during_the_turn_is_not_lost(database: Database) -> None:
    _nudge(database, "1")
    (claim,) = _claim(database)
    _nudge(database, "1")
    assert _settle(database, claim)
    assert len(_claim(database)) == 1


def test_a_turn_that_lost_its_claim_writes_nothing(database: Database) -> None:
    _nudge(database, "1")
    (zombie,) = _claim(database, lease=-1)
    (owner,) = _claim(database, "other")

    def write(tx: Tx) -> bool:
        tx.set_setting("zombie", True)
        return True

    assert not _settle(database, zombie, write=write)
    assert database.read(lambda tx: tx.setting("zombie")) is None
    assert _settle(database, owner)


def test_a_turn_for_an_old_generation_writes_nothing_and_runs_again(database: Database) -> None:
    _nudge(database, "1")
    (claim,) = _claim(database)

    def write(tx: Tx) -> bool:
        tx.set_setting("old", True)
        return False

    assert not _settle(database, claim, write=write)
    assert database.read(lambda tx: tx.setting("old")) is None
    assert len(_claim(database)) == 1


def test_a_blocked_key_wakes_when_the_other_converges(database: Database) -> None:
    _nudge(database, "1", "2")
    claims = {claim.key.id: claim for claim in _claim(database)}
    _settle(database, claims["1"], converged=False, next_due=600, blocked_on="thing:2")
    assert _claim(database) == []
    _settle(database, claims["2"])
    assert [claim.key.id for claim in _claim(database)] == ["1"]


def test_the_sweep_finds_what_was_not_checked_lately(database: Database) -> None:
    queue = SqlWorkQueue(database)
    _nudge(database, "1")
    _settle(database, _claim(database)[0])
    assert queue.sweep(["thing"], 60, 100) == 0
    assert queue.sweep(["thing"], -1, 100) == 1
    assert len(_claim(database)) == 1


def test_forgetting_leaves_a_tombstone_and_wakes_the_blocked(database: Database) -> None:
    _nudge(database, "1", "2")
    claims = {claim.key.id: claim for claim in _claim(database)}
    _settle(database, claims["1"], converged=False, next_due=600, blocked_on="thing:2")
    database.write(lambda tx: tx.forget("thing", "2", 7))
    assert [claim.key.id for claim in _claim(database)] == ["1"]
    (row,) = database.read(lambda tx: tx.all(select(tombstones)))
    assert (row.kind, row.id, row.generation) == ("thing", "2", 7)
    assert database.read(lambda tx: tx.count(work)) == 1


def test_the_timeline_keeps_order_and_details(database: Database) -> None:
    def use_case(tx: Tx) -> None:
        for n in range(3):
            tx.event(None, "thing", "1", f"step {n}", source="engine", details={"n": n})

    database.write(use_case)
    rows = database.read(lambda tx: tx.all(select(events).order_by(events.c.seq)))
    assert [(row.event, row.details["n"]) for row in rows] == [("step 0", 0), ("step 1", 1), ("step 2", 2)]
