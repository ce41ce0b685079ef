"""The one way by which rows of volumes, snapshots and backups are written after their insertion.

Every change recomputes the cached status. ``desired``: a new generation, and a turn of the engine. Compare-and-set is
on the generation, so that what a turn saw counts only for what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table

from stackling.core.errors import Raced
from stackling.store.tables.volume import volume_backups, volume_snapshots, volumes
from stackling.store.transaction import Tx
from stackling.volume import rows, rules
from stackling.volume.rows import AnyRow

VOLUME, SNAPSHOT, BACKUP = "volume", "volume_snapshot", "volume_backup"
DEADLINE = 3600.0
"""Seconds after which what isn't finished is shown as an error (the engine goes on trying)."""
NO_FAULT: dict[str, Any] = {"failed": 0, "last_error": None, "forced_status": None}


def volume(tx: Tx, row: AnyRow, values: Mapping[str, Any], *, desired: bool = False) -> AnyRow:
    """Change a volume; the row as it then is. Raises ``Raced`` where somebody else changed it meanwhile."""
    if desired:
        values = {**NO_FAULT, "overdue": 0, **values}
    return _apply(tx, volumes, VOLUME, rules.status, row, values, desired)


def snapshot(tx: Tx, row: AnyRow, values: Mapping[str, Any], *, desired: bool = False) -> AnyRow:
    """Change a snapshot."""
    return _apply(tx, volume_snapshots, SNAPSHOT, rules.snapshot_status, row, values, desired)


def backup(tx: Tx, row: AnyRow, values: Mapping[str, Any], *, desired: bool = False) -> AnyRow:
    """Change a backup."""
    return _apply(tx, volume_backups, BACKUP, rules.backup_status, row, values, desired)


def _apply(tx: Tx, table: Table, kind: str, status: Callable[[AnyRow], str], row: AnyRow, values: Mapping[str, Any],
           desired: bool) -> AnyRow:
    after: dict[str, Any] = {**row, **values}
    if desired:
        after["generation"] = row["generation"] + 1
    after["status"] = status(after)
    if after["status"] != row["status"] and "previous_status" in after:
        after["previous_status"] = row["status"]
    changed = {name: value for name, value in after.items() if value != row[name]}
    if changed:
        changed["updated_at"] = after["updated_at"] = tx.now
        if not rows.change(tx, table, row["id"], changed, row["generation"]):
            raise Raced("It was changed at the same time; try again.")
        for project in {row["project_id"], after["project_id"]}:
            tx.tell(kind, row["id"], project)
    if desired:
        tx.nudge(kind, row["id"], deadline=DEADLINE)
    return after
