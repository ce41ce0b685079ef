"""Authentication: from credentials to a token.

Theory of operation. ``attempt`` runs in one short reading transaction. Where a secret has to be verified and wasn't a
moment ago, it returns a ``Challenge``; the caller verifies that outside the transaction, in a thread, and runs
``attempt`` again, which reads everything anew (a password changed in between leads to another challenge). Unknown
users get a challenge that can't be met, so that it takes as long to refuse them as to refuse a wrong password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from stackling.core import clock
from stackling.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from stackling.identity import (
    application_credentials,
    federated,
    oauth,
    passwords,
    payload,
    projects,
    rules,
    state,
    tokens,
    trusts,
    users,
)
from stackling.identity.federated import Entrance
from stackling.identity.payload import Federation, Payload
from stackling.identity.refusals import expecting, unauthorized
from stackling.identity.service import Identity
from stackling.identity.signatures import SignedRequest
from stackling.identity.tokens import Session, Token, Vouched
from stackling.identity.totp import accepts as totp_accepts
from stackling.identity.users import Login
from stackling.store.transaction import Tx

SUPPORTED = ("password", "token", "application_credential", "totp", "oauth1", "mapped", "openid")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A secret to verify: *stored* is the hash (None can't be met), *subject* whose it is."""

    subject: str
    stored: str | None
    secret: str = field(repr=False)
    login: Login | None = field(default=None, compare=False, repr=False)

    def met(self) -> bool:
        """Verify; takes about 50 ms of CPU whatever the outcome."""
        return passwords.verify(self.stored, self.secret)


@dataclass(slots=True)
class _Proof:
    """What the methods have established so far."""

    methods: list[str]
    login: Login | None = None
    base: Token | None = None
    credential: application_credentials.ApplicationCredential | None = None
    access: oauth.AccessToken | None = None
    vouched: Vouched | None = None

    def is_user(self, login: Login) -> None:
        if self.login is not None and self.login.id != login.id:
            raise unauthorized()
        self.login = login


def attempt(tx: Tx, identity: Identity, auth: Mapping[str, Any], met: frozenset[Challenge] = frozenset()
            ) -> Session | Challenge:
    """Authenticate as *auth* (the request's ``auth`` object, checked by schema) asks.

    Raises ``Unauthorized``, ``Invalid``, ``Forbidden``.
    """
    methods = list(dict.fromkeys(auth["identity"]["methods"]))
    _check_request(auth, methods)
    proof = _Proof([])
    for method in methods:
        challenge = _METHODS[method](tx, identity, proof, auth["identity"][method], met)
        if challenge is not None:
            return challenge
        proof.methods.append(method)
    login = proof.login
    if login is None:
        raise unauthorized()
    _check_account(tx, identity, login, proof.methods)
    return identity.issue(tx, _content(tx, identity, proof, login, auth))


def admit(tx: Tx, identity: Identity, entrance: Entrance) -> Session:
    """A token for who came in through an identity provider: without a scope, unless it is a local user who has a
    default project. Raises ``Unauthorized``."""
    method = entrance.protocol_id if entrance.protocol_id == "openid" else payload.MAPPED
    login = users.login_by_id(tx, entrance.user_id)
    if login is None:
        raise unauthorized()
    proof = _Proof([method], login)
    if entrance.idp_id is not None:
        proof.vouched = Vouched(entrance.idp_id, entrance.protocol_id, entrance.groups)
    _check_account(tx, identity, login, proof.methods)
    return identity.issue(tx, _content(tx, identity, proof, login, {}))


def _check_request(auth: Mapping[str, Any], methods: list[str]) -> None:
    for method in methods:
        if method not in auth["identity"]:
            raise expecting(method, "identity")
    for method in methods:
        if method not in SUPPORTED:
            raise Unauthorized("Attempted to authenticate with an unsupported method.",
                               identity={"methods": list(SUPPORTED)})
    if "application_credential" in methods and "scope" in auth:
        raise Unauthorized("Error authenticating with application credential: Application credentials cannot request "
                           "a scope.")


