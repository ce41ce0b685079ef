"""What may be done to a volume that is there. The caller checks the policy; states that forbid it are ``Invalid``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_id
from stackling.image import facade as images
from stackling.image.facade import Image, NewImage
from stackling.store.transaction import Tx
from stackling.volume import attachments, changes, quotas, rows, rules, services, snapshots, types
from stackling.volume.model import Attached, NewVolume, Task, VolumeRow
from stackling.volume.origins import choose_origin
from stackling.volume.plan import next_task

_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx")
_ATTACH_STATUSES = ("attached", "detached")


def _must_be(volume: VolumeRow, *allowed: str, what: str) -> None:
    if volume["status"] not in allowed:
        raise Invalid(f"Invalid volume: Volume {volume['id']} status must be {' or '.join(allowed)} to {what}, but "
                      f"current status is: {volume['status']}.")


def extend(tx: Tx, ctx: Context, volume: VolumeRow, size_gib: int, *, attached: bool = False) -> None:
    """Make it larger; *attached*: in the running guest too. Raises ``Invalid``, ``QuotaExceeded``."""
    _must_be(volume, "in-use" if attached else "available", *([] if attached else ["error_extending"]), what="extend")
    if size_gib <= volume["size_gib"]:
        raise Invalid(f"Invalid input received: New size for extend must be greater than current size. (current: "
                      f"{volume['size_gib']}, extended: {size_gib}).")
    type = types.names(tx, [volume["type_id"]]).get(volume["type_id"]) if volume["type_id"] else None
    quotas.claim(tx, volume["project_id"], {"gigabytes": size_gib - volume["size_gib"]}, type.name if type else None,
                 volume_gib=size_gib)
    backend = services.backend(tx, volume["backend"])
    room = backend["free_gib"]
    if room < size_gib - volume["size_gib"]:
        raise Invalid(f"Invalid input received: the backend has {room:.0f} GiB left.")
    tx.event(ctx, changes.VOLUME, volume["id"], "extend", f"to {size_gib} GiB", project_id=volume["project_id"])
    changes.volume(tx, volume, {"size_gib": size_gib}, desired=True)
    if attached:
        from stackling.compute import facade as compute

        for one in attachments.of(tx, volume):
            if one["by_compute"]:
                compute.volume_extended(tx, ctx, one["server_id"], one["id"], size_gib)


def upload(tx: Tx, ctx: Context, volume: VolumeRow, image_id: str, name: str, *, disk_format: str,
           container_format: str, force: bool, visibility: str, protected: bool) -> Image:
    """Save it as an image, which is queued until the engine has written it: of one that a guest uses, a snapshot that
    is made for it. Raises ``Invalid``, ``TooLarge``."""
    _must_be(volume, "available", *(["in-use"] if force else []), what="upload to image")
    if volume["encryption"]:
        raise Invalid(f"Invalid volume: Volume {volume['id']} is encrypted; images of encrypted volumes aren't "
                      "offered, take a snapshot or a backup.")
    if disk_format not in _FORMATS:
        raise Invalid(f"Invalid disk format '{disk_format}'; possible are {', '.join(_FORMATS)}.")
    if container_format != "bare":
        raise Invalid(f"Container format {container_format} isn't offered for volumes; use bare.")
    copied: dict[str, str] = volume["image_metadata"] or {}
    properties = {key: value for key, value in copied.items() if key not in _NOT_COPIED}
    image = images.create_for_volume(tx, ctx, NewImage(
        id=image_id, owner=ctx.project_id, name=name, visibility=visibility, disk_format=disk_format,
        container_format=container_format, protected=protected, min_disk=volume["size_gib"], properties=properties))
    of: dict[str, str] = {}
    if volume["attach_status"] != Attached.DETACHED:
        of["snapshot_id"] = snapshots.create_snapshot(tx, ctx, new_id(), volume, name=f"upload-{image_id}",
                                                      internal=True)["id"]
    task = next_task(volume, Task.UPLOAD, image_id=image_id, disk_format=disk_format, **of)
    changes.volume(tx, volume, task, desired=True)
    return image


_NOT_COPIED = ("image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size",
               "signature_verified")


def revert(tx: Tx, ctx: Context, volume: VolumeRow, snapshot_id: str) -> None:
    """Back to its latest snapshot."""
    snapshot = snapshots.get_snapshot(tx, ctx, snapshot_id)
    if snapshot["volume_id"] != volume["id"]:
        raise Invalid(f"Invalid snapshot: snapshot {snapshot_id} isn't of volume {volume['id']}.")
    latest = max((one for one in rows.snapshots_of(tx, volume["id"]) if not one["internal"]),
                 key=lambda one: (one["created_at"], one["id"]))
    if latest["id"] != snapshot_id:
        raise Invalid(f"Invalid snapshot: Specified snapshot {snapshot_id} is not the latest one of volume "
                      f"{volume['id']}.")
    if volume["size_gib"] != snapshot["size_gib"]:
        raise Invalid("Can't revert volume: its size has changed since the snapshot was made.")
    _must_be(volume, "available", what="revert")
    if snapshot["status"] != "available":
        raise Invalid(f"Invalid snapshot: snapshot {snapshot_id} is {snapshot['status']}.")
    changes.volume(tx, volume, next_task(volume, Task.REVERT, snapshot_id=snapshot_id), desired=True)


def reimage(tx: Tx, ctx: Context, volume: VolumeRow, image_id: str, *, reserved: bool) -> None:
    """Give it another image's content."""
    _must_be(volume, "available", "error", *(["reserved"] if reserved else []), what="re-image")
    reimage_attached(tx, ctx, volume, image_id)


