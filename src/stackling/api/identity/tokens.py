"""``/v3/auth``: tokens, and what a token's user may scope to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.oauth import signed_request
from stackling.api.identity.operation import operation
from stackling.api.identity.projects import show_domain, show_project
from stackling.api.identity.schema import BOOLEAN, TEXT, Body
from stackling.api.identity.view import collection, root, truth
from stackling.api.route import Route
from stackling.core.errors import Forbidden, NotFound, Unauthorized
from stackling.identity import authentication, reach, tokens, trusts, users
from stackling.identity.authentication import Challenge
from stackling.identity.refusals import unauthorized
from stackling.identity.service import Identity
from stackling.identity.tokens import Session

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_NAMED = {"type": "object", "properties": {"id": TEXT, "name": TEXT}}
_USER: dict[str, Any] = {"type": "object", "properties": {"id": TEXT, "name": TEXT, "password": TEXT, "domain": _NAMED}}
_AUTH = Body({
    "type": "object",
    "properties": {"auth": {
        "type": "object",
        "properties": {
            "identity": {
                "type": "object",
                "properties": {
                    "methods": {"type": "array", "items": TEXT},
                    "password": {"type": "object", "properties": {"user": _USER}},
                    "token": {"type": "object", "properties": {"id": TEXT}, "required": ["id"]},
                    "mapped": {"type": "object", "properties": {"id": TEXT}},
                    "openid": {"type": "object", "properties": {"id": TEXT}},
                    "totp": {"type": "object", "properties": {"user": {
                        "type": "object", "properties": {**_USER["properties"], "passcode": TEXT}}}},
                    "application_credential": {"type": "object", "properties": {
                        "id": TEXT, "name": TEXT, "secret": TEXT, "user": _USER}},
                },
                "required": ["methods"],
            },
            "scope": {
                "type": ["object", "string"],
                "properties": {
                    "project": {"type": "object", "properties": {"id": TEXT, "name": TEXT, "domain": _NAMED}},
                    "domain": _NAMED,
                    "OS-TRUST:trust": {"type": "object", "properties": {"id": TEXT}},
                    "system": {"type": "object", "properties": {"all": BOOLEAN}},
                },
            },
        },
        "required": ["identity"],
    }},
    "required": ["auth"],
})
_ROUNDS = 4
"""How often a password may change under our hands before we give up."""


def _signed(call: Call, auth: dict[str, Any]) -> dict[str, Any]:
    """*auth* with the request itself where the method is OAuth's, which signs that."""
    if "oauth1" not in auth["identity"]["methods"]:
        return auth
    return {**auth, "identity": {**auth["identity"], "oauth1": signed_request(call)}}