def _check_account(tx: Tx, identity: Identity, login: Login, methods: list[str]) -> None:
    security = identity.config.security
    if not login.enabled or not login.domain_enabled or users.inactive(login, security, tx.now[:10]):
        raise unauthorized()
    if "password" in methods and login.password_expires_at is not None and login.password_expires_at <= tx.now:
        raise Unauthorized(f"The password is expired and needs to be changed for user: {login.id}.")
    if not rules.satisfies_mfa(login.options, methods):
        raise unauthorized()


# -- methods


def _password(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]) -> Challenge | None:
    asked = _member(data, "password", "user")
    secret = asked.get("password")
    if not isinstance(secret, str):
        raise expecting("password", "user")
    login = _user(tx, asked)
    if login is None or _locked(tx, identity, login) or login.password_hash is None:
        return _unmeetable(secret, met)
    challenge = Challenge(login.id, login.password_hash, secret, login)
    if not _is_met(identity, challenge, met):
        return challenge
    proof.is_user(login)
    return None


def _unmeetable(secret: str, met: frozenset[Challenge]) -> Challenge:
    challenge = Challenge("", None, secret)
    if challenge in met:
        raise unauthorized()
    return challenge


def _is_met(identity: Identity, challenge: Challenge, met: frozenset[Challenge]) -> bool:
    stored = challenge.stored or ""
    return (any(one.subject == challenge.subject and one.stored == stored and one.secret == challenge.secret
                for one in met) or identity.verified.knows(challenge.subject, challenge.secret, stored))


def _locked(tx: Tx, identity: Identity, login: Login) -> bool:
    until = rules.locked_until(identity.config.security, login.options, login.failed_logins, login.failed_login_at)
    return until is not None and until > tx.now


def _user(tx: Tx, asked: Mapping[str, Any]) -> Login | None:
    """The user that ``{"id"}`` or ``{"name", "domain": {"id" or "name"}}`` names."""
    if asked.get("id"):
        return users.login_by_id(tx, asked["id"])
    if not asked.get("name"):
        raise Invalid("Invalid input for field identity/password/user: id or name must be present.")
    domain = _member(asked, "user", "domain")
    if not (domain.get("id") or domain.get("name")):
        raise expecting("domain", "user")
    return users.login_by_name(tx, asked["name"], domain_id=domain.get("id"), domain_name=domain.get("name"))


def _token(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]) -> Challenge | None:
    text = _object(data, "token").get("id")
    if not isinstance(text, str):
        raise expecting("id", "token")
    try:
        proof.base = identity.session(tx, text).token
    except Unauthorized:            # as upstream: the method "token" says that it can't find it
        raise NotFound("Failed to validate token") from None
    if proof.base.trust is not None or proof.base.access_token is not None:
        raise Forbidden("You are not authorized to perform the requested action: rescope a scoped token.")
    proof.is_user(proof.base.user)
    proof.credential = proof.base.application_credential
    proof.vouched = proof.base.vouched
    if proof.vouched is not None:
        federated.enabled_provider(tx, proof.vouched.idp_id)
    proof.methods += [name for name in proof.base.methods if name not in proof.methods and name != "token"]
    return None


def _mapped(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]) -> Challenge | None:
    """A federated user's token for another scope, as the method "token"; providers' own logins have paths of theirs."""
    if "id" not in _object(data, "mapped"):
        raise Unauthorized("Log in at /v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth with "
                           "what the identity provider has given.")
    return _token(tx, identity, proof, data, met)


