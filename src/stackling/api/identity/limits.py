"""``/v3/registered_limits`` and ``/v3/limits``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.operation import operation
from stackling.api.identity.projects import project_target
from stackling.api.identity.schema import DESCRIPTION, ID, NAME, TEXT, Body, member, nullable
from stackling.api.identity.view import collection, listing, own_id, split, with_links
from stackling.core.errors import NotFound
from stackling.identity import limits, projects
from stackling.identity.limits import Limit, RegisteredLimit
from stackling.identity.model import Listing

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_NUMBER = {"type": "integer", "minimum": -1, "maximum": 0x7FFFFFFF}
_PLACE = {"service_id": TEXT, "region_id": nullable(TEXT), "resource_name": NAME}
_REGISTERED = {**_PLACE, "default_limit": _NUMBER, "description": DESCRIPTION}
_CHANGE = {"resource_limit": _NUMBER, "description": DESCRIPTION}
_LIMIT = {**_PLACE, **_CHANGE, "project_id": nullable(ID), "domain_id": nullable(ID)}
_FILTERS = ("service_id", "region_id", "resource_name")
MODEL = {"name": "flat",
         "description": "Limit enforcement and validation does not take project hierarchy into consideration."}


def _many(key: str, properties: Mapping[str, Any], required: tuple[str, ...]) -> Body:
    return Body({"type": "object", "required": [key], "additionalProperties": False, "properties": {key: {
        "type": "array", "minItems": 1, "items": {"type": "object", "properties": dict(properties),
                                                  "required": list(required), "additionalProperties": False}}}})


def _show_registered(call: Call, one: RegisteredLimit) -> dict[str, Any]:
    return with_links(call, "registered_limits", {
        "id": one.id, "service_id": one.service_id, "region_id": one.region_id, "resource_name": one.resource_name,
        "default_limit": one.default_limit, "description": one.description})


def list_registered(tx: Tx, call: Call) -> Any:
    page = listing(call, _FILTERS)
    found = limits.list_registered(tx, page)
    return collection(call, "registered_limits", [_show_registered(call, one) for one in found], page)


def show_registered(tx: Tx, call: Call) -> Any:
    return {"registered_limit": _show_registered(call, limits.get_registered(tx, call.params["limit_id"]))}


def create_registered(tx: Tx, call: Call) -> Any:
    made = limits.create_registered(tx, call.body["registered_limits"])
    return {"registered_limits": [_show_registered(call, one) for one in made]}


def update_registered(tx: Tx, call: Call) -> Any:
    old, body = limits.get_registered(tx, call.params["limit_id"]), call.body["registered_limit"]
    own_id(body, old.id, "registered limit")
    return {"registered_limit": _show_registered(call, limits.update_registered(tx, old, split(body, _REGISTERED)[0]))}


def delete_registered(tx: Tx, call: Call) -> None:
    limits.delete_registered(tx, limits.get_registered(tx, call.params["limit_id"]))


def _show_limit(call: Call, one: Limit) -> dict[str, Any]:
    return with_links(call, "limits", {
        "id": one.id, "service_id": one.service_id, "region_id": one.region_id, "resource_name": one.resource_name,
        "resource_limit": one.resource_limit, "description": one.description, "project_id": one.project_id,
        "domain_id": one.domain_id})


def _target(tx: Tx, call: Call) -> Mapping[str, Any]:
    try:
        found = limits.get_limit(tx, call.params["limit_id"])
    except NotFound:
        return {"target": {}}
    target: dict[str, Any] = {"project_id": found.project_id}
    if found.project_id:
        target["project"] = project_target(tx, found.project_id)
    else:
        target["domain"] = {"id": found.domain_id}
    return {"target": {"limit": target}}


def _existing(tx: Tx, call: Call) -> Mapping[str, Any]:
    limits.get_limit(tx, call.params["limit_id"])
    return _target(tx, call)


def list_limits(tx: Tx, call: Call) -> Any:
    """All for administrators and services; a domain's and its projects'; else one's own project's."""
    page = listing(call, (*_FILTERS, "project_id", "domain_id"))
    ctx = call.ctx
    privileged = ctx.system_scope is not None or bool({"admin", "service"} & ctx.roles)
    if not privileged and ctx.domain_id is None:
        if ctx.project_id is None:
            return collection(call, "limits", [])
        page = Listing({**page.equal, "project_id": ctx.project_id}, page.like, page.limit, page.marker)
    found = limits.list_limits(tx, page)
    if not privileged and ctx.domain_id is not None:
        inside = {one.id for one in projects.list_projects(tx, Listing({"domain_id": ctx.domain_id}))}
        found = [one for one in found if one.domain_id == ctx.domain_id or one.project_id in inside]
    return collection(call, "limits", [_show_limit(call, one) for one in found], page)


def show_limit(tx: Tx, call: Call) -> Any:
    return {"limit": _show_limit(call, limits.get_limit(tx, call.params["limit_id"]))}


def create_limits(tx: Tx, call: Call) -> Any:
    return {"limits": [_show_limit(call, one) for one in limits.create_limits(tx, call.body["limits"])]}


def update_limit(tx: Tx, call: Call) -> Any:
    old = limits.get_limit(tx, call.params["limit_id"])
    own_id(call.body["limit"], old.id, "limit")
    return {"limit": _show_limit(call, limits.update_limit(tx, old, split(call.body["limit"], _CHANGE)[0]))}


def delete_limit(tx: Tx, call: Call) -> None:
    limits.delete_limit(tx, limits.get_limit(tx, call.params["limit_id"]))


def show_model(tx: Tx, call: Call) -> Any:
    return {"model": MODEL}


_R, _L = "/registered_limits/{limit_id}", "/limits/{limit_id}"
ROUTES = (
    operation("GET", "/registered_limits", list_registered, "list_registered_limits"),
    operation("POST", "/registered_limits", create_registered, "create_registered_limits", status=201,
              body=_many("registered_limits", _REGISTERED, ("service_id", "resource_name", "default_limit"))),
    operation("GET", _R, show_registered, "get_registered_limit"),
    operation("PATCH", _R, update_registered, "update_registered_limit",
              body=member("registered_limit", _REGISTERED, open_=False)),
    operation("DELETE", _R, delete_registered, "delete_registered_limit", status=204),
    operation("GET", "/limits", list_limits, "list_limits"),
    operation("POST", "/limits", create_limits, "create_limits", status=201,
              body=_many("limits", _LIMIT, ("service_id", "resource_name", "resource_limit"))),
    operation("GET", "/limits/model", show_model, "get_limit_model"),
    operation("GET", _L, show_limit, "get_limit", target=_target),
    operation("PATCH", _L, update_limit, "update_limit", target=_existing, body=member("limit", _CHANGE, open_=False)),
    operation("DELETE", _L, delete_limit, "delete_limit", target=_existing, status=204),
)