class Tokens:
    """The handlers that need the process's identity service."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def issue(self, call: Call) -> Reply:
        """POST /v3/auth/tokens. Verification happens between transactions; see ``identity.authentication``."""
        return self._reply(call, await self.session(call, _signed(call, call.body["auth"])), 201)

    async def session(self, call: Call, auth: dict[str, Any]) -> Session:
        """A new token for who authenticates by *auth*, the request's ``auth`` object. Raises as ``attempt``."""
        met: frozenset[Challenge] = frozenset()
        for _ in range(_ROUNDS):
            outcome = await call.cloud.read(authentication.attempt, self.identity, auth, met)
            if isinstance(outcome, Session):
                await self._account(call, outcome, met)
                return outcome
            if await call.cloud.blocking(outcome.met):
                self.identity.verified.remember(outcome.subject, outcome.secret, outcome.stored or "")
            elif outcome.stored is not None:
                await self._refuse(call, outcome)
            met = met | {outcome}
        raise unauthorized()

    async def _refuse(self, call: Call, failed: Challenge) -> None:
        security = self.identity.config.security
        if failed.login is not None and security.lockout_failure_attempts:
            await call.cloud.transact(users.record_failure, failed.login, security)
        raise unauthorized()

    async def _account(self, call: Call, session: Session, met: frozenset[Challenge]) -> None:
        """What a successful login writes: usually nothing."""
        trust = session.token.trust
        if trust is not None and trust.remaining_uses is not None and not await call.cloud.transact(
                trusts.consume, trust):
            raise Forbidden(f"No remaining uses for trust: {trust.id}.")
        for challenge in met:
            login, security = challenge.login, self.identity.config.security
            if login is not None and (login.failed_logins or security.disable_user_account_days_inactive):
                await call.cloud.transact(users.record_success, login)

    def _reply(self, call: Call, session: Session, status: int = 200) -> Reply:
        body = session.body(call.cloud.public_url, "nocatalog" not in call.query)
        return Reply(body, status, {"X-Subject-Token": session.text, "Vary": "X-Auth-Token"})

    def validate(self, tx: Tx, call: Call) -> Reply:
        """GET and HEAD /v3/auth/tokens."""
        rule = "identity:check_token" if call.request.method == "HEAD" else "identity:validate_token"
        subject = self._subject(tx, call, rule, truth(call.query.last("allow_expired") or "no"))
        credential = subject.token.application_credential
        if credential is not None and credential.access_rules and not call.header("OpenStack-Identity-Access-Rules"):
            raise NotFound("Failed to validate token")          # who asks couldn't enforce the rules
        return self._reply(call, subject)

    def revoke(self, tx: Tx, call: Call) -> None:
        """DELETE /v3/auth/tokens."""
        tokens.revoke(tx, self._subject(tx, call, "identity:revoke_token", False).token)

    def _subject(self, tx: Tx, call: Call, rule: str, allow_expired: bool) -> Session:
        """The token that the request is about. Raises ``NotFound`` where it isn't good, as upstream to anyone."""
        text = call.header("X-Subject-Token")
        window = self.identity.config.allow_expired_window if allow_expired else 0
        subject: Session | None = None
        if text is not None:
            try:
                subject = self.identity.session(tx, text, window=window)
            except Unauthorized:            # before the rule, which compares with the token's user
                raise NotFound("Failed to validate token") from None
        target = {"user_id": subject.token.user.id} if subject else {}
        call.authorize({"target": {"token": target}}, rule)
        if subject is None:
            raise NotFound("No token in the request")
        return subject

    def catalog(self, tx: Tx, call: Call) -> Any:
        """GET /v3/auth/catalog."""
        if call.ctx.project_id is None:
            raise Forbidden("A project-scoped token is required to produce a service catalog.")
        own = self.identity.session(tx, call.ctx.token or "")
        return {"catalog": own.catalog(call.cloud.public_url),
                "links": {"self": f"{root(call)}/auth/catalog"}}

    def projects(self, tx: Tx, call: Call) -> Any:
        """GET /v3/auth/projects."""
        found = reach.projects_of(tx, call.ctx.user_id or "", self._came_with(tx, call))
        return collection(call, "projects", [show_project(call, one) for one in found])

    def domains(self, tx: Tx, call: Call) -> Any:
        """GET /v3/auth/domains."""
        found = reach.domains_of(tx, call.ctx.user_id or "", self._came_with(tx, call))
        return collection(call, "domains", [show_domain(call, one) for one in found])

    def system(self, tx: Tx, call: Call) -> Any:
        """GET /v3/auth/system."""
        has = reach.has_system(tx, call.ctx.user_id or "", self._came_with(tx, call))
        return {"system": [{"all": True}] if has else [], "links": {"self": f"{root(call)}/auth/system"}}

    def _came_with(self, tx: Tx, call: Call) -> tuple[str, ...]:
        """The groups that a federated user's token has in it."""
        vouched = self.identity.session(tx, call.ctx.token or "").token.vouched
        return vouched.groups if vouched else ()


def revoked_list(tx: Tx, call: Call) -> None:
    """GET /v3/auth/tokens/OS-PKI/revoked: upstream refuses it."""
    raise Forbidden("You are not authorized to perform the requested action.")


def routes(identity: Identity) -> list[Route]:
    handlers = Tokens(identity)
    path = "/auth/tokens"
    return [
        Route("POST", f"/v3{path}", handlers.issue, None, "stream", _AUTH, status=201),
        operation("GET", path, handlers.validate, "any_token"),
        operation("DELETE", path, handlers.revoke, "any_token", status=204),
        operation("GET", f"{path}/OS-PKI/revoked", revoked_list, "any_token"),
        operation("GET", "/auth/catalog", handlers.catalog, "get_auth_catalog"),
        operation("GET", "/auth/projects", handlers.projects, "get_auth_projects"),
        operation("GET", "/auth/domains", handlers.domains, "get_auth_domains"),
        operation("GET", "/auth/system", handlers.system, "get_auth_system"),
    ]
