"""How many addresses each network has and uses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from stackling.network import addresses, rules
from stackling.network.rows import many
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_n, _s, _a = tables.networks, tables.subnets, tables.ip_allocations
_NETWORKS = select(_n.c.id, _n.c.name, _n.c.project_id).where(_n.c.deleting.is_(False)).order_by(_n.c.id)
_SUBNETS = select(_s.c.id, _s.c.name, _s.c.cidr, _s.c.ip_version, _s.c.network_id, _s.c.allocation_pools).order_by(
    _s.c.created_at)
_DETAILS = ("total_ips_in_subnet", "total_ips_in_allocation_pool", "used_ips_in_subnet", "used_ips_in_allocation_pool")
_USED = select(_a.c.subnet_id, _a.c.ip)


def availability(tx: Tx, *, network_id: str | None = None, network_name: str | None = None,
                 project_id: str | None = None, ip_version: int | None = None) -> list[dict[str, Any]]:
    """Each network's total and used addresses, and those of its subnets; three queries."""
    used: dict[str, list[str]] = {}
    for row in tx.all(_USED if network_id is None else _USED.where(_a.c.network_id == network_id)):
        used.setdefault(row.subnet_id, []).append(row.ip)
    subnets: dict[str, list[dict[str, Any]]] = {}
    for row in many(tx, _SUBNETS):
        if ip_version is None or row["ip_version"] == ip_version:
            details = _details(row, used.get(row["id"], []))
            subnets.setdefault(row["network_id"], []).append({
                "subnet_id": row["id"], "subnet_name": row["name"], "cidr": row["cidr"],
                "ip_version": row["ip_version"], "total_ips": details["total_ips_in_allocation_pool"],
                "used_ips": details["used_ips_in_subnet"], "ip_availability_details": details})
    return [{
        "network_id": row.id, "network_name": row.name, "project_id": row.project_id, "tenant_id": row.project_id,
        "total_ips": sum(one["total_ips"] for one in subnets.get(row.id, ())),
        "used_ips": sum(one["used_ips"] for one in subnets.get(row.id, ())),
        "subnet_ip_availability": subnets.get(row.id, []),
        "ip_availability_details": {name: sum(one["ip_availability_details"][name] for one in subnets.get(row.id, ()))
                                    for name in _DETAILS},
    } for row in tx.all(_NETWORKS) if (network_id is None or row.id == network_id)
        and (network_name is None or row.name == network_name) and (project_id is None or row.project_id == project_id)]


def _details(subnet: Mapping[str, Any], used: Sequence[str]) -> dict[str, int]:
    """How many addresses there are and are used, in the pools and outside of them; *used* in their sortable form."""
    network, bounds = ipaddress.ip_network(subnet["cidr"]), rules.pool_bounds(subnet["allocation_pools"])
    pools = [(addresses.key(low, network.version), addresses.key(high, network.version)) for low, high in bounds]
    return dict(zip(_DETAILS, (
        network.num_addresses - (2 if network.version == 4 else 0), sum(high - low + 1 for low, high in bounds),
        len(used), sum(any(low <= one <= high for low, high in pools) for one in used)), strict=True))
