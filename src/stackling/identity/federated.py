"""Federated users: who comes in through an identity provider, and the groups and projects that the mapping gives.

Theory of operation. A login mostly changes nothing but when memberships were last verified, so ``enter`` looks first
and takes the identity lock (``state.bump``, which makes every remembered token's meaning be read anew) only where
something would change; then it looks again. Memberships that are renewed aren't announced: a token that rests on one
is read anew when the membership would have ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core import clock
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from stackling.core.ids import new_hex
from stackling.identity import assignments, federation, groups, mapping, projects, roles, state, users
from stackling.identity.assignments import Assignment
from stackling.identity.federation import IdentityProvider, Protocol
from stackling.identity.mapping import Assertion, Mapped, ProjectName
from stackling.identity.model import Role
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import expiring_memberships, federated_users, sign_ins
from stackling.store.tables.identity import groups as groups_table
from stackling.store.tables.identity import users as users_table
from stackling.store.transaction import Tx

_f, _e, _u = federated_users.c, expiring_memberships.c, users_table.c
_SHADOW = select(_f.user_id, _f.display_name).where(
    _f.idp_id == bindparam("idp_id"), _f.protocol_id == bindparam("protocol_id"),
    _f.unique_id == bindparam("unique_id"))
_OF_USERS = select(_f.user_id, _f.idp_id, _f.protocol_id, _f.unique_id).where(
    _f.user_id.in_(bindparam("ids", expanding=True))).order_by(_f.idp_id, _f.protocol_id, _f.unique_id)
_MEMBERSHIPS = select(_e.group_id).where(_e.user_id == bindparam("user_id"), _e.idp_id == bindparam("idp_id"))
_VALID_GROUPS = select(_e.group_id, _e.expires_at).where(
    _e.user_id == bindparam("user_id"), _e.expires_at > bindparam("now"))
_END = select(_e.expires_at).where(
    _e.user_id == bindparam("user_id"), _e.expires_at > bindparam("now")).order_by(_e.expires_at).limit(1)
_GROUP_IDS = select(groups_table.c.id).where(groups_table.c.id.in_(bindparam("ids", expanding=True)))
REMOTE_ID = "HTTP_OIDC_ISS"
"""The attribute that is compared with a provider's remote ids unless the protocol names another."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who came in. A local user has no provider; ``groups`` are those of this login, by id."""

    user_id: str
    protocol_id: str
    idp_id: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FederatedObject:
    """A user as a provider knows them."""

    user_id: str
    idp_id: str
    protocol_id: str
    unique_id: str


@dataclass(frozen=True, slots=True)
class _Person:
    """What a login says of an ephemeral user, with everything resolved to ids."""

    provider: IdentityProvider
    protocol_id: str
    unique_id: str
    name: str
    email: str | None
    domain_id: str
    groups: tuple[str, ...]


def door(tx: Tx, idp_id: str, protocol_id: str) -> tuple[IdentityProvider, Protocol]:
    """An enabled provider and its protocol. Raises ``NotFound``, ``Forbidden``."""
    provider = enabled_provider(tx, idp_id)
    return provider, federation.get_protocol(tx, idp_id, protocol_id)


def enabled_provider(tx: Tx, idp_id: str) -> IdentityProvider:
    """Raises ``NotFound``, and ``Forbidden`` where it is disabled."""
    provider = federation.get_provider(tx, idp_id)
    if not provider.enabled:
        raise Forbidden(f"Identity Provider {idp_id} is disabled")
    return provider


def enter(tx: Tx, idp_id: str, protocol_id: str, assertion: Assertion) -> Entrance:
    """Map *assertion*, which the provider has vouched for, and make or renew what it gives.

    Raises ``NotFound``, ``Forbidden``, ``Unauthorized``, ``Conflict``.
    """
    provider, protocol = door(tx, idp_id, protocol_id)
    _check_remote_id(provider, protocol, assertion)
    rules = federation.get_mapping(tx, protocol.mapping_id)
    mapped = mapping.apply(rules.id, rules.rules, rules.schema_version, assertion)
    if mapped.local:
        return Entrance(_local_user(tx, mapped), protocol_id)
    person = _person(tx, provider, protocol_id, rules.id, mapped, assertion)
    user_id = _unchanged(tx, person, mapped)
    if user_id is None:
        state.bump(tx)
        user_id = _shadow(tx, person)
        _change_memberships(tx, person, user_id)
        _provision(tx, person, user_id, mapped)
    _verified(tx, person, user_id)
    return Entrance(user_id, protocol_id, provider.id, person.groups)


