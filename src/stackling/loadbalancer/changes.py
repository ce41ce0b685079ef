"""How anything of a load balancer is changed: only while nothing of it is on its way.

Theory of operation. A load balancer and all its parts are one object of the fabric. A change takes the load balancer's
row, from ACTIVE to a pending status and to its next generation, in one conditional update: of two changes at the same
time one finds it pending and is refused, as Octavia does. What is pending belongs to that generation, and is settled
with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, update

from stackling.core.context import Context
from stackling.loadbalancer.errors import immutable, invalid_state, not_found
from stackling.loadbalancer.model import DEADLINE, KIND, Operating, Provisioning
from stackling.loadbalancer.rows import BALANCERS, LISTENERS, POOLS, Record
from stackling.store.tables.loadbalancer import lb_listeners, lb_pools, load_balancers
from stackling.store.transaction import Tx

_b = load_balancers
_BEGIN = update(_b).where(
    _b.c.id == bindparam("b"), _b.c.deleting.is_(False),
    _b.c.provisioning_status.in_(bindparam("from_", expanding=True))).values(
    provisioning_status=bindparam("to_"), generation=_b.c.generation + 1, last_error=None)
_LISTENERS = update(lb_listeners).where(lb_listeners.c.id.in_(bindparam("ids", expanding=True))).values(
    provisioning_status=Provisioning.PENDING_UPDATE.value)
_LISTENERS_OF_POOL = update(lb_listeners).where(lb_listeners.c.default_pool_id == bindparam("pool")).values(
    provisioning_status=Provisioning.PENDING_UPDATE.value)
_POOL = update(lb_pools).where(lb_pools.c.id == bindparam("pool")).values(
    provisioning_status=Provisioning.PENDING_UPDATE.value)


def balancer(tx: Tx, id: str) -> Record:
    """The load balancer; raises NotFound."""
    found = BALANCERS.locked(tx, id) if tx.writing else BALANCERS.get(tx, id)
    if found is None:
        raise not_found(BALANCERS.shown, id)
    return found


def begin(tx: Tx, ctx: Context, record: Record, what: str, *, of_itself: bool = False,
          listeners: Iterable[str] = (), pool: str | None = None) -> None:
    """Start a change of a load balancer (*of_itself*) or of something below it, or refuse it.

    *listeners* are changed with it; *pool* too, with the listeners that use it.
    """
    if not _take(tx, record["id"], Provisioning.PENDING_UPDATE, (Provisioning.ACTIVE,)):
        if of_itself:
            raise invalid_state(record["provisioning_status"], record["id"])
        raise immutable(BALANCERS.shown, record["id"])
    ids = list(listeners)
    if ids:
        tx.execute(_LISTENERS, {"ids": ids})
    if pool is not None:
        tx.execute(_LISTENERS_OF_POOL, {"pool": pool})
        tx.execute(_POOL, {"pool": pool})
    tx.event(ctx, KIND, record["id"], "update", what, project_id=record["project_id"])
    tx.nudge(KIND, record["id"], deadline=DEADLINE)


def check_mutable(record: Record) -> None:
    """Refuse what would change nothing as well while the load balancer is on its way, as Octavia does."""
    if record["provisioning_status"] != Provisioning.ACTIVE:
        raise immutable(BALANCERS.shown, record["id"])


def begin_deletion(tx: Tx, ctx: Context, record: Record) -> None:
    """Start to delete a load balancer, or refuse it."""
    if record["deleting"]:
        if record["provisioning_status"] != Provisioning.ERROR:
            raise invalid_state(record["provisioning_status"], record["id"])
    elif not _take(tx, record["id"], Provisioning.PENDING_DELETE, (Provisioning.ACTIVE, Provisioning.ERROR)):
        raise invalid_state(record["provisioning_status"], record["id"])
    BALANCERS.update(tx, record["id"], {"deleting": True, "provisioning_status": Provisioning.PENDING_DELETE.value})
    tx.event(ctx, KIND, record["id"], "delete", project_id=record["project_id"])
    tx.nudge(KIND, record["id"], deadline=DEADLINE)


def _take(tx: Tx, id: str, to: Provisioning, allowed: Iterable[Provisioning]) -> bool:
    return tx.changed(_BEGIN, b=id, to_=to.value, from_=[one.value for one in allowed]) > 0


def fresh(tx: Tx, id: str, project_id: str, spec: Any, *, described: bool = True) -> Record:
    """The columns that every new part has."""
    return {
        "id": id, "project_id": project_id, "name": spec.get("name") or "",
        **({"description": spec.get("description") or ""} if described else {}),
        "tags": list(dict.fromkeys(spec.get("tags") or ())), "created_at": tx.now, "updated_at": None,
        "admin_state_up": bool(spec.get("admin_state_up", True)),
        "provisioning_status": Provisioning.PENDING_CREATE.value, "operating_status": Operating.OFFLINE.value}


def named(changes: Any) -> Record:
    """The columns of an update that every part has; null takes a text away."""
    values: Record = {name: changes[name] or "" for name in ("name", "description") if name in changes}
    if "tags" in changes:
        values["tags"] = list(dict.fromkeys(changes["tags"] or ()))
    if "admin_state_up" in changes:
        values["admin_state_up"] = bool(changes["admin_state_up"])
    return values


def find(tx: Tx, rows: Any, id: str) -> Record:
    """A part by its id; raises NotFound."""
    found = rows.get(tx, id)
    if found is None:
        raise not_found(rows.shown, id)
    return found


def listener(tx: Tx, id: str) -> Record:
    """A listener; raises NotFound."""
    return find(tx, LISTENERS, id)


def pool(tx: Tx, id: str) -> Record:
    """A pool; raises NotFound."""
    return find(tx, POOLS, id)
