"""What happened, for the resource's timeline; and tags, which every resource has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert

from stackling.core.context import Context
from stackling.network.rows import Record, Rows, touch
from stackling.store.tables.network import network_tags
from stackling.store.transaction import Tx

_INSERT_TAG = insert(network_tags)
_DELETE_TAGS = delete(network_tags).where(network_tags.c.resource_id == bindparam("resource"))


def announce(tx: Tx, ctx: Context | None, kind: str, record: Record, event: str, message: str | None = None) -> None:
    """Add a line to the timeline of ``(kind, record id)``."""
    tx.event(ctx, kind, record["id"], event, message, project_id=record["project_id"])


def describe(tx: Tx, ctx: Context, rows: Rows, kind: str, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change what is told of a resource and what nothing else follows from; the record as it is then."""
    values = {key: value for key, value in changes.items() if value != record[key]}
    if not values:
        return record
    changed: Record = {**values, **touch(tx, record)}
    rows.update(tx, record["id"], changed)
    announce(tx, ctx, kind, record, "update", ", ".join(sorted(values)))
    return {**record, **changed}


def store_tags(tx: Tx, id: str, tags: Iterable[str], *, fresh: bool = False) -> None:
    """Make *tags* the searchable tags of the resource."""
    if not fresh:
        tx.execute(_DELETE_TAGS, {"resource": id})
    rows = [{"resource_id": id, "tag": tag} for tag in tags]
    if rows:
        tx.execute(_INSERT_TAG, rows)


def forget_tags(tx: Tx, record: Record) -> None:
    """The resource is going."""
    if record["tags"]:
        tx.execute(_DELETE_TAGS, {"resource": record["id"]})
