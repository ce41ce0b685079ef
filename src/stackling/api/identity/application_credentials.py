"""``/v3/users/{user_id}/application_credentials`` and ``access_rules``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.delegation import refuse_restricted, refuse_trust, token_of
from stackling.api.identity.expiry import parse
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.people import user_target
from stackling.api.identity.schema import DESCRIPTION, ID, NAME, TEXT, member
from stackling.api.identity.view import collection, listing, root
from stackling.api.route import Route
from stackling.core.errors import Forbidden, Invalid, NotFound
from stackling.core.ids import new_hex
from stackling.identity import application_credentials, passwords, roles, state, users
from stackling.identity.application_credentials import AccessRule, ApplicationCredential
from stackling.identity.model import Role
from stackling.identity.refusals import not_found
from stackling.identity.service import Identity
from stackling.identity.tokens import Token

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_RULE = {"type": "object", "properties": {
    "id": ID, "path": {"type": "string", "maxLength": 225, "pattern": r"^/\.*"}, "service": ID,
    "method": {"type": "string", "enum": ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]}}}
_CREATE = member("application_credential", {
    "id": TEXT, "secret": {"type": ["string", "null"]}, "name": NAME, "description": DESCRIPTION,
    "expires_at": {"type": ["string", "null"]}, "project_id": TEXT, "unrestricted": {"type": ["boolean", "null"]},
    "system": {"type": ["string", "null"]}, "access_rules": {"type": "array", "items": _RULE},
    "roles": {"type": "array", "items": {"type": "object", "properties": {"id": ID, "name": NAME}, "minProperties": 1,
                                         "maxProperties": 1, "additionalProperties": False}},
}, ("name",), open_=False)
_WHAT = "additional application credentials"


def _target(tx: Tx, call: Call) -> Mapping[str, Any]:
    found = user_target(tx, call.params["user_id"])
    return {"user_id": call.params["user_id"], "target": {"user": found} if found else {}}


def _owned(tx: Tx, call: Call) -> Mapping[str, Any]:
    """Whose the application credential is; the path may name another user, and counts only where there is none."""
    try:
        return {"user_id": application_credentials.get(tx, call.params["credential_id"]).user_id}
    except NotFound:
        return {"user_id": call.params["user_id"]}


def _show(call: Call, one: ApplicationCredential, known: Mapping[str, Role]) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "description": one.description, "user_id": one.user_id,
        "project_id": one.project_id, "system": one.system, "expires_at": one.expires_at,
        "unrestricted": one.unrestricted,
        "roles": [{"id": role.id, "name": role.name, "domain_id": role.domain_id or None,
                   "description": role.description, "options": dict(role.options)}
                  for id_ in one.roles if (role := known.get(id_)) is not None],
        "access_rules": [rule.show() for rule in one.access_rules],
        "links": {"self": f"{root(call)}/users/{one.user_id}/application_credentials/{one.id}"}}


def _known_roles(tx: Tx, found: list[ApplicationCredential]) -> dict[str, Role]:
    return {role.id: role for role in roles.some(tx, {id_ for one in found for id_ in one.roles})}


class ApplicationCredentials:
    """The handlers; making one hashes a secret, outside of transactions."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def list(self, tx: Tx, call: Call) -> Any:
        refuse_trust(token_of(tx, self.identity, call))
        users.get_user(tx, call.params["user_id"])
        page = listing(call, ("name",))
        found = application_credentials.list_of(tx, call.params["user_id"], page)
        known = _known_roles(tx, found)
        return collection(call, "application_credentials", [_show(call, one, known) for one in found], page)

    def show(self, tx: Tx, call: Call) -> Any:
        refuse_trust(token_of(tx, self.identity, call))
        found = application_credentials.get(tx, call.params["credential_id"])
        return {"application_credential": _show(call, found, _known_roles(tx, [found]))}

    def delete(self, tx: Tx, call: Call) -> None:
        token = token_of(tx, self.identity, call)
        refuse_trust(token)
        refuse_restricted(token, _WHAT)
        application_credentials.delete_one(tx, application_credentials.get(tx, call.params["credential_id"]))

    async def create(self, call: Call) -> Reply:
        """The secret is in this answer only."""
        values, rules = await call.cloud.read(self._wanted, call)
        secret = call.body["application_credential"].get("secret") or secrets.token_urlsafe(64)
        values["secret_hash"] = await call.cloud.blocking(passwords.hash_password, secret)
        shown = await call.cloud.transact(self._create, call, new_hex(), values, rules)
        return Reply({"application_credential": {**shown, "secret": secret}}, 201)

    def _wanted(self, tx: Tx, call: Call) -> tuple[dict[str, Any], list[Any]]:
        call.authorize(_target(tx, call), "identity:create_application_credential")
        token = token_of(tx, self.identity, call)
        refuse_trust(token)
        refuse_restricted(token, _WHAT)
        if call.ctx.user_id != call.params["user_id"]:
            raise Forbidden("You are not authorized to perform the requested action: Cannot create an application "
                            "credential for another user..")
        body = call.body["application_credential"]
        expires = body.get("expires_at")
        return {
            "user_id": call.ctx.user_id, "project_id": call.ctx.project_id, "name": body["name"],
            "description": body.get("description"), "unrestricted": bool(body.get("unrestricted")),
            "expires_at": parse(expires, tx.now) if expires else None,
            "roles": self._roles(tx, body.get("roles") or [], token),
        }, body.get("access_rules") or []

    def _roles(self, tx: Tx, asked: list[Mapping[str, str]], token: Token) -> list[str]:
        """Role ids: those asked for with what they imply, all of them in the token; else all of the token's."""
        own = {role.id for role in token.roles}
        if not asked:
            return sorted(own)
        snapshot = self.identity.snapshot(tx, state.generation(tx))
        ids: list[str] = []
        for one in asked:
            role = roles.get_role(tx, one["id"]) if "id" in one else roles.find_named(tx, one["name"])
            if role is None:
                raise not_found("role", one["name"])
            ids.append(role.id)
        wanted = [role.id for role in snapshot.effective(ids)]
        if not wanted or not set(wanted) <= own or not set(ids) <= own:
            raise Invalid("Invalid application credential: Cannot create an application credential with unassigned "
                          "role")
        return wanted

    def _create(self, tx: Tx, call: Call, id_: str, values: dict[str, Any], rules: list[Any]) -> dict[str, Any]:
        made = application_credentials.create(tx, id_, values, rules)
        return _show(call, made, _known_roles(tx, [made]))


