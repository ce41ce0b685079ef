"""Limits a project. -1 is none, which is the default. A check and the row that it allows share a guard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from stackling.loadbalancer.errors import over_quota
from stackling.loadbalancer.rows import BALANCERS, LISTENERS, MEMBERS, MONITORS, POOLS, Rows
from stackling.store.tables.loadbalancer import lb_quotas
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

UNLIMITED = -1
COUNTED: Mapping[str, Rows] = {"load_balancer": BALANCERS, "listener": LISTENERS, "pool": POOLS, "member": MEMBERS,
                               "health_monitor": MONITORS}
RESOURCES = (*COUNTED, "l7policy", "l7rule")
_q = lb_quotas
_OF = select(_q.c.resource, _q.c.quota).where(_q.c.project_id == bindparam("project"))
_EVERY = select(_q.c.project_id, _q.c.resource, _q.c.quota).order_by(_q.c.project_id)
_SET = upsert(_q, ["project_id", "resource"], insert={"quota": bindparam("p_quota")},
              update={"quota": bindparam("p_quota")})
_RESET = delete(_q).where(_q.c.project_id == bindparam("project"))
_RESET_ONE = delete(_q).where(_q.c.project_id == bindparam("project"), _q.c.resource == bindparam("r"))
_COUNT: Mapping[str, Any] = {name: select(func.count()).select_from(rows.table).where(
    rows.table.c.project_id == bindparam("project")) for name, rows in COUNTED.items()}


def reserve(tx: Tx, project_id: str, resource: str, count: int = 1) -> None:
    """Make sure that *count* more fit; nobody else can pass the same check until we commit."""
    if count <= 0:
        return
    tx.guard(f"lb-quota:{project_id}:{resource}")
    limit = limits(tx, project_id)[resource]
    if limit != UNLIMITED and int(tx.scalar(_COUNT[resource], project=project_id) or 0) + count > limit:
        raise over_quota(COUNTED[resource].shown)


def limits(tx: Tx, project_id: str) -> dict[str, int]:
    """The limits in force for the project."""
    return {**defaults(), **{row.resource: row.quota for row in tx.all(_OF, project=project_id)}}


def defaults() -> dict[str, int]:
    """What holds for everybody who has no limits of their own."""
    return dict.fromkeys(RESOURCES, UNLIMITED)


def every(tx: Tx, project_id: str | None) -> dict[str, dict[str, int]]:
    """The limits of each project that has some of its own (or of that project only)."""
    found: dict[str, dict[str, int]] = {}
    for row in tx.all(_EVERY):
        if project_id is None or row.project_id == project_id:
            found.setdefault(row.project_id, defaults())[row.resource] = row.quota
    return found


def update(tx: Tx, project_id: str, values: Mapping[str, int | None]) -> dict[str, int]:
    """Set limits of the project; None takes one back to the default."""
    for resource, quota in values.items():
        if quota is None:
            tx.execute(_RESET_ONE, {"project": project_id, "r": resource})
        else:
            tx.execute(_SET.on(tx.dialect), {"project_id": project_id, "resource": resource, "p_quota": quota})
    return limits(tx, project_id)


def reset(tx: Tx, project_id: str) -> None:
    """Back to the defaults."""
    tx.execute(_RESET, {"project": project_id})
