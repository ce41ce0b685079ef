"""All that other services may know of images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stackling.core.context import Context, system_context
from stackling.core.errors import Invalid, NotFound
from stackling.image import audit, images, metadefs, rows, uploads
from stackling.image.audit import Found as Found
from stackling.image.audit import Listed as Listed
from stackling.image.kinds import LOST
from stackling.image.model import Image, NewImage, Place
from stackling.image.rules import BOOTABLE, OPAQUE_CONTAINERS, UNKNOWN
from stackling.image.settings import ImageSettings
from stackling.image.stores import weights
from stackling.ports.images import ImageStore, Inspection, Stored
from stackling.store.transaction import Tx

audit_listed, audit_judge, audit_is_missing, audit_remove = audit.listed, audit.judge, audit.is_missing, audit.remove
CLONED, OWN = "rbd://", "ceph"
"""How locations begin from which disks are cloned, and the store whose images every machine may read."""


@dataclass(frozen=True, slots=True)
class BootImage:
    """An image that a server can start from. Sizes in bytes, GiB and MiB; ``format`` is verified, raw or qcow2.
    ``location`` is a store's own name of the data, shown to nobody: in a cluster's storage, where there is one (disks
    are cloned from it), otherwise in the preferred store; ``locations`` are all."""

    id: str
    name: str
    format: str
    size: int
    virtual_size: int
    sha512: str
    min_disk_gib: int
    min_ram_mib: int
    properties: Mapping[str, str]
    status: str
    location: str = ""
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An image to be made of a server's root disk."""

    id: str
    name: str
    min_disk_gib: int
    min_ram_mib: int
    properties: Mapping[str, str]


def bootstrap(tx: Tx) -> None:
    """First start: the definitions of metadata that user interfaces offer. Idempotent."""
    metadefs.bootstrap(tx)


def image_for_boot(tx: Tx, ctx: Context, image_id: str) -> BootImage:
    """Raises ``NotFound`` when the caller can't see it, ``Invalid`` with the reason when nothing can start."""
    image = images.visible(tx, ctx, image_id)
    if reason := _unbootable(image):
        raise Invalid(f"Image {image_id} {reason}", type="ImageNotBootable")
    return _described(image)


def image_for_server(tx: Tx, ctx: Context, image_id: str) -> BootImage:
    """As ``image_for_boot``; data isn't needed where the image says what volumes a server has. Raises the same."""
    image = images.visible(tx, ctx, image_id)
    if image.status != "active":
        raise Invalid(f"Image {image_id} is not active.", type="ImageNotActive")
    if not image.properties.get("block_device_mapping") and (reason := _unbootable(image)):
        raise Invalid(f"Image {image_id} {reason}", type="ImageNotBootable")
    return _described(image)


def _described(image: Image) -> BootImage:
    locations = tuple(location for _, location in image.places)
    cloned = [location for _, location in sorted(image.places, key=lambda place: place[0] != OWN)
              if location.startswith(CLONED)]
    return BootImage(
        id=image.id, name=image.name or "", format=image.format or "", size=image.size or 0,
        virtual_size=image.virtual_size or image.size or 0, sha512=image.os_hash_value or "",
        min_disk_gib=image.min_disk, min_ram_mib=image.min_ram, properties=dict(image.properties), status=image.status,
        location=cloned[0] if cloned else image.location or "", locations=locations)


def image_described(tx: Tx, ctx: Context, image_id: str) -> BootImage:
    """The same where the data doesn't matter: what the image says. Raises ``NotFound``, and ``Invalid`` when it isn't
    active."""
    image = images.visible(tx, ctx, image_id)
    if image.status != "active":
        raise Invalid(f"Image {image_id} is not active.", type="ImageNotActive")
    return _described(image)


def image_file(tx: Tx, image_id: str) -> tuple[tuple[Place, ...], int, str]:
    """(where it is, bytes, SHA-512) of an image's data, whoever asks. Raises ``NotFound``."""
    image = rows.get(tx, image_id)
    if image is None or image.deleting or image.location is None:
        raise NotFound(f"Image {image_id} has no data.")
    return image.places, image.size or 0, image.os_hash_value or ""


