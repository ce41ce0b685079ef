"""Tokens: what one means now, and how it is shown.

Theory of operation. A token stores ids and times only. What it means (names, roles, whether user, project and domain
are enabled, whether it was revoked) is read from the database and remembered by ``Sessions`` under the identity
generation. A remembered meaning is used only where the generation, read in the same transaction as everything else
of the request, is still the same; so a revoked token, a disabled user or a taken role ends at once on every node.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, delete, insert, or_, select

from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Forbidden
from stackling.identity import (
    application_credentials,
    assignments,
    federated,
    federation,
    oauth,
    payload,
    projects,
    roles,
    rules,
    state,
    users,
)
from stackling.identity.application_credentials import ApplicationCredential
from stackling.identity.catalog import Catalog
from stackling.identity.model import Project, Role
from stackling.identity.oauth import AccessToken
from stackling.identity.payload import Payload
from stackling.identity.refusals import unauthorized
from stackling.identity.trusts import Trust, get_trust
from stackling.identity.users import Login
from stackling.store.tables.identity import projects as projects_table
from stackling.store.tables.identity import revocations
from stackling.store.transaction import Tx

_p = projects_table.c
_d = projects_table.alias("d")
_SCOPE = select(
    _p.id, _p.name, _p.domain_id, _p.parent_id, _p.is_domain, _p.enabled, _p.description, _p.options, _p.extra,
    _d.c.name.label("domain_name"), _d.c.enabled.label("domain_enabled"),
).select_from(projects_table.outerjoin(_d, _d.c.id == _p.domain_id)).where(_p.id == bindparam("id"))
_REVOKED = select(revocations.c.audit_id).where(or_(
    and_(revocations.c.chain.is_(False), revocations.c.audit_id == bindparam("own")),
    and_(revocations.c.chain.is_(True), revocations.c.audit_id == bindparam("first"))))
_encode = msgspec.json.Encoder().encode


class Snapshot:
    """What all tokens share, as of one generation: roles, implications, the catalog."""

    def __init__(self, tx: Tx, generation: int) -> None:
        self.generation = generation
        self.roles: Mapping[str, Role] = roles.every(tx)
        self.implications = assignments.implications(tx)
        self.catalog = Catalog(tx)
        self.service_providers = federation.enabled_service_providers(tx)

    def effective(self, role_ids: list[str]) -> list[Role]:
        """The roles and what they imply; domain roles only imply, they never show."""
        found = (self.roles.get(id_) for id_ in rules.with_implied(role_ids, self.implications))
        return [role for role in found if role is not None and not role.domain_id]


@dataclass(frozen=True, slots=True)
class Vouched:
    """Which provider vouches for a federated user, by which protocol, and the groups (ids) that came with it."""

    idp_id: str
    protocol_id: str
    groups: tuple[str, ...]

    def show(self) -> dict[str, Any]:
        return {"groups": [{"id": id_} for id_ in self.groups], "identity_provider": {"id": self.idp_id},
                "protocol": {"id": self.protocol_id}}


@dataclass(frozen=True, slots=True)
class Token:
    """What a token means. ``issued`` and ``expires`` are seconds since the epoch."""

    user: Login
    methods: list[str]
    issued: float
    expires: float
    audit_ids: tuple[str, ...]
    project: Project | None = None
    domain: Project | None = None
    """The domain that is the scope, or that the project is in."""
    system: bool = False
    roles: tuple[Role, ...] = ()
    application_credential: ApplicationCredential | None = None
    trust: Trust | None = None
    access_token: AccessToken | None = None
    """OAuth's, which the token was issued for."""
    vouched: Vouched | None = None
    """There for a federated user."""

    @property
    def scoped(self) -> bool:
        return self.system or self.domain is not None

    def context(self) -> Context:
        """The caller, without a request id and without the token itself."""
        scope_domain = self.domain if self.project is None else None
        return Context(
            request_id="", user_id=self.user.id, user_name=self.user.name, user_domain_id=self.user.domain_id,
            project_id=self.project.id if self.project else None,
            project_name=self.project.name if self.project else None,
            project_domain_id=self.domain.id if self.project and self.domain else None,
            domain_id=scope_domain.id if scope_domain else None, system_scope="all" if self.system else None,
            roles=frozenset(role.name.lower() for role in self.roles), access_rules=self._access_rules())

    def _access_rules(self) -> tuple[tuple[str, str, str], ...] | None:
        own = self.application_credential
        if own is None or not own.access_rules:
            return None
        return tuple((rule.service, rule.method, rule.path) for rule in own.access_rules)

    def show(self) -> dict[str, Any]:
        """The token as the API shows it, without the catalog."""
        user: dict[str, Any] = {"domain": {"id": self.user.domain_id, "name": self.user.domain_name},
                                "id": self.user.id, "name": self.user.name}
        if self.vouched is None:
            user["password_expires_at"] = self.user.password_expires_at
        else:
            user["OS-FEDERATION"] = self.vouched.show()
        shown: dict[str, Any] = {
            "methods": self.methods,
            "user": user,
            "audit_ids": list(self.audit_ids),
            "expires_at": clock.instant(self.expires) + "Z",
            "issued_at": clock.instant(self.issued) + "Z",
        }
        if self.system:
            shown["system"] = {"all": True}
        elif self.project is not None and self.domain is not None:
            shown["project"] = {"domain": {"id": self.domain.id, "name": self.domain.name}, "id": self.project.id,
                                "name": self.project.name}
            if self.trust is None:
                shown["is_domain"] = self.project.is_domain
        elif self.domain is not None:
            shown["domain"] = {"id": self.domain.id, "name": self.domain.name}
        if self.scoped:
            shown["roles"] = [{"id": role.id, "name": role.name} for role in self.roles]
        if self.trust is not None:
            shown["OS-TRUST:trust"] = {
                "id": self.trust.id, "trustor_user": {"id": self.trust.trustor_user_id},
                "trustee_user": {"id": self.trust.trustee_user_id}, "impersonation": self.trust.impersonation}
        if self.access_token is not None:
            shown["OS-OAUTH1"] = {"access_token_id": self.access_token.id,
                                  "consumer_id": self.access_token.consumer_id}
        if self.application_credential is not None:
            own = self.application_credential
            used: dict[str, Any] = {"id": own.id, "name": own.name, "restricted": not own.unrestricted}
            if own.access_rules:
                used["access_rules"] = [rule.show() for rule in own.access_rules]
            shown["application_credential"] = used
        return shown