# -- access rules


def _show_rule(call: Call, rule: AccessRule) -> dict[str, Any]:
    return {**rule.show(), "links": {"self": f"{root(call)}/users/{rule.user_id}/access_rules/{rule.id}"}}


class AccessRules:
    """The handlers; who acts by a trust or an access token neither sees nor removes them."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def list(self, tx: Tx, call: Call) -> Any:
        refuse_trust(token_of(tx, self.identity, call))
        users.get_user(tx, call.params["user_id"])
        found = application_credentials.list_rules(tx, call.params["user_id"])
        for attribute in ("service", "path", "method"):
            value = call.query.last(attribute)
            if value is not None:
                found = [rule for rule in found if getattr(rule, attribute) == value]
        return collection(call, "access_rules", [_show_rule(call, rule) for rule in found])

    def _one(self, tx: Tx, call: Call) -> AccessRule:
        refuse_trust(token_of(tx, self.identity, call))
        return application_credentials.get_rule(tx, call.params["user_id"], call.params["rule_id"])

    def show(self, tx: Tx, call: Call) -> Any:
        return {"access_rule": _show_rule(call, self._one(tx, call))}

    def delete(self, tx: Tx, call: Call) -> None:
        application_credentials.delete_rule(tx, self._one(tx, call))


def routes(identity: Identity) -> list[Route]:
    handlers, of_rules = ApplicationCredentials(identity), AccessRules(identity)
    many = "/users/{user_id}/application_credentials"
    one, rules = f"{many}/{{credential_id}}", "/users/{user_id}/access_rules"
    return [
        operation("GET", many, handlers.list, "list_application_credentials", target=_target),
        Route("POST", f"/v3{many}", handlers.create, ANY_TOKEN, "stream", _CREATE, status=201, unscoped=True),
        operation("GET", one, handlers.show, "get_application_credential", target=_owned),
        operation("DELETE", one, handlers.delete, "delete_application_credential", target=_owned, status=204),
        operation("GET", rules, of_rules.list, "list_access_rules", target=_target),
        operation("GET", f"{rules}/{{rule_id}}", of_rules.show, "get_access_rule", target=_target),
        operation("DELETE", f"{rules}/{{rule_id}}", of_rules.delete, "delete_access_rule", target=_target, status=204),
    ]
