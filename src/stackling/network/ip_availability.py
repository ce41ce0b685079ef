"""How many addresses each network has and uses."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from stackling.network import rules
from stackling.network.rows import many
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_n, _s, _a = tables.networks, tables.subnets, tables.ip_allocations
_NETWORKS = select(_n.c.id, _n.c.name, _n.c.project_id).where(_n.c.deleting.is_(False)).order_by(_n.c.id)
_SUBNETS = select(_s.c.id, _s.c.name, _s.c.cidr, _s.c.ip_version, _s.c.network_id, _s.c.allocation_pools).order_by(
    _s.c.created_at)
_USED = select(_a.c.subnet_id, func.count().label("used")).group_by(_a.c.subnet_id)


def availability(tx: Tx, *, network_id: str | None = None, network_name: str | None = None,
                 project_id: str | None = None, ip_version: int | None = None) -> list[dict[str, Any]]:
    """Each network's total and used addresses, and those of its subnets; three queries."""
    used = {row.subnet_id: row.used for row in tx.all(_USED)}
    subnets: dict[str, list[dict[str, Any]]] = {}
    for row in many(tx, _SUBNETS):
        if ip_version is None or row["ip_version"] == ip_version:
            total = sum(high - low + 1 for low, high in rules.pool_bounds(row["allocation_pools"]))
            subnets.setdefault(row["network_id"], []).append({
                "subnet_id": row["id"], "subnet_name": row["name"], "cidr": row["cidr"],
                "ip_version": row["ip_version"], "total_ips": total, "used_ips": used.get(row["id"], 0)})
    return [{
        "network_id": row.id, "network_name": row.name, "project_id": row.project_id, "tenant_id": row.project_id,
        "total_ips": sum(one["total_ips"] for one in subnets.get(row.id, ())),
        "used_ips": sum(one["used_ips"] for one in subnets.get(row.id, ())),
        "subnet_ip_availability": subnets.get(row.id, []),
    } for row in tx.all(_NETWORKS) if (network_id is None or row.id == network_id)
        and (network_name is None or row.name == network_name) and (project_id is None or row.project_id == project_id)]
