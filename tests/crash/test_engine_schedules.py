"""The engine under random schedules: turns killed anywhere, paused past their lease, woken as zombies, doubled.

A toy resource with a backend of two steps stands for all kinds. One thread runs at a time; a seeded scheduler
decides who goes on, who is killed, and when a user changes or deletes the resource. Every claim has a lease of
nothing, so every pause is a pause past the lease.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, bindparam, delete, insert, select, update

from stackling.engine.audit import Findings, audit
from stackling.engine.kinds import Fence, Outcome, Retryable, Stale
from stackling.engine.turn import turn
from stackling.store.database import Database
from stackling.store.tables.engine import tombstones, work
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue

things = Table(
    "things", MetaData(),
    Column("id", String(8), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("value", Integer, nullable=False),
    Column("deleting", Boolean, nullable=False),
    Column("observed_generation", Integer),
)
LIMIT = 60.0


class Killed(BaseException):
    """The process died here."""


@dataclass
class Turn:
    """A turn in a thread that stops at every checkpoint until the scheduler lets it go on."""

    thread: threading.Thread | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    kill: bool = False
    done: bool = False


_current = threading.local()


def checkpoint() -> None:
    me: Turn | None = getattr(_current, "turn", None)
    if me is None:
        return
    me.stopped.release()
    assert me.go.acquire(timeout=LIMIT)
    if me.kill:
        raise Killed


@dataclass
class Backend:
    """Two parts that must agree; refuses an older fence, as a backend that checks does."""

    parts: dict[str, int] = field(default_factory=dict[str, int])
    fence: tuple[int, int] = (0, 0)
    history: list[int] = field(default_factory=list[int])
    fail: Iterator[bool] | None = None
    checks: bool = True

    def write(self, fence: Fence, part: str, value: int | None) -> None:
        checkpoint()
        if self.fail is not None and next(self.fail, False):
            raise Retryable("the backend stumbled")
        if self.checks and (fence.era, fence.generation) < self.fence:
            raise Stale
        self.fence = max(self.fence, (fence.era, fence.generation))
        self.history.append(fence.generation)
        if value is None:
            self.parts.pop(part, None)
        else:
            self.parts[part] = value
        checkpoint()


class Toy:
    """The kind: parts ``a`` and ``b`` must both hold the value; deleted: neither is there."""

    name = "thing"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def load(self, tx: Tx, id: str) -> Any:
        return tx.one(select(things).where(things.c.id == bindparam("i")), i=id)

    def generation(self, tx: Tx, id: str) -> int | None:
        return tx.scalar(select(things.c.generation).where(things.c.id == bindparam("i")), i=id)

    def observe(self, desired: Any) -> dict[str, int]:
        checkpoint()
        return dict(self.backend.parts)

    def plan(self, desired: Any, observed: dict[str, int]) -> Sequence[tuple[str, int | None]]:
        wanted = {} if desired.deleting else {"a": desired.value, "b": desired.value}
        return [(part, wanted.get(part)) for part in ("a", "b") if observed.get(part) != wanted.get(part)]

    def apply(self, fence: Fence, desired: Any, step: tuple[str, int | None]) -> None:
        self.backend.write(fence, *step)

    def inventory(self) -> dict[str, int]:
        return {"x": self.backend.fence[1]} if self.backend.parts else {}

    def remove(self, era: int, id: str, generation: int) -> None:
        for part in ("a", "b"):
            self.backend.write(Fence(era, generation), part, None)

    def settle(self, tx: Tx, desired: Any, observed: dict[str, int], outcome: Outcome) -> None:
        if not outcome.converged:
            return
        if desired.deleting:
            tx.execute(delete(things).where(things.c.id == desired.id))
            tx.forget("thing", desired.id, desired.generation)
        else:
            tx.execute(update(things).where(things.c.id == desired.id).values(observed_generation=desired.generation))


class World:
    """Database, backend, the turns under way and the user."""

    def __init__(self, database: Database, seed: int, *, checks: bool = True) -> None:
        self.random = random.Random(seed)
        self.database = database
        self.queue = SqlWorkQueue(database)
        self.backend = Backend(checks=checks, fail=iter(lambda: self.random.random() < 0.15, None))
        self.kind = Toy(self.backend)
        self.turns: list[Turn] = []
        database.write(self._create)

    def _create(self, tx: Tx) -> None:
        tx.execute(insert(things), {"id": "x", "generation": 1, "value": 1, "deleting": False})
        tx.nudge("thing", "x")

    def change(self, tx: Tx, deleting: bool) -> None:
        row = self.kind.load(tx, "x")
        if row is not None and not row.deleting:
            tx.execute(update(things).where(things.c.id == "x").values(
                generation=row.generation + 1, value=row.generation + 1, deleting=deleting))
            tx.nudge("thing", "x")

    def start(self) -> None:
        self.database.write(lambda tx: tx.execute(update(work).values(due_at=0, lease_until=None)))
        for claim in self.queue.claim(["thing"], "w", 0.0, 1):
            me = Turn()

            def run(claim: Any = claim, me: Turn = me) -> None:
                _current.turn = me
                try:
                    turn(self.queue, self.kind, claim, 1)
                except Killed:
                    pass
                finally:
                    me.done = True
                    me.stopped.release()

            me.thread = threading.Thread(target=run, daemon=True)
            self.turns.append(me)
            me.thread.start()
            assert me.stopped.acquire(timeout=LIMIT)

    def step(self) -> None:
        alive = [t for t in self.turns if not t.done]
        action = self.random.random()
        if action < 0.12:
            self.database.write(self.change, self.random.random() < 0.1)
        elif action < 0.35 or not alive:
            if len(alive) < 4:
                self.start()
        else:
            self.advance(self.random.choice(alive), kill=action > 0.93)

    def advance(self, chosen: Turn, *, kill: bool = False) -> None:
        chosen.kill = kill
        chosen.go.release()
        assert chosen.stopped.acquire(timeout=LIMIT)

    def finish(self) -> None:
        """Let every zombie come back, then let the sweep do its work undisturbed."""
        self.random.shuffle(self.turns)
        for one in self.turns:
            while not one.done:
                self.advance(one)
        self.backend.fail = None
        for _ in range(4):
            self.database.write(lambda tx: tx.execute(update(work).values(due_at=0, lease_until=None)))
            for claim in self.queue.claim(["thing"], "last", 60.0, 5):
                turn(self.queue, self.kind, claim, 1)
        audit(self.queue, self.kind)


def _schedule(database: Database, seed: int, *, checks: bool = True) -> World:
    things.create(database.engine, checkfirst=True)
    database.write(lambda tx: [tx.execute(delete(t)) for t in (things, work, tombstones)])
    world = World(database, seed, checks=checks)
    for _ in range(40):
        world.step()
    world.finish()
    return world


@pytest.mark.parametrize("chunk", range(4))
def test_whatever_happens_the_backend_ends_as_desired_and_never_goes_back(sqlite: Database, chunk: int) -> None:
    for seed in range(chunk * 40, chunk * 40 + 40):
        world = _schedule(sqlite, seed)
        row = sqlite.read(world.kind.load, "x")
        if row is None:
            assert world.backend.parts == {}, seed
            assert audit(world.queue, world.kind) == Findings()
            assert sqlite.read(lambda tx: tx.count(tombstones)) == 1
            assert sqlite.read(lambda tx: tx.count(work)) == 0
        else:
            assert world.backend.parts == {"a": row.value, "b": row.value}, seed
            assert row.observed_generation == row.generation, seed
            assert sqlite.read(lambda tx: tx.scalar(select(work.c.due_at))) is None
        assert world.backend.history == sorted(world.backend.history), f"seed {seed}: the backend went backwards"


def test_the_schedules_are_wild_enough_to_show_a_missing_fence(sqlite: Database) -> None:
    """Without the backend's check a zombie's late write shows; otherwise the test above would prove nothing."""
    def went_back(seed: int) -> bool:
        history = _schedule(sqlite, seed, checks=False).backend.history
        return history != sorted(history)

    assert any(went_back(seed) for seed in range(60))


@pytest.mark.parametrize("step", range(6))
def test_killed_at_every_step_and_run_twice(sqlite: Database, step: int) -> None:
    things.create(sqlite.engine, checkfirst=True)
    world = World(sqlite, 1)
    world.backend.fail = None
    world.start()
    (first,) = world.turns
    for _ in range(step):
        if not first.done:
            world.advance(first)
    if not first.done:
        world.advance(first, kill=True)
    world.finish()
    world.finish()      # everything twice
    assert world.backend.parts == {"a": 1, "b": 1}
    assert sqlite.read(world.kind.load, "x").observed_generation == 1


def test_a_late_nudge_of_something_gone_leaves_nothing(sqlite: Database) -> None:
    things.create(sqlite.engine, checkfirst=True)
    world = World(sqlite, 1)
    world.database.write(world.change, True)
    world.finish()
    sqlite.write(lambda tx: tx.nudge("thing", "x"))
    world.finish()
    assert sqlite.read(lambda tx: tx.count(work)) == 0
    assert world.queue.standing("thing", ["x"]) == {"x": 2}


def test_what_nobody_knows_is_reported_and_left_alone(sqlite: Database) -> None:
    things.create(sqlite.engine, checkfirst=True)
    world = World(sqlite, 1)
    world.finish()
    sqlite.write(lambda tx: [tx.execute(delete(t)) for t in (things, work)])
    assert audit(world.queue, world.kind) == Findings(unknown=("x",))
    assert world.backend.parts == {"a": 1, "b": 1}
