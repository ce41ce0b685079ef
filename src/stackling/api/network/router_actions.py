"""``PUT /routers/{id}/…``: interfaces and extra routes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.resource import authorize_attributes, fetch
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import external_gateways, routers
from stackling.network.errors import forbidden
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_ROUTER = BY_NAME["router"]
_GATEWAY_CHANGES = {
    "add": external_gateways.add, "update": external_gateways.update, "remove": external_gateways.remove}


def routes() -> list[Route]:
    """What is done to a router beyond changing its attributes."""
    path = "/v2.0/routers/{id}/"
    return [Route("PUT", path + name, handler, "authenticated", "write") for name, handler in (
        ("add_router_interface", _add), ("remove_router_interface", _remove),
        ("add_extraroutes", _add_routes), ("remove_extraroutes", _remove_routes),
        *((f"{name}_external_gateways", partial(_gateways, name)) for name in _GATEWAY_CHANGES))]


def _router(tx: Tx, call: Call, rule: str) -> Record:
    record, target = fetch(tx, call, _ROUTER, call.params["id"])
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    return record


def _interface(call: Call) -> dict[str, Any]:
    body = call.body
    if not isinstance(body, dict) or not body:
        raise Invalid("Either subnet_id or port_id must be specified", type="BadRequest")
    unknown = set(body) - {"subnet_id", "port_id"}    # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if unknown:
        raise Invalid(f"Unrecognized attribute(s) '{', '.join(sorted(map(str, unknown)))}'",    # pyright: ignore
                      type="HTTPBadRequest")
    uuid = Attribute(values.nullable(values.uuid))
    given: dict[str, Any] = body    # pyright: ignore[reportUnknownVariableType]
    return {name: convert(name, uuid, value) for name, value in given.items()}


def _add(tx: Tx, call: Call) -> Any:
    record = _router(tx, call, "add_router_interface")
    return routers.add_interface(tx, call.ctx, record, _interface(call))


def _remove(tx: Tx, call: Call) -> Any:
    record = _router(tx, call, "remove_router_interface")
    return routers.remove_interface(tx, call.ctx, record, _interface(call))


def _given_routes(call: Call) -> list[dict[str, str]]:
    body: Any = call.body.get("router") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(body, dict) or "routes" not in body:
        raise Invalid("Invalid input for router. Reason: routes are missing.", type="HTTPBadRequest")
    return convert("routes", Attribute(values.routes), body["routes"])


def _changed(tx: Tx, call: Call, record: Record) -> Any:
    return {"router": _ROUTER.view(tx, call.ctx, [record])[0]}


def _add_routes(tx: Tx, call: Call) -> Any:
    record = _router(tx, call, "add_extraroutes")
    return _changed(tx, call, routers.add_routes(tx, call.ctx, record, _given_routes(call)))


def _remove_routes(tx: Tx, call: Call) -> Any:
    record = _router(tx, call, "remove_extraroutes")
    return _changed(tx, call, routers.remove_routes(tx, call.ctx, record, _given_routes(call)))


def _gateways(change: str, tx: Tx, call: Call) -> Any:
    """``PUT …/add_external_gateways`` and its like."""
    rule = f"{change}_external_gateways"
    record = _router(tx, call, rule)
    body: Any = call.body.get("router") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(body, dict) or "external_gateways" not in body:
        raise Invalid("Invalid input for router. Reason: external_gateways are missing.", type="HTTPBadRequest")
    # the client says {} where it means none (``openstack router unset``)
    wanted: list[dict[str, Any]] = convert(
        "external_gateways", Attribute(values.gateways), body["external_gateways"] or [])
    authorize_attributes(call, rule, {"external_gateways": wanted}, record)
    return _changed(tx, call, _GATEWAY_CHANGES[change](tx, call.ctx, record, wanted))