def _check_remote_id(provider: IdentityProvider, protocol: Protocol, assertion: Assertion) -> None:
    if not provider.remote_ids:
        return
    given = assertion.get(protocol.remote_id_attribute or REMOTE_ID)
    if not given:
        raise Unauthorized("Could not find Identity Provider identifier in environment")
    if given[0] not in provider.remote_ids:
        raise Forbidden("Incoming identity provider identifier not included among the accepted identifiers.")


def _local_user(tx: Tx, mapped: Mapped) -> str:
    user = mapped.user
    if user.get("id"):
        login = users.login_by_id(tx, user["id"])
    elif user.get("name") and user.get("domain"):
        domain = user["domain"]
        login = users.login_by_name(tx, user["name"], domain_id=domain.get("id"), domain_name=domain.get("name"))
    else:
        raise Unauthorized("The mapping gives a local user by neither id nor name and domain.")
    if login is None:
        raise Unauthorized("The mapping gives a local user that there isn't.")
    return login.id


def _person(tx: Tx, provider: IdentityProvider, protocol_id: str, mapping_id: str, mapped: Mapped,
            assertion: Assertion) -> _Person:
    user = mapped.user
    id_, name = user.get("id"), user.get("name") or next(iter(assertion.get("REMOTE_USER") or ()), None)
    if not id_ and not name:
        raise Unauthorized("Could not map user while setting ephemeral user identity. Either mapping rules must "
                           "specify user id/name or REMOTE_USER environment variable must be set.")
    unique_id, name = quote(id_ or name or ""), name or id_ or ""
    if len(unique_id) > 255 or len(name) > 255:
        raise Unauthorized("The mapping gives a user whose id or name is longer than 255 characters.")
    return _Person(provider, protocol_id, unique_id, name, user.get("email"),
                   _domain_id(tx, user.get("domain"), provider), _groups(tx, mapping_id, mapped))


def _domain_id(tx: Tx, wanted: Mapping[str, Any] | None, provider: IdentityProvider) -> str:
    if not wanted:
        return provider.domain_id
    if wanted.get("id"):
        return projects.get_domain(tx, wanted["id"]).id
    found = projects.find_named(tx, wanted.get("name", ""), "")
    if found is None:
        raise not_found("domain", wanted.get("name", ""))
    return found.id


def _groups(tx: Tx, mapping_id: str, mapped: Mapped) -> tuple[str, ...]:
    """Ids of the groups; names that there are none of are left out, as upstream leaves them out."""
    there = {row.id for row in tx.all(_GROUP_IDS, ids=list(mapped.group_ids))} if mapped.group_ids else set[str]()
    missing = [id_ for id_ in mapped.group_ids if id_ not in there]
    if missing:
        raise Unauthorized(f"Group {missing[0]} returned by mapping {mapping_id} was not found in the backend.")
    found = dict.fromkeys(mapped.group_ids)
    domains: dict[str, str] = {}
    by_domain: dict[str, list[str]] = {}
    for group in mapped.groups:
        key = str(group.domain.get("id") or group.domain.get("name"))
        if key not in domains:
            domains[key] = group.domain.get("id") or _named_domain(tx, key)
        by_domain.setdefault(domains[key], []).append(group.name)
    for domain_id, names in by_domain.items():
        found.update(dict.fromkeys(groups.ids_named(tx, domain_id, names)))
    return tuple(found)


def _named_domain(tx: Tx, name: str) -> str:
    found = projects.find_named(tx, name, "")
    if found is None:
        raise not_found("domain", name)
    return found.id


# -- what a login changes


def _find(tx: Tx, person: _Person) -> Any:
    return tx.one(_SHADOW, idp_id=person.provider.id, protocol_id=person.protocol_id, unique_id=person.unique_id)


def _unchanged(tx: Tx, person: _Person, mapped: Mapped) -> str | None:
    """The user's id where this login changes nothing that others see; None: it does."""
    row = _find(tx, person)
    if row is None or row.display_name != person.name:
        return None
    user = users.get_user(tx, row.user_id)
    if (person.email and user.extra.get("email") != person.email) or not _is_provisioned(tx, person, user.id, mapped):
        return None
    had = {one.group_id for one in tx.all(_MEMBERSHIPS, user_id=user.id, idp_id=person.provider.id)}
    return user.id if had == set(person.groups) else None


