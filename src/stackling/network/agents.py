"""Hosts as Neutron's agents: what OVN runs on each machine, in the words that clients know."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from stackling.core import clock
from stackling.store.tables.fleet import hosts, machines
from stackling.store.tables.network import routers
from stackling.store.transaction import Tx

_NAMESPACE = uuid.UUID("6f1c2c1e-3b5c-5f0a-9c60-0a3f6c1d7b11")
_DESCRIPTIONS = "network.agent_descriptions"
ALIVE_WITHIN = 75.0
MOST_GATEWAY_HOSTS = 5
HIGHEST_PRIORITY = 32767
"""Of the host that a router's gateway prefers, as OVN counts; the next one's is one less."""
_GATEWAY_HOSTS = select(hosts.c.name).order_by(hosts.c.name).limit(64)
_WITH_GATEWAY = select(routers.c.id).where(routers.c.gateway_port_id.is_not(None), routers.c.deleting.is_(False))
_HOSTS = select(
    hosts.c.id, hosts.c.name, hosts.c.created_at, hosts.c.availability_zone, machines.c.last_seen,
).select_from(
    hosts.outerjoin(machines, machines.c.id == hosts.c.machine_id)).order_by(hosts.c.name)


def agents(tx: Tx) -> list[dict[str, Any]]:
    """One controller agent a host; alive when its machine has reported lately."""
    said: Mapping[str, str | None] = tx.setting(_DESCRIPTIONS) or {}
    return [_agent(row, tx.time, said) for row in tx.all(_HOSTS)]


def gateway_hosts(tx: Tx, router_id: str) -> list[str]:
    """The hosts on which a router's gateway may be, the preferred one first; every router prefers another one."""
    return _rotated(_names(tx), router_id)


def of_router(tx: Tx, router_id: str) -> list[dict[str, Any]]:
    """The agents of those hosts with their ``ha_chassis_priority``; none where the router has no gateway."""
    if tx.scalar(_WITH_GATEWAY.where(routers.c.id == router_id)) is None:
        return []
    by_host = {agent["host"]: agent for agent in agents(tx)}
    return [{**by_host[name], "ha_chassis_priority": HIGHEST_PRIORITY - place}
            for place, name in enumerate(gateway_hosts(tx, router_id))]


def routers_of(tx: Tx, agent: Mapping[str, Any]) -> list[str]:
    """The routers whose gateway may be on the agent's host."""
    names = _names(tx)
    return [row.id for row in tx.all(_WITH_GATEWAY) if agent["host"] in _rotated(names, row.id)]


def _names(tx: Tx) -> list[str]:
    return [row.name for row in tx.all(_GATEWAY_HOSTS)]


def _rotated(names: list[str], id: str) -> list[str]:
    at = int(id[:8], 16) % len(names) if names else 0
    return (names[at:] + names[:at])[:MOST_GATEWAY_HOSTS]


def describe(tx: Tx, id: str, text: str | None) -> None:
    """Give an agent a description."""
    tx.guard(_DESCRIPTIONS)
    tx.set_setting(_DESCRIPTIONS, {**(tx.setting(_DESCRIPTIONS) or {}), id: text})


def _agent(row: Any, now: float, descriptions: Mapping[str, str | None]) -> dict[str, Any]:
    id = str(uuid.uuid5(_NAMESPACE, row.id))
    seen = row.last_seen
    at = (clock.instant(seen) if seen else row.created_at)[:19].replace("T", " ")
    return {
        "id": id, "agent_type": "OVN Controller agent", "binary": "ovn-controller",
        "topic": "n/a", "host": row.name, "admin_state_up": True,
        "alive": seen is not None and now - seen < ALIVE_WITHIN,
        "created_at": row.created_at[:19].replace("T", " "), "started_at": at, "heartbeat_timestamp": at,
        "availability_zone": row.availability_zone, "description": descriptions.get(id, ""), "resources_synced": None,
        "configurations": {"bridge-mappings": "", "chassis_name": row.name},
    }


def zones(tx: Tx) -> list[dict[str, str]]:
    """The availability zones of networks and routers."""
    names = sorted({row.availability_zone for row in tx.all(_HOSTS)} | {"nova"})
    return [{"name": name, "resource": resource, "state": "available"} for name in names
            for resource in ("network", "router")]
