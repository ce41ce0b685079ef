"""Volumes, snapshots, attachments as Cinder shows them at each microversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stackling.api.call import Call
from stackling.api.volume.parts import Json, links, target
from stackling.volume import groups, rows, services, types
from stackling.volume.model import Attached, VolumeRow, VolumeType
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_IN_USE = (Attached.ATTACHED.value, Attached.DETACHING.value)


class Around:
    """What is shown of volumes beside their rows: types, attachments, backends, groups; one query each."""

    def __init__(self, tx: Tx, volumes: Sequence[VolumeRow]) -> None:
        self.types: Mapping[str, VolumeType] = types.names(tx, [row["type_id"] for row in volumes if row["type_id"]])
        self.attachments = rows.attachments(tx, [row["id"] for row in volumes])
        self.services: Mapping[str, AnyRow] = {
            row["host"]: row for row in (services.all_services(tx) if volumes else ())
            if row["binary"] == services.VOLUME}
        self.consistent = groups.consistent(tx, [row["group_id"] for row in volumes if row["group_id"]])


def summary(call: Call, row: VolumeRow) -> Json:
    """As lists without details show it."""
    return {"id": row["id"], "name": row["name"], "links": links(call, "volumes", row["id"])}


def volume(call: Call, row: VolumeRow, around: Around, *, extended: bool = True) -> Json:
    """The whole; *extended*: with what extensions add, which creating and updating don't show."""
    type = around.types.get(row["type_id"] or "")
    there = around.attachments.get(row["id"], [])
    shown: Json = {
        **summary(call, row), "status": row["status"], "size": row["size_gib"],
        "availability_zone": row["availability_zone"], "created_at": row["created_at"],
        "updated_at": row["updated_at"], "description": row["description"],
        "volume_type": type.name if type is not None else None, "snapshot_id": row["snapshot_id"],
        "source_volid": row["source_volid"], "metadata": visible_metadata(row, there), "user_id": row["user_id"],
        "bootable": str(bool(row["bootable"])).lower(), "encrypted": bool(row["encryption"]),
        "replication_status": row["replication_status"],
        "consistencygroup_id": row["group_id"] if row["group_id"] in around.consistent else None,
        "multiattach": bool(row["multiattach"]),
        "attachments": [_attached(call, one) for one in there if one["status"] in _IN_USE]}
    if call.ctx.is_admin:
        shown["migration_status"] = row["migration_status"]
    _by_version(call, row, around, shown)
    if extended:
        _extend(call, row, around, shown)
    return shown


def visible_metadata(row: VolumeRow, there: Sequence[AnyRow]) -> Json:
    """The volume's own, and what Cinder shows of its access mode."""
    found = dict(row["metadata"])
    if row["readonly"] is not None:
        found["readonly"] = str(bool(row["readonly"]))
    modes = [one["mode"] for one in there if one["status"] in _IN_USE]
    if modes:
        found["attached_mode"] = modes[-1]
    return found


def _attached(call: Call, one: AnyRow) -> Json:
    return {"id": one["volume_id"], "attachment_id": one["id"], "volume_id": one["volume_id"],
            "server_id": one["server_id"], "host_name": one["host_name"] if call.ctx.is_admin else None,
            "device": one["mountpoint"], "attached_at": one["attached_at"]}


def _by_version(call: Call, row: VolumeRow, around: Around, shown: Json) -> None:
    version, admin = call.version, call.ctx.is_admin
    if version >= (3, 13):
        shown["group_id"] = row["group_id"]
    if version >= (3, 21) and admin:
        shown["provider_id"] = None
    if version >= (3, 48):
        service = around.services.get(row["backend"] or "")
        shown["service_uuid"] = service["id"] if service is not None else None
        shown["shared_targets"] = None if version >= (3, 69) else False
    if version >= (3, 61) and admin:
        shown["cluster_name"] = None
    if version >= (3, 63):
        shown["volume_type_id"] = row["type_id"]
    if version >= (3, 64) and row["encryption"]:
        shown["encryption_key_id"] = row["encryption"].get("key_id")
    if version >= (3, 65):
        shown["consumes_quota"] = bool(row["consumes_quota"])


def _extend(call: Call, row: VolumeRow, around: Around, shown: Json) -> None:
    what = target(row)
    if call.allowed("volume_extension:volume_host_attribute", what):
        service = around.services.get(row["backend"] or "")
        shown["os-vol-host-attr:host"] = services.full_host(service) if service is not None else None
    if call.allowed("volume_extension:volume_tenant_attribute", what):
        shown["os-vol-tenant-attr:tenant_id"] = row["project_id"]
    if call.allowed("volume_extension:volume_mig_status_attribute", what):
        shown["os-vol-mig-status-attr:migstat"] = row["migration_status"]
        shown["os-vol-mig-status-attr:name_id"] = None
    if row["image_metadata"]:
        shown["volume_image_metadata"] = row["image_metadata"]


def snapshot_summary(call: Call, row: AnyRow) -> Json:
    """A snapshot as lists and its creation show it."""
    shown: Json = {"id": row["id"], "name": row["name"], "description": row["description"],
                   "created_at": row["created_at"], "updated_at": row["updated_at"], "volume_id": row["volume_id"],
                   "status": row["status"], "size": row["size_gib"], "metadata": row["metadata"]}
    if call.version >= (3, 14):
        shown["group_snapshot_id"] = row["group_snapshot_id"]
    if call.version >= (3, 41):
        shown["user_id"] = row["user_id"]
    if call.version >= (3, 65):
        shown["consumes_quota"] = bool(row["consumes_quota"])
    return shown


def snapshot(call: Call, row: AnyRow) -> Json:
    """A snapshot with its extended attributes."""
    shown = snapshot_summary(call, row)
    if call.allowed("volume_extension:extended_snapshot_attributes", target(row)):
        shown["os-extended-snapshot-attributes:project_id"] = row["project_id"]
        shown["os-extended-snapshot-attributes:progress"] = row["progress"] or "0%"
    return shown


def attachment_summary(row: AnyRow) -> Json:
    """An attachment as lists show it."""
    return {"id": row["id"], "instance": row["server_id"], "volume_id": row["volume_id"], "status": row["status"]}


def attachment(row: AnyRow) -> Json:
    """The whole."""
    return {**attachment_summary(row), "attach_mode": row["mode"], "attached_at": row["attached_at"] or "",
            "detached_at": "", "connection_info": row["connection_info"] or {}}
