"""The auto-allocated topology, and what first start makes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from sqlalchemy import bindparam, delete, insert, select

from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, NotFound
from stackling.core.ids import new_id
from stackling.network import networks, quotas, routers, segments, subnet_pools, subnets
from stackling.network.attachment import External
from stackling.network.resources import NETWORKS, ROUTERS, SUBNETS
from stackling.network.rows import Record
from stackling.store.tables.network import auto_topologies
from stackling.store.transaction import Tx

NAME = "auto_allocated_network"
V4_PREFIXES, V6_PREFIXES = ("10.64.0.0/12",), ("fdca:5eed::/48",)
_t = auto_topologies
_OF = select(_t.c.network_id, _t.c.router_id).where(_t.c.project_id == bindparam("project"))
_INSERT = insert(_t)
_DELETE = delete(_t).where(_t.c.project_id == bindparam("project"))


def find(tx: Tx, project_id: str) -> str | None:
    """The project's auto-allocated network, when it still exists."""
    row = tx.one(_OF, project=project_id)
    return row.network_id if row is not None and NETWORKS.get(tx, row.network_id) is not None else None


def requirements(tx: Tx) -> list[str]:
    """What is missing for an auto-allocated topology."""
    missing: list[str] = []
    if networks.default_external(tx) is None:
        missing.append("No default router:external network")
    if subnet_pools.default_id(tx, 4) is None and subnet_pools.default_id(tx, 6) is None:
        missing.append("No default subnet pools")
    return missing


def get(tx: Tx, ctx: Context, project_id: str) -> str:
    """The project's network, made when missing with a subnet of the default pool and a router to the outside."""
    tx.guard(f"auto-topology:{project_id}")
    found = find(tx, project_id)
    if found is not None:
        return found
    missing = requirements(tx)
    if missing:
        raise NotFound("Deployment error: " + ", ".join(missing) + ".", type="AutoAllocationFailure")
    tx.execute(_DELETE, {"project": project_id})
    network = networks.create(tx, ctx, [{"id": new_id(), "project_id": project_id, "name": NAME}])[0]
    own = [subnets.create(tx, ctx, [{
        "id": new_id(), "project_id": project_id, "network_id": network["id"], "ip_version": version,
        "name": f"auto_allocated_subnet_v{version}", "subnetpool_id": pool,
        **({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}),
    }])[0] for version in (4, 6) if (pool := subnet_pools.default_id(tx, version)) is not None]
    external = networks.default_external(tx)
    assert external is not None
    router = routers.create(tx, ctx, [{"id": new_id(), "project_id": project_id, "name": "auto_allocated_router",
                                       "external_gateway_info": {"network_id": external["id"]}}])[0]
    for subnet in own:
        routers.add_interface(tx, ctx, ROUTERS.get(tx, router["id"]) or router, {"subnet_id": subnet["id"]})
    tx.execute(_INSERT, {"project_id": project_id, "network_id": network["id"], "router_id": router["id"]})
    return str(network["id"])


def remove(tx: Tx, ctx: Context, project_id: str) -> None:
    """Delete the project's auto-allocated topology; NetworkInUse while something uses it."""
    row = tx.one(_OF, project=project_id)
    network = NETWORKS.get(tx, row.network_id) if row is not None else None
    if row is None:
        return
    router = ROUTERS.get(tx, row.router_id)
    for subnet in SUBNETS.where(tx, network_id=row.network_id) if router is not None else ():
        if router is not None and router["id"] in subnets.routers_of(tx, subnet["id"]):
            routers.remove_interface(tx, ctx, router, {"subnet_id": subnet["id"]})
            router = ROUTERS.get(tx, row.router_id)
    if router is not None:
        routers.delete(tx, ctx, router)
    if network is not None:
        networks.delete_network(tx, ctx, NETWORKS.get(tx, network["id"]) or network)
    tx.execute(_DELETE, {"project": project_id})


def default_topology(tx: Tx, ctx: Context) -> str:
    """``get`` for the caller's project, in compute's words."""
    if ctx.project_id is None:
        raise Conflict("The token has no project; networks can't be allocated for it.")
    if requirements(tx):
        raise Conflict("Unable to automatically allocate a network: " + ", ".join(requirements(tx)) + ".",
                       type="UnableToAutoAllocateNetwork")
    return get(tx, ctx, ctx.project_id)


def bootstrap(tx: Tx, project_id: str, external: External | None, limits: Mapping[str, int] | None) -> str | None:
    """First start; what is there already stays as it is."""
    ctx = system_context("req-first-start")
    if limits:
        quotas.update(tx, quotas.DEFAULT, limits)
    for version, prefixes, length in ((4, V4_PREFIXES, 26), (6, V6_PREFIXES, 64)):
        if subnet_pools.default_id(tx, version) is None:
            subnet_pools.create(tx, ctx, [{
                "id": new_id(), "project_id": project_id, "name": f"default-v{version}", "prefixes": list(prefixes),
                "default_prefixlen": length, "min_prefixlen": 16 if version == 4 else 64, "shared": True,
                "max_prefixlen": 30 if version == 4 else 64, "is_default": True}])
    if external is None:
        return None
    known: list[str] = tx.setting(segments.PHYSICAL_NETWORKS) or []
    if external.physical_network not in known:
        tx.set_setting(segments.PHYSICAL_NETWORKS, [*known, external.physical_network])
    found = networks.default_external(tx)
    return str(found["id"]) if found is not None else _external(tx, ctx, project_id, external)


def _external(tx: Tx, ctx: Context, project_id: str, external: External) -> str:
    network: Record = networks.create(tx, ctx, [{
        "id": new_id(), "project_id": project_id, "name": external.name, "router:external": True, "is_default": True,
        "mtu": external.mtu, "provider:network_type": external.network_type,
        "provider:physical_network": external.physical_network,
        "provider:segmentation_id": external.segmentation_id}])[0]
    first, last = external.pool
    subnets.create(tx, ctx, [{
        "id": new_id(), "project_id": project_id, "network_id": network["id"], "name": f"{external.name}-subnet",
        "ip_version": ipaddress.ip_network(external.cidr).version, "cidr": external.cidr,
        "gateway_ip": external.gateway, "enable_dhcp": False, "allocation_pools": [{"start": first, "end": last}]}])
    return str(network["id"])

