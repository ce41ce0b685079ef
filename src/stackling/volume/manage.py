"""Taking volumes and snapshots that lie in a backend already, and giving them back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.store.tables.volume import volumes as table
from stackling.store.transaction import Tx
from stackling.volume import changes, quotas, rows, rules, services, volumes
from stackling.volume.model import VolumeRow

UNMANAGED = "volume-{}"
"""The name under which an unmanaged volume's data stays, made of its id."""


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
