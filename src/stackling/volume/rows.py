"""The service's tables in SQL: prepared statements of the hot paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.sql.dml import Update

from stackling.store.tables.engine import guards
from stackling.store.tables.volume import (
    volume_attachments,
    volume_backups,
    volume_metadata,
    volume_snapshots,
    volumes,
)
from stackling.store.transaction import Tx

AnyRow = Mapping[str, Any]
_GET = {table.name: select(table).where(table.c.id == bindparam("id"))
        for table in (volumes, volume_snapshots, volume_attachments, volume_backups)}
_MANY = select(volumes).where(volumes.c.id.in_(bindparam("ids", expanding=True)))
_ATTACHMENTS = select(volume_attachments).where(
    volume_attachments.c.volume_id.in_(bindparam("ids", expanding=True))).order_by(volume_attachments.c.created_at)
_SNAPSHOTS = select(volume_snapshots).where(volume_snapshots.c.volume_id == bindparam("volume"))
_DROP_METADATA = delete(volume_metadata).where(volume_metadata.c.volume_id == bindparam("volume"))
_DROP_GUARD = delete(guards).where(guards.c.name == bindparam("name"))
_ADD_METADATA = insert(volume_metadata)
_updates: dict[tuple[str, ...], Update] = {}


def mapping(row: Row[Any]) -> AnyRow:
    """The row as a mapping by column name."""
    return cast("AnyRow", row._mapping)    # pyright: ignore[reportPrivateUsage]


def get(tx: Tx, table: Table, id: str) -> AnyRow | None:
    """The row with that id."""
    row = tx.one(_GET[table.name], id=id)
    return None if row is None else mapping(row)


def volume(tx: Tx, id: str) -> AnyRow | None:
    """A volume's row. Whoever writes has the volume to itself from here until the transaction ends.

    What may be done with a volume follows from rows of several tables (attachments, snapshots, transfers, backups), and
    not all of them change the volume's own: without that, one could be attached while another client deletes it.
    """
    found = get(tx, volumes, id)
    if found is None or not tx.writing or tx.dialect == "sqlite":
        return found
    tx.guard(f"volume:{id}")
    return get(tx, volumes, id)


def many_volumes(tx: Tx, ids: Sequence[str]) -> dict[str, AnyRow]:
    """Rows by id; unknown ids are left out."""
    return {row.id: mapping(row) for row in tx.all(_MANY, ids=list(ids))} if ids else {}


def attachments(tx: Tx, volume_ids: Sequence[str]) -> dict[str, list[AnyRow]]:
    """The attachments of each of these volumes, the oldest first."""
    found: dict[str, list[AnyRow]] = {id: [] for id in volume_ids}
    if volume_ids:
        for row in tx.all(_ATTACHMENTS, ids=list(volume_ids)):
            found[row.volume_id].append(mapping(row))
    return found


def snapshots_of(tx: Tx, volume_id: str) -> list[AnyRow]:
    """All snapshots of a volume, internal ones too."""
    return [mapping(row) for row in tx.all(_SNAPSHOTS, volume=volume_id)]


def change(tx: Tx, table: Table, id: str, values: Mapping[str, Any], generation: int | None = None) -> bool:
    """Write columns, with *generation* only if the row still has that one. Prepared once a set of columns."""
    names = (table.name, str(generation is None), *sorted(values))
    statement = _updates.get(names)
    if statement is None:
        statement = update(table).where(table.c.id == bindparam("id_"))
        if generation is not None:
            statement = statement.where(table.c.generation == bindparam("generation_"))
        statement = _updates[names] = statement.values(
            {name: bindparam(f"v_{name}", type_=table.c[name].type) for name in values})
    parameters = {f"v_{name}": value for name, value in values.items()}
    if generation is not None:
        parameters["generation_"] = generation
    return bool(tx.changed(statement, id_=id, **parameters))


def index_metadata(tx: Tx, volume_id: str, metadata: Mapping[str, str], image: Mapping[str, str] | None) -> None:
    """Keep a volume's metadata where filters find it."""
    tx.execute(_DROP_METADATA, {"volume": volume_id})
    found = [{"volume_id": volume_id, "name": name, "image": number, "value": value}
             for number, items in ((0, metadata), (1, image or {})) for name, value in items.items()]
    if found:
        tx.execute(_ADD_METADATA, found)


def drop_guard(tx: Tx, id: str) -> None:
    """The volume is gone: so is what serialised its changes."""
    if tx.dialect != "sqlite":
        tx.execute(_DROP_GUARD, {"name": f"volume:{id}"})


def drop_metadata(tx: Tx, volume_id: str) -> None:
    """Nothing of a volume's metadata stays."""
    tx.execute(_DROP_METADATA, {"volume": volume_id})
