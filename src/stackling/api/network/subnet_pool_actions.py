"""``PUT /subnetpools/{id}/…``: prefixes, and subnets that were there before the pool; ``/floatingip_pools``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.others import select
from stackling.api.network.resource import check_revision, fetch
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import lists, subnet_pools
from stackling.network.errors import forbidden, invalid_input
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_POOL, _NETWORK = BY_NAME["subnetpool"], BY_NAME["network"]
_FLOATING = ("subnet_id", "subnet_name", "tenant_id", "project_id", "network_id", "cidr")


def routes() -> list[Route]:
    """The three actions and the list."""
    path = "/v2.0/subnetpools/{id}/"
    return [
        Route("PUT", path + "add_prefixes", _add, "authenticated", "write"),
        Route("PUT", path + "remove_prefixes", _remove, "authenticated", "write"),
        Route("PUT", path + "onboard_network_subnets", _onboard, "authenticated", "write"),
        *(Route("GET", f"/v2.0/{spelt}", _floating, "list") for spelt in ("floatingip_pools", "floatingip-pools"))]


def _pool(tx: Tx, call: Call, rule: str) -> Record:
    record, target = fetch(tx, call, _POOL, call.params["id"])
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    check_revision(call, _POOL.name, record)
    return record


def _prefixes(call: Call) -> list[str]:
    body: Any = call.body
    if not isinstance(body, dict) or not isinstance(body.get("prefixes"), list):    # pyright: ignore
        raise Invalid("Invalid input for prefixes. Reason: a list of prefixes is needed.", type="HTTPBadRequest")
    return convert("prefixes", Attribute(values.subnets), body["prefixes"])


def _add(tx: Tx, call: Call) -> Any:
    record = _pool(tx, call, "add_prefixes")
    return {"prefixes": subnet_pools.add_prefixes(tx, call.ctx, record, _prefixes(call))["prefixes"]}


def _remove(tx: Tx, call: Call) -> Any:
    record = _pool(tx, call, "remove_prefixes")
    return {"prefixes": subnet_pools.remove_prefixes(tx, call.ctx, record, _prefixes(call))["prefixes"]}


def _onboard(tx: Tx, call: Call) -> Any:
    record = _pool(tx, call, "onboard_network_subnets")
    network_id: Any = call.body.get("network_id") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(network_id, str):
        raise invalid_input("network_id must be specified")
    network, _ = fetch(tx, call, _NETWORK, network_id, "update")
    return subnet_pools.onboard(tx, call.ctx, record, network)


def _floating(tx: Tx, call: Call) -> Any:
    query = lists.ListQuery(filters={"router:external": [True], "ip_version": [4]})
    project = call.ctx.project_id
    rows = [{"subnet_id": one["id"], "subnet_name": one["name"], "tenant_id": project, "project_id": project,
             "network_id": one["network_id"], "cidr": one["cidr"]}
            for one in lists.find(tx, call.ctx, lists.LISTED["subnet"], query)]
    return {"floatingip_pools": select(call, rows, _FLOATING)}