def _application_credential(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]
                            ) -> Challenge | None:
    asked = _object(data, "application_credential")
    secret = asked.get("secret")
    if not isinstance(secret, str):
        raise expecting("secret", "application_credential")
    found = _asked_credential(tx, asked)
    if found is None or (found.expires_at is not None and found.expires_at <= tx.now):
        return _unmeetable(secret, met)
    challenge = Challenge(found.id, found.secret_hash, secret)
    if not _is_met(identity, challenge, met):
        return challenge
    login = users.login_by_id(tx, found.user_id)
    if login is None:
        raise unauthorized()
    proof.is_user(login)
    proof.credential = found
    return None


def _asked_credential(tx: Tx, asked: Mapping[str, Any]) -> application_credentials.ApplicationCredential | None:
    if isinstance(asked.get("id"), str):
        return application_credentials.find(tx, asked["id"])
    if not isinstance(asked.get("name"), str):
        raise expecting("name or ID", "application credential")
    login = _user(tx, _member(asked, "application credential", "user"))
    return None if login is None else application_credentials.find_named(tx, login.id, asked["name"])


def _totp(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]) -> Challenge | None:
    asked = _member(data, "totp", "user")
    if not isinstance(asked.get("passcode"), str):
        raise expecting("passcode", "user")
    login = _user(tx, asked)
    if login is None or not totp_accepts(tx, identity.box, login.id, asked["passcode"]):
        raise unauthorized()
    proof.is_user(login)
    return None


def _oauth1(tx: Tx, identity: Identity, proof: _Proof, data: Any, met: frozenset[Challenge]) -> Challenge | None:
    """*data* is the request itself as it was signed; the API puts it there."""
    if not isinstance(data, SignedRequest):
        raise expecting("oauth_token", "request")
    access = oauth.get_access(tx, data.oauth.get("oauth_token", ""))
    if not access.usable(tx.now):
        raise Unauthorized("Access token is expired")
    if data.oauth.get("oauth_consumer_key") != access.consumer_id or not data.signed_with(
            oauth.consumer_secret(tx, identity.box, access.consumer_id),
            oauth.access_secret(tx, identity.box, access.id), tx.time):
        raise Unauthorized("Could not validate the access token")
    login = users.login_by_id(tx, access.user_id)
    if login is None:
        raise unauthorized()
    proof.is_user(login)
    proof.access = access
    return None


_METHODS = {"password": _password, "token": _token, "application_credential": _application_credential, "totp": _totp,
            "oauth1": _oauth1, "mapped": _mapped, "openid": _mapped}