def reimage_attached(tx: Tx, ctx: Context, volume: VolumeRow, image_id: str) -> None:
    """The same for a volume that is a server's, whose guest is off."""
    chosen = choose_origin(tx, ctx, NewVolume(volume["id"], volume["size_gib"], image_ref=image_id))
    if chosen.least_gib is not None and chosen.least_gib > volume["size_gib"]:
        raise Invalid(f"Invalid input received: Size of specified image {chosen.least_gib}GB is larger than volume "
                      f"size {volume['size_gib']}GB.")
    assert chosen.source is not None
    columns = {"image_metadata": chosen.image_metadata, "bootable": True}
    facts = {name: chosen.source[name] for name in ("location", "format")}
    changes.volume(tx, volume, next_task(volume, Task.REIMAGE, **facts, columns=columns), desired=True)


# -- types and backends

def retype(tx: Tx, ctx: Context, volume: VolumeRow, ref: str, *, may_move: bool) -> None:
    """Make it one of another type, moving it to another backend where it must and *may_move*."""
    if volume["status"] not in ("available", "in-use"):
        raise Invalid(f"Invalid volume: Retype needs volume to be in available or in-use state, not be part of an "
                      f"active migration, requested type has to be different that the one from the volume, and for "
                      f"in-use volumes front-end qos specs cannot change (it is {volume['status']}).")
    try:
        type = types.get_type(tx, ctx, ref)
    except NotFound:
        raise Invalid(f"Invalid input received: Invalid volume_type passed: {ref}.") from None
    if type.id == volume["type_id"]:
        raise Invalid(f"Invalid volume: the volume is of type {type.name} already.")
    if _cipher(type.encryption) != _cipher(volume["encryption"]):
        raise Invalid("Invalid volume: Retype requires migration between types that are encrypted in different ways, "
                      "or one of them not at all, which isn't offered: copy the data into a new volume.")
    if volume["encryption"] and type.wants("multiattach"):
        raise Invalid("Invalid volume: Multiattach cannot be used with encrypted volumes.")
    if type.wants("multiattach") != bool(volume["multiattach"]) and volume["status"] != "available":
        raise Invalid(f"Invalid input received: Invalid volume_type passed, retypes affecting multiattach are only "
                      f"allowed on available volumes, the specified volume however currently has a status of: "
                      f"{volume['status']}.")
    quotas.claim(tx, volume["project_id"], {f"volumes_{type.name}": 1, f"gigabytes_{type.name}": volume["size_gib"]})
    stays, _ = services.choose(tx, type, 0, None, only=volume["backend"])
    target = volume["backend"]
    if stays is None:
        target = _other_backend(tx, volume, type, None) if may_move else None
        if target is None:
            raise Invalid("Invalid volume: the type's backend is another one; use the migration policy 'on-demand'.")
    columns = {"type_id": type.id, "multiattach": type.wants("multiattach")}
    if volume["status"] == "in-use":
        if target != volume["backend"]:
            raise Invalid("Invalid volume: a volume in use can't move to another backend.")
        changes.volume(tx, volume, columns)
        return
    _begin_move(tx, volume, target, columns)


def _cipher(encryption: Mapping[str, Any] | None) -> list[Any]:
    return [(encryption or {}).get(name) for name in ("provider", "cipher", "key_size", "control_location")]


def migrate(tx: Tx, ctx: Context, volume: VolumeRow, host: str) -> None:
    """Move it to the backend *host*. Raises ``Invalid``."""
    wanted = host.partition("#")[0]
    try:
        there = services.backend(tx, wanted)
    except NotFound:
        there = None
    if there is None or there["disabled"]:
        raise Invalid(f"Invalid host: No available service named '{host}'.")
    _must_be(volume, "available", what="migrate")
    if wanted == volume["backend"]:
        raise Invalid("Invalid host: Volume is already on the destination host.")
    type = types.names(tx, [volume["type_id"]]).get(volume["type_id"]) if volume["type_id"] else None
    target = _other_backend(tx, volume, type, wanted)
    tx.event(ctx, changes.VOLUME, volume["id"], "migrate", f"to {wanted}", project_id=volume["project_id"])
    _begin_move(tx, volume, target, {"migration_status": "migrating"})


