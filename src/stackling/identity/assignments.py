"""Role assignments: who has which role where, and what that means once groups, inheritance and implication count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, or_, select, update

from stackling.core.errors import NotFound
from stackling.identity import state
from stackling.store.tables.identity import (
    application_credentials,
    assignments,
    expiring_memberships,
    implied_roles,
    memberships,
)
from stackling.store.transaction import Tx

SYSTEM = "system"
_c = assignments.c
_OF_USER = select(_c.actor, _c.actor_id, _c.target, _c.target_id, _c.role_id, _c.inherited).where(or_(
    _c.actor_id == bindparam("user_id"),
    _c.actor_id.in_(select(memberships.c.group_id).where(memberships.c.user_id == bindparam("user_id"))),
    _c.actor_id.in_(select(expiring_memberships.c.group_id).where(
        expiring_memberships.c.user_id == bindparam("user_id"), expiring_memberships.c.expires_at > bindparam("now")))))
_OF_GROUPS = select(_c.actor, _c.actor_id, _c.target, _c.target_id, _c.role_id, _c.inherited).where(
    _c.actor_id.in_(bindparam("groups", expanding=True)))
_GRANTS = select(_c.role_id).where(
    _c.actor_id == bindparam("actor_id"), _c.target_id == bindparam("target_id"),
    _c.inherited == bindparam("inherited")).order_by(_c.role_id)
_ALL = select(_c.actor, _c.actor_id, _c.target, _c.target_id, _c.role_id, _c.inherited).order_by(
    _c.actor_id, _c.target_id, _c.role_id)
_IMPLIED = select(implied_roles.c.prior_id, implied_roles.c.implied_id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """``actor`` is "user" or "group"; ``target`` is "project", "domain" or "system"."""

    actor: str
    actor_id: str
    target: str
    target_id: str
    role_id: str
    inherited: bool


def of_user(tx: Tx, user_id: str, groups: Sequence[str] = ()) -> list[Assignment]:
    """Every assignment of a user and of the groups that the user is in; *groups*: those that a federated user's token
    has in it."""
    found = [Assignment(*row) for row in tx.all(_OF_USER, user_id=user_id, now=tx.now)]
    if groups:
        there = set(found)
        found += [one for row in tx.all(_OF_GROUPS, groups=list(groups)) if (one := Assignment(*row)) not in there]
    return found


def everything(tx: Tx, *, actor_ids: Iterable[str] | None = None, target_ids: Iterable[str] | None = None,
               role_ids: Iterable[str] | None = None, inherited: bool | None = None) -> list[Assignment]:
    """Stored assignments within the given actors, targets and roles."""
    statement = _ALL
    for column, ids in ((_c.actor_id, actor_ids), (_c.target_id, target_ids), (_c.role_id, role_ids)):
        if ids is not None:
            statement = statement.where(column.in_(list(ids)))
    if inherited is not None:
        statement = statement.where(_c.inherited == inherited)
    return [Assignment(*row) for row in tx.execute(statement)]


def granted(tx: Tx, actor_id: str, target_id: str, *, inherited: bool = False) -> list[str]:
    """Ids of the roles that an actor was given directly on a target."""
    return list(tx.execute(_GRANTS, {"actor_id": actor_id, "target_id": target_id, "inherited": inherited}).scalars())


def grant(tx: Tx, new: Assignment) -> None:
    """Give a role; nothing happens where it was given already."""
    state.bump(tx)
    if new.role_id not in granted(tx, new.actor_id, new.target_id, inherited=new.inherited):
        tx.execute(insert(assignments), {
            "actor": new.actor, "actor_id": new.actor_id, "target": new.target, "target_id": new.target_id,
            "role_id": new.role_id, "inherited": new.inherited})


def revoke(tx: Tx, old: Assignment) -> None:
    """Take a role away, and the application credentials that rest on it. Raises ``NotFound``."""
    state.bump(tx)
    done = tx.changed(delete(assignments).where(
        _c.actor_id == old.actor_id, _c.target_id == old.target_id, _c.role_id == old.role_id,
        _c.inherited == old.inherited))
    if not done:
        raise missing(old)
    if old.target == "project":
        owners = [old.actor_id] if old.actor == "user" else list(tx.execute(select(memberships.c.user_id).where(
            memberships.c.group_id == old.actor_id)).scalars())
        drop_application_credentials(tx, owners, old.target_id)


def missing(of: Assignment) -> NotFound:
    """What upstream says of an assignment that isn't there."""
    return NotFound(f"Could not find role assignment with role: {of.role_id}, user or group: {of.actor_id}, "
                    f"project, domain, or system: {of.target_id}.")


def drop_application_credentials(tx: Tx, user_ids: Sequence[str], project_id: str | None = None) -> None:
    """An application credential ends when a role that its owner had on its project is taken away."""
    if user_ids:
        statement = delete(application_credentials).where(application_credentials.c.user_id.in_(user_ids))
        if project_id is not None:
            statement = statement.where(application_credentials.c.project_id == project_id)
        tx.execute(statement)


def forget_actor(tx: Tx, actor_id: str) -> None:
    """The user or group is deleted."""
    tx.execute(delete(assignments).where(_c.actor_id == actor_id))


def forget_target(tx: Tx, target_id: str) -> None:
    """The project or domain is deleted."""
    tx.execute(delete(assignments).where(_c.target_id == target_id))


def forget_role(tx: Tx, role_id: str) -> None:
    """The role is deleted: its assignments, implications, and its place in application credentials."""
    tx.execute(delete(assignments).where(_c.role_id == role_id))
    tx.execute(delete(implied_roles).where(or_(
        implied_roles.c.prior_id == role_id, implied_roles.c.implied_id == role_id)))
    rows = tx.all(select(application_credentials.c.id, application_credentials.c.roles))
    for row in rows:
        if role_id in row.roles:
            tx.execute(update(application_credentials).where(application_credentials.c.id == row.id).values(
                roles=[one for one in row.roles if one != role_id]))


def implications(tx: Tx) -> dict[str, list[str]]:
    """Which roles each role implies directly."""
    found: dict[str, list[str]] = {}
    for row in tx.all(_IMPLIED):
        found.setdefault(row.prior_id, []).append(row.implied_id)
    return found
