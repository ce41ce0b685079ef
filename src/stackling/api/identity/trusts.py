"""``/v3/OS-TRUST/trusts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.delegation import is_delegated, token_of
from stackling.api.identity.expiry import parse
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.roles import show_role
from stackling.api.identity.schema import BOOLEAN, ID, NAME, TEXT, member, nullable
from stackling.api.identity.view import collection, listing, root
from stackling.api.route import Route
from stackling.core.errors import Forbidden, Invalid
from stackling.core.ids import new_hex
from stackling.identity import projects, roles, state, tokens, trusts, users
from stackling.identity.refusals import forbidden, not_found
from stackling.identity.service import Identity
from stackling.identity.trusts import Trust

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

MAX_REDELEGATION = 3
_TRUST = {
    "trustor_user_id": TEXT, "trustee_user_id": TEXT, "impersonation": BOOLEAN, "project_id": nullable(ID),
    "remaining_uses": {"type": ["integer", "null"], "minimum": 1}, "expires_at": {"type": ["string", "null"]},
    "allow_redelegation": {"type": ["boolean", "null"]}, "redelegation_count": {"type": ["integer", "null"],
                                                                              "minimum": 0},
    "roles": {"type": "array", "items": {"type": "object", "properties": {"id": ID, "name": NAME}}},
}


def _find(tx: Tx, call: Call) -> Trust:
    found = trusts.get_trust(tx, call.params["trust_id"])
    if found is None:
        raise not_found("trust", call.params["trust_id"])
    return found


def _target(tx: Tx, call: Call) -> Mapping[str, Any]:
    """Upstream says 404 of a trust that is gone or used up to whoever asks."""
    found = _find(tx, call)
    return {"target": {"trust": {"trustor_user_id": found.trustor_user_id,
                                 "trustee_user_id": found.trustee_user_id}}}


def _new_target(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"trust": {"trustor_user_id": call.body["trust"]["trustor_user_id"]}}}


def _show(call: Call, trust: Trust) -> dict[str, Any]:
    base = f"{root(call)}/OS-TRUST/trusts/{trust.id}"
    return {
        **trust.extra, "id": trust.id, "trustor_user_id": trust.trustor_user_id,
        "trustee_user_id": trust.trustee_user_id, "project_id": trust.project_id,
        "impersonation": trust.impersonation, "deleted_at": None,
        "expires_at": f"{trust.expires_at}Z" if trust.expires_at else None, "remaining_uses": trust.remaining_uses,
        "redelegated_trust_id": trust.redelegated_trust_id, "redelegation_count": trust.redelegation_count,
        "links": {"self": base}}


def _whole(tx: Tx, call: Call, trust: Trust) -> dict[str, Any]:
    base = f"{root(call)}/OS-TRUST/trusts/{trust.id}"
    return {**_show(call, trust), "roles": [show_role(call, one) for one in roles.some(tx, trust.roles)],
            "roles_links": {"self": f"{base}/roles", "next": None, "previous": None}}


class Trusts:
    """The handlers; what a delegated token may do depends on its trust."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def _refuse_credential(self, tx: Tx, call: Call) -> None:
        credential = token_of(tx, self.identity, call).application_credential
        if credential is not None and not credential.unrestricted:
            raise forbidden("Using method 'application_credential' is not allowed for managing trusts.")

    def list(self, tx: Tx, call: Call) -> Any:
        page = listing(call, ("trustor_user_id", "trustee_user_id"))
        rule = next((f"list_trusts_for_{who}" for who in ("trustor", "trustee") if f"{who}_user_id" in page.equal),
                    "list_trusts")
        call.authorize({"target": {"trust": dict(page.equal)}}, f"identity:{rule}")
        self._refuse_credential(tx, call)
        found = trusts.list_trusts(tx, page)
        return collection(call, "trusts", [_show(call, one) for one in found], page)

    def show(self, tx: Tx, call: Call) -> Any:
        self._refuse_credential(tx, call)
        return {"trust": _whole(tx, call, _find(tx, call))}

    def delete(self, tx: Tx, call: Call) -> None:
        self._refuse_credential(tx, call)
        trusts.delete_trust(tx, _find(tx, call))

    def list_roles(self, tx: Tx, call: Call) -> Any:
        self._refuse_credential(tx, call)
        found = roles.some(tx, _find(tx, call).roles)
        return collection(call, "roles", [show_role(call, one) for one in found])

    def show_role(self, tx: Tx, call: Call) -> Any:
        self._refuse_credential(tx, call)
        if call.params["role_id"] not in _find(tx, call).roles:
            raise not_found("role", call.params["role_id"])
        return {"role": show_role(call, roles.get_role(tx, call.params["role_id"]))}

    def create(self, tx: Tx, call: Call) -> Any:
        self._refuse_credential(tx, call)
        body = call.body["trust"]
        if body.get("project_id") and not body.get("roles"):
            raise forbidden("At least one role should be specified")
        if call.ctx.user_id != body["trustor_user_id"]:
            raise forbidden("The authenticated user should match the trustor")
        state.bump(tx)
        users.get_user(tx, body["trustee_user_id"])
        token = token_of(tx, self.identity, call)
        if is_delegated(token) and token.trust is None:
            raise forbidden("Redelegation allowed for delegated by trust only")
        values = {
            "trustor_user_id": body["trustor_user_id"], "trustee_user_id": body["trustee_user_id"],
            "project_id": body.get("project_id"), "impersonation": body["impersonation"],
            "expires_at": parse(body["expires_at"], tx.now) if body.get("expires_at") else None,
            "remaining_uses": body.get("remaining_uses"), "roles": self._roles(tx, body),
            "redelegation_count": _depth(body, token.trust)}
        if token.trust is not None:
            _redelegate(values, token.trust)
        return {"trust": _whole(tx, call, trusts.create_trust(tx, new_hex(), values))}

    def _roles(self, tx: Tx, body: Mapping[str, Any]) -> list[str]:
        """Ids of the roles to delegate; all of them the trustor's own on the project."""
        ids: list[str] = []
        for one in body.get("roles") or []:
            role = roles.get_role(tx, one["id"]) if one.get("id") else roles.find_named(tx, one.get("name") or "")
            if role is None:
                raise not_found("role", one.get("name"))
            ids.append(role.id)
        if body.get("project_id"):
            project = projects.get_project(tx, body["project_id"])
            snapshot = self.identity.snapshot(tx, state.generation(tx))
            own = {role.id for role in tokens.roles_on(tx, snapshot, body["trustor_user_id"], project)}
            for id_ in ids:
                if id_ not in own:
                    raise not_found("role", id_)
        return ids


