"""Lists of this service: one query a page, whose statement is built once for each shape of question."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, exists, func, or_, select
from sqlalchemy.sql.base import Executable

from stackling.core.errors import Invalid, NotFound
from stackling.store.tables import metadata as tables
from stackling.store.tables.volume import volume_metadata, volumes
from stackling.store.transaction import Tx
from stackling.volume.rows import AnyRow, mapping

_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": operator.eq, "neq": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
    "in": lambda column, values: column.in_(values),
    "like": lambda column, value: column.contains(value, autoescape=True)}


@dataclass(frozen=True, slots=True)
class Condition:
    """``operator``: eq, neq, gt, gte, lt, lte, in (a list), like; or metadata, image_metadata (of volumes; ``name`` is
    the item's)."""

    name: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Listing:
    """One page. ``project_id`` None: of all projects. ``sort`` are (column, direction)."""

    project_id: str | None
    limit: int = 1000
    offset: int = 0
    marker: str | None = None
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    conditions: tuple[Condition, ...] = field(default=())
    project_column: str = "project_id"


@dataclass(frozen=True, slots=True)
class _Shape:
    table: str
    project: str | None
    conditions: tuple[tuple[str, str], ...]
    sort: tuple[tuple[str, str], ...]
    marker: bool
    count: bool = False


def page(tx: Tx, table: Table, asked: Listing) -> Sequence[AnyRow]:
    """The rows. Raises ``NotFound`` for an unknown marker."""
    if asked.limit == 0:
        return []
    parameters = _parameters(asked)
    if asked.marker is not None:
        parameters |= _marker(tx, table, asked)
    parameters |= {"p_limit": asked.limit, "p_offset": asked.offset}
    return [mapping(row) for row in tx.all(_statement(_shape(table, asked)), **parameters)]


def count(tx: Tx, table: Table, asked: Listing) -> int:
    """How many there are on all pages."""
    return int(tx.scalar(_statement(_shape(table, asked, count=True)), **_parameters(asked)))


def total(tx: Tx, asked: Listing) -> int:
    """GiB of all volumes on all pages."""
    shape = _shape(volumes, asked)
    statement = select(func.coalesce(func.sum(volumes.c.size_gib), 0)).where(*_where(volumes, shape))
    return int(tx.scalar(statement, **_parameters(asked)))


def sort_of(text: str | None, keys: Sequence[str], directions: Sequence[str], allowed: Mapping[str, str],
            ) -> tuple[tuple[str, str], ...]:
    """``sort=name:asc,id`` or ``sort_key`` and ``sort_dir``. Raises ``Invalid``."""
    if text is not None and (keys or directions):
        raise Invalid("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' "
                      "parameter.")
    if text is not None:
        pairs = [(key.strip(), direction.strip() or "desc") for key, _, direction in
                 (part.partition(":") for part in text.split(","))]
    else:
        way = directions[0] if directions else "desc"
        pairs = [(key, way) for key in keys or ["created_at"]]
    for key, direction in pairs:
        if key not in allowed:
            raise Invalid(f"Invalid input received: Sort key supplied is invalid: {key}")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid input received: Sort direction '{direction}' is unknown; use 'asc' or 'desc'.")
    found = [(allowed[key], direction) for key, direction in pairs]
    named, last = {key for key, _ in found}, found[0][1]
    return (*dict(found).items(), *((key, last) for key in ("created_at", "id") if key not in named))


def _shape(table: Table, asked: Listing, *, count: bool = False) -> _Shape:
    return _Shape(table.name, asked.project_column if asked.project_id is not None else None,
                  tuple(("" if "metadata" in c.operator else c.name, c.operator) for c in asked.conditions),
                  () if count else asked.sort, asked.marker is not None and not count, count)


def _parameters(asked: Listing) -> dict[str, Any]:
    found: dict[str, Any] = {} if asked.project_id is None else {"p_project": asked.project_id}
    for i, condition in enumerate(asked.conditions):
        found[f"v{i}"] = condition.value
        if "metadata" in condition.operator:
            found[f"n{i}"] = condition.name
    return found


def _marker(tx: Tx, table: Table, asked: Listing) -> dict[str, Any]:
    row = tx.one(select(table).where(table.c.id == asked.marker))
    if row is None or (asked.project_id is not None and mapping(row)[asked.project_column] != asked.project_id):
        raise NotFound(f"marker {asked.marker} could not be found.")
    found = mapping(row)
    return {f"m_{key}": "" if found[key] is None else found[key] for key, _ in asked.sort}


@lru_cache(512)
def _statement(shape: _Shape) -> Executable:
    table = tables.tables[shape.table]
    where = _where(table, shape)
    if shape.count:
        return select(func.count()).select_from(table).where(*where)
    if shape.marker:
        where.append(_after(table, shape.sort))
    order = [getattr(_sortable(table, key), direction)() for key, direction in shape.sort]
    return select(table).where(*where).order_by(*order).limit(bindparam("p_limit")).offset(bindparam("p_offset"))


def _where(table: Table, shape: _Shape) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if shape.project is not None:
        where.append(table.c[shape.project] == bindparam("p_project"))
    for i, (name, comparison) in enumerate(shape.conditions):
        if "metadata" in comparison:
            where.append(exists().where(
                volume_metadata.c.volume_id == table.c.id, volume_metadata.c.name == bindparam(f"n{i}"),
                volume_metadata.c.image == int(comparison == "image_metadata"),
                volume_metadata.c.value == bindparam(f"v{i}")))
        else:
            where.append(_OPERATORS[comparison](table.c[name], bindparam(
                f"v{i}", expanding=comparison == "in", type_=table.c[name].type)))
    return where


def _sortable(table: Table, key: str) -> ColumnElement[Any]:
    return func.coalesce(table.c[key], "") if table.c[key].nullable else table.c[key]


def _after(table: Table, sort: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """(a > A) or (a = A and b > B) or … in each key's own direction."""
    alternatives: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for key, direction in sort:
        column = _sortable(table, key)
        value: ColumnElement[Any] = bindparam(f"m_{key}")
        alternatives.append(and_(*same, column < value if direction == "desc" else column > value))
        same.append(column == value)
    return or_(*alternatives)