def _shadow(tx: Tx, person: _Person) -> str:
    """The user, made at their first login."""
    row = _find(tx, person)
    if row is None:
        return _create(tx, person)
    if row.display_name != person.name:
        tx.execute(update(federated_users).where(
            _f.idp_id == person.provider.id, _f.protocol_id == person.protocol_id, _f.unique_id == person.unique_id,
        ).values(display_name=person.name))
        tx.execute(update(users_table).where(_u.id == row.user_id, _u.shadow != "").values(name=person.name))
    if person.email:
        user = users.get_user(tx, row.user_id)
        tx.execute(update(users_table).where(_u.id == user.id).values(extra={**user.extra, "email": person.email}))
    return row.user_id


def _create(tx: Tx, person: _Person) -> str:
    """The id is upstream's: a digest of the domain, the word "user" and the unique id."""
    id_ = hashlib.sha256(f"{person.domain_id}user{person.unique_id}".encode()).hexdigest()
    if users.login_by_id(tx, id_) is not None:
        raise Conflict("Conflict occurred attempting to store federated_user - Duplicate entry: another identity "
                       "provider or protocol of the same domain has given this user's id; delete the user, or give "
                       "each provider a domain of its own.")
    tx.execute(insert(users_table), {
        "id": id_, "name": person.name, "domain_id": person.domain_id, "enabled": True, "default_project_id": None,
        "options": {}, "extra": {"email": person.email} if person.email else {}, "created_at": tx.now,
        "active_at": tx.now[:10], "shadow": id_})
    link(tx, FederatedObject(id_, person.provider.id, person.protocol_id, person.unique_id), person.name)
    return id_


def _change_memberships(tx: Tx, person: _Person, user_id: str) -> None:
    had = {one.group_id for one in tx.all(_MEMBERSHIPS, user_id=user_id, idp_id=person.provider.id)}
    wanted = set(person.groups)
    if had == wanted:
        return
    gone = sorted(had - wanted)
    if gone:
        tx.execute(delete(expiring_memberships).where(
            _e.user_id == user_id, _e.idp_id == person.provider.id, _e.group_id.in_(gone)))
    if new := sorted(wanted - had):
        expires = federation.membership_expiry(tx.now, person.provider.authorization_ttl)
        tx.execute(insert(expiring_memberships), [
            {"user_id": user_id, "group_id": group_id, "idp_id": person.provider.id, "verified_at": tx.now,
             "expires_at": expires} for group_id in new])
    # Tokens that were made with the former groups end, as upstream has it since 2026.1.
    tx.execute(update(users_table).where(_u.id == user_id).values(tokens_valid_from=tx.now))


def _verified(tx: Tx, person: _Person, user_id: str) -> None:
    """The provider says so now; and the day of the last login."""
    if person.groups:
        expires = federation.membership_expiry(tx.now, person.provider.authorization_ttl)
        tx.execute(update(expiring_memberships).where(
            _e.user_id == user_id, _e.idp_id == person.provider.id).values(verified_at=tx.now, expires_at=expires))
    tx.execute(update(users_table).where(_u.id == user_id, _u.active_at != tx.now[:10]).values(active_at=tx.now[:10]))


# -- projects


def _is_provisioned(tx: Tx, person: _Person, user_id: str, mapped: Mapped) -> bool:
    """Whether ``_provision`` would change nothing."""
    if not mapped.projects and not mapped.sync_projects:
        return True
    known = {role.id: role.name for role in roles.every(tx).values()}
    wanted: set[tuple[str, str]] = set()
    for project in mapped.projects:
        found = projects.find_named(tx, project.name, _domain_id(tx, project.domain, person.provider))
        if found is None:
            return False
        wanted |= {(found.id, name) for name in project.roles}
    has = {(a.target_id, known.get(a.role_id, "")) for a in _project_roles(tx, user_id)}
    return has == wanted if mapped.sync_projects else has >= wanted