def _depth(body: Mapping[str, Any], above: Trust | None) -> int:
    """How many times the new trust may be passed on."""
    asked = body.get("redelegation_count")
    if not body.get("allow_redelegation") or asked == 0:
        return 0
    if body.get("remaining_uses") is not None:
        raise Invalid("remaining_uses must not be set if redelegation is allowed")
    if asked and asked > MAX_REDELEGATION:
        raise Forbidden(f"Requested redelegation depth of {asked} is greater than allowed {MAX_REDELEGATION}")
    left = MAX_REDELEGATION if above is None else above.redelegation_count - 1
    if above is not None and asked and asked != left:
        raise Forbidden("Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is "
                        "advised.")
    return asked or left


def _redelegate(values: dict[str, Any], above: Trust) -> None:
    if not 0 < above.redelegation_count <= MAX_REDELEGATION:
        raise Forbidden(f"Remaining redelegation depth of {above.redelegation_count} out of allowed range of "
                        f"[0..{MAX_REDELEGATION}]")
    if values["remaining_uses"] is not None:
        raise Forbidden(f"Field \"remaining_uses\" is set to {values['remaining_uses']} while it must not be set in "
                        "order to redelegate a trust")
    if above.expires_at is not None:
        if values["expires_at"] is not None and above.expires_at < values["expires_at"]:
            raise Forbidden("Requested expiration time is more than redelegated trust can provide")
        values["expires_at"] = values["expires_at"] or above.expires_at
    if not set(values["roles"]) <= set(above.roles):
        raise Forbidden("Some of requested roles are not in redelegated trust")
    if values["impersonation"] and not above.impersonation:
        raise Forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation. "
                        f"Redelegated trust id: {above.id}")
    values["redelegated_trust_id"] = above.id


def routes(identity: Identity) -> list[Route]:
    handlers = Trusts(identity)
    many = "/OS-TRUST/trusts"
    one = f"{many}/{{trust_id}}"
    return [
        operation("GET", many, handlers.list, ANY_TOKEN.partition(":")[2]),
        operation("POST", many, handlers.create, "create_trust", target=_new_target, status=201,
                  body=member("trust", _TRUST, ("trustor_user_id", "trustee_user_id", "impersonation"))),
        operation("GET", one, handlers.show, "get_trust", target=_target),
        operation("DELETE", one, handlers.delete, "delete_trust", target=_target, status=204),
        operation("GET", f"{one}/roles", handlers.list_roles, "list_roles_for_trust", target=_target),
        operation("GET", f"{one}/roles/{{role_id}}", handlers.show_role, "get_role_for_trust", target=_target),
    ]
