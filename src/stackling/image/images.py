"""Images: create, show, change, delete, deactivate. Each in one transaction; the caller checks the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import bindparam, func, select

from stackling.core.context import Context
from stackling.core.errors import Conflict, Forbidden, NotFound, TooLarge
from stackling.image import rows, rules, tasks
from stackling.image.model import Image, NewImage
from stackling.image.settings import MIB, ImageSettings
from stackling.store.tables.image import images
from stackling.store.transaction import Tx

_USAGE = select(
    func.count().label("images"), func.coalesce(func.sum(images.c.size * images.c.places), 0).label("bytes"),
).where(images.c.owner == bindparam("owner"), images.c.deleting.is_(False))


def may_see(ctx: Context, owner: str | None, visibility: str, member: str | None) -> bool:
    """Whether the caller sees such an image: Glance's rule, before any policy."""
    return (ctx.is_admin or owner is None or visibility in ("public", "community")
            or (ctx.project_id is not None and (owner == ctx.project_id or (visibility == "shared" and bool(member)))))


def missing(image_id: str) -> NotFound:
    """What everybody reads of an image that isn't there or isn't theirs to see."""
    return NotFound(f"No image found with ID {image_id}")


def visible(tx: Tx, ctx: Context, image_id: str) -> Image:
    """The image, if the caller may see it. Raises ``NotFound``."""
    image = rows.get_for(tx, image_id, ctx.project_id)
    if image is None or image.deleting or not may_see(ctx, image.owner, image.visibility, image.member):
        raise missing(image_id)
    return image


def create(tx: Tx, ctx: Context, new: NewImage, settings: ImageSettings) -> Image:
    """A queued image. Raises ``Conflict`` for a known id, ``TooLarge`` beyond a quota."""
    rules.check_quotas(settings, list(new.properties), new.tags)
    rules.check_integer("min_disk", new.min_disk)
    rules.check_integer("min_ram", new.min_ram)
    if settings.image_count_total >= 0 and new.owner is not None:
        tx.guard(f"images:{new.owner}")
        count, _ = usage(tx, new.owner)
        if count >= settings.image_count_total:
            raise TooLarge(f"Project {new.owner} is over its limit of {settings.image_count_total} images; "
                           "delete one or ask for a higher quota (image_count_total).")
    if rows.get(tx, new.id) is not None or rows.was_deleted(tx, new.id):
        raise Conflict(f"Image ID {new.id} already exists!")
    image = rows.add(tx, Image(
        id=new.id, name=new.name, owner=new.owner, visibility=new.visibility, disk_format=new.disk_format,
        container_format=new.container_format, min_disk=new.min_disk, min_ram=new.min_ram, protected=new.protected,
        os_hidden=new.os_hidden, tags=tuple(dict.fromkeys(new.tags)), properties=new.properties,
        created_at=tx.now, updated_at=tx.now))
    tx.event(ctx, rows.KIND, image.id, "create", project_id=image.owner)
    return image


def save(tx: Tx, old: Image, new: Image, settings: ImageSettings) -> Image:
    """Store a changed image. Raises ``TooLarge`` beyond a quota, ``Conflict`` when it changed meanwhile."""
    added = new.properties.keys() - old.properties.keys()
    if added or len(new.tags) > len(old.tags):
        rules.check_quotas(settings, list(new.properties) if added else (), new.tags)
    return rows.save(tx, old, new)


def delete(tx: Tx, ctx: Context | None, image: Image) -> None:
    """Delete it: the row stays, hidden, until its data is gone. Raises ``Forbidden`` for a protected one."""
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
    tx.event(ctx, rows.KIND, image.id, "delete", project_id=image.owner)
    if image.import_task is not None:
        tasks.end(tx, image.import_task, error="The image was deleted.")
    if not (image.places or image.upload or image.staged or image.leftover or image.dropped or image.copying):
        rows.remove(tx, image)
        return
    rows.clear_children(tx, image.id)
    rows.save(tx, replace(image, tags=(), properties={}), replace(image, deleting=True, tags=(), properties={}))
    tx.nudge(rows.KIND, image.id)


def delete_copy(tx: Tx, ctx: Context, image: Image, store: str) -> None:
    """Delete the data in one of several stores. Raises ``Conflict`` unless the image is active, ``Forbidden`` for the
    only store that has it, ``NotFound`` for one that hasn't."""
    left = rules.without(image, store)
    dropped = tuple(place for place in image.places if place not in left)
    rows.save(tx, image, replace(image.at(left), dropped=(*image.dropped, *dropped)))
    tx.event(ctx, rows.KIND, image.id, "delete copy", f"in {store}", project_id=image.owner)
    tx.nudge(rows.KIND, image.id)


def order_copies(tx: Tx, weights: Mapping[str, int]) -> None:
    """Put the stores of every image in the order of *weights*, which an administrator may have changed."""
    for image in rows.several_places(tx):
        ordered = rules.by_weight(image.places, weights)
        if ordered != image.places:
            rows.save(tx, image, image.at(ordered), touch=False)


def set_deactivated(tx: Tx, ctx: Context, image: Image, deactivated: bool) -> None:
    """Forbid or allow again the use of an active image's data. Nothing happens when it is so already."""
    word = "deactivate" if deactivated else "reactivate"
    if image.status not in ("active", "deactivated"):
        raise Forbidden(f"Not allowed to {word} image in status '{image.status}'")
    if image.deactivated != deactivated:
        rows.save(tx, image, replace(image, deactivated=deactivated))
        tx.event(ctx, rows.KIND, image.id, word, project_id=image.owner)


def usage(tx: Tx, owner: str) -> tuple[int, int]:
    """How many images a project has, and the bytes of all their copies."""
    row = tx.one(_USAGE, owner=owner)
    return (int(row.images), int(row.bytes)) if row is not None else (0, 0)


def check_size_quota(tx: Tx, image: Image, adding: int, settings: ImageSettings) -> None:
    """Raises ``TooLarge`` when *adding* bytes would take the owner beyond ``image_size_total``."""
    if settings.image_size_total >= 0 and image.owner is not None:
        tx.guard(f"images:{image.owner}")
        _, size = usage(tx, image.owner)
        if size + adding > settings.image_size_total * MIB:
            raise TooLarge(f"Image exceeds the storage quota: project {image.owner} may store "
                           f"{settings.image_size_total} MiB (image_size_total) and uses {size // MIB} MiB.")
