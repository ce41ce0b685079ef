"""Members: the projects that a shared image is shown to, and what they think of it."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, insert, select, update

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound, TooLarge
from stackling.image.model import Image, Member
from stackling.image.rows import KIND
from stackling.image.settings import ImageSettings
from stackling.store.tables.image import image_members
from stackling.store.transaction import Tx

STATUSES = ("pending", "accepted", "rejected")
_COLUMNS = [image_members.c[name] for name in ("image_id", "member_id", "status", "created_at", "updated_at")]
_ALL = select(*_COLUMNS).where(image_members.c.image_id == bindparam("image")).order_by(
    image_members.c.created_at, image_members.c.member_id)
_ONE = select(*_COLUMNS).where(
    image_members.c.image_id == bindparam("image"), image_members.c.member_id == bindparam("member"))
_COUNT = select(func.count()).where(image_members.c.image_id == bindparam("image"))
_ADD = insert(image_members)
_SET = update(image_members).where(
    image_members.c.image_id == bindparam("i"), image_members.c.member_id == bindparam("m"),
).values(status=bindparam("s"), updated_at=bindparam("t"))
_REMOVE = delete(image_members).where(
    image_members.c.image_id == bindparam("i"), image_members.c.member_id == bindparam("m"))


def members(tx: Tx, ctx: Context, image: Image) -> list[Member]:
    """Every member; a member that isn't the owner sees itself alone."""
    found = [Member(*row) for row in tx.all(_ALL, image=image.id)]
    return [one for one in found if _sees(ctx, image, one.member_id)]


def _sees(ctx: Context, image: Image, member_id: str) -> bool:
    return ctx.is_admin or ctx.project_id in (image.owner, member_id)


def member(tx: Tx, ctx: Context, image: Image, member_id: str) -> Member:
    """One member, of which the caller knows. Raises ``NotFound``."""
    row = tx.one(_ONE, image=image.id, member=member_id) if _sees(ctx, image, member_id) else None
    if row is None:
        raise NotFound(f"{member_id} not found in the member list of the image {image.id}.")
    return Member(*row)


def add(tx: Tx, ctx: Context, image: Image, member_id: str, settings: ImageSettings) -> Member:
    """Share the image. Raises ``Conflict`` when it is shared so already, ``TooLarge`` beyond the quota."""
    if not member_id or len(member_id) > 64:
        raise Invalid("A member is the id of a project, of at most 64 characters.")
    tx.guard(f"image-members:{image.id}")
    if tx.one(_ONE, image=image.id, member=member_id) is not None:
        raise Conflict(f"Member {member_id} is duplicated for image {image.id}")
    count = int(tx.scalar(_COUNT, image=image.id) or 0)
    if 0 <= settings.image_member_quota < count + 1:
        raise TooLarge(f"Image member limit exceeded for image {image.id}: "
                       f"Attempted: {count + 1}, Maximum: {settings.image_member_quota}")
    found = Member(image.id, member_id, "pending", tx.now, tx.now)
    tx.execute(_ADD, {"image_id": found.image_id, "member_id": member_id, "status": found.status,
                      "created_at": tx.now, "updated_at": tx.now})
    tx.event(ctx, KIND, image.id, "share", member_id, project_id=image.owner)
    return found


def set_status(tx: Tx, ctx: Context, image: Image, found: Member, status: object) -> Member:
    """Accept, reject or postpone. Raises ``Invalid`` for another word."""
    if status not in STATUSES:
        raise Invalid('Incorrect request: Status must be "pending", "accepted" or "rejected".')
    tx.changed(_SET, i=image.id, m=found.member_id, s=status, t=tx.now)
    tx.event(ctx, KIND, image.id, f"share {status}", found.member_id, project_id=image.owner)
    return Member(image.id, found.member_id, str(status), found.created_at, tx.now)


def remove(tx: Tx, ctx: Context, image: Image, found: Member) -> None:
    """Share it no longer."""
    tx.changed(_REMOVE, i=image.id, m=found.member_id)
    tx.event(ctx, KIND, image.id, "unshare", found.member_id, project_id=image.owner)
