"""The record of servers' moves, as ``os-migrations`` shows them: what was asked for, how far it is, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, bindparam, insert, or_, select, update
from sqlalchemy.engine import Row

from stackling.compute.model import ServerRow
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.store.tables.compute import migrations
from stackling.store.transaction import Tx


class Type(StrEnum):
    """Nova's types (https://docs.openstack.org/api-ref/compute/#list-migrations)."""

    EVACUATION = "evacuation"
    MIGRATION = "migration"
    RESIZE = "resize"
    LIVE = "live-migration"


class Status(StrEnum):
    """Nova's states, those that are ever shown here."""

    ACCEPTED = "accepted"           # evacuation: under way
    DONE = "done"                   # evacuation: it runs elsewhere
    QUEUED = "queued"               # live: accepted
    PREPARING = "preparing"         # live: the new host makes ready
    RUNNING = "running"             # live: memory is being copied
    COMPLETED = "completed"         # live: it runs there; evacuation: the former host has let go
    CANCELLED = "cancelled"
    MIGRATING = "migrating"         # cold: the former host lets go
    POST_MIGRATING = "post-migrating"   # cold: the new host starts it
    FINISHED = "finished"           # cold: to be confirmed
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    ERROR = "error"


OVER = frozenset((Status.COMPLETED, Status.CANCELLED, Status.CONFIRMED, Status.REVERTED, Status.ERROR, Status.DONE))
_BY_ID = select(migrations).where(migrations.c.id == bindparam("id"))
_BY_UUID = select(migrations).where(migrations.c.uuid == bindparam("uuid"))
_CHANGE = update(migrations).where(migrations.c.id == bindparam("id_")).values(
    status=bindparam("new"), reason=bindparam("why"), updated_at=bindparam("now"))
_LEFT = update(migrations).where(
    migrations.c.server_id == bindparam("b_server"), migrations.c.source_id == bindparam("b_source"),
    migrations.c.type == Type.EVACUATION.value, migrations.c.status == Status.DONE.value,
).values(status=Status.COMPLETED.value, updated_at=bindparam("now"))
_NOT_BEGUN = select(migrations.c.server_id).where(
    migrations.c.dest_id == bindparam("dest"), migrations.c.type == Type.LIVE.value,
    migrations.c.status == Status.PREPARING.value)
_HERE = update(migrations).where(
    migrations.c.server_id == bindparam("b_server"), migrations.c.type == Type.RESIZE.value,
    migrations.c.source_id == migrations.c.dest_id, migrations.c.status.not_in(sorted(OVER)),
).values(status=bindparam("new"), updated_at=bindparam("now"))
_PROGRESS = update(migrations).where(migrations.c.id == bindparam("id_")).values(
    progress=bindparam("shown"), updated_at=bindparam("now"))


def add(tx: Tx, ctx: Context, server: ServerRow, type: Type, status: Status, source: Any, dest: Any, *,
        new_flavor_id: str | None = None, request: Mapping[str, Any] | None = None, reason: str | None = None) -> int:
    """Record a move that begins; its number. *source* and *dest* have ``id`` and ``name``; *source* has ``storage``."""
    uuid = new_id()
    tx.execute(insert(migrations), {
        "uuid": uuid, "server_id": server["id"], "type": type.value, "status": status.value,
        "source_id": source["id"], "source": source["name"], "storage": source["storage"],
        "dest_id": dest.id if dest else None, "dest": dest.name if dest else None,
        "old_flavor_id": server["flavor_id"], "new_flavor_id": new_flavor_id or server["flavor_id"],
        "project_id": ctx.project_id or server["project_id"], "user_id": ctx.user_id or server["user_id"],
        "request": dict(request or {}), "host_generation": 0, "reason": reason, "created_at": tx.now,
        "updated_at": tx.now})
    row = tx.one(_BY_UUID, uuid=uuid)
    assert row is not None
    return int(row.id)


def get(tx: Tx, id: int | None) -> Row[Any] | None:
    """By number."""
    return None if id is None else tx.one(_BY_ID, id=id)


def change(tx: Tx, id: int | None, status: Status, reason: str | None = None) -> None:
    """How the move stands now; nothing for no move."""
    if id is not None:
        tx.changed(_CHANGE, id_=id, new=status.value, why=reason, now=tx.now)


def resized_here(tx: Tx, server_id: str, status: Status) -> None:
    """How a resize on the server's own host stands now; nothing where none is under way."""
    tx.changed(_HERE, b_server=server_id, new=status.value, now=tx.now)


def ended_with_server(tx: Tx, server: ServerRow) -> None:
    """The server is gone: a resize that waited to be confirmed is, anything else under way has failed."""
    status = Status.CONFIRMED if server["move"] is None else Status.ERROR
    change(tx, server["migration_id"], status, "the server was deleted")
    if server["old_flavor"] is not None:
        resized_here(tx, server["id"], Status.CONFIRMED)


def not_begun(tx: Tx, dest_id: str) -> list[str]:
    """The servers that wait to migrate live to that host."""
    return [str(row.server_id) for row in tx.all(_NOT_BEGUN, dest=dest_id)]


def left(tx: Tx, server_id: str, source_id: str) -> None:
    """The host from which the server was evacuated has let go of it."""
    tx.changed(_LEFT, b_server=server_id, b_source=source_id, now=tx.now)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which migrations to list. ``host``: as source or destination. ``marker`` is a uuid."""

    host: str | None = None
    source: str | None = None
    server_id: str | None = None
    status: Sequence[str] = ()
    type: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    since: str | None = None
    before: str | None = None
    limit: int | None = None
    marker: str | None = None


def list_migrations(tx: Tx, wanted: Wanted) -> Sequence[Row[Any]]:
    """The newest first. Raises ``Invalid`` for an unknown marker."""
    c = migrations.c
    conditions: list[Any] = [column == value for column, value in (
        (c.source, wanted.source), (c.server_id, wanted.server_id), (c.type, wanted.type),
        (c.user_id, wanted.user_id), (c.project_id, wanted.project_id)) if value is not None]
    if wanted.host is not None:
        conditions.append(or_(c.source == wanted.host, c.dest == wanted.host))
    if wanted.status:
        conditions.append(c.status.in_(wanted.status))
    if wanted.since is not None:
        conditions.append(c.updated_at >= wanted.since)
    if wanted.before is not None:
        conditions.append(c.updated_at <= clock.whole_second(wanted.before))
    if wanted.marker is not None:
        row = tx.one(_BY_UUID, uuid=wanted.marker)
        if row is None:
            raise Invalid(f"Marker {wanted.marker} could not be found.")
        conditions.append(or_(c.created_at < row.created_at, and_(c.created_at == row.created_at, c.id < row.id)))
    return tx.all(select(migrations).where(*conditions).order_by(c.created_at.desc(), c.id.desc()).limit(wanted.limit))


def progress(tx: Tx, id: int, shown: Mapping[str, int]) -> None:
    """What the source said last of a live migration (bytes)."""
    tx.changed(_PROGRESS, id_=id, shown=dict(shown), now=tx.now)
