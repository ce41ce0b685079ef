"""Listeners: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.loadbalancer import changes, pools, quotas, rules, sources
from stackling.loadbalancer.errors import not_found, unsupported, validation
from stackling.loadbalancer.model import Provisioning
from stackling.loadbalancer.rows import LISTENERS, POOLS, Record
from stackling.store.tables.loadbalancer import lb_listeners
from stackling.store.transaction import Tx

Spec = Mapping[str, Any]
TIMEOUTS = {"timeout_client_data": 50000, "timeout_member_connect": 5000, "timeout_member_data": 50000,
            "timeout_tcp_inspect": 0}
"""Milliseconds. They are kept and shown; a switch knows of no such thing."""
_l = lb_listeners
_SAME = select(_l.c.id).where(_l.c.load_balancer_id == bindparam("b"), _l.c.protocol == bindparam("protocol"),
                              _l.c.protocol_port == bindparam("port"))


def create(tx: Tx, ctx: Context, balancer: Record, spec: Spec) -> Record:
    """Listen on another port of the load balancer."""
    quotas.reserve(tx, balancer["project_id"], "listener")
    if spec.get("default_pool_id"):
        _check_pool(tx, balancer["id"], spec["default_pool_id"], spec["protocol"])
    changes.begin(tx, ctx, balancer, f"listener {spec['id']} made")
    given = spec.get("default_pool")
    if not given:
        return add(tx, balancer, spec)
    for name in ("protocol", "lb_algorithm"):
        if not given.get(name):
            raise validation(f"Pool definition for '{given.get('name')}' missing required attribute: {name}")
    rules.check_pair(spec["protocol"], given["protocol"])
    quotas.reserve(tx, balancer["project_id"], "pool")
    record = add(tx, balancer, {**spec, "default_pool_id": pools.add(tx, ctx, balancer, given)["id"]})
    sources.follow(tx, ctx, balancer)
    return record


def add(tx: Tx, balancer: Record, spec: Spec) -> Record:
    """Insert a listener of a load balancer that is being changed."""
    protocol = spec["protocol"]
    rules.check_tls(protocol, spec)
    rules.check_protocol(protocol)
    rules.check_allowed_cidrs(spec.get("allowed_cidrs"))
    if spec.get("l7policies"):
        raise unsupported("OVN provider does not support L7 policies")
    if tx.one(_SAME, b=balancer["id"], protocol=protocol, port=spec["protocol_port"]) is not None:
        raise Conflict(f"Another Listener on this Load Balancer is already using protocol {protocol} and protocol_port "
                       f"{spec['protocol_port']}")
    limit = spec.get("connection_limit")
    record: Record = {
        **changes.fresh(tx, spec["id"], balancer["project_id"], spec), "load_balancer_id": balancer["id"],
        "protocol": protocol, "protocol_port": spec["protocol_port"],
        "connection_limit": -1 if limit is None else limit, "default_pool_id": spec.get("default_pool_id"),
        **{name: default if spec.get(name) is None else spec[name] for name, default in TIMEOUTS.items()}}
    LISTENERS.insert(tx, record)
    return record


def _check_pool(tx: Tx, balancer_id: str, pool_id: str, protocol: str) -> None:
    pool = POOLS.get(tx, pool_id)
    if pool is None or pool["load_balancer_id"] != balancer_id:
        raise not_found(POOLS.shown, pool_id)
    rules.check_pair(protocol, pool["protocol"])


def update(tx: Tx, ctx: Context, balancer: Record, record: Record, given: Spec) -> Record:
    """Change a listener; its protocol and port stay."""
    rules.check_tls(record["protocol"], given)
    rules.check_allowed_cidrs(given.get("allowed_cidrs"))
    if given.get("default_pool_id"):
        _check_pool(tx, balancer["id"], given["default_pool_id"], record["protocol"])
    values = changes.named(given)
    if "default_pool_id" in given:
        values["default_pool_id"] = given["default_pool_id"]
    if "connection_limit" in given:
        values["connection_limit"] = -1 if given["connection_limit"] is None else given["connection_limit"]
    values.update({name: default if given[name] is None else given[name]
                   for name, default in TIMEOUTS.items() if name in given})
    changes.begin(tx, ctx, balancer, f"listener {record['id']} changed", listeners=[record["id"]])
    values |= {"provisioning_status": Provisioning.PENDING_UPDATE.value, "updated_at": tx.now}
    LISTENERS.update(tx, record["id"], values)
    return {**record, **values}


def delete(tx: Tx, ctx: Context, balancer: Record, record: Record) -> None:
    """Stop listening; the pool stays."""
    changes.begin(tx, ctx, balancer, f"listener {record['id']} deleted")
    LISTENERS.update(tx, record["id"], {"provisioning_status": Provisioning.PENDING_DELETE.value})
