"""Groups and who is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from stackling.core.errors import Invalid, NotFound
from stackling.identity import assignments, cleanup, state
from stackling.identity.listing import select_page
from stackling.identity.model import Group, Listing
from stackling.identity.projects import get_domain
from stackling.identity.refusals import not_found, taken
from stackling.store.tables.identity import expiring_memberships, groups, memberships
from stackling.store.transaction import Tx

_c = groups.c
_COLUMNS = (_c.id, _c.name, _c.domain_id, _c.description, _c.extra)
_ONE = select(*_COLUMNS).where(_c.id == bindparam("id"))
_NAMED = select(_c.id).where(_c.domain_id == bindparam("domain_id"), _c.name == bindparam("name"))
_SOME = select(*_COLUMNS).where(_c.id.in_(bindparam("ids", expanding=True)))
_IDS_NAMED = select(_c.id).where(
    _c.domain_id == bindparam("domain_id"), _c.name.in_(bindparam("names", expanding=True))).order_by(_c.id)
_IS_MEMBER = select(memberships.c.user_id).where(
    memberships.c.user_id == bindparam("user_id"), memberships.c.group_id == bindparam("group_id"))
_IS_EXPIRING = select(expiring_memberships.c.user_id).where(
    expiring_memberships.c.user_id == bindparam("user_id"), expiring_memberships.c.group_id == bindparam("group_id"),
    expiring_memberships.c.expires_at > bindparam("now")).limit(1)
_MEMBERS = select(memberships.c.user_id, memberships.c.group_id)


def get_group(tx: Tx, group_id: str) -> Group:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=group_id)
    if row is None:
        raise not_found("group", group_id)
    return Group(*row)


def some(tx: Tx, ids: Iterable[str]) -> list[Group]:
    wanted = list(set(ids))
    return [Group(*row) for row in tx.all(_SOME, ids=wanted)] if wanted else []


def list_groups(tx: Tx, listing: Listing, *, user_id: str | None = None) -> list[Group]:
    """Groups in order of id; *user_id*: only those that the user is in."""
    statement = select_page(select(*_COLUMNS), groups, listing)
    if user_id is not None:
        statement = statement.where(or_(
            _c.id.in_(select(memberships.c.group_id).where(memberships.c.user_id == user_id)),
            _c.id.in_(select(expiring_memberships.c.group_id).where(
                expiring_memberships.c.user_id == user_id, expiring_memberships.c.expires_at > tx.now))))
    return [Group(*row) for row in tx.execute(statement)]


def create_group(tx: Tx, id_: str, values: Mapping[str, Any]) -> Group:
    """*values*: ``name``, ``domain_id``, ``description``, ``extra``."""
    state.bump(tx)
    get_domain(tx, values["domain_id"])
    _check_name(tx, values["name"], values["domain_id"])
    tx.execute(insert(groups), {"extra": {}, **values, "description": values.get("description") or "", "id": id_})
    return get_group(tx, id_)


def update_group(tx: Tx, group: Group, values: Mapping[str, Any]) -> Group:
    """Change name, description or further attributes."""
    state.bump(tx)
    if values.get("domain_id", group.domain_id) != group.domain_id:
        raise Invalid("Cannot change Domain ID")
    if values.get("name", group.name) != group.name:
        _check_name(tx, values["name"], group.domain_id)
    row = dict(values)
    if "description" in row:
        row["description"] = row["description"] or ""
    if row:
        tx.execute(update(groups).where(_c.id == group.id).values(row))
    return get_group(tx, group.id)


def delete_group(tx: Tx, group: Group) -> None:
    """Delete a group, its memberships and its assignments."""
    state.bump(tx)
    cleanup.group_references(tx, group.id)
    tx.execute(delete(groups).where(_c.id == group.id))


def ids_named(tx: Tx, domain_id: str, names: Iterable[str]) -> list[str]:
    """Ids of the groups of a domain that have one of these names."""
    return [row.id for row in tx.all(_IDS_NAMED, domain_id=domain_id, names=list(names))]


def is_member(tx: Tx, user_id: str, group_id: str) -> bool:
    return (tx.one(_IS_MEMBER, user_id=user_id, group_id=group_id) is not None
            or tx.one(_IS_EXPIRING, user_id=user_id, group_id=group_id, now=tx.now) is not None)


def members(tx: Tx, group_ids: Iterable[str]) -> dict[str, list[str]]:
    """User ids by group id."""
    found: dict[str, list[str]] = {}
    wanted = list(set(group_ids))
    if wanted:
        for row in tx.execute(_MEMBERS.where(memberships.c.group_id.in_(wanted)).order_by(memberships.c.user_id)):
            found.setdefault(row.group_id, []).append(row.user_id)
    return found


def add_member(tx: Tx, user_id: str, group_id: str) -> None:
    """Nothing happens where the user is in already."""
    state.bump(tx)
    if tx.one(_IS_MEMBER, user_id=user_id, group_id=group_id) is None:
        tx.execute(insert(memberships), {"user_id": user_id, "group_id": group_id})


def remove_member(tx: Tx, user_id: str, group_id: str) -> None:
    """Raises ``NotFound`` where the user isn't in it; what rested on the group's roles ends."""
    state.bump(tx)
    if not tx.changed(delete(memberships).where(
            memberships.c.user_id == user_id, memberships.c.group_id == group_id)):
        raise not_a_member(user_id, group_id)
    for one in assignments.everything(tx, actor_ids=[group_id]):
        if one.target == "project":
            assignments.drop_application_credentials(tx, [user_id], one.target_id)


def not_a_member(user_id: str, group_id: str) -> NotFound:
    return NotFound(f"User '{user_id}' not found in group '{group_id}'")


def _check_name(tx: Tx, name: str, domain_id: str) -> None:
    if tx.one(_NAMED, name=name, domain_id=domain_id) is not None:
        raise taken("group", "name", f"{name} at domain ID {domain_id}")