def create_snapshot(tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
    """A queued image, the caller's own, whose data comes from a host. Raises ``TooLarge`` beyond a quota."""
    images.create(tx, ctx, NewImage(
        id=snapshot.id, owner=ctx.project_id, name=snapshot.name, visibility="private", disk_format="qcow2",
        container_format="bare", min_disk=snapshot.min_disk_gib, min_ram=snapshot.min_ram_mib,
        properties=dict(snapshot.properties)), ImageSettings())


def create_mapping(tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
    """An image without data, which is active at once: its properties say what volumes to make. Raises ``TooLarge``."""
    made = images.create(tx, ctx, NewImage(
        id=snapshot.id, owner=ctx.project_id, name=snapshot.name, visibility="private", disk_format="qcow2",
        container_format="bare", min_disk=snapshot.min_disk_gib, min_ram=snapshot.min_ram_mib,
        properties=dict(snapshot.properties)), ImageSettings())
    rows.save(tx, made, replace(made, size=0, checksum=hashlib.md5(b"", usedforsecurity=False).hexdigest(),
                                os_hash_algo="sha512", os_hash_value=hashlib.sha512(b"").hexdigest()))


def order_copies(tx: Tx, store: ImageStore) -> None:
    """Put every image's stores in the order that the configuration wants now."""
    images.order_copies(tx, weights(store))


def shown(tx: Tx, image_id: str) -> Mapping[str, object]:
    """What volumes remember of an image, by the names that the API has for it. Raises ``NotFound``."""
    image = rows.get(tx, image_id)
    if image is None or image.deleting:
        raise images.missing(image_id)
    return {"checksum": image.checksum, "container_format": image.container_format, "disk_format": image.disk_format,
            "min_disk": image.min_disk, "min_ram": image.min_ram, "size": image.size}


def create_for_volume(tx: Tx, ctx: Context, new: NewImage) -> Image:
    """A queued image whose data comes from a volume. Raises ``TooLarge`` beyond a quota."""
    return images.create(tx, ctx, new, ImageSettings())


def upload_number(tx: Tx, image_id: str) -> int | None:
    """The number of the upload of the image's data that is under way."""
    image = rows.get(tx, image_id)
    return image.upload if image is not None and not image.deleting else None


def begin_upload(tx: Tx, image_id: str) -> bool:
    """Take the image's data in (``upload_number`` has its number); False when nobody wants it any more."""
    image = rows.get(tx, image_id)
    if image is None or image.deleting or image.status not in ("queued", "saving"):
        return False
    if image.upload is None:
        uploads.begin(tx, None, image, "file", None, ImageSettings())
    return True


def finish_upload(tx: Tx, image_id: str, number: int, store: str, location: str, stored: Stored,
                  found: Inspection) -> None:
    """The data is in its place: the image becomes active. Raises ``Gone`` when the upload was given up meanwhile."""
    uploads.finish_file(tx, system_context("engine"), image_id, number, store, location, stored, found.format,
                        found.virtual_size or None, ImageSettings())


def drop_empty(tx: Tx, image_id: str) -> None:
    """Delete a snapshot that never got its data; nothing when it did, or is gone."""
    image = rows.get(tx, image_id)
    if image is not None and not image.deleting and image.status in ("queued", "saving"):
        images.delete(tx, None, image)


def backups_of(tx: Tx, owner: str, server_id: str, backup_type: str) -> list[str]:
    """Ids of a server's backups of that type, the newest first."""
    return rows.with_properties(
        tx, owner, {"instance_uuid": server_id, "backup_type": backup_type, "image_type": "backup"})


def delete_backup(tx: Tx, ctx: Context, image_id: str) -> None:
    """Delete an image that a newer backup replaces; nothing when it is gone, or protected."""
    image = rows.get(tx, image_id)
    if image is not None and not image.deleting and not image.protected:
        images.delete(tx, ctx, image)


def begin_snapshot(tx: Tx, image_id: str, declared: int | None) -> Image:
    """Take the data of a snapshot in; ``uploads`` has the rest. Raises ``NotFound``, ``Conflict``, ``TooLarge``."""
    image = rows.get(tx, image_id)
    if image is None or image.deleting:
        raise images.missing(image_id)
    return uploads.begin(tx, None, image, "file", declared, ImageSettings())


def _unbootable(image: Image) -> str | None:
    if image.status != "active":
        return f"is not active (its status is {image.status})."
    if image.last_error == LOST:
        return "has lost its data; ask your administrator."
    if image.container_format in OPAQUE_CONTAINERS:
        return f"is in a container of format {image.container_format}, which can't be booted; upload the disk itself."
    if image.format == UNKNOWN:
        return (f"has data that isn't {image.disk_format}, as its disk_format says, and was never checked; upload it "
                "again as what it is.")
    if image.format not in BOOTABLE:
        return f"has data of format {image.format}, which can't be booted; convert it to qcow2 or raw."
    if image.format != image.disk_format and image.disk_format in BOOTABLE:
        return f"says that it is {image.disk_format} and really is {image.format}."
    if not (image.virtual_size or image.size):
        return "is empty."
    return None
