"""Volumes: making, finding, changing, deleting one. Each in one transaction; the caller checks the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_id
from stackling.image import facade as images
from stackling.store.tables.volume import volume_attachments, volume_snapshots, volume_transfers, volumes
from stackling.store.transaction import Tx
from stackling.volume import changes, keys, quotas, rows, rules, services, types
from stackling.volume.model import GIB, ZONE, Attached, NewVolume, VolumeRow, VolumeType
from stackling.volume.origins import Chosen, choose_origin

_INSERT = insert(volumes)


def missing(id: str) -> NotFound:
    """What everybody reads of a volume that isn't there or isn't theirs."""
    return NotFound(f"Volume {id} could not be found.", type="VolumeNotFound")


def get_volume(tx: Tx, ctx: Context, id: str) -> VolumeRow:
    """The volume if *ctx* may know of it. Raises ``NotFound``."""
    row = rows.volume(tx, id)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return row


def type_for(tx: Tx, ctx: Context, ref: str | None, source: VolumeRow | None = None) -> VolumeType | None:
    """The type that a new volume gets: what is named, what its source has, or the default. Raises ``NotFound``."""
    if ref is not None:
        return types.get_type(tx, ctx, ref)
    if source is not None:
        return types.names(tx, [source["type_id"]]).get(source["type_id"]) if source["type_id"] else None
    return types.default_type(tx, ctx)


def create_volume(tx: Tx, ctx: Context, new: NewVolume) -> VolumeRow:
    """A volume that is being made. Raises ``Invalid``, ``NotFound``, ``QuotaExceeded``.

    One for which no backend has room is made all the same, in ``error`` with a message that says why, as Cinder does.
    """
    chosen = choose_origin(tx, ctx, new)
    type = type_for(tx, ctx, new.type or chosen.type_ref)
    _check_encryption(chosen, type)
    size = _size(new, chosen)
    if new.consumes_quota:
        quotas.claim(tx, ctx.project_id or "", {"volumes": 1, "gigabytes": size}, type.name if type else None,
                     volume_gib=size)
    encryption = _encryption(tx, new.id, type, chosen)
    zone = new.availability_zone or (chosen.zone if chosen.volume is not None else None)
    backend, why = services.choose(tx, type, size, zone, only=chosen.backend)
    row: dict[str, Any] = {
        **EMPTY, "id": new.id, "project_id": ctx.project_id, "user_id": ctx.user_id, "name": new.name,
        "description": new.description, "size_gib": size, "type_id": type.id if type else None,
        "availability_zone": backend["availability_zone"] if backend else zone or ZONE,
        "metadata": dict(new.metadata), "image_metadata": chosen.image_metadata, "bootable": chosen.bootable,
        "multiattach": type is not None and type.wants("multiattach"),
        "encryption": encryption,
        "snapshot_id": new.snapshot_id, "source_volid": new.source_volid,
        "source": _source(tx, ctx, new, chosen),
        "group_id": new.group_id, "backend": backend["host"] if backend else None,
        "consumes_quota": new.consumes_quota, "created_at": tx.now}
    row["status"] = rules.status(row)
    tx.execute(_INSERT, row)
    rows.index_metadata(tx, new.id, new.metadata, chosen.image_metadata)
    tx.event(ctx, changes.VOLUME, new.id, "create", f"{size} GiB", project_id=ctx.project_id)
    if backend is None:
        tx.event(ctx, changes.VOLUME, new.id, "no_valid_backend", why, source="scheduler", project_id=ctx.project_id)
        _tell_no_backend(tx, ctx, new.id, why)
    else:
        tx.nudge(changes.VOLUME, new.id, deadline=changes.DEADLINE)
    return row


def _source(tx: Tx, ctx: Context, new: NewVolume, chosen: Chosen) -> Mapping[str, Any] | None:
    """What the row keeps of it. What a guest may be writing to is copied from a snapshot of its own."""
    from stackling.volume import snapshots

    source = chosen.source
    if source is None or source["kind"] != "volume" or not snapshots.is_written(tx, chosen.volume or {}):
        return source
    made = snapshots.create_snapshot(tx, ctx, new_id(), chosen.volume or {}, name=f"clone-{new.id}", internal=True)
    return {"kind": "snapshot", "id": made["id"], "volume_id": source["id"], "own": True}


EMPTY: dict[str, Any] = {
    "bootable": False, "name": None, "description": None, "metadata": {}, "readonly": None, "transfer_id": None,
    "task": None, "deleting": 0, "generation": 1, "observed_generation": 0,
    "observed_size_gib": 0, "task_done": 0, "location": None, "failed": 0, "overdue": 0, "last_error": None,
    "forced_status": None, "previous_status": None, "migration_status": None, "replication_status": None,
    "attach_status": Attached.DETACHED.value, "updated_at": None, "launched_at": None}


def _tell_no_backend(tx: Tx, ctx: Context, id: str, why: str) -> None:
    from stackling.volume import messages

    messages.add(tx, ctx.project_id or "", ctx.request_id, "VOLUME", id, messages.NO_BACKEND, why)


def _check_encryption(chosen: Chosen, type: VolumeType | None) -> None:
    encrypted = type is not None and bool(type.encryption)
    if encrypted and type is not None and type.wants("multiattach"):
        raise Invalid("Invalid volume: Multiattach cannot be used with encrypted volumes.")
    if chosen.volume is not None and bool(chosen.volume["encryption"]) != encrypted:
        raise Invalid("Invalid input received: the volume type and its source's must both be encrypted or both not.")
    if chosen.key_id is not None and not encrypted:
        raise Invalid("Invalid input received: an encrypted backup needs a volume type that is encrypted.")


def _encryption(tx: Tx, id: str, type: VolumeType | None, chosen: Chosen) -> dict[str, Any] | None:
    """What the row keeps of it: a copy of an encrypted volume or backup is opened by the same key."""
    if type is None or not type.encryption:
        return None
    other = chosen.key_id if chosen.volume is None else keys.key_id(chosen.volume)
    return {**type.encryption, "key_id": keys.make(tx, id) if other is None else keys.copy(tx, other, id)}


def _size(new: NewVolume, chosen: Chosen) -> int:
    size = new.size_gib if new.size_gib is not None else chosen.least_gib
    if size is None:
        raise Invalid("Invalid input received: Volume size 'None' must be an integer and greater than 0")
    if chosen.least_gib is not None and size < chosen.least_gib:
        raise Invalid(f"Invalid input received: Size of specified {chosen.what} {chosen.least_gib}GB is larger than "
                      f"volume size {size}GB.")
    return size


def image_gib(virtual_size: int) -> int:
    """The GiB of a volume that an image's disk fits into."""
    return max(1, -(-virtual_size // GIB))


# -- changes of what people see

def update_volume(tx: Tx, volume: VolumeRow, values: Mapping[str, Any]) -> VolumeRow:
    """Change columns that no backend needs to know."""
    after = changes.volume(tx, volume, values)
    if "metadata" in values or "image_metadata" in values:
        rows.index_metadata(tx, volume["id"], after["metadata"], after["image_metadata"])
    return after


def set_metadata(tx: Tx, volume: VolumeRow, items: Mapping[str, str], *, replace: bool = False) -> dict[str, str]:
    """Add *items*, or with *replace* leave nothing but them. Raises ``Invalid`` during maintenance."""
    if volume["status"] == "maintenance" or volume["status"] == "uploading":
        raise Invalid(f"Invalid volume: Volume {volume['id']} is {volume['status']}.")
    merged = dict(items) if replace else {**volume["metadata"], **items}
    update_volume(tx, volume, {"metadata": merged})
    return merged


# -- deletion

def delete_volume(tx: Tx, ctx: Context | None, volume: VolumeRow, *, cascade: bool = False,
                  force: bool = False) -> None:
    """Ask for the volume's end. Raises ``Invalid`` in a state that forbids it. Doing it again changes nothing."""
    if volume["deleting"] and not volume["failed"]:
        return
    snapshots = [one for one in rows.snapshots_of(tx, volume["id"]) if not one["internal"]]
    _check_deletable(volume, bool(snapshots) and not cascade, force)
    from stackling.volume import snapshots as use_cases

    for one in snapshots:
        if not one["deleting"]:
            use_cases.remove(tx, ctx, one)
    tx.event(ctx, changes.VOLUME, volume["id"], "delete", project_id=volume["project_id"])
    if force:
        tx.execute(delete(volume_attachments).where(volume_attachments.c.volume_id == volume["id"]))
    if volume["backend"] is None:
        finish_deletion(tx, volume)
    else:
        changes.volume(tx, volume, {"deleting": 1, "forced_status": None}, desired=True)


def _check_deletable(volume: VolumeRow, has_snapshots: bool, force: bool) -> None:
    allowed = ("available", "error", "error_restoring", "error_extending", "error_managing", "error_deleting")
    if not force and volume["status"] not in allowed:
        raise Invalid(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
            "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a "
            "transfer, or be disassociated from snapshots after volume transfer.")
    if not force and volume["attach_status"] != Attached.DETACHED:
        raise Invalid(f"Invalid volume: Volume {volume['id']} is still attached, detach volume first.")
    if has_snapshots:
        raise Invalid(f"Invalid volume: Volume {volume['id']} has dependent snapshots; delete them first, or with it "
                      "(cascade).")
    if volume["group_id"] is not None and not force:
        raise Invalid(f"Invalid volume: Volume {volume['id']} belongs to group {volume['group_id']}; remove it from "
                      "the group first.")


def finish_deletion(tx: Tx, volume: VolumeRow) -> None:
    """Nothing of it is left in its backend: the row goes."""
    id = volume["id"]
    rows.drop_metadata(tx, id)
    drop_own_source(tx, volume)
    if (key := keys.key_id(volume)) is not None:
        keys.drop(tx, key)
    for table, column in ((volume_attachments, volume_attachments.c.volume_id),
                          (volume_snapshots, volume_snapshots.c.volume_id),
                          (volume_transfers, volume_transfers.c.volume_id)):
        tx.execute(delete(table).where(column == id))
    tx.execute(delete(volumes).where(volumes.c.id == id))
    rows.drop_guard(tx, id)
    tx.event(None, changes.VOLUME, id, "deleted", source="engine", project_id=volume["project_id"])
    tx.forget(changes.VOLUME, id, volume["generation"])
    if volume["group_id"] is not None:
        from stackling.volume import groups

        groups.recheck(tx, volume["group_id"])


def drop_own_source(tx: Tx, volume: VolumeRow) -> None:
    """It is made, or won't be: the snapshot that was made for it goes."""
    from stackling.volume import snapshots

    source: Mapping[str, Any] = volume["source"] or {}
    if source.get("own"):
        snapshots.drop_own(tx, source["id"])


def clones_of(tx: Tx, volume_id: str) -> list[str]:
    """Volumes that are being made of this one."""
    found = tx.all(select(volumes.c.id).where(
        volumes.c.source_volid == volume_id, volumes.c.observed_generation == 0, volumes.c.deleting == 0))
    return [row.id for row in found]


def drop_image(tx: Tx, image_id: str) -> None:
    """An image that a volume was to be saved as and wasn't."""
    images.drop_empty(tx, image_id)
