"""``/trunks/{id}/…``: subports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.resource import check_revision, fetch
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import trunks
from stackling.network.errors import forbidden
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_TRUNK = BY_NAME["trunk"]
_SUBPORTS = Attribute(values.subports)


def routes() -> list[Route]:
    """The three actions."""
    path = "/v2.0/trunks/{id}/"
    return [Route("GET", path + "get_subports", _get, "authenticated"),
            Route("PUT", path + "add_subports", _add, "authenticated", "write"),
            Route("PUT", path + "remove_subports", _remove, "authenticated", "write")]


def _trunk(tx: Tx, call: Call, rule: str) -> Record:
    record, target = fetch(tx, call, _TRUNK, call.params["id"])
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    return record


def _given(call: Call) -> list[dict[str, Any]]:
    body: Any = call.body
    if not isinstance(body, dict) or not isinstance(body.get("sub_ports"), list):    # pyright: ignore
        raise Invalid("Invalid input for sub_ports. Reason: a list of subports is needed.", type="HTTPBadRequest")
    return convert("sub_ports", _SUBPORTS, body["sub_ports"])


def _get(tx: Tx, call: Call) -> Any:
    record = _trunk(tx, call, "get_subports")
    return {"sub_ports": [trunks.detail(port) for port in trunks.subports_of(tx, [record["id"]])[record["id"]]]}


def _shown(tx: Tx, call: Call, record: Record) -> Any:
    return _TRUNK.view(tx, call.ctx, [record])[0]           # as it is, without a name around it, as Neutron does


def _add(tx: Tx, call: Call) -> Any:
    record = _trunk(tx, call, "add_subports")
    check_revision(call, _TRUNK.name, record)
    return _shown(tx, call, trunks.add(tx, call.ctx, record, _given(call)))


def _remove(tx: Tx, call: Call) -> Any:
    record = _trunk(tx, call, "remove_subports")
    check_revision(call, _TRUNK.name, record)
    return _shown(tx, call, trunks.remove(tx, call.ctx, record, [one["port_id"] for one in _given(call)]))
