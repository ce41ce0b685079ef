"""The table ``servers`` in SQL: prepared statements of the hot paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.sql.dml import Update

from stackling.compute.model import ServerRow
from stackling.store.tables.compute import server_numbers, servers
from stackling.store.transaction import Tx

_GET = select(servers).where(servers.c.id == bindparam("id"))
_GET_MANY = select(servers).where(servers.c.id.in_(bindparam("ids", expanding=True)))
_INSERT = insert(servers)
_NUMBER = insert(server_numbers)
_USAGE = select(
    func.count().label("servers"), func.coalesce(func.sum(servers.c.vcpus), 0).label("vcpus"),
    func.coalesce(func.sum(servers.c.memory_mib), 0).label("memory"),
).where(servers.c.project_id == bindparam("project_id"), servers.c.deleted == 0)
_updates: dict[tuple[str, ...], Update] = {}


def mapping(row: Row[Any]) -> ServerRow:
    """The row as a mapping by column name."""
    return cast("ServerRow", row._mapping)    # pyright: ignore[reportPrivateUsage]


def get(tx: Tx, id: str) -> ServerRow | None:
    """The server's row, deleted ones included."""
    row = tx.one(_GET, id=id)
    return None if row is None else mapping(row)


def get_many(tx: Tx, ids: Sequence[str]) -> dict[str, ServerRow]:
    """Rows by id; unknown ids are left out."""
    return {row.id: mapping(row) for row in tx.all(_GET_MANY, ids=list(ids))} if ids else {}


def add(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows."""
    if rows:
        tx.execute(_INSERT, list(rows))


def new_number(tx: Tx, id: str) -> int:
    """A number that no other server of this cloud had or will have, for the server *id*."""
    return int(tx.execute(_NUMBER, {"server_id": id}).inserted_primary_key[0])


def change(tx: Tx, id: str, generation: int, values: Mapping[str, Any]) -> bool:
    """Write columns, only if the row still has *generation*. The statement is prepared once a set of columns."""
    names = tuple(sorted(values))
    statement = _updates.get(names)
    if statement is None:
        statement = _updates[names] = update(servers).where(
            servers.c.id == bindparam("id_"), servers.c.generation == bindparam("generation_"),
        ).values({name: bindparam(f"v_{name}", type_=servers.c[name].type) for name in names})
    parameters = {f"v_{name}": values[name] for name in names}
    return bool(tx.changed(statement, id_=id, generation_=generation, **parameters))


def usage(tx: Tx, project_id: str) -> tuple[int, int, int]:
    """(servers, vCPUs, MiB of memory) that the project has."""
    row = tx.one(_USAGE, project_id=project_id)
    assert row is not None
    return int(row.servers), int(row.vcpus), int(row.memory)
