"""All that other services may use of the volume service."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from stackling.core.context import Context, system_context
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_request_id
from stackling.image import facade as images
from stackling.ports.document import VolumeDisk
from stackling.store.tables.volume import (
    volume_attachments,
    volume_backups,
    volume_group_snapshots,
    volume_group_types,
    volume_groups,
    volume_messages,
    volume_snapshots,
    volume_transfers,
    volumes,
)
from stackling.store.transaction import Tx
from stackling.volume import actions, attachments, groups, keys, rows, rules, snapshots, types
from stackling.volume import volumes as volumes_
from stackling.volume.audit import AuditKind
from stackling.volume.kinds import BACKEND, Backends, kinds, start
from stackling.volume.model import Attached, NewVolume, Task, VolumeRow
from stackling.volume.quotas import DEFAULTS
from stackling.volume.quotas import set_limits as _set_limits

__all__ = ["BACKEND", "AuditKind", "Backends", "NewVolume", "bootstrap", "kinds", "lift_quotas", "start"]

VOLUMES, SNAPSHOTS, ATTACHMENTS, BACKUPS, TRANSFERS = (
    volumes, volume_snapshots, volume_attachments, volume_backups, volume_transfers)
GROUPS, GROUP_SNAPSHOTS, GROUP_TYPES = volume_groups, volume_group_snapshots, volume_group_types
MESSAGES = volume_messages
"""What ``volume.lists`` can list."""


def bootstrap(tx: Tx) -> None:
    """First start: the default types of volumes and of consistency groups. Idempotent."""
    if not any(found.name == types.DEFAULT for found in types.all_types(tx)):
        types.create_type(tx, types.DEFAULT, "Default Volume Type", True, {})
    groups.ensure_consistency_type(tx)


def attach(tx: Tx, ctx: Context, volume_id: str, server_id: str, id: str, device: str,
           host: str | None) -> VolumeDisk:
    """Keep a volume for a server that the host will plug it into. A shelved server has no host (None): its volumes
    count as attached, as with Nova. Raises ``NotFound``, ``Invalid``."""
    volume = volumes_.get_volume(tx, ctx, volume_id)
    status = Attached.RESERVED if host is None else Attached.ATTACHING
    row = attachments.reserve(tx, volume, server_id, id=id, status=status, by_compute=True, mountpoint=device,
                              host_name=host)
    if host is None:
        attachments.attached(tx, row)
    return VolumeDisk(id=id, volume_id=volume_id, location=volume["location"] or "", size_gib=volume["size_gib"],
                      device=device, readonly=bool(volume["readonly"]), shared=bool(volume["multiattach"]),
                      key_id=keys.key_id(volume) or "")


def attached(tx: Tx, id: str, host: str | None) -> None:
    """The host has plugged it in."""
    row = rows.get(tx, volume_attachments, id)
    if row is not None and (row["status"] != Attached.ATTACHED or row["host_name"] != host):
        attachments.attached(tx, row, host_name=host)


def servers_with_key(tx: Tx, key_id: str) -> list[str]:
    """The servers that have the volume which a key opens."""
    volume_id = keys.volume_of(tx, key_id)
    there = rows.attachments(tx, [volume_id])[volume_id] if volume_id is not None else []
    return [one["server_id"] for one in there if one["by_compute"] and one["server_id"] is not None]


def passphrase(tx: Tx, key_id: str) -> str:
    """What opens the volume of a key. Raises ``Unavailable``."""
    return keys.passphrase(tx, key_id)


def detaching(tx: Tx, id: str) -> None:
    """The host shall let go of it."""
    row = rows.get(tx, volume_attachments, id)
    if row is not None:
        attachments.change(tx, row, {"status": Attached.DETACHING.value})


def detached(tx: Tx, id: str) -> None:
    """The host has let go of it: this attachment ends, and no other."""
    attachments.remove(tx, id)


def delete(tx: Tx, volume_id: str) -> None:
    """The volume goes with its server, even one that is only being made; nothing where something keeps it."""
    row = rows.volume(tx, volume_id)
    if row is not None:
        unfinished = not row["observed_generation"] or rules.task_of(row) is Task.REIMAGE
        with suppress(Invalid):
            volumes_.delete_volume(tx, None, row, force=unfinished)


# -- servers that boot from volumes

@dataclass(frozen=True, slots=True)
class BootVolume:
    """What a server's request must know of a volume, or of a snapshot of one (``id``, ``size_gib`` are the snapshot's
    then)."""

    id: str
    size_gib: int
    bootable: bool
    multiattach: bool
    image_metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a volume is that was asked for: ``failed``: it won't come by itself; ``status`` is what users see."""

    status: str
    ready: bool
    failed: bool
    location: str
    size_gib: int
    reason: str | None = None


