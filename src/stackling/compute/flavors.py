"""Flavors: what a server may be made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, exists, false, insert, or_, select, true, update
from sqlalchemy.engine import Row

from stackling.compute.model import Flavor
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.compute import flavor_access as access
from stackling.store.tables.compute import flavors
from stackling.store.transaction import Tx

SORT_KEYS = {
    "created_at": flavors.c.created_at, "description": flavors.c.description, "disabled": flavors.c.disabled,
    "ephemeral_gb": flavors.c.ephemeral_gib, "flavorid": flavors.c.id, "id": flavors.c.created_at,
    "is_public": flavors.c.is_public, "memory_mb": flavors.c.memory_mib, "name": flavors.c.name,
    "root_gb": flavors.c.root_gib, "rxtx_factor": flavors.c.rxtx_factor, "swap": flavors.c.swap_mib,
    "updated_at": flavors.c.updated_at, "vcpu_weight": flavors.c.id, "vcpus": flavors.c.vcpus,
}
STANDARD = (
    Flavor("42", "m1.nano", 1, 192, 1), Flavor("84", "m1.micro", 1, 256, 1), Flavor("1", "m1.tiny", 1, 512, 1),
    Flavor("2", "m1.small", 1, 2048, 20), Flavor("3", "m1.medium", 2, 4096, 40), Flavor("4", "m1.large", 4, 8192, 80),
    Flavor("5", "m1.xlarge", 8, 16384, 160),
)
_INSERT = insert(flavors)
_GET = select(flavors).where(flavors.c.id == bindparam("id"))
_GRANTED = exists().where(access.c.flavor_id == flavors.c.id, access.c.project_id == bindparam("project"))
_GET_VISIBLE = _GET.where(or_(flavors.c.is_public == true(), _GRANTED))

_BY_ID = select(flavors).order_by(flavors.c.id)
_PUBLIC_BY_ID = _BY_ID.where(flavors.c.is_public == true())
_VISIBLE_BY_ID = _BY_ID.where(or_(flavors.c.is_public == true(), _GRANTED))

_NAMES = select(flavors.c.id, flavors.c.name, flavors.c.description).order_by(flavors.c.id).limit(bindparam("most"))
_PUBLIC_NAMES = _NAMES.where(flavors.c.is_public == true())
_VISIBLE_NAMES = _NAMES.where(or_(flavors.c.is_public == true(), _GRANTED))


def _flavor(row: Row[Any]) -> Flavor:
    return Flavor(row.id, row.name, row.vcpus, row.memory_mib, row.root_gib, row.ephemeral_gib, row.swap_mib,
                  row.rxtx_factor, row.is_public, row.disabled, row.description, row.extra_specs)


def bootstrap(tx: Tx, wanted: Iterable[Flavor] = STANDARD) -> None:
    """First start: the usual flavors, where they don't exist."""
    present = {row.id for row in tx.all(select(flavors.c.id))}
    names = {row.name for row in tx.all(select(flavors.c.name))}
    for flavor in wanted:
        if flavor.id not in present and flavor.name not in names:
            _add(tx, flavor)


def _add(tx: Tx, flavor: Flavor) -> None:
    tx.execute(_INSERT, {
        "id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "memory_mib": flavor.memory_mib,
        "root_gib": flavor.root_gib, "ephemeral_gib": flavor.ephemeral_gib, "swap_mib": flavor.swap_mib,
        "rxtx_factor": flavor.rxtx_factor, "is_public": flavor.is_public, "disabled": flavor.disabled,
        "description": flavor.description, "extra_specs": dict(flavor.extra_specs), "created_at": tx.now})


def get_flavor(tx: Tx, ctx: Context, id: str) -> Flavor:
    """The flavor if *ctx* may use it; administrators see all. Raises ``NotFound``."""
    row = tx.one(_GET, id=id) if ctx.is_admin else tx.one(_GET_VISIBLE, id=id, project=ctx.project_id)
    if row is None:
        raise NotFound(f"Flavor {id} could not be found.")
    return _flavor(row)


def list_flavors(tx: Tx, ctx: Context, *, is_public: bool | None = True, min_memory: int = 0, min_disk: int = 0,
                 name: str | None = None, sort: tuple[str, bool] = ("flavorid", True), limit: int | None = None,
                 marker: str | None = None) -> list[Flavor]:
    """Flavors in order of *sort* (key, ascending). *is_public* None: all of them (administrators only)."""
    if not ctx.is_admin:
        statement, values = _VISIBLE_BY_ID, {"project": ctx.project_id}
    else:
        statement, values = (_PUBLIC_BY_ID if is_public else _BY_ID), {}
        if is_public is False:
            statement = statement.where(flavors.c.is_public == false())
    if min_memory:
        statement = statement.where(flavors.c.memory_mib >= min_memory)
    if min_disk:
        statement = statement.where(flavors.c.root_gib >= min_disk)
    if sort != ("flavorid", True):
        column = SORT_KEYS[sort[0]]
        statement = statement.order_by(None).order_by(column.asc() if sort[1] else column.desc(), flavors.c.id)
    found = [_flavor(row) for row in tx.all(statement, **values)]
    if name is not None:
        found = [flavor for flavor in found if flavor.name == name]
    if marker is not None:
        at = next((i for i, flavor in enumerate(found) if flavor.id == marker), None)
        if at is None:
            raise Invalid(f"marker [{marker}] not found")
        found = found[at + 1:]
    return found if limit is None else found[:limit]


