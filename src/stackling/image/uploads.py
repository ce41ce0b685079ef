"""Uploads: begin, finish, abandon.

Theory of operation. An upload's number is the generation that began it. The row refers to the number while the
upload is under way; finishing compares it, so an upload that was given up meanwhile (its process seemed dead, the
image was deleted) can't finish: its writer then removes its own data. Whoever removes data on the row's behalf
removes numbers that the row names as leftover, and those will never be referred to again.
"""

from __future__ import annotations

from dataclasses import replace

from stackling.core.context import Context
from stackling.core.errors import Gone
from stackling.image import images, rows, rules
from stackling.image.model import Described, Image
from stackling.image.settings import ImageSettings
from stackling.ports.images import Stored
from stackling.store.transaction import Tx


def begin(tx: Tx, ctx: Context | None, image: Image, into: str, declared: int | None, settings: ImageSettings,
          store: str | None = None) -> Image:
    """Take the image for an upload *into* "file" or "stage" of *store* (None: the default one); the returned image's
    ``upload`` is its number.

    Raises ``Conflict`` unless it is queued, ``Invalid`` without formats, ``TooLarge`` beyond quota.
    """
    rules.check_can_receive(image, into)
    images.check_size_quota(tx, image, declared or 0, settings)
    begun = rows.save(tx, image, replace(
        image, upload=image.generation + 1, upload_into=into, upload_at=tx.time, upload_store=store, last_error=None))
    tx.nudge(rows.KIND, image.id)
    return begun


def finish_file(tx: Tx, ctx: Context, image_id: str, number: int, store: str, location: str, stored: Stored,
                format: str | None, virtual_size: int | None, settings: ImageSettings) -> Image:
    """The data is in its final place: the image becomes active. Raises ``Gone`` when the upload was given up."""
    image = _uploading(tx, image_id, number)
    images.check_size_quota(tx, image, stored.size, settings)
    done = rows.save(tx, image, replace(
        image, upload=None, upload_into=None, upload_at=None, upload_store=None, store=store, location=location,
        size=stored.size, virtual_size=virtual_size, checksum=stored.md5, os_hash_algo="sha512",
        os_hash_value=stored.sha512, format=format))
    tx.event(ctx, rows.KIND, image_id, "upload", f"{stored.size} bytes", project_id=image.owner)
    tx.nudge(rows.KIND, image_id)
    return done


def finish_copy(tx: Tx, image_id: str, number: int, store: str, location: str, size: int) -> Image:
    """The data is a raw disk that was copied within the store, without anybody reading it: it has no checksum, as
    with Nova's snapshots on RBD. Raises ``Gone`` when the upload was given up."""
    image = _uploading(tx, image_id, number)
    done = rows.save(tx, image, replace(
        image, upload=None, upload_into=None, upload_at=None, upload_store=None, store=store, location=location,
        size=size, virtual_size=size, checksum=None, os_hash_algo=None, os_hash_value=None, disk_format="raw",
        format="raw"))
    tx.event(None, rows.KIND, image_id, "upload", f"{size} bytes, copied within the store", source="engine",
             project_id=image.owner)
    tx.nudge(rows.KIND, image_id)
    return done


def finish_stage(tx: Tx, ctx: Context, image_id: str, number: int, stored: Stored, settings: ImageSettings,
                 described: Described | None = None) -> Image:
    """The data is staged, to be imported; it is as *described* where it came from. Raises ``Gone`` when the upload was
    given up, ``TooLarge`` beyond quota."""
    image = old = _uploading(tx, image_id, number)
    if described is not None:
        image = replace(image, disk_format=described.disk_format, container_format=described.container_format,
                        properties={**image.properties, **described.properties})
        rules.check_quotas(settings, tuple(image.properties), ())
    images.check_size_quota(tx, image, stored.size, settings)
    facts = {"size": stored.size, "md5": stored.md5, "sha512": stored.sha512}
    if image.copying is not None:       # what is fetched has used the number that was free until now
        image = replace(image, copying=replace(image.copying, number=image.generation + 1))
    done = rows.save(tx, old, replace(image, upload=None, upload_into=None, upload_at=None, upload_store=None,
                                      staged=number, staged_facts=facts, size=stored.size))
    tx.event(ctx, rows.KIND, image_id, "stage", f"{stored.size} bytes", project_id=image.owner)
    tx.nudge(rows.KIND, image_id)
    return done


def abandon(tx: Tx, ctx: Context | None, image_id: str, number: int, reason: str) -> None:
    """Back to queued; nothing happens when the upload isn't under way any more."""
    image = rows.get(tx, image_id)
    if image is not None and image.upload == number:
        rows.save(tx, image, abandoned(image, reason))
        tx.event(ctx, rows.KIND, image_id, "upload failed", reason, project_id=image.owner,
                 source="api" if ctx else "engine")
        tx.nudge(rows.KIND, image_id)


def abandoned(image: Image, reason: str) -> Image:
    """*image* without its upload, whose data is left over. Pure."""
    leftover = image.leftover if image.upload is None else (*image.leftover, image.upload)
    return replace(image, upload=None, upload_into=None, upload_at=None, upload_store=None, size=None,
                   virtual_size=None, leftover=leftover, last_error=reason)


def _uploading(tx: Tx, image_id: str, number: int) -> Image:
    image = rows.get(tx, image_id)
    if image is None or image.deleting or image.upload != number:
        raise Gone(f"Image {image_id} could not be found after upload. The image may have been deleted during the "
                   "upload, cleaning up the chunks uploaded.")
    return image
