"""Limits a project. -1 is none. A check and the rows that it allows are one transaction under a guard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, select

from stackling.core.errors import Invalid
from stackling.network.errors import over_quota
from stackling.network.rows import Record
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.tables.network import network_quotas
from stackling.store.transaction import Tx
from stackling.store.types import Id
from stackling.store.upsert import upsert

DEFAULTS: Mapping[str, int] = {
    "network": 100, "subnet": 100, "subnetpool": -1, "port": 500, "router": 10, "floatingip": 50,
    "security_group": 10, "security_group_rule": 100, "rbac_policy": 10, "trunk": -1,
}
DEFAULT = "default"
_q = network_quotas
_LIMITS = select(_q.c.project_id, _q.c.quota).where(
    _q.c.resource == bindparam("resource"), _q.c.project_id.in_([DEFAULT, bindparam("project", type_=Id)]))
_ALL = select(_q.c.project_id, _q.c.resource, _q.c.quota).where(
    _q.c.project_id.in_([DEFAULT, bindparam("project", type_=Id)]))
_EVERY = select(_q.c.project_id, _q.c.resource, _q.c.quota).order_by(_q.c.project_id)
_SET = upsert(_q, ["project_id", "resource"], insert={"quota": bindparam("p_quota")},
              update={"quota": bindparam("p_quota")})
_RESET = delete(_q).where(_q.c.project_id == bindparam("project"))


def _counter(table: Table) -> Any:
    statement = select(func.count()).select_from(table).where(table.c.project_id == bindparam("project"))
    if "deleting" in table.c:
        statement = statement.where(table.c.deleting.is_(False))
    return statement


_COUNTERS: dict[str, Any] = {
    "network": _counter(tables.networks), "subnet": _counter(tables.subnets),
    "subnetpool": _counter(tables.subnet_pools),
    "port": _counter(tables.ports).where(tables.ports.c.role.in_([
        PortRole.INTERFACE, PortRole.ROUTER, PortRole.LOAD_BALANCER])),
    "router": _counter(tables.routers), "floatingip": _counter(tables.floating_ips),
    "security_group": _counter(tables.security_groups), "security_group_rule": _counter(tables.security_group_rules),
    "rbac_policy": _counter(tables.rbac_policies), "trunk": _counter(tables.trunks),
}


def reserve(tx: Tx, project_id: str, resource: str, count: int = 1) -> None:
    """Make sure that *count* more fit; raises OverQuota. Nobody else can pass the same check until we commit."""
    tx.guard(f"network-quota:{project_id}:{resource}")
    rows = {row.project_id: row.quota for row in tx.all(_LIMITS, resource=resource, project=project_id)}
    limit = rows.get(project_id, rows.get(DEFAULT, DEFAULTS[resource]))
    if limit >= 0 and used(tx, project_id, resource) + count > limit:
        raise over_quota([resource])


def used(tx: Tx, project_id: str, resource: str) -> int:
    """How many the project has."""
    return int(tx.scalar(_COUNTERS[resource], project=project_id) or 0)


def limits(tx: Tx, project_id: str) -> dict[str, int]:
    """The limits in force for the project."""
    rows = tx.all(_ALL, project=project_id)
    found = dict(DEFAULTS)
    for wanted in (DEFAULT, project_id):
        found.update({row.resource: row.quota for row in rows if row.project_id == wanted and row.resource in DEFAULTS})
    return found


def details(tx: Tx, project_id: str) -> dict[str, dict[str, int]]:
    """Limit, used and reserved of each resource."""
    return {resource: {"limit": limit, "used": used(tx, project_id, resource), "reserved": 0}
            for resource, limit in limits(tx, project_id).items()}


def every(tx: Tx) -> list[Record]:
    """Every project that has limits of its own."""
    projects: dict[str, Record] = {}
    defaults = limits(tx, DEFAULT)
    for row in tx.all(_EVERY):
        if row.project_id != DEFAULT and row.resource in DEFAULTS:
            own = {"project_id": row.project_id, "tenant_id": row.project_id}
            projects.setdefault(row.project_id, {**defaults, **own})[row.resource] = row.quota
    return list(projects.values())


def update(tx: Tx, project_id: str, values: Mapping[str, int]) -> dict[str, int]:
    """Set limits of the project (``default``: of everybody who has none)."""
    for resource, quota in values.items():
        tx.execute(_SET.on(tx.dialect), {"project_id": project_id, "resource": resource, "p_quota": quota})
    return limits(tx, project_id)


def check_use(tx: Tx, project_id: str, values: Mapping[str, int]) -> None:
    """Raises ``Invalid`` for a limit below what the project has (``quota-check-limit``)."""
    for resource, limit in values.items():
        if limit < 0:
            continue
        tx.guard(f"network-quota:{project_id}:{resource}")
        there = used(tx, project_id, resource)
        if there > limit:
            raise Invalid(f"Quota limit {limit} for {resource} must be greater than or equal to already used {there}",
                          type="HTTPBadRequest")


def reset(tx: Tx, project_id: str) -> bool:
    """Back to the defaults; whether there was anything."""
    return tx.changed(_RESET, project=project_id) > 0
