"""``/v3/roles`` and which implies which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.operation import ANY_TOKEN, operation
from stackling.api.identity.schema import DESCRIPTION, ID, IMMUTABLE, NAME, member, nullable
from stackling.api.identity.view import collection, listing, merged, own_id, root, split, with_links
from stackling.core.errors import NotFound
from stackling.core.ids import new_hex
from stackling.identity import assignments, roles
from stackling.identity.model import Role

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_ROLE = {"name": NAME, "description": DESCRIPTION, "options": IMMUTABLE, "domain_id": nullable(ID)}


def show_role(call: Call, role: Role) -> dict[str, Any]:
    """A role as the API shows it."""
    return with_links(call, "roles", {
        **role.extra, "id": role.id, "name": role.name, "domain_id": role.domain_id or None,
        "description": role.description, "options": dict(role.options)})


def role_target(tx: Tx, role_id: str) -> dict[str, Any]:
    """What rules say of a role; empty where there is none."""
    try:
        return _seen(roles.get_role(tx, role_id))
    except NotFound:
        return {}


def _seen(role: Role) -> dict[str, Any]:
    return {"id": role.id, "name": role.name, "domain_id": role.domain_id or None}


def _authorize(tx: Tx, call: Call, verb: str, role: Mapping[str, Any]) -> None:
    """A role of a domain has rules of its own."""
    kind = "domain_role" if role.get("domain_id") else "role"
    call.authorize({"target": {"role": role}}, f"identity:{verb}_{kind}")


def list_roles(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name", "domain_id"))
    rule = "list_domain_roles" if page.equal.get("domain_id") else "list_roles"
    call.authorize({"target": {}}, f"identity:{rule}")
    found = [show_role(call, one) for one in roles.list_roles(tx, page)]
    return collection(call, "roles", found, page)


def _existing(tx: Tx, call: Call, verb: str) -> Role:
    """The role of the path, which the caller may *verb*; like upstream, that there is none is told to everyone."""
    role = roles.get_role(tx, call.params["role_id"])
    _authorize(tx, call, verb, _seen(role))
    return role


def show(tx: Tx, call: Call) -> Any:
    return {"role": show_role(call, _existing(tx, call, "get"))}


def create(tx: Tx, call: Call) -> Any:
    body = call.body["role"]
    _authorize(tx, call, "create", body)
    values, extra = split(body, _ROLE)
    values["domain_id"] = values.get("domain_id") or ""
    role = roles.create_role(tx, new_hex(), {**values, "extra": extra})
    return {"role": show_role(call, role)}


def update(tx: Tx, call: Call) -> Any:
    role = _existing(tx, call, "update")
    own_id(call.body["role"], role.id, "role")
    values, extra = split(call.body["role"], _ROLE)
    return {"role": show_role(call, roles.update_role(tx, role, merged(values, extra, role.extra, role.options)))}


def delete(tx: Tx, call: Call) -> None:
    roles.delete_role(tx, _existing(tx, call, "delete"))


# -- implication


def _brief(call: Call, role: Role) -> dict[str, Any]:
    return {"id": role.id, "name": role.name, "links": {"self": f"{root(call)}/roles/{role.id}"}}


def _pair(tx: Tx, call: Call) -> tuple[Role, Role]:
    return roles.get_role(tx, call.params["role_id"]), roles.get_role(tx, call.params["implied_id"])


def _prior(tx: Tx, call: Call) -> Mapping[str, Any]:
    return {"target": {"prior_role": _seen(roles.get_role(tx, call.params["role_id"]))}}


def _both(tx: Tx, call: Call) -> Mapping[str, Any]:
    prior, implied = _pair(tx, call)
    return {"target": {"prior_role": _seen(prior), "implied_role": _seen(implied)}}


def _inference(call: Call, prior: Role, implied: Role) -> dict[str, Any]:
    return {"role_inference": {"prior_role": _brief(call, prior), "implies": _brief(call, implied)},
            "links": {"self": f"{root(call)}/roles/{prior.id}/implies/{implied.id}"}}


def list_implied(tx: Tx, call: Call) -> Any:
    prior = roles.get_role(tx, call.params["role_id"])
    ids = assignments.implications(tx).get(prior.id, [])
    return {"role_inference": {"prior_role": _brief(call, prior),
                               "implies": [_brief(call, one) for one in roles.some(tx, ids)]},
            "links": {"self": f"{root(call)}/roles/{prior.id}/implies"}}


def show_implied(tx: Tx, call: Call) -> Any:
    prior, implied = _pair(tx, call)
    if implied.id not in assignments.implications(tx).get(prior.id, ()):
        raise roles.not_implied(prior, implied)
    if call.request.method == "HEAD":
        return Reply(None, 204)
    return _inference(call, prior, implied)


def imply(tx: Tx, call: Call) -> Any:
    prior, implied = _pair(tx, call)
    roles.imply(tx, prior, implied)
    return _inference(call, prior, implied)


def stop_implying(tx: Tx, call: Call) -> None:
    roles.stop_implying(tx, *_pair(tx, call))


def list_inferences(tx: Tx, call: Call) -> Any:
    known = roles.every(tx)
    shown = [{"prior_role": _brief(call, known[prior]), "implies": [_brief(call, known[one]) for one in implied]}
             for prior, implied in assignments.implications(tx).items()]
    return {"role_inferences": shown, "links": {"self": f"{root(call)}/role_inferences"}}


_R = "/roles/{role_id}"
_I = f"{_R}/implies/{{implied_id}}"
_ANY = ANY_TOKEN.partition(":")[2]
ROUTES = (
    operation("GET", "/roles", list_roles, _ANY),
    operation("POST", "/roles", create, _ANY, status=201, body=member("role", _ROLE, ("name",))),
    operation("GET", _R, show, _ANY),
    operation("PATCH", _R, update, _ANY, body=member("role", _ROLE, at_least=1)),
    operation("DELETE", _R, delete, _ANY, status=204),
    operation("GET", f"{_R}/implies", list_implied, "list_implied_roles", target=_prior),
    operation("GET", _I, show_implied, "get_implied_role", target=_both),
    operation("PUT", _I, imply, "create_implied_role", target=_both, status=201),
    operation("DELETE", _I, stop_implying, "delete_implied_role", target=_both, status=204),
    operation("GET", "/role_inferences", list_inferences, "list_role_inference_rules"),
)
