"""Calls that Compute forwards to the network and image services, in the old microversions where they exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import Json, route
from stackling.core.errors import Invalid, NotFound
from stackling.network import facade as network
from stackling.network import floating_ips as network_floating_ips
from stackling.network.facade import FloatingIP

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_LAST = (2, 35)


def _shown(ip: FloatingIP) -> Json:
    return {"id": ip.id, "ip": ip.address, "pool": ip.pool, "fixed_ip": ip.fixed_ip, "instance_id": ip.server_id}


def list_floating_ips(tx: Tx, call: Call) -> Reply:
    """GET /os-floating-ips."""
    return Reply({"floating_ips": [_shown(ip) for ip in network.list_floating_ips(tx, call.ctx)]})


def show_floating_ip(tx: Tx, call: Call) -> Reply:
    """GET /os-floating-ips/{id}."""
    return Reply({"floating_ip": _shown(_found(tx, call))})


def _found(tx: Tx, call: Call) -> FloatingIP:
    id = call.params["floating_ip"]
    try:
        return network.get_floating_ip(tx, call.ctx, id)
    except NotFound:
        raise NotFound(f"Floating IP not found for ID {id}") from None


def create_floating_ip(tx: Tx, call: Call) -> Reply:
    """POST /os-floating-ips: an address of ``pool`` (the default one without)."""
    body: Any = call.body
    if body is not None and not isinstance(body, dict):
        raise Invalid("The body must be an object with a pool, or null.")
    pool: Any = (body or {}).get("pool")    # pyright: ignore[reportUnknownMemberType]
    if pool is not None and not isinstance(pool, str):
        raise Invalid(f"Invalid input for field/attribute pool. Value: {pool}. It must be a string or null.")
    try:
        return Reply({"floating_ip": _shown(network.allocate_floating_ip(tx, call.ctx, pool or None))})
    except NotFound as error:
        if pool and "pool" not in error.message.lower():
            raise NotFound(f"Floating IP pool {pool} not found.") from None
        raise


def delete_floating_ip(tx: Tx, call: Call) -> Reply:
    """DELETE /os-floating-ips/{id}."""
    network.release_floating_ip(tx, call.ctx, _found(tx, call).id)
    return Reply(status=202)


def list_pools(tx: Tx, call: Call) -> Reply:
    """GET /os-floating-ip-pools: the external networks."""
    pools = network_floating_ips.external_networks(tx)
    return Reply({"floating_ip_pools": [{"name": pool["name"]} for pool in pools]})


ROUTES = [
    route("GET", "/os-floating-ips", list_floating_ips, "os-floating-ips:list", max=_LAST),
    route("POST", "/os-floating-ips", create_floating_ip, "os-floating-ips:create", max=_LAST),
    route("GET", "/os-floating-ips/{floating_ip}", show_floating_ip, "os-floating-ips:show", max=_LAST),
    route("DELETE", "/os-floating-ips/{floating_ip}", delete_floating_ip, "os-floating-ips:delete", max=_LAST),
    route("GET", "/os-floating-ip-pools", list_pools, "os-floating-ip-pools", max=_LAST),
]
