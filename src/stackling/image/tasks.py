"""Import tasks: what became of a request to import staged data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.image.model import ImportTask
from stackling.store.tables.image import image_tasks
from stackling.store.transaction import Tx

LIFE = 48 * 3600.0
"""Seconds that an ended task is kept."""
_NAMES = ("id", "image_id", "type", "status", "owner", "user_id", "request_id", "input", "result", "message",
          "expires_at", "created_at", "updated_at")
_COLUMNS = [image_tasks.c[name] for name in _NAMES]
_ADD = insert(image_tasks)
_GET = select(*_COLUMNS).where(image_tasks.c.id == bindparam("id"))
_OF_IMAGE = select(*_COLUMNS).where(image_tasks.c.image_id == bindparam("image")).order_by(
    image_tasks.c.created_at, image_tasks.c.id)
_END = update(image_tasks).where(image_tasks.c.id == bindparam("i")).values(
    status=bindparam("s"), message=bindparam("m"), result=bindparam("r"), expires_at=bindparam("e"),
    updated_at=bindparam("t"))
_PRUNE = delete(image_tasks).where(image_tasks.c.expires_at < bindparam("now"))
SORT_KEYS = ("created_at", "updated_at", "expires_at", "status", "type", "id")


def add(tx: Tx, ctx: Context, id: str, image_id: str, owner: str | None, input: Mapping[str, object]) -> ImportTask:
    """A new task of the kind that an image import makes."""
    tx.changed(_PRUNE, now=tx.now)
    task = ImportTask(id, image_id, "api_image_import", "processing", owner or ctx.project_id, ctx.user_id,
                      ctx.request_id, input, None, "", None, tx.now, tx.now)
    tx.execute(_ADD, asdict(task))
    return task


def end(tx: Tx, id: str, *, error: str | None, result: Mapping[str, object] | None = None) -> None:
    """The task is over; *error* is None when it succeeded."""
    tx.changed(_END, i=id, s="success" if error is None else "failure", m=error or "", r=result, t=tx.now,
               e=clock.later(tx.now, LIFE))


def get(tx: Tx, id: str) -> ImportTask:
    """Raises ``NotFound``."""
    row = tx.one(_GET, id=id)
    if row is None:
        raise NotFound(f"No task found with ID {id}")
    return ImportTask(*row)


def of_image(tx: Tx, image_id: str) -> list[ImportTask]:
    """The tasks of one image, oldest first."""
    return [ImportTask(*row) for row in tx.all(_OF_IMAGE, image=image_id)]


def page(tx: Tx, *, limit: int, marker: str | None, sort_key: str, sort_dir: str,
         filters: Mapping[str, str]) -> Sequence[ImportTask]:
    """One page; *filters* may name status, type, owner. Raises ``Invalid`` for an unknown marker or sort key."""
    if sort_key not in SORT_KEYS:
        raise Invalid(f"Invalid sort key: {sort_key}. It must be one of the following: {', '.join(SORT_KEYS)}.")
    key: Any = image_tasks.c[sort_key]
    where: list[Any] = [image_tasks.c[name] == value for name, value in filters.items()
                        if name in ("status", "type", "owner")]
    if marker is not None:
        last = tx.one(_GET, id=marker)
        if last is None:
            raise Invalid(f"No task found with ID {marker}")
        at = getattr(last, sort_key)
        after = key < at if sort_dir == "desc" else key > at
        past = image_tasks.c.id < marker if sort_dir == "desc" else image_tasks.c.id > marker
        where.append(or_(after, and_(key == at, past)))
    order = [getattr(column, sort_dir)() for column in (key, image_tasks.c.id)]
    return [ImportTask(*row) for row in tx.all(select(*_COLUMNS).where(*where).order_by(*order).limit(limit))]
