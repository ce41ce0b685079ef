"""What a use-case receives: one open transaction, and the wake-ups to send once it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.base import Executable

from stackling.core import clock
from stackling.core.context import Context
from stackling.store.tables.engine import changes, events, guards, settings, tombstones, work
from stackling.store.upsert import upsert

if TYPE_CHECKING:
    from stackling.store.sealing import Seal

_NUDGE = upsert(
    work, ["kind", "id"],
    insert={"due_at": bindparam("p_now"), "deadline_at": bindparam("p_deadline")},
    update={
        "due_at": bindparam("p_now"),
        "nudges": work.c.nudges + 1,
        "attempts": 0,
        "blocked_on": None,
        "deadline_at": case((work.c.deadline_at.is_(None), bindparam("p_deadline")), else_=work.c.deadline_at),
    },
)
_EVENT = insert(events)
_CHANGE = insert(changes)
_GUARD = upsert(guards, ["name"], insert={"generation": 1}, update={"generation": guards.c.generation + 1})
_TOMBSTONE = upsert(
    tombstones, ["kind", "id"],
    insert={"generation": bindparam("p_generation"), "deleted_at": bindparam("p_at")},
    update={"generation": bindparam("p_generation"), "deleted_at": bindparam("p_at")},
)
_SETTING = upsert(settings, ["name"], insert={"value": bindparam("p_value")}, update={"value": bindparam("p_value")})
_GET_SETTING = select(settings.c.value).where(settings.c.name == bindparam("name"))
_FORGET_WORK = delete(work).where(work.c.kind == bindparam("k"), work.c.id == bindparam("i"))
_WAKE_BLOCKED = update(work).where(work.c.blocked_on == bindparam("on")).values(
    due_at=bindparam("now"), blocked_on=None, nudges=work.c.nudges + 1)
CHANGED = ("changes", "")
"""The wake-up that is sent when something was told (``Tx.tell``). It makes no work due."""


def makes_due(keys: Sequence[tuple[str, str]]) -> bool:
    """Whether wake-ups may mean work for an engine; none at all mean "anything"."""
    return not keys or any(kind != CHANGED[0] for kind, _ in keys)


class Tx:
    """One transaction. Statements go through it; so do nudges, events, guard rows and tombstones."""

    __slots__ = ("connection", "dialect", "now", "nudged", "seal", "time", "told", "writing")

    def __init__(self, connection: Connection, *, writing: bool, seal: Seal | None = None) -> None:
        self.connection, self.seal = connection, seal
        self.dialect = connection.dialect.name
        self.writing = writing
        self.time = clock.wall()
        self.now = clock.instant(self.time)
        self.nudged: list[tuple[str, str]] = []
        self.told: dict[tuple[str, str, str | None], None] = {}

    # -- statements

    def execute(self, statement: Executable,
                parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> Any:
        """Run a statement; the result is SQLAlchemy's cursor result."""
        return self.connection.execute(statement, parameters)

    def all(self, statement: Executable, **parameters: Any) -> Sequence[Row[Any]]:
        """Every row."""
        return self.connection.execute(statement, parameters).all()

    def one(self, statement: Executable, **parameters: Any) -> Row[Any] | None:
        """The first row, or None."""
        return self.connection.execute(statement, parameters).first()

    def scalar(self, statement: Executable, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        return self.connection.execute(statement, parameters).scalar()

    def changed(self, statement: Executable, **parameters: Any) -> int:
        """How many rows an UPDATE or DELETE matched; a compare-and-set reads 0 as "lost the race"."""
        return self.connection.execute(statement, parameters).rowcount

    # -- the engine's tables

    def nudge(self, kind: str, id: str, *, deadline: float | None = None) -> None:
        """Make ``(kind, id)`` due now; *deadline* is the seconds after which being unfinished is a failure
        (kept from the first nudge until the work converges)."""
        until = None if deadline is None else self.time + deadline
        self.connection.execute(
            _NUDGE.on(self.dialect), {"kind": kind, "id": id, "p_now": self.time, "p_deadline": until})
        self.nudged.append((kind, id))

    def wake_blocked(self, kind: str, id: str) -> None:
        """Make due whatever waits for ``(kind, id)``."""
        if self.changed(_WAKE_BLOCKED, on=f"{kind}:{id}", now=self.time):
            self.nudged.append((kind, id))

    def forget(self, kind: str, id: str, generation: int) -> None:
        """The resource is gone: drop its work row, leave a tombstone, wake whoever waited for it."""
        self.connection.execute(_FORGET_WORK, {"k": kind, "i": id})
        self.connection.execute(_TOMBSTONE.on(self.dialect), {
            "kind": kind, "id": id, "p_generation": generation, "p_at": self.now})
        self.wake_blocked(kind, id)

    def event(self, ctx: Context | None, kind: str, resource_id: str, event: str, message: str | None = None, *,
              source: str = "api", project_id: str | None = None, details: Any = None) -> None:
        """Add a line to the resource's timeline, and tell those who follow *project_id* (None: administrators)."""
        self.tell(kind, resource_id, project_id)
        self.connection.execute(_EVENT, {
            "kind": kind, "resource_id": resource_id, "event": event, "message": message, "source": source,
            "at": self.now, "project_id": project_id or (ctx.project_id if ctx else None),
            "user_id": ctx.user_id if ctx else None, "request_id": ctx.request_id if ctx else None, "details": details})

    def tell(self, kind: str, id: str, project_id: str | None) -> None:
        """Let those who follow changes know that the resource looks different now: those of *project_id*, and
        administrators. However often it is told, it is written once, when the transaction ends."""
        self.told[kind, id, project_id] = None

    def finish(self) -> None:
        """Write what was told; the last statement before the commit."""
        if self.told:
            self.connection.execute(_CHANGE, [
                {"at": self.time, "kind": kind, "resource_id": id, "project_id": project}
                for kind, id, project in self.told])
            self.nudged.append(CHANGED)

    def guard(self, name: str) -> None:
        """Serialise with every other transaction that guards *name* (a rule over several rows needs it).

        SQLite has one writer anyway, so it costs nothing there; elsewhere the row lock, and on Galera the
        certification at commit, make one of two such transactions wait or retry.
        """
        if self.dialect != "sqlite":
            self.connection.execute(_GUARD.on(self.dialect), {"name": name})

    # -- facts of the cloud

    def setting(self, name: str) -> Any:
        """The value stored under *name*, or None."""
        return self.connection.execute(_GET_SETTING, {"name": name}).scalar()

    def set_setting(self, name: str, value: Any) -> None:
        """Store *value* (JSON) under *name*."""
        self.connection.execute(_SETTING.on(self.dialect), {"name": name, "p_value": value})

    def count(self, table: Any, *conditions: Any) -> int:
        """How many rows of *table* fulfil all *conditions*."""
        return int(self.connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar() or 0)