def list_names(tx: Tx, ctx: Context, most: int) -> Sequence[Row[Any]]:
    """(id, name, description) of the first flavors of the usual list: public ones and the caller's own, by id."""
    if ctx.is_admin:
        return tx.all(_PUBLIC_NAMES, most=most)
    return tx.all(_VISIBLE_NAMES, most=most, project=ctx.project_id)


def create_flavor(tx: Tx, flavor: Flavor) -> Flavor:
    """Raises ``Conflict`` when the name or the id is taken. An id of "auto" or "" becomes a UUID.

    Nobody, not even its maker, has access to one that isn't public until it is granted.
    """
    if not flavor.id or flavor.id == "auto":
        flavor = replace(flavor, id=new_id())
    if tx.one(select(flavors.c.id).where(flavors.c.name == flavor.name)) is not None:
        raise Conflict(f"Flavor with name {flavor.name} already exists.")
    if tx.one(_GET, id=flavor.id) is not None:
        raise Conflict(f"Flavor with ID {flavor.id} already exists.")
    _add(tx, flavor)
    return flavor


def describe_flavor(tx: Tx, ctx: Context, id: str, description: str | None) -> Flavor:
    """Change the description; nothing else of a flavor can be changed."""
    flavor = get_flavor(tx, ctx, id)
    tx.execute(update(flavors).where(flavors.c.id == id).values(description=description, updated_at=tx.now))
    return replace(flavor, description=description)


def delete_flavor(tx: Tx, ctx: Context, id: str) -> None:
    """Servers that were made from it keep what they have."""
    get_flavor(tx, ctx, id)
    tx.execute(delete(access).where(access.c.flavor_id == id))
    tx.execute(delete(flavors).where(flavors.c.id == id))


# -- extra specs

def set_extra_specs(tx: Tx, ctx: Context, id: str, specs: Mapping[str, str]) -> Mapping[str, str]:
    """Add or replace *specs*."""
    flavor = get_flavor(tx, ctx, id)
    _write_specs(tx, id, {**flavor.extra_specs, **specs})
    return specs


def delete_extra_spec(tx: Tx, ctx: Context, id: str, key: str) -> None:
    """Raises ``NotFound`` for a key that isn't there."""
    specs = dict(get_flavor(tx, ctx, id).extra_specs)
    if key not in specs:
        raise NotFound(f"Flavor {id} has no extra specs with key {key}.")
    del specs[key]
    _write_specs(tx, id, specs)


def _write_specs(tx: Tx, id: str, specs: Mapping[str, str]) -> None:
    tx.execute(update(flavors).where(flavors.c.id == id).values(extra_specs=dict(specs), updated_at=tx.now))


# -- access to flavors that aren't public

def list_access(tx: Tx, ctx: Context, id: str) -> list[str]:
    """Ids of the projects that may use it. Raises ``NotFound`` for a public flavor, as Nova does."""
    if get_flavor(tx, ctx, id).is_public:
        raise NotFound("Access list not available for public flavors.")
    return [row.project_id for row in tx.all(
        select(access.c.project_id).where(access.c.flavor_id == id).order_by(access.c.project_id))]


def add_access(tx: Tx, ctx: Context, id: str, project_id: str) -> list[str]:
    """Raises ``Conflict`` for a public flavor or access that exists."""
    if get_flavor(tx, ctx, id).is_public:
        raise Conflict("Can not add access to a public flavor.")
    granted = list_access(tx, ctx, id)
    if project_id in granted:
        raise Conflict(f"Flavor access already exists for flavor {id} and project {project_id} combination.")
    tx.execute(insert(access), {"flavor_id": id, "project_id": project_id})
    return sorted([*granted, project_id])


def remove_access(tx: Tx, ctx: Context, id: str, project_id: str) -> list[str]:
    """Raises ``NotFound`` where there was no access."""
    get_flavor(tx, ctx, id)
    if not tx.changed(delete(access).where(access.c.flavor_id == bindparam("f"), access.c.project_id == bindparam("p")),
                      f=id, p=project_id):
        raise NotFound(f"Flavor access not found for {id} / {project_id} combination.")
    return list_access(tx, ctx, id)
