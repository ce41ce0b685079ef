"""Unified limits: a registered limit is a resource's default for everybody, a limit an exception for one.

The model is ``flat``: a limit concerns its project or domain alone. (Enforcing is each service's; ours have quotas of
their own, so these are kept for services outside.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import Conflict, Forbidden, NotFound
from stackling.core.ids import new_hex
from stackling.identity import catalog, projects, state
from stackling.identity.listing import select_page
from stackling.identity.model import Listing
from stackling.identity.refusals import expecting
from stackling.store.tables.identity import limits, registered_limits
from stackling.store.transaction import Tx

_r, _l = registered_limits.c, limits.c
_REGISTERED = (_r.id, _r.service_id, _r.region_id, _r.resource_name, _r.default_limit, _r.description)
_LIMIT = (_l.id, _l.registered_limit_id, _l.project_id, _l.domain_id, _l.resource_limit, _l.description,
          _r.service_id, _r.region_id, _r.resource_name)
_JOINED = select(*_LIMIT).select_from(limits.join(registered_limits, _r.id == _l.registered_limit_id))
_ONE_REGISTERED = select(*_REGISTERED).where(_r.id == bindparam("id"))
_ONE_LIMIT = _JOINED.where(_l.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class RegisteredLimit:
    id: str
    service_id: str
    region_id: str | None
    resource_name: str
    default_limit: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Limit:
    """Either ``project_id`` or ``domain_id`` is set."""

    id: str
    registered_limit_id: str
    project_id: str | None
    domain_id: str | None
    resource_limit: int
    description: str | None
    service_id: str
    region_id: str | None
    resource_name: str


def get_registered(tx: Tx, id_: str) -> RegisteredLimit:
    row = tx.one(_ONE_REGISTERED, id=id_)
    if row is None:
        raise NotFound(f"Could not find registered limit for {id_}.")
    return RegisteredLimit(*row)


def list_registered(tx: Tx, listing: Listing) -> list[RegisteredLimit]:
    return [RegisteredLimit(*row) for row in tx.execute(select_page(
        select(*_REGISTERED), registered_limits, listing))]


def create_registered(tx: Tx, new: Sequence[Mapping[str, Any]]) -> list[RegisteredLimit]:
    """All of them or none. Raises ``Invalid``, ``Conflict``."""
    state.bump(tx)
    made: list[RegisteredLimit] = []
    for values in new:
        row: dict[str, Any] = {"region_id": None, "description": None, **values, "id": new_hex()}
        _check_place(tx, row, "registered_limit")
        _check_unique(tx, row)
        tx.execute(insert(registered_limits), row)
        made.append(get_registered(tx, row["id"]))
    return made


def update_registered(tx: Tx, old: RegisteredLimit, values: Mapping[str, Any]) -> RegisteredLimit:
    """Raises ``Forbidden`` where limits rest on it, ``Conflict`` for a place that is taken (by itself as well, as it is
    upstream)."""
    state.bump(tx)
    _check_place(tx, values, "registered_limit")
    _check_unused(tx, old)
    row = {"service_id": old.service_id, "region_id": old.region_id, "resource_name": old.resource_name, **values}
    if values.keys() & {"service_id", "region_id", "resource_name"}:
        _check_unique(tx, row)
    tx.execute(update(registered_limits).where(_r.id == old.id).values(row))
    return get_registered(tx, old.id)


def delete_registered(tx: Tx, old: RegisteredLimit) -> None:
    state.bump(tx)
    _check_unused(tx, old)
    tx.execute(delete(registered_limits).where(_r.id == old.id))


def _check_place(tx: Tx, values: Mapping[str, Any], target: str) -> None:
    """That the service and the region of *values* are there. (Registered limits outlive them, as they do upstream.)"""
    for key, look in (("service_id", catalog.get_service), ("region_id", catalog.get_region)):
        if values.get(key) is not None:
            try:
                look(tx, values[key])
            except NotFound:
                raise expecting(key, target) from None


def _registered_for(tx: Tx, row: Mapping[str, Any]) -> RegisteredLimit | None:
    found = list_registered(tx, Listing({"service_id": row["service_id"], "resource_name": row["resource_name"]}))
    return next((one for one in found if one.region_id == row["region_id"]), None)


def _check_unique(tx: Tx, row: Mapping[str, Any]) -> None:
    if _registered_for(tx, row) is not None:
        raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")


def _check_unused(tx: Tx, old: RegisteredLimit) -> None:
    if tx.count(limits, _l.registered_limit_id == old.id):
        raise Forbidden(f"Unable to update or delete registered limit {old.id} because there are project limits "
                        "associated with it.")


# -- limits


def get_limit(tx: Tx, id_: str) -> Limit:
    row = tx.one(_ONE_LIMIT, id=id_)
    if row is None:
        raise NotFound(f"Could not find limit for {id_}.")
    return Limit(*row)


def list_limits(tx: Tx, listing: Listing) -> list[Limit]:
    """Also by what the registered limit says (service, region, resource name)."""
    own = {k: v for k, v in listing.equal.items() if k in ("project_id", "domain_id")}
    statement = select_page(_JOINED, limits, Listing(own, (), listing.limit, listing.marker))
    for key in ("service_id", "region_id", "resource_name"):
        if key in listing.equal:
            statement = statement.where(_r[key] == listing.equal[key])
    return [Limit(*row) for row in tx.execute(statement)]


def create_limits(tx: Tx, new: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """All of them or none. Raises ``Forbidden`` without a registered limit, ``Invalid``, ``Conflict``."""
    state.bump(tx)
    made: list[Limit] = []
    for values in new:
        place = {"region_id": None, **values}
        _check_place(tx, place, "limit")
        above = _registered_for(tx, place)
        if above is None:
            raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
        owner = _owner(tx, values)
        column, id_ = next(iter(owner.items()))
        if tx.count(limits, _l.registered_limit_id == above.id, _l[column] == id_):
            raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
        row: dict[str, Any] = {
            "id": new_hex(), "registered_limit_id": above.id, "project_id": None, "domain_id": None, **owner,
            "resource_limit": values["resource_limit"], "description": values.get("description")}
        tx.execute(insert(limits), row)
        made.append(get_limit(tx, row["id"]))
    return made


def _owner(tx: Tx, values: Mapping[str, Any]) -> dict[str, str]:
    key = "project_id" if values.get("project_id") else "domain_id"
    look = projects.get_project if key == "project_id" else projects.get_domain
    try:
        return {key: look(tx, values.get(key) or "").id}
    except NotFound:
        raise expecting(key, "limit") from None


def update_limit(tx: Tx, old: Limit, values: Mapping[str, Any]) -> Limit:
    """Change the number or the description."""
    state.bump(tx)
    if values:
        tx.execute(update(limits).where(_l.id == old.id).values(dict(values)))
    return get_limit(tx, old.id)


def delete_limit(tx: Tx, old: Limit) -> None:
    state.bump(tx)
    tx.execute(delete(limits).where(_l.id == old.id))