def volume_to_boot(tx: Tx, ctx: Context, volume_id: str) -> BootVolume:
    """Raises ``NotFound``."""
    return _to_boot(volumes_.get_volume(tx, ctx, volume_id))


def snapshot_to_boot(tx: Tx, ctx: Context, snapshot_id: str) -> BootVolume:
    """Raises ``NotFound``."""
    snapshot = snapshots.get_snapshot(tx, ctx, snapshot_id)
    row = rows.volume(tx, snapshot["volume_id"])
    if row is None:
        raise snapshots.missing(snapshot_id)
    found = _to_boot(row)
    return BootVolume(snapshot_id, snapshot["size_gib"], found.bootable, found.multiattach, found.image_metadata)


def _to_boot(row: VolumeRow) -> BootVolume:
    return BootVolume(row["id"], row["size_gib"], bool(row["bootable"]), bool(row["multiattach"]),
                      row["image_metadata"] or {})


def root_snapshot_of_image(tx: Tx, ctx: Context, image_id: str) -> str | None:
    """The snapshot that an image without data names for the disk to boot from, if it is such an image."""
    from stackling.compute import facade as compute

    try:
        image = images.image_described(tx, ctx, image_id)
        return compute.root_snapshot(image.properties) if image.size == 0 else None
    except (Invalid, NotFound):
        return None


def has_type(tx: Tx, ctx: Context, ref: str) -> bool:
    """Whether the caller may use a volume type of that name or id."""
    try:
        types.get_type(tx, ctx, ref)
    except NotFound:
        return False
    return True


def create_for_server(tx: Tx, ctx: Context, new: NewVolume, server_id: str, id: str, device: str,
                      host: str) -> VolumeDisk:
    """Make a volume that is a server's from the beginning; ``progress`` tells when it is there. *id* is the
    attachment's. Raises ``Invalid``, ``NotFound``, ``QuotaExceeded``, having changed nothing."""
    volume = volumes_.create_volume(tx, ctx, new)
    attachments.reserve(tx, volume, server_id, id=id, status=Attached.ATTACHING, by_compute=True, mountpoint=device,
                        host_name=host, unborn=True)
    return VolumeDisk(id=id, volume_id=volume["id"], location="", size_gib=volume["size_gib"], device=device,
                      shared=bool(volume["multiattach"]),
                      key_id=keys.key_id(volume) or "")


def progress(tx: Tx, volume_id: str) -> Progress | None:
    """How far it is; None when it is gone."""
    row = rows.volume(tx, volume_id)
    if row is None:
        return None
    failed = bool(row["failed"] or row["overdue"] or row["deleting"] or row["backend"] is None)
    busy = rules.task_of(row) is Task.REIMAGE
    return Progress(row["status"], bool(row["observed_generation"]) and not busy and not row["deleting"],
                    failed and (busy or not row["observed_generation"] or bool(row["deleting"])),
                    row["location"] or "", row["size_gib"], row["last_error"])


def reimage(tx: Tx, volume_id: str, image_id: str) -> None:
    """Give a server's volume, that no guest writes to, an image's content. Raises ``Invalid``, ``NotFound``."""
    ctx = system_context(new_request_id())
    actions.reimage_attached(tx, ctx, volumes_.get_volume(tx, ctx, volume_id), image_id)


def snapshot(tx: Tx, ctx: Context, volume_id: str, id: str, name: str) -> None:
    """A snapshot of a volume that a server uses. Raises ``Invalid``, ``QuotaExceeded``."""
    volume = volumes_.get_volume(tx, ctx, volume_id)
    snapshots.create_snapshot(tx, ctx, id, volume, name=name, description=volume["description"], force=True)


def snapshot_ended(tx: Tx, id: str, error: str) -> None:
    """A host that was asked for a snapshot has made it ("") or can't, for the reason *error*."""
    snapshots.host_ended(tx, id, error)


def snapshot_let_go(tx: Tx, id: str) -> None:
    """A host that was asked for a snapshot won't make it (any more), nor touch it again."""
    snapshots.host_let_go(tx, id)


def lift_quotas(tx: Tx, project_id: str) -> None:
    """No limits for the project (the administrator's own)."""
    _set_limits(tx, project_id, dict.fromkeys(DEFAULTS, -1))
