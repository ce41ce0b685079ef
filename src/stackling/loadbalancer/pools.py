"""Pools: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.loadbalancer import changes, health_monitors, members, quotas, rules, sources
from stackling.loadbalancer.errors import unsupported, validation
from stackling.loadbalancer.model import Provisioning
from stackling.loadbalancer.rows import LISTENERS, MEMBERS, MONITORS, POOLS, Record
from stackling.store.transaction import Tx

Spec = Mapping[str, Any]


def create(tx: Tx, ctx: Context, balancer: Record, listener: Record | None, spec: Spec) -> Record:
    """Make a pool, with a *listener* as its default pool."""
    if listener is not None:
        rules.check_pair(listener["protocol"], spec["protocol"])
        if listener["default_pool_id"]:
            raise Conflict("This listener already has a default pool")
    quotas.reserve(tx, balancer["project_id"], "pool")
    changes.begin(tx, ctx, balancer, f"pool {spec['id']} made", listeners=[listener["id"]] if listener else ())
    record = add(tx, ctx, balancer, spec)
    if listener is not None:
        LISTENERS.update(tx, listener["id"], {"default_pool_id": record["id"]})
    if spec.get("members") or spec.get("healthmonitor"):
        sources.follow(tx, ctx, balancer)
    return record


def add(tx: Tx, ctx: Context, balancer: Record, spec: Spec) -> Record:
    """Insert a pool of a load balancer that is being changed, with its members and its health monitor."""
    rules.check_persistence(spec["protocol"], spec.get("session_persistence"))
    rules.check_protocol(spec["protocol"])
    rules.check_algorithm(spec["lb_algorithm"])
    if spec.get("tls_enabled") or spec.get("tls_container_ref"):
        raise unsupported("OVN provider does not support TLS to members")
    record: Record = {
        **changes.fresh(tx, spec["id"], balancer["project_id"], spec), "load_balancer_id": balancer["id"],
        "protocol": spec["protocol"], "lb_algorithm": spec["lb_algorithm"],
        "session_persistence": _persistence(spec.get("session_persistence"))}
    POOLS.insert(tx, record)
    if spec.get("healthmonitor"):
        quotas.reserve(tx, balancer["project_id"], "health_monitor")
        health_monitors.add(tx, record, spec["healthmonitor"])
    given = spec.get("members") or ()
    quotas.reserve(tx, balancer["project_id"], "member", len(given))
    for one in given:
        members.add(tx, ctx, balancer, record, one, monitored=bool(spec.get("healthmonitor")))
    return record


def _persistence(given: Spec | None) -> dict[str, Any] | None:
    if not given:
        return None
    return {name: given.get(name) for name in ("type", "cookie_name", "persistence_timeout",
                                               "persistence_granularity")}


def update(tx: Tx, ctx: Context, balancer: Record, record: Record, given: Spec) -> Record:
    """Change a pool; its protocol stays."""
    values = changes.named(given)
    if "session_persistence" in given:
        wanted = given["session_persistence"]
        if wanted and not wanted.get("type"):
            if not record["session_persistence"]:
                raise validation("Invalid session_persistence provided.")
            wanted = {**wanted, "type": record["session_persistence"]["type"]}
        rules.check_persistence(record["protocol"], wanted)
        values["session_persistence"] = _persistence(wanted)
    if given.get("lb_algorithm"):
        rules.check_algorithm(given["lb_algorithm"])
        values["lb_algorithm"] = given["lb_algorithm"]
    if given.get("tls_enabled") or given.get("tls_container_ref"):
        raise unsupported("OVN provider does not support TLS to members")
    changes.begin(tx, ctx, balancer, f"pool {record['id']} changed", pool=record["id"])
    values |= {"provisioning_status": Provisioning.PENDING_UPDATE.value, "updated_at": tx.now}
    POOLS.update(tx, record["id"], values)
    return {**record, **values}


def delete(tx: Tx, ctx: Context, balancer: Record, record: Record) -> None:
    """Delete a pool with its members and its health monitor; listeners that used it have none."""
    changes.begin(tx, ctx, balancer, f"pool {record['id']} deleted", pool=record["id"])
    gone = {"provisioning_status": Provisioning.PENDING_DELETE.value}
    POOLS.update(tx, record["id"], gone)
    for rows in (MEMBERS, MONITORS):
        for one in rows.of_pools(tx, [record["id"]]):
            rows.update(tx, one["id"], gone)
    for one in LISTENERS.of(tx, [balancer["id"]]):
        if one["default_pool_id"] == record["id"]:
            LISTENERS.update(tx, one["id"], {"default_pool_id": None})
    sources.follow(tx, ctx, balancer)
