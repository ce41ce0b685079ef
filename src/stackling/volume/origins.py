"""What a new volume is made from: an image, a snapshot, a volume, a backup, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.image import facade as images
from stackling.store.tables.volume import volume_backups, volume_snapshots
from stackling.store.transaction import Tx
from stackling.volume import rows
from stackling.volume.model import GIB, NewVolume, VolumeRow

_IMAGE_KEYS = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
_TYPE_PROPERTY = "cinder_img_volume_type"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A volume's source: ``source`` is what the row keeps for the engine; ``volume`` is the volume that it comes from,
    itself or through a snapshot; ``type_ref`` is the type (an id, or a name) that a volume gets when none is asked for;
    ``key_id`` is what opens an encrypted backup."""

    source: Mapping[str, Any] | None = None
    what: str = ""
    least_gib: int | None = None
    volume: VolumeRow | None = None
    type_ref: str | None = None
    backend: str | None = None
    zone: str | None = None
    bootable: bool = False
    image_metadata: dict[str, str] | None = None
    key_id: str | None = None


def choose_origin(tx: Tx, ctx: Context, new: NewVolume) -> Chosen:
    """Raises ``NotFound`` and ``Invalid``."""
    named = [name for name in ("snapshot_id", "source_volid", "image_ref", "backup_id") if getattr(new, name)]
    if len(named) > 1:
        raise Invalid(f"May specify only one of {', '.join(named)}.")
    if new.snapshot_id:
        return _snapshot(tx, ctx, new.snapshot_id)
    if new.source_volid:
        return _volume(tx, ctx, new.source_volid)
    if new.image_ref:
        return _image(tx, ctx, new.image_ref)
    if new.backup_id:
        return _backup(tx, ctx, new.backup_id)
    return Chosen()


def _snapshot(tx: Tx, ctx: Context, id: str) -> Chosen:
    row = rows.get(tx, volume_snapshots, id)
    if row is None or row["internal"] or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Snapshot {id} could not be found.", type="SnapshotNotFound")
    if row["status"] not in ("available", "backing-up"):
        raise Invalid(f"Invalid snapshot: Originating snapshot status must be one of 'available, backing-up' values "
                      f"(it is {row['status']}).")
    parent = rows.volume(tx, row["volume_id"])
    return Chosen({"kind": "snapshot", "id": id, "volume_id": row["volume_id"]}, "snapshot", row["size_gib"], parent,
                  row["type_id"], row["backend"], parent["availability_zone"] if parent else None,
                  bool(parent and parent["bootable"]), _copied(parent))


def _volume(tx: Tx, ctx: Context, id: str) -> Chosen:
    row = rows.volume(tx, id)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Volume {id} could not be found.", type="VolumeNotFound")
    if row["status"] not in ("available", "in-use"):
        raise Invalid(f"Invalid volume: Originating volume status must be one of 'available, in-use' values (it is "
                      f"{row['status']}).")
    return Chosen({"kind": "volume", "id": id}, "source volume", row["size_gib"], row, row["type_id"], row["backend"],
                  row["availability_zone"], bool(row["bootable"]), _copied(row))


def _copied(parent: VolumeRow | None) -> dict[str, str] | None:
    return dict(parent["image_metadata"]) if parent is not None and parent["image_metadata"] else None


def _image(tx: Tx, ctx: Context, id: str) -> Chosen:
    try:
        image = images.image_for_boot(tx, ctx, id)
    except NotFound:
        raise Invalid(f"Invalid image identifier or unable to access requested image {id}.") from None
    least = max(image.min_disk_gib, -(-image.virtual_size // GIB), 1)
    facts = images.shown(tx, id)
    known = {**{key: str(facts[key]) for key in _IMAGE_KEYS if facts.get(key) is not None}, **image.properties,
             "image_id": id, "image_name": image.name}
    source = {"kind": "image", "id": id, "location": image.location, "locations": image.locations,
              "format": image.format}
    return Chosen(source, "image", least, type_ref=image.properties.get(_TYPE_PROPERTY) or None, bootable=True,
                  image_metadata=known)


def _backup(tx: Tx, ctx: Context, id: str) -> Chosen:
    row = rows.get(tx, volume_backups, id)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Backup {id} could not be found.", type="BackupNotFound")
    if row["status"] not in ("available", "restoring"):
        raise Invalid(f"Invalid backup: Backup status must be available or restoring (it is {row['status']}).")
    key = row["source"].get("key_id")
    return Chosen({"kind": "backup", "id": row["source"].get("data") or id, "encrypted": key is not None}, "backup",
                  row["size_gib"], key_id=key)
