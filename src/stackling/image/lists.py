"""Lists of images: one query a page, whose statement is built once for each shape of question."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, false, func, or_, select
from sqlalchemy.engine import Row
from sqlalchemy.sql.base import Executable

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.image import images as use_cases
from stackling.image import rows
from stackling.image.filters import Condition, Listing
from stackling.store.tables.image import image_members, image_properties, image_tags, images
from stackling.store.transaction import Tx

_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": operator.eq, "neq": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
    "in": lambda column, values: column.in_(values),
}
_NULLABLE = {"name": "", "container_format": "", "disk_format": "", "size": 0}
_SECONDS = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the text of the statement; the rest is parameters."""

    admin: bool
    owned: bool
    """Whether the caller has a project."""
    visibility: str | None
    any_member: bool
    tags: int
    conditions: tuple[tuple[str, str], ...]
    sort: tuple[tuple[str, str], ...]
    marker: bool


def page(tx: Tx, ctx: Context, asked: Listing) -> Sequence[Row[Any]]:
    """Rows of (id, document, owner, visibility). Raises ``Invalid`` for a marker that the caller can't see."""
    shape = Shape(
        admin=ctx.is_admin, owned=ctx.project_id is not None, visibility=asked.visibility,
        any_member=asked.member_status == "all", tags=len(asked.tags), sort=asked.sort, marker=asked.marker is not None,
        conditions=tuple(("" if c.operator == "property" else c.name, c.operator) for c in asked.conditions))
    parameters: dict[str, Any] = {"most": asked.limit, "hidden": asked.hidden}
    if ctx.project_id is not None:
        parameters |= {"project": ctx.project_id, "member_status": asked.member_status}
    parameters |= {f"tag{i}": tag for i, tag in enumerate(asked.tags)}
    for i, condition in enumerate(asked.conditions):
        parameters |= _operands(i, condition)
    if asked.marker is not None:
        parameters |= _marker(tx, ctx, asked.marker, asked.sort)
    return tx.all(_statement(shape), **parameters)


def _operands(i: int, condition: Condition) -> dict[str, Any]:
    if condition.operator == "property":
        return {f"n{i}": condition.name, f"v{i}": condition.value}
    if condition.name in _SECONDS and isinstance(condition.value, str):     # the API shows whole seconds
        start, end = condition.value[:19], condition.value[:19] + ".999999"
        match condition.operator:
            case "gt" | "lte":
                return {f"v{i}": end}
            case "eq" | "neq":
                return {f"v{i}": start, f"w{i}": end}
            case _:
                return {f"v{i}": start}
    return {f"v{i}": condition.value}


def _marker(tx: Tx, ctx: Context, marker: str, sort: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found = rows.get_for(tx, marker, ctx.project_id)
    if found is None or found.deleting or not use_cases.may_see(ctx, found.owner, found.visibility, found.member):
        raise Invalid(f"No image found with ID {marker}")
    values = ((key, getattr(found, key)) for key, _ in sort)
    return {f"m_{key}": _NULLABLE.get(key) if value is None else value for key, value in values}


@lru_cache(512)
def _statement(shape: Shape) -> Executable:
    where: list[ColumnElement[bool]] = [images.c.deleting == false(), images.c.os_hidden == bindparam("hidden")]
    where += _visible(shape)
    where += [_where(i, name, comparison) for i, (name, comparison) in enumerate(shape.conditions)]
    where += [exists().where(image_tags.c.image_id == images.c.id, image_tags.c.tag == bindparam(f"tag{i}"))
              for i in range(shape.tags)]
    if shape.marker:
        where.append(_after(shape.sort))
    order = [getattr(_sortable(key), direction)() for key, direction in shape.sort]
    return select(images.c.id, images.c.document, images.c.owner, images.c.visibility).where(
        and_(*where)).order_by(*order).limit(bindparam("most"))


def _where(i: int, name: str, comparison: str) -> ColumnElement[bool]:
    if comparison == "property":
        return exists().where(image_properties.c.image_id == images.c.id, image_properties.c.name == bindparam(f"n{i}"),
                              image_properties.c.value == bindparam(f"v{i}"))
    column = images.c[name]
    if name in _SECONDS and comparison in ("eq", "neq"):
        between = column.between(bindparam(f"v{i}"), bindparam(f"w{i}"))
        return between if comparison == "eq" else ~between
    return _OPERATORS[comparison](column, bindparam(f"v{i}", expanding=comparison == "in"))


def _visible(shape: Shape) -> list[ColumnElement[bool]]:
    mine = [images.c.owner == bindparam("project")] if shape.owned else []
    found: list[ColumnElement[bool]] = []
    if not shape.admin:
        shared: list[ColumnElement[bool]] = []
        if shape.owned:
            member = [image_members.c.image_id == images.c.id, image_members.c.member_id == bindparam("project")]
            if not shape.any_member:
                member.append(image_members.c.status == bindparam("member_status"))
            shared = [and_(images.c.visibility == "shared", exists().where(*member))]
        found.append(or_(*mine, images.c.visibility == "public", images.c.visibility == "community", *shared))
    if shape.visibility is None:
        found.append(or_(*mine, images.c.visibility != "community"))
    elif shape.visibility != "all":
        found.append(images.c.visibility == shape.visibility)
    return found


def _sortable(key: str) -> ColumnElement[Any]:
    return func.coalesce(images.c[key], _NULLABLE[key]) if key in _NULLABLE else images.c[key]


def _after(sort: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """(a > A) or (a = A and b > B) or … in each key's own direction."""
    alternatives: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for key, direction in sort:
        column: ColumnElement[Any] = _sortable(key)
        value: ColumnElement[Any] = bindparam(f"m_{key}")
        alternatives.append(and_(*same, column < value if direction == "desc" else column > value))
        same.append(column == value)
    return or_(*alternatives)