@dataclass(slots=True)
class Session:
    """A token's meaning as of one generation, with what was made of it."""

    text: str
    token: Token
    context: Context
    snapshot: Snapshot
    stale_at: float = math.inf
    """When it has to be read anew (seconds since the epoch), for it rests on a membership that ends by then."""
    bodies: dict[tuple[str, bool], bytes] = field(default_factory=dict[tuple[str, bool], bytes])

    def body(self, public_url: str, with_catalog: bool) -> bytes:
        """The response of issue and validate."""
        key = (public_url, with_catalog)
        found = self.bodies.get(key)
        if found is None:
            shown = self.token.show()
            if with_catalog and self.token.scoped:
                shown["catalog"] = self.catalog(public_url)
            if self.snapshot.service_providers:
                shown["service_providers"] = self.snapshot.service_providers
            found = self.bodies[key] = _encode({"token": shown})
        return found

    def catalog(self, public_url: str) -> list[dict[str, Any]]:
        project = self.token.project
        return self.snapshot.catalog.show(public_url, project.id if project else None, self.token.user.id)


def open_session(tx: Tx, snapshot: Snapshot, text: str, content: Payload) -> Session:
    """What *content* means now. Raises ``Unauthorized`` where it means nothing any more."""
    token = meaning(tx, snapshot, content)
    holder = token.user.id if token.trust is None else token.trust.trustor_user_id
    end = federated.membership_end(tx, holder) if token.scoped else None
    return Session(text, token, replace(token.context(), token=text), snapshot, math.inf if end is None else end)


def meaning(tx: Tx, snapshot: Snapshot, content: Payload) -> Token:
    """Resolve a payload. Raises ``Unauthorized``; expiry is the caller's to check."""
    user = users.login_by_id(tx, content.user_id)
    issued = content.issued / 1e6
    if user is None or not user.enabled or not user.domain_enabled:
        raise unauthorized()
    if user.tokens_valid_from is not None and clock.instant(issued) < user.tokens_valid_from:
        raise unauthorized()
    if tx.one(_REVOKED, own=content.audit_ids[0], first=content.audit_ids[-1]) is not None:
        raise unauthorized()
    credential = None
    if content.application_credential is not None:
        credential = application_credentials.find(tx, payload.text(content.application_credential))
        if credential is None or (credential.expires_at is not None and credential.expires_at <= tx.now):
            raise unauthorized()
    access = None
    if content.access_token is not None:
        access = oauth.find_access(tx, payload.text(content.access_token))
        if access is None or not access.usable(tx.now):
            raise unauthorized()
    token = Token(user, content.method_names, issued, content.expires / 1e6, content.audit_ids,
                  application_credential=credential, access_token=access, vouched=_vouched(tx, content))
    return _with_scope(tx, snapshot, token, content)


def _vouched(tx: Tx, content: Payload) -> Vouched | None:
    """Raises ``NotFound`` where the provider is gone."""
    own = content.federation
    if own is None:
        return None
    federation.get_provider(tx, own.idp_id)
    return Vouched(own.idp_id, own.protocol_id, tuple(payload.text(one) for one in own.groups))


