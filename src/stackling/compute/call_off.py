"""Ending a live migration before the server has left (see ``live_migration``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from stackling.compute import changes, departures, migrations, shares, timeline
from stackling.compute.migrations import Status
from stackling.compute.model import ServerRow
from stackling.store.transaction import Tx

ACTION = "live-migration"


def call_off(tx: Tx, server: ServerRow, row: Row[Any], status: Status, reason: str, **values: Any) -> ServerRow:
    """It stays where it is; the other host of the migration *row* lets go. *values* are columns to write with it."""
    shares.release_elsewhere(tx, server)
    departures.add(tx, server, row.dest_id, server["generation"] + 1, row.storage, awaited=bool(values.get("held")))
    migrations.change(tx, row.id, status, reason)
    tx.event(None, "server", server["id"], "migration_ended", f"{status}: {reason}", source="agent",
             project_id=server["project_id"])
    timeline.fail(tx, server, ACTION, reason)
    return changes.apply(tx, server, {**values, "move": None, "migration_id": None}, desired=True)


def call_off_for_deletion(tx: Tx, server: ServerRow) -> ServerRow:
    """Both hosts let go; once the guest may run on either, the deletion waits for both."""
    row = migrations.get(tx, server["migration_id"])
    assert row is not None
    return call_off(tx, server, row, Status.CANCELLED, "the server is being deleted",
                    held=int(row.status == Status.RUNNING))