def _provision(tx: Tx, person: _Person, user_id: str, mapped: Mapped) -> None:
    """Projects that the mapping names, and the roles on them; all is checked before anything is made."""
    if not mapped.projects and not mapped.sync_projects:
        return
    order = sorted(roles.every(tx).values(), key=lambda role: role.domain_id, reverse=True)
    known = {role.name: role for role in order}         # the whole cloud's roles last, so that they win
    for project in mapped.projects:
        for name in project.roles:
            _check_role(known.get(name), name, person)
    wanted: set[tuple[str, str]] = set()
    for project in mapped.projects:
        project_id = _project_id(tx, project, person)
        wanted |= {(project_id, known[name].id) for name in project.roles}
    has = {(a.target_id, a.role_id): a for a in _project_roles(tx, user_id)}
    for project_id, role_id in sorted(wanted - has.keys()):
        assignments.grant(tx, Assignment("user", user_id, "project", project_id, role_id, False))
    if mapped.sync_projects:
        for key in sorted(has.keys() - wanted):
            assignments.revoke(tx, has[key])


def _project_roles(tx: Tx, user_id: str) -> list[Assignment]:
    """The user's own, direct ones."""
    return [a for a in assignments.everything(tx, actor_ids=[user_id], inherited=False) if a.target == "project"]


def _check_role(role: Role | None, name: str, person: _Person) -> None:
    if role is None:
        raise not_found("role", name)
    if role.domain_id and role.domain_id != person.domain_id:
        raise Forbidden(f"role: {name} must be within the same domain as the identity provider: {person.provider.id}.")


def _project_id(tx: Tx, wanted: ProjectName, person: _Person) -> str:
    domain_id = _domain_id(tx, wanted.domain, person.provider)
    found = projects.find_named(tx, wanted.name, domain_id)
    if found is None:
        found = projects.create_project(tx, new_hex(), {"name": wanted.name, "domain_id": domain_id})
    return found.id


# -- what others ask


def membership_expiries(tx: Tx, user_id: str) -> dict[str, str]:
    """Valid memberships that end by themselves: when, by the group's id."""
    return {row.group_id: row.expires_at for row in tx.all(_VALID_GROUPS, user_id=user_id, now=tx.now)}


def membership_end(tx: Tx, user_id: str) -> float | None:
    """When the first of the user's valid memberships ends, in seconds since the epoch."""
    found = tx.scalar(_END, user_id=user_id, now=tx.now)
    return None if found is None else clock.epoch(found)


def objects(tx: Tx, user_ids: Sequence[str]) -> list[FederatedObject]:
    """How providers know these users."""
    return [FederatedObject(*row) for row in tx.all(_OF_USERS, ids=list(user_ids))] if user_ids else []


def link(tx: Tx, new: FederatedObject, display_name: str | None = None) -> None:
    """A provider knows a user by a unique id. Raises ``Conflict``, ``Invalid``."""
    state.bump(tx)
    try:
        federation.get_provider(tx, new.idp_id)
    except NotFound:
        raise Invalid(f"Could not find Identity Provider: {new.idp_id}") from None
    try:
        federation.get_protocol(tx, new.idp_id, new.protocol_id)
    except NotFound as error:
        raise Invalid(error.message) from None
    if tx.one(_SHADOW, idp_id=new.idp_id, protocol_id=new.protocol_id, unique_id=new.unique_id) is not None:
        raise Conflict("Conflict occurred attempting to store federated_user - Duplicate entry.")
    tx.execute(insert(federated_users), {
        "idp_id": new.idp_id, "protocol_id": new.protocol_id, "unique_id": new.unique_id, "user_id": new.user_id,
        "display_name": display_name})


def relink(tx: Tx, user_id: str, new: Sequence[FederatedObject], display_name: str) -> None:
    """From now on providers know a user as *new* says, and no more as they did. Raises as ``link``."""
    state.bump(tx)
    tx.execute(delete(federated_users).where(_f.user_id == user_id))
    for one in new:
        link(tx, replace(one, user_id=user_id), display_name)


def use_sign_in(tx: Tx, id_: str, expires_at: str) -> bool:
    """Whether this sign-in comes back for the first time."""
    state.bump(tx)
    tx.execute(delete(sign_ins).where(sign_ins.c.expires_at < tx.now))
    if tx.one(select(sign_ins.c.id).where(sign_ins.c.id == id_)) is not None:
        return False
    tx.execute(insert(sign_ins), {"id": id_, "expires_at": expires_at})
    return True

