"""Health monitors of pools: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.loadbalancer import changes, quotas, rules, sources
from stackling.loadbalancer.errors import invalid_option
from stackling.loadbalancer.model import Provisioning
from stackling.loadbalancer.rows import MONITORS, Record
from stackling.store.transaction import Tx

Spec = Mapping[str, Any]
DEFAULT_RETRIES_DOWN = 3


def create(tx: Tx, ctx: Context, balancer: Record, pool: Record, spec: Spec) -> Record:
    """Check the members of a pool."""
    quotas.reserve(tx, balancer["project_id"], "health_monitor")
    changes.begin(tx, ctx, balancer, f"health monitor {spec['id']} made", pool=pool["id"])
    record = add(tx, pool, spec)
    sources.follow(tx, ctx, balancer)
    return record


def add(tx: Tx, pool: Record, spec: Spec) -> Record:
    """Insert the health monitor of a pool that is being changed."""
    rules.check_http_of_monitor(spec["type"], spec)
    rules.check_monitor(pool["protocol"], spec["type"], spec["delay"])
    if MONITORS.of_pools(tx, [pool["id"]]):
        raise Conflict("This pool already has a health monitor")
    down = spec.get("max_retries_down")
    record: Record = {
        **changes.fresh(tx, spec["id"], pool["project_id"], spec, described=False),
        "load_balancer_id": pool["load_balancer_id"], "pool_id": pool["id"], "type": spec["type"],
        "delay": spec["delay"], "timeout": spec["timeout"], "max_retries": spec["max_retries"],
        "max_retries_down": DEFAULT_RETRIES_DOWN if down is None else down}
    MONITORS.insert(tx, record)
    return record


def update(tx: Tx, ctx: Context, balancer: Record, pool: Record, record: Record, given: Spec) -> Record:
    """Change a health monitor; its type stays."""
    for name in ("http_method", "url_path", "expected_codes"):
        if name in given:
            raise invalid_option(name, f"health monitors of type {record['type']}")
    for name in ("delay", "max_retries", "timeout"):
        if name in given and given[name] is None:
            raise invalid_option(None, name)
    rules.check_http_of_monitor(record["type"], given)
    rules.check_monitor(pool["protocol"], record["type"], given.get("delay"), new=False)
    values = changes.named(given)
    values.pop("description", None)
    values.update({name: given[name] for name in ("delay", "timeout", "max_retries") if name in given})
    if "max_retries_down" in given:
        down = given["max_retries_down"]
        values["max_retries_down"] = DEFAULT_RETRIES_DOWN if down is None else down
    changes.begin(tx, ctx, balancer, f"health monitor {record['id']} changed", pool=pool["id"])
    values |= {"provisioning_status": Provisioning.PENDING_UPDATE.value, "updated_at": tx.now}
    MONITORS.update(tx, record["id"], values)
    return {**record, **values}


def delete(tx: Tx, ctx: Context, balancer: Record, pool: Record, record: Record) -> None:
    """Check the pool's members no more: all are believed well."""
    changes.begin(tx, ctx, balancer, f"health monitor {record['id']} deleted", pool=pool["id"])
    MONITORS.update(tx, record["id"], {"provisioning_status": Provisioning.PENDING_DELETE.value})
    sources.follow(tx, ctx, balancer)