def _with_scope(tx: Tx, snapshot: Snapshot, token: Token, content: Payload) -> Token:
    if not content.scope:
        return token
    came_with = token.vouched.groups if token.vouched else ()
    if content.scope == "s":
        token = replace(token, system=True)
        found = _system_roles(tx, snapshot, token.user.id, came_with)
    elif content.scope == "t":
        return _with_trust(tx, snapshot, token, payload.text(content.trust or b"t"))
    else:
        project, domain = scope_of(tx, content.target_id or "", want_domain=content.scope == "d")
        token = replace(token, project=project, domain=domain)
        found = roles_on(tx, snapshot, token.user.id, project or domain, came_with)
    if token.application_credential is not None:
        allowed = {role.id for role in snapshot.effective(list(token.application_credential.roles))}
        found = [role for role in found if role.id in allowed]
    if token.access_token is not None:
        lent = {role.id for role in snapshot.effective(list(token.access_token.roles))}
        found = [role for role in found if role.id in lent]
    if not found:
        raise unauthorized()
    return replace(token, roles=tuple(found))


def _with_trust(tx: Tx, snapshot: Snapshot, token: Token, trust_id: str) -> Token:
    trust = get_trust(tx, trust_id)
    if trust is None or not trust.usable(tx.now):
        raise unauthorized()
    trustor = users.login_by_id(tx, trust.trustor_user_id)
    trustee = users.login_by_id(tx, trust.trustee_user_id)
    if (trustor is None or trustee is None or not trustor.enabled or not trustee.enabled
            or not trustor.domain_enabled or not trustee.domain_enabled):
        raise Forbidden("Trustor is disabled.")
    user = trustor if trust.impersonation else trustee
    if trust.project_id is None:
        return replace(token, user=user, trust=trust)
    project, domain = scope_of(tx, trust.project_id, want_domain=False)
    had = {role.id for role in roles_on(tx, snapshot, trustor.id, project)}
    given = snapshot.effective(list(trust.roles))
    if not given or any(role.id not in had for role in given):
        raise Forbidden("Trustee has no delegated roles.")
    return replace(token, user=user, trust=trust, project=project, domain=domain, roles=tuple(given))


def scope_of(tx: Tx, target_id: str, *, want_domain: bool) -> tuple[Project | None, Project]:
    """``(project, its domain)`` or ``(None, domain)``, all enabled. Raises ``Unauthorized``."""
    row = tx.one(_SCOPE, id=target_id)
    if row is None or not row.enabled or (want_domain and not row.is_domain):
        raise unauthorized()
    target = Project(*tuple(row)[:9])
    if want_domain:
        return None, target
    if row.is_domain or not row.domain_enabled:
        raise unauthorized()
    domain = Project(target.domain_id, row.domain_name, "", None, True, True, "", {}, {})
    return target, domain


def roles_on(tx: Tx, snapshot: Snapshot, user_id: str, target: Project | None, groups: tuple[str, ...] = ()
             ) -> list[Role]:
    """Effective roles of a user on a project or domain; *groups*: those that a federated user came with."""
    if target is None:
        return []
    held = assignments.of_user(tx, user_id, groups)
    direct = [a.role_id for a in held if a.target_id == target.id and not a.inherited]
    if not target.is_domain and any(a.inherited for a in held):
        above = {one.id for one in projects.ancestors(tx, target)}
        direct += [a.role_id for a in held if a.inherited and a.target_id in above]
    return snapshot.effective(direct)


def _system_roles(tx: Tx, snapshot: Snapshot, user_id: str, groups: tuple[str, ...]) -> list[Role]:
    held = assignments.of_user(tx, user_id, groups)
    return snapshot.effective([a.role_id for a in held if a.target == assignments.SYSTEM])


def revoke(tx: Tx, token: Token) -> None:
    """End one token; rows of tokens that have expired anyway are forgotten."""
    state.bump(tx)
    tx.execute(delete(revocations).where(revocations.c.expires_at < tx.now))
    if tx.one(_REVOKED, own=token.audit_ids[0], first="") is None:
        tx.execute(insert(revocations), {"audit_id": token.audit_ids[0], "chain": False, "revoked_at": tx.now,
                                         "expires_at": clock.instant(token.expires)})


_REVOCATIONS = select(revocations.c.audit_id, revocations.c.chain, revocations.c.revoked_at).order_by(
    revocations.c.revoked_at, revocations.c.audit_id)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A token, or with ``chain`` all that came from it, that ended before its time."""

    audit_id: str
    chain: bool
    revoked_at: str


def revocations_since(tx: Tx, since: str | None) -> list[Revocation]:
    """The revocations of tokens that could still be asked about."""
    statement = _REVOCATIONS if since is None else _REVOCATIONS.where(revocations.c.revoked_at >= since)
    return [Revocation(*row) for row in tx.execute(statement)]
