"""Roles, of the whole cloud or of one domain, and which implies which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import Forbidden, Invalid, NotFound
from stackling.identity import assignments, state
from stackling.identity.listing import select_page
from stackling.identity.model import Listing, Role
from stackling.identity.projects import get_domain
from stackling.identity.refusals import not_found, taken
from stackling.store.tables.identity import implied_roles, roles
from stackling.store.transaction import Tx

_c = roles.c
_COLUMNS = (_c.id, _c.name, _c.domain_id, _c.description, _c.options, _c.extra)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))
_NAMED = select(*_COLUMNS).where(_c.domain_id == bindparam("domain_id"), _c.name == bindparam("name"))
_EVERY = select(*_COLUMNS)
_SOME = _EVERY.where(_c.id.in_(bindparam("ids", expanding=True)))
PROHIBITED_IMPLIED = frozenset({"admin"})


def get_role(tx: Tx, role_id: str) -> Role:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=role_id)
    if row is None:
        raise not_found("role", role_id)
    return Role(*row)


def find_named(tx: Tx, name: str, domain_id: str = "") -> Role | None:
    row = tx.one(_NAMED, name=name, domain_id=domain_id)
    return None if row is None else Role(*row)


def every(tx: Tx) -> dict[str, Role]:
    """All roles by id."""
    return {row.id: Role(*row) for row in tx.all(_EVERY)}


def some(tx: Tx, ids: Iterable[str]) -> list[Role]:
    wanted = list(set(ids))
    return [Role(*row) for row in tx.all(_SOME, ids=wanted)] if wanted else []


def list_roles(tx: Tx, listing: Listing) -> list[Role]:
    """Roles in order of id; without ``domain_id`` in the listing only those of the whole cloud."""
    equal = {"domain_id": "", **listing.equal}
    page = Listing(equal, listing.like, listing.limit, listing.marker)
    return [Role(*row) for row in tx.execute(select_page(select(*_COLUMNS), roles, page))]


def create_role(tx: Tx, id_: str, values: Mapping[str, Any]) -> Role:
    """*values*: ``name``, ``domain_id`` (empty: the whole cloud's), ``description``, ``options``, ``extra``."""
    state.bump(tx)
    row: dict[str, Any] = {"domain_id": "", "description": None, "options": {}, "extra": {}, **values, "id": id_}
    if row["domain_id"]:
        get_domain(tx, row["domain_id"])
    _check_name(tx, row["name"], row["domain_id"])
    tx.execute(insert(roles), row)
    return get_role(tx, id_)


def update_role(tx: Tx, role: Role, values: Mapping[str, Any]) -> Role:
    state.bump(tx)
    if role.options.get("immutable") and values.get("options", {}).get("immutable", True):
        raise Forbidden(f"Cannot update role: {role.id} because it is immutable. Set the resource option 'immutable' "
                        "to false first.", type="ResourceUpdateForbidden")
    if (values.get("domain_id", role.domain_id) or "") != role.domain_id:
        raise Invalid("Update of `domain_id` is not allowed.")
    row = {k: v for k, v in values.items() if k != "domain_id"}
    if row.get("name", role.name) != role.name:
        _check_name(tx, row["name"], role.domain_id)
    if row:
        tx.execute(update(roles).where(_c.id == role.id).values(row))
    return get_role(tx, role.id)


def delete_role(tx: Tx, role: Role) -> None:
    """Delete a role and every assignment of it."""
    state.bump(tx)
    if role.options.get("immutable"):
        raise Forbidden(f"Cannot delete role: {role.id} because it is immutable. Set the resource option 'immutable' "
                        "to false first.", type="ResourceDeleteForbidden")
    assignments.forget_role(tx, role.id)
    tx.execute(delete(roles).where(_c.id == role.id))


def imply(tx: Tx, prior: Role, implied: Role) -> None:
    """Make *prior* imply *implied*. Raises ``Forbidden`` for what must not be implied."""
    state.bump(tx)
    if implied.name in PROHIBITED_IMPLIED:
        raise Forbidden(f"{implied.id} cannot be an implied roles.")
    if implied.domain_id and not prior.domain_id:
        raise Forbidden("Global role cannot imply a domain-specific role")
    if implied.id not in assignments.implications(tx).get(prior.id, ()):
        tx.execute(insert(implied_roles), {"prior_id": prior.id, "implied_id": implied.id})


def stop_implying(tx: Tx, prior: Role, implied: Role) -> None:
    """Raises ``NotFound``."""
    state.bump(tx)
    if not tx.changed(delete(implied_roles).where(
            implied_roles.c.prior_id == prior.id, implied_roles.c.implied_id == implied.id)):
        raise not_implied(prior, implied)


def not_implied(prior: Role, implied: Role) -> NotFound:
    return NotFound(f"{prior.id} does not imply {implied.id}.")


def _check_name(tx: Tx, name: str, domain_id: str) -> None:
    if find_named(tx, name, domain_id) is not None:
        raise taken("role", "name", name if not domain_id else f"{name} at domain ID {domain_id}")
