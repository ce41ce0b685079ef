"""Taking volumes and snapshots that lie in a backend already, and giving them back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.store.tables.volume import volumes as table
from stackling.store.transaction import Tx
from stackling.volume import changes, quotas, rows, rules, services, snapshots, volumes
from stackling.volume.model import SnapshotRow, VolumeRow

UNMANAGED, UNMANAGED_SNAPSHOT = "volume-{}", "_snapshot-{}"
"""The names under which what is unmanaged stays, made of its id: those of Cinder's LVM driver."""


def manage_volume(tx: Tx, ctx: Context, id: str, host: str, name_there: str, values: dict[str, Any],
                  type_ref: str | None) -> VolumeRow:
    """A volume whose data is adopted by the engine. Raises ``NotFound``, ``Invalid``."""
    backend = services.backend(tx, host)
    if not services.is_up(backend, tx.time):
        raise Invalid(f"Service {host} is not available.")
    type = volumes.type_for(tx, ctx, type_ref)
    if type is not None and type.encryption:
        raise Invalid("Managing volumes of encrypted types isn't offered: their keys aren't known.")
    quotas.claim(tx, ctx.project_id or "", {"volumes": 1}, type.name if type else None)
    row: dict[str, Any] = {
        **volumes.EMPTY, "id": id, "project_id": ctx.project_id, "user_id": ctx.user_id, "size_gib": 0,
        "type_id": type.id if type else None, "availability_zone": backend["availability_zone"],
        "image_metadata": None, "multiattach": type is not None and type.wants("multiattach"), "encryption": None,
        "snapshot_id": None, "source_volid": None, "source": {"kind": "stray", "name": name_there}, "group_id": None,
        "backend": backend["host"], "consumes_quota": True, "created_at": tx.now, **values}
    row["status"] = rules.status(row)
    tx.execute(insert(table), row)
    rows.index_metadata(tx, id, row["metadata"], None)
    tx.event(ctx, changes.VOLUME, id, "manage", name_there, project_id=ctx.project_id)
    tx.nudge(changes.VOLUME, id, deadline=changes.DEADLINE)
    return row


def manage_snapshot(tx: Tx, ctx: Context, id: str, volume: VolumeRow, name_there: str,
                    values: dict[str, Any]) -> SnapshotRow:
    """A snapshot of *volume* that its backend has already. Raises ``Unavailable``, ``Invalid``, ``QuotaExceeded``."""
    services.usable(tx, volume["backend"] or "")
    made = snapshots.create_snapshot(tx, ctx, id, volume, force=True, source={"kind": "stray", "name": name_there},
                                     **values)
    tx.event(ctx, changes.SNAPSHOT, id, "manage", name_there, project_id=volume["project_id"])
    return made


def unmanage_snapshot(tx: Tx, ctx: Context, snapshot: SnapshotRow) -> None:
    """Forget a snapshot; its data stays as ``_snapshot-<id>``, and goes with its volume. Raises ``Invalid``."""
    if snapshot["status"] not in ("available", "error"):
        raise Invalid(f"Invalid snapshot: Snapshot {snapshot['id']} must be available or error to be unmanaged; it is "
                      f"{snapshot['status']}.")
    if snapshot["group_snapshot_id"] is not None:
        raise Invalid(f"Invalid snapshot: Snapshot {snapshot['id']} must not be part of a group.")
    tx.event(ctx, changes.SNAPSHOT, snapshot["id"], "unmanage", project_id=snapshot["project_id"])
    released = {"kind": "release", "name": UNMANAGED_SNAPSHOT.format(snapshot["id"])}
    changes.snapshot(tx, snapshot, {"deleting": 1, "failed": 0, "forced_status": None, "source": released},
                     desired=True)


def unmanage_volume(tx: Tx, ctx: Context, volume: VolumeRow) -> None:
    """Forget a volume that nobody uses; its data stays under ``volume-<id>``."""
    if volume["status"] not in ("available", "error", "error_managing") or volume["attach_status"] != "detached":
        raise Invalid(f"Invalid volume: Volume {volume['id']} must be available to be unmanaged; it is "
                      f"{volume['status']}.")
    if volume["encryption"]:
        raise Invalid("Invalid volume: Unmanaging encrypted volumes is not supported.")
    if rows.snapshots_of(tx, volume["id"]):
        raise Invalid(f"Invalid volume: Volume {volume['id']} has snapshots; it can't be unmanaged.")
    tx.event(ctx, changes.VOLUME, volume["id"], "unmanage", project_id=volume["project_id"])
    changes.volume(tx, volume, {"deleting": 1, "source": {"kind": "release",
                                                          "name": UNMANAGED.format(volume["id"])}}, desired=True)
