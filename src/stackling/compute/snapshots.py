"""Images of servers: snapshots, and backups that replace older ones.

Theory of operation. The image is made at once, without data; ``snapshot_id`` names it until the host has handed the
root disk's copy over, or says that it isn't wanted any more (it was deleted meanwhile). The data goes from the agent
into the image service, which makes the image active; the server only learns that it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stackling.compute import boot_volumes, changes, servers, timeline
from stackling.compute.model import ServerRow, is_volume_backed
from stackling.core.context import Context
from stackling.core.errors import Conflict, Forbidden, Invalid, TooLarge
from stackling.image import facade as images
from stackling.store.transaction import Tx

NOT_INHERITED = ("cache_in_nova", "img_signature", "img_signature_hash_method", "img_signature_certificate_uuid",
                 "img_signature_key_type", "backup_type", "image_type", "instance_uuid")


@dataclass(frozen=True, slots=True)
class Backup:
    """How a backup is kept: the *rotation* newest of its *type* stay."""

    type: str
    rotation: int


def create_image(tx: Tx, ctx: Context, server: ServerRow, image_id: str, name: str, properties: Mapping[str, str],
                 backup: Backup | None = None) -> None:
    """Save the root disk as a new image. Raises ``Conflict`` (state), ``Forbidden`` (the image service's quota)."""
    action = "createBackup" if backup else "createImage"
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, action, ("active", "stopped", "paused", "suspended"))
    if is_volume_backed(server):
        if backup is not None:
            raise Invalid("Backup is not supported for volume-backed instances.")
        _save_volumes(tx, ctx, server, image_id, name, properties)
        return
    if backup is not None:
        _rotate(tx, ctx, server, backup)
        if backup.rotation == 0:
            return
    add_image(tx, ctx, server, image_id, name, properties, backup)
    timeline.begin(tx, ctx, server, action, f"as image {name}")
    changes.apply(tx, server, {"snapshot_id": image_id}, desired=True)


def _save_volumes(tx: Tx, ctx: Context, server: ServerRow, image_id: str, name: str,
                  properties: Mapping[str, str]) -> None:
    """Snapshots of the server's volumes, and an image that says which. Raises ``Invalid``, ``Forbidden`` (quota)."""
    image: Mapping[str, Mapping[str, str]] = server["image"] or {}
    said = {key: value for key, value in image.get("properties", {}).items() if key not in NOT_INHERITED}
    try:
        boot_volumes.save_as_image(tx, ctx, server, images.Snapshot(
            image_id, name, _number(server, "min_disk"), _number(server, "min_ram"),
            {**said, "base_image_ref": server["image_id"] or "", **properties}))
    except TooLarge as error:
        raise Forbidden(error.message) from None
    timeline.begin(tx, ctx, server, "createImage", f"as image {name}", done=True)


def add_image(tx: Tx, ctx: Context, server: ServerRow, image_id: str, name: str,
              properties: Mapping[str, str], backup: Backup | None = None) -> None:
    """Make the image, still without data, in the project of *ctx*. Raises ``Forbidden`` (quota)."""
    snapshot = images.Snapshot(image_id, name, max(server["root_gib"], _number(server, "min_disk")),
                               _number(server, "min_ram"), _properties(ctx, server, properties, backup))
    try:
        images.create_snapshot(tx, ctx, snapshot)
    except TooLarge as error:
        raise Forbidden(error.message) from None


def _rotate(tx: Tx, ctx: Context, server: ServerRow, backup: Backup) -> None:
    """Make room for the new one."""
    kept = images.backups_of(tx, ctx.project_id or "", server["id"], backup.type)
    for id in kept[max(0, backup.rotation - 1):]:
        images.delete_backup(tx, ctx, id)


def _properties(ctx: Context, server: ServerRow, given: Mapping[str, str], backup: Backup | None) -> dict[str, str]:
    base: Mapping[str, Mapping[str, str]] = server["image"] or {}
    inherited = {key: value for key, value in base.get("properties", {}).items() if key not in NOT_INHERITED}
    return {
        **inherited, "image_type": "backup" if backup else "snapshot", "instance_uuid": server["id"],
        "base_image_ref": server["image_id"] or "", "user_id": ctx.user_id or "", "owner_id": server["project_id"],
        "image_state": "available", "image_location": "snapshot", **({"backup_type": backup.type} if backup else {}),
        **given}


def _number(server: ServerRow, name: str) -> int:
    image: Mapping[str, int] = server["image"] or {}
    return int(image.get(name) or 0)
