"""``/floatingips/{id}/port_forwardings``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values as v
from stackling.api.network.attributes import REQUIRED, UNSET, Attribute, Table, for_create, for_update
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.others import select
from stackling.api.network.resource import fetch
from stackling.api.network.views import port_forwarding
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.network import port_forwardings
from stackling.network.errors import forbidden
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FLOATING = BY_NAME["floatingip"]


def _port(value: Any) -> int:
    number = v.integer(value)
    if not 1 <= number <= 65535:
        raise ValueError(f"'{value}' is not in range 1 through 65535")
    return number


def _ports(value: Any) -> tuple[int, int]:
    """``N:M``, or one port."""
    low, _, high = str(value).partition(":")
    first, last = _port(low), _port(high or low)
    if first > last:
        raise ValueError(f"'{value}' is not a range: the first port is behind the last one")
    return first, last


def _both(convert: Any, default: Any = UNSET) -> Attribute:
    return Attribute(convert, True, True, default)


TABLE: Table = {
    "id": Attribute(v.uuid),
    "project_id": Attribute(v.project, post=True), "tenant_id": Attribute(v.project, post=True),
    "external_port": _both(v.nullable(_port)), "internal_port": _both(v.nullable(_port)),
    "external_port_range": _both(v.nullable(_ports)), "internal_port_range": _both(v.nullable(_ports)),
    "internal_ip_address": _both(v.nullable(v.ip)), "internal_port_id": _both(v.uuid, REQUIRED),
    "protocol": _both(lambda value: v.one_of(*port_forwardings.PROTOCOLS)(str(value).lower()), REQUIRED),
    "description": _both(v.nullable(v.text(1024)), ""),
}
_SHOWN = ("id", "external_port", "internal_port", "external_port_range", "internal_port_range", "internal_ip_address",
          "internal_port_id", "protocol", "description")


def routes() -> list[Route]:
    """List, show, create, update and delete."""
    path = "/v2.0/floatingips/{id}/port_forwardings"
    one = path + "/{forwarding}"
    return [
        Route("GET", path, _list, "authenticated"),
        Route("POST", path, _create, "authenticated", "write", status=201),
        Route("GET", one, _show, "authenticated"),
        Route("PUT", one, _update, "authenticated", "write"),
        Route("DELETE", one, _delete, "authenticated", "write", status=204)]


def _floating(tx: Tx, call: Call, action: str) -> Record:
    record, target = fetch(tx, call, _FLOATING, call.params["id"])
    rule = f"{action}_floatingip_port_forwarding"
    if not call.allowed(rule, {**target, "ext_parent:project_id": record["project_id"]}):
        raise forbidden(f"rule:{rule}")
    return record


def _body(call: Call) -> dict[str, Any]:
    body: Any = call.body.get("port_forwarding") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(body, dict):
        raise Invalid("Unable to find 'port_forwarding' in request body", type="HTTPBadRequest")
    return dict(body)    # pyright: ignore[reportUnknownArgumentType]


def _list(tx: Tx, call: Call) -> Any:
    floating = _floating(tx, call, "get")
    rows = [port_forwarding(one) for one in port_forwardings.of_floating_ips(tx, [floating["id"]])[floating["id"]]]
    return {"port_forwardings": select(call, rows, _SHOWN)}


def _show(tx: Tx, call: Call) -> Any:
    body = port_forwarding(port_forwardings.find(tx, _floating(tx, call, "get"), call.params["forwarding"]))
    fields = call.query.all("fields")
    return {"port_forwarding": {name: body[name] for name in fields if name in body} if fields else body}


def _create(tx: Tx, call: Call) -> Any:
    floating = _floating(tx, call, "create")
    spec = {**for_create(TABLE, _body(call)), "id": new_id()}
    return {"port_forwarding": port_forwarding(port_forwardings.create(tx, call.ctx, floating, spec))}


def _update(tx: Tx, call: Call) -> Any:
    floating = _floating(tx, call, "update")
    record = port_forwardings.find(tx, floating, call.params["forwarding"])
    changes = for_update(TABLE, _body(call))
    return {"port_forwarding": port_forwarding(port_forwardings.update(tx, call.ctx, floating, record, changes))}


def _delete(tx: Tx, call: Call) -> Any:
    floating = _floating(tx, call, "delete")
    port_forwardings.delete(tx, call.ctx, port_forwardings.find(tx, floating, call.params["forwarding"]))
    return Reply(None, 204)