def _other_backend(tx: Tx, volume: VolumeRow, type: types.VolumeType | None, only: str | None) -> str:
    if rows.snapshots_of(tx, volume["id"]):
        raise Invalid(f"Invalid volume: Volume {volume['id']} must not have snapshots to move to another backend.")
    found, why = services.choose(tx, type, volume["size_gib"], volume["availability_zone"], but=volume["backend"],
                                 only=only)
    if found is None:
        raise Invalid(why)
    return str(found["host"])


def _begin_move(tx: Tx, volume: VolumeRow, target: str, columns: Mapping[str, Any]) -> None:
    now = {"migration_status": columns["migration_status"]} if "migration_status" in columns else {}
    later = {name: value for name, value in columns.items() if name != "migration_status"}
    task = next_task(volume, Task.RETYPE, backend=target, columns=later, **{"from": volume["backend"]})
    changes.volume(tx, volume, {**now, **task}, desired=True)


# -- administrators'

def reset_status(tx: Tx, ctx: Context, volume: VolumeRow, status: str | None, attach_status: str | None,
                 migration_status: str | None) -> None:
    """Show it as that. What it really is is shown again once something is done to it, or with ``available``."""
    if status is None and attach_status is None and migration_status is None:
        raise Invalid("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    values: dict[str, Any] = {}
    if status is not None:
        if status not in rules.VOLUME_STATUSES:
            raise Invalid(f"Must specify a valid status, which {status} isn't.")
        values["forced_status"] = None if status in ("available", "in-use") else status
        values.update({"failed": 0, "overdue": 0} if status == "available" else {})
    if attach_status is not None and attach_status not in _ATTACH_STATUSES:
        raise Invalid(f"Must specify a valid attach status, which {attach_status} isn't.")
    if migration_status is not None:
        values["migration_status"] = None if migration_status == "none" else migration_status
    if attach_status == "detached":
        for one in attachments.of(tx, volume):
            attachments.check_not_computes(ctx, one)
            attachments.remove(tx, one["id"])
    fresh = rows.volume(tx, volume["id"])
    assert fresh is not None
    tx.event(ctx, changes.VOLUME, volume["id"], "reset_status", status, project_id=volume["project_id"])
    changes.volume(tx, fresh, values)


def unmanage(tx: Tx, ctx: Context, volume: VolumeRow) -> None:
    """Forget it, leaving its data."""
    from stackling.volume import manage

    manage.unmanage_volume(tx, ctx, volume)


# -- attaching, old style

def attach(tx: Tx, ctx: Context, volume: VolumeRow, server_id: str | None, host: str | None, mountpoint: str,
           mode: str) -> None:
    """Say that a server or a host uses it now."""
    reserved = next((one for one in attachments.of(tx, volume)
                     if one["server_id"] is None and one["status"] in (Attached.ATTACHING, Attached.RESERVED)), None)
    if volume["readonly"] and mode == "rw":
        raise Invalid(f"Invalid volume: Volume {volume['id']} is read-only; it can't be attached with mode rw.")
    values = {"server_id": server_id, "host_name": host, "mountpoint": mountpoint, "mode": mode}
    if reserved is None:
        reserved = attachments.reserve(tx, volume, server_id, mode=mode)
    attachments.attached(tx, reserved, **values)


def _chosen(tx: Tx, volume: VolumeRow, id: str | None) -> str | None:
    there = attachments.of(tx, volume)
    if id is not None:
        if id not in {one["id"] for one in there}:
            if attachments.is_anothers(tx, volume, id):
                raise Invalid("Invalid input received: Mismatched volume and attachment")
            raise attachments.missing(id)
        return id
    if len(there) > 1:
        raise Invalid("Invalid volume: attachment_id must be specified: the volume has several attachments.")
    return there[0]["id"] if there else None


def detach(tx: Tx, ctx: Context, volume: VolumeRow, id: str | None) -> None:
    """Say that it isn't used any more (nothing where it isn't). Raises ``Conflict`` where compute uses it."""
    chosen = _chosen(tx, volume, id)
    if chosen is None:
        return
    for one in attachments.of(tx, volume):
        if one["id"] == chosen:
            attachments.check_not_computes(ctx, one)
    attachments.remove(tx, chosen)


def force_detach(tx: Tx, ctx: Context, volume: VolumeRow, id: str | None) -> None:
    """The same for administrators, whatever the state; still not what a server has, but with a service's role, and then
    its host takes it from the guest. Raises ``Conflict``."""
    chosen = _chosen(tx, volume, id)
    if volume["forced_status"] is not None:
        volume = changes.volume(tx, volume, {"forced_status": None})
    if chosen is None:
        return
    found = next(one for one in attachments.of(tx, volume) if one["id"] == chosen)
    if not found["by_compute"]:
        attachments.remove(tx, chosen)
        return
    from stackling.compute import facade as compute

    if compute.has_attachment(tx, found["server_id"], chosen):
        attachments.check_not_computes(ctx, found)
    compute.detach_by_force(tx, found["server_id"], chosen)
