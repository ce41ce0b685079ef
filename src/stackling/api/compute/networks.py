"""``/os-networks`` and ``/os-tenant-networks``: the network service's networks in Compute's old forms, to 2.35."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import Json, route
from stackling.core.errors import NotFound
from stackling.network import lists, networks

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_LAST = (2, 35)
_UNKNOWN = (
    "bridge", "bridge_interface", "broadcast", "cidr", "cidr_v6", "created_at", "deleted", "deleted_at", "dhcp_server",
    "dhcp_start", "dns1", "dns2", "enable_dhcp", "gateway", "gateway_v6", "host", "injected", "mtu", "multi_host",
    "netmask", "netmask_v6", "priority", "project_id", "rxtx_base", "share_address", "updated_at", "vlan",
    "vpn_private_address", "vpn_public_address", "vpn_public_port",
)
"""What nova-network knew of a network and Neutron's don't tell: null since Compute only forwards."""


def _all(tx: Tx, call: Call) -> list[dict[str, Any]]:
    return lists.find(tx, call.ctx, lists.LISTED["network"], lists.ListQuery())


def _one(tx: Tx, call: Call) -> dict[str, Any]:
    try:
        return networks.find(tx, call.ctx, call.params["network"])
    except NotFound:
        raise NotFound("Network not found") from None


def _old(network: dict[str, Any]) -> Json:
    return {**dict.fromkeys(_UNKNOWN), "id": network["id"], "label": network["name"]}


def _tenants(network: dict[str, Any]) -> Json:
    return {"id": network["id"], "cidr": "None", "label": network["name"]}


def list_networks(tx: Tx, call: Call) -> Reply:
    """GET /os-networks."""
    return Reply({"networks": [_old(network) for network in _all(tx, call)]})


def show_network(tx: Tx, call: Call) -> Reply:
    """GET /os-networks/{id}."""
    return Reply({"network": _old(_one(tx, call))})


def list_tenant_networks(tx: Tx, call: Call) -> Reply:
    """GET /os-tenant-networks."""
    return Reply({"networks": [_tenants(network) for network in _all(tx, call)]})


def show_tenant_network(tx: Tx, call: Call) -> Reply:
    """GET /os-tenant-networks/{id}."""
    return Reply({"network": _tenants(_one(tx, call))})


ROUTES = [
    route("GET", "/os-networks", list_networks, "os-networks:list", max=_LAST),
    route("GET", "/os-networks/{network}", show_network, "os-networks:show", max=_LAST),
    route("GET", "/os-tenant-networks", list_tenant_networks, "os-tenant-networks:list", max=_LAST),
    route("GET", "/os-tenant-networks/{network}", show_tenant_network, "os-tenant-networks:show", max=_LAST),
]