def _object(data: Any, name: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise expecting(name, "identity")
    return cast(dict[str, Any], data)


def _member(data: Any, name: str, key: str) -> dict[str, Any]:
    """The object under *key* of the object that is called *name* in messages. Raises ``Invalid``."""
    found = _object(data, name).get(key)
    if not isinstance(found, dict):
        raise expecting(key, name)
    return cast(dict[str, Any], found)


# -- scope


def _content(tx: Tx, identity: Identity, proof: _Proof, login: Login, auth: Mapping[str, Any]) -> Payload:
    # A node whose clock is a little behind mustn't date a token before the password change that it has just seen.
    now = _microseconds(max(tx.now, login.tokens_valid_from or ""))
    base, credential = proof.base, proof.credential
    expires = now + identity.config.token_expiration * 1_000_000
    audit_ids = (payload.new_audit_id(),)
    if base is not None:
        expires = min(expires, round(base.expires * 1e6))
        audit_ids = (*audit_ids, base.audit_ids[-1])
    asked = auth.get("scope")
    if proof.access is not None or (asked is None and proof.vouched is not None):
        asked = "unscoped"
    scope, target, trust = _scope(tx, identity, login, asked)
    if proof.access is not None:
        scope, target = "p", proof.access.project_id
        if proof.access.expires_at is not None:
            expires = min(expires, _microseconds(proof.access.expires_at))
    if credential is not None:
        scope, target = _credential_scope(credential, scope, target)
        if credential.expires_at is not None:
            expires = min(expires, _microseconds(credential.expires_at))
    if trust is not None and trust.expires_at is not None:
        expires = min(expires, _microseconds(trust.expires_at))
    return Payload(
        payload.compact(login.id), payload.methods_bits(proof.methods), scope,
        None if target is None else payload.compact(target), now, expires, audit_ids,
        None if credential is None else payload.compact(credential.id),
        None if trust is None else payload.compact(trust.id),
        None if proof.access is None else payload.compact(proof.access.id),
        None if proof.vouched is None else _federation(proof.vouched))


def _federation(vouched: Vouched) -> Federation:
    return Federation(vouched.idp_id, vouched.protocol_id, tuple(payload.compact(one) for one in vouched.groups))


def _microseconds(instant: str) -> int:
    """µs since the epoch, exactly."""
    return round(clock.epoch(instant) * 1e6)


def _credential_scope(credential: application_credentials.ApplicationCredential, scope: str, target: str | None
                      ) -> tuple[str, str]:
    """An application credential has one scope, also for tokens that were made from its tokens."""
    if scope and (scope, target) != ("p", credential.project_id):
        raise unauthorized()
    return "p", credential.project_id


def _scope(tx: Tx, identity: Identity, login: Login, asked: Any
           ) -> tuple[str, str | None, trusts.Trust | None]:
    if asked is None:
        return _default_scope(tx, identity, login)
    if asked == "unscoped":
        return "", None, None
    wanted = _object(asked, "scope")
    kinds = [kind for kind in ("project", "domain", "unscoped", "system", "OS-TRUST:trust") if kind in wanted]
    if len(kinds) != 1:
        raise expecting("system, project, domain, OS-TRUST:trust or unscoped", "scope")
    kind = kinds[0]
    if kind == "unscoped":
        return "", None, None
    if kind == "system":
        return "s", None, None
    target = _member(wanted, "scope", kind)
    if kind == "OS-TRUST:trust":
        return _trust_scope(tx, login, target)
    if kind == "domain":
        return "d", _domain(tx, target), None
    return "p", _project(tx, target), None


def _default_scope(tx: Tx, identity: Identity, login: Login) -> tuple[str, str | None, trusts.Trust | None]:
    """The default project, where the user may use it; else none."""
    if login.default_project_id is None:
        return "", None, None
    try:
        project, _ = tokens.scope_of(tx, login.default_project_id, want_domain=False)
    except Unauthorized:
        return "", None, None
    snapshot = identity.snapshot(tx, state.generation(tx))
    if not tokens.roles_on(tx, snapshot, login.id, project):
        return "", None, None
    return "p", login.default_project_id, None


def _trust_scope(tx: Tx, login: Login, wanted: Mapping[str, Any]) -> tuple[str, str | None, trusts.Trust]:
    if not isinstance(wanted.get("id"), str):
        raise expecting("trust_id", "trust")
    trust = trusts.get_trust(tx, wanted["id"])
    if trust is None or not trust.usable(tx.now):
        raise unauthorized()
    if trust.trustee_user_id != login.id or trust.remaining_uses == 0:
        raise Forbidden("You are not authorized to perform the requested action: use this trust.")
    return "t", trust.project_id, trust


def _project(tx: Tx, wanted: Mapping[str, Any]) -> str:
    if isinstance(wanted.get("id"), str):
        return wanted["id"]
    if not isinstance(wanted.get("name"), str):
        raise Invalid("Invalid input for field scope/project: id or name must be present.")
    domain = _domain(tx, _member(wanted, "project", "domain"))
    found = projects.find_named(tx, wanted["name"], domain)
    if found is None:
        raise unauthorized()
    return found.id


def _domain(tx: Tx, wanted: Mapping[str, Any]) -> str:
    if isinstance(wanted.get("id"), str):
        return wanted["id"]
    if not isinstance(wanted.get("name"), str):
        raise Invalid("Invalid input for field scope/domain: id or name must be present.")
    found = projects.find_named(tx, wanted["name"], "")
    if found is None:
        raise unauthorized()
    return found.id
