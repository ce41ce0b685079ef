"""The load balancer's kind for the engine.

Theory of operation. What the fabric should hold follows from the load balancer's rows, which its generation counts, and
from what is around it (routers, floating IPs, the ports of members), which it doesn't: those wake it up, and what
differs is put again under the same generation. A turn that slept may put an older view of the surroundings; the
next look, a minute later at most, finds and mends it.

Settling gives every part that was pending its status, drops those that were to go, and derives from what the fabric
says of the members how everything is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, update

from stackling.engine.kinds import Blocked, Fence, Key, Outcome, Retryable, Stale
from stackling.loadbalancer import realisation, rules, tree
from stackling.loadbalancer.model import KIND, Operating, Provisioning
from stackling.loadbalancer.rows import BALANCERS, CHILDREN, LISTENERS, MEMBERS, MONITORS, POOLS, Record, Rows
from stackling.loadbalancer.tree import Tree
from stackling.network.facade import balancing
from stackling.ports.fabric import Fabric, FabricDown, FabricKind, FabricLoadBalancer, Found, Missing, Refused
from stackling.store.tables.loadbalancer import lb_tags
from stackling.store.transaction import Tx

_PENDING = (Provisioning.PENDING_CREATE.value, Provisioning.PENDING_UPDATE.value)
_DROP_TAGS = delete(lb_tags).where(lb_tags.c.resource_id.in_(bindparam("ids", expanding=True)))


def _parts(rows: Rows) -> tuple[object, object]:
    table = rows.table
    mine = table.c.load_balancer_id == bindparam("b")
    return (update(table).where(mine, table.c.provisioning_status.in_(_PENDING)).values(
                provisioning_status=Provisioning.ACTIVE.value, updated_at=bindparam("now")),
            delete(table).where(mine, table.c.provisioning_status == Provisioning.PENDING_DELETE.value))


_SETTLED = {rows.shown: _parts(rows) for rows in CHILDREN}


@dataclass(frozen=True, slots=True)
class Desired:
    """``wanted`` None: nothing of it should be there. ``waits_for``: who may still hold what it wants. ``reachable``:
    the members that could be checked, as somebody has their addresses."""

    id: str
    generation: int
    wanted: FabricLoadBalancer | None
    waits_for: Key | None = None
    reachable: frozenset[str] = frozenset()


class LoadBalancerKind:
    """Load balancers with all that is below them."""

    name = KIND

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def load(self, tx: Tx, id: str) -> Desired | None:
        """The desired state, or None when the row is gone."""
        record = BALANCERS.get(tx, id)
        if record is None:
            return None
        if record["deleting"]:
            return Desired(id, record["generation"], None)
        below = tree.read(tx, [id])
        around = balancing.surroundings(
            tx, record["project_id"], id,
            [record["vip_port_id"], *(one["port_id"] for one in record["additional_vips"] or ())],
            [balancing.Wanted(rules.canonical(one["address"]), one["subnet_id"]) for one in below.members
             if realisation.lives(one)],
            settled=record["observed_generation"] > 0)
        return Desired(id, record["generation"], realisation.load_balancer(record, below, around), around.waits_for,
                       realisation.reachable(record, below, around))

    def generation(self, tx: Tx, id: str) -> int | None:
        """The row's generation now."""
        record = BALANCERS.get(tx, id)
        return None if record is None else record["generation"]

    def observe(self, desired: Desired) -> Found:
        """What the fabric shows."""
        try:
            if desired.wanted is None:
                return self._fabric.find(FabricKind.LOAD_BALANCER, desired.id)
            return self._fabric.compare(desired.wanted)
        except FabricDown as down:
            raise Retryable(str(down)) from down

    def plan(self, desired: Desired, observed: Found) -> Sequence[str]:
        """At most one step."""
        if desired.wanted is None:
            return () if observed.generation is None else ("remove",)
        return () if observed.generation == desired.generation and not observed.drift else ("put",)

    def apply(self, fence: Fence, desired: Desired, step: str) -> None:
        """Take the step."""
        if desired.wanted is not None and desired.waits_for is not None:
            raise Blocked(desired.waits_for, f"waits until {desired.waits_for} has left the fabric")
        try:
            if desired.wanted is None:
                self._fabric.remove(fence.era, FabricKind.LOAD_BALANCER, desired.id, desired.generation)
            else:
                self._fabric.put(fence.era, desired.wanted)
        except Missing as missing:
            raise Blocked(Key(missing.kind.value, missing.id), str(missing)) from missing
        except Refused as refused:
            raise Stale(str(refused)) from refused
        except FabricDown as down:
            raise Retryable(str(down)) from down

    def settle(self, tx: Tx, desired: Desired, observed: Found | None, outcome: Outcome) -> None:
        """Write what was found; a deleted load balancer goes when the fabric has nothing left of it."""
        record = BALANCERS.locked(tx, desired.id)
        if record is None or record["generation"] != desired.generation:
            return
        if record["deleting"] and outcome.converged:
            _forget(tx, record)
            return
        new: Record = {**record, "last_error": outcome.error}
        if outcome.converged:
            new["observed_generation"] = desired.generation
            new["provisioning_status"] = Provisioning.ACTIVE.value
            if record["provisioning_status"] != Provisioning.ACTIVE:
                _settle_parts(tx, record["id"])
                new["updated_at"] = tx.now
            balancing.ports_settled(tx, record["id"])
            new["operating_status"] = _look(tx, new, desired, observed).value
        elif outcome.overdue or outcome.terminal:
            new["provisioning_status"] = Provisioning.ERROR.value
        changed = {key: new[key] for key in new if new[key] != record[key]}
        if changed:
            BALANCERS.update(tx, record["id"], changed)
            tx.tell(KIND, record["id"], record["project_id"])

    def inventory(self) -> Mapping[str, int]:
        """Every id of ours in the fabric with its generation (``engine.audit``)."""
        return self._fabric.inventory(FabricKind.LOAD_BALANCER)

    def remove(self, era: int, id: str, generation: int) -> None:
        """Leave nothing of it in the fabric (``engine.audit``)."""
        self._fabric.remove(era, FabricKind.LOAD_BALANCER, id, generation)


def _forget(tx: Tx, record: Record) -> None:
    for rows in CHILDREN:
        for one in rows.of(tx, [record["id"]]):
            rows.delete(tx, one["id"])
    balancing.ports_settled(tx, record["id"], gone=True)
    BALANCERS.delete(tx, record["id"])
    tx.forget(KIND, record["id"], record["generation"])
    tx.tell(KIND, record["id"], record["project_id"])


def _settle_parts(tx: Tx, balancer_id: str) -> None:
    for rows in CHILDREN:
        going = [one["id"] for one in rows.of(tx, [balancer_id])
                 if one["provisioning_status"] == Provisioning.PENDING_DELETE]
        done, drop = _SETTLED[rows.shown]
        if going:
            tx.execute(_DROP_TAGS, {"ids": going})      # pyright: ignore[reportArgumentType]
            tx.execute(drop, {"b": balancer_id})        # type: ignore[arg-type]
        tx.execute(done, {"b": balancer_id, "now": tx.now})     # type: ignore[arg-type]


def _look(tx: Tx, record: Record, desired: Desired, observed: Found | None) -> Operating:
    """Write how everything is; the load balancer's own status."""
    below = tree.read(tx, [record["id"]])
    health: Mapping[str, bool] = observed.health if observed is not None else {}
    pools: dict[str, Operating] = {}
    for pool in below.pools:
        pools[pool["id"]] = _look_at_pool(tx, pool, below, health, desired.reachable)
    listeners: list[Operating] = []
    for one in below.listeners:
        status = rules.above_status(one, [pools[one["default_pool_id"]]] if one["default_pool_id"] in pools else [])
        listeners.append(status)
        _note(tx, LISTENERS, one, status)
    return rules.above_status(record, listeners)


def _look_at_pool(tx: Tx, pool: Record, below: Tree, health: Mapping[str, bool],
                  reachable: frozenset[str]) -> Operating:
    members, monitor = below.of_pool(pool["id"])
    monitored = realisation.is_monitored(monitor)
    found: list[str] = []
    for one in members:
        status = rules.member_status(one, monitored, one["id"] in reachable, health.get(one["id"]))
        found.append(status)
        _note(tx, MEMBERS, one, status)
    if monitor is not None:
        _note(tx, MONITORS, monitor, Operating.ONLINE if monitor["admin_state_up"] else Operating.OFFLINE)
    status = rules.pool_status(pool, found, bool(below.users(pool["id"])))
    _note(tx, POOLS, pool, status)
    return status


def _note(tx: Tx, rows: Rows, record: Record, status: Operating) -> None:
    if record["operating_status"] != status:
        rows.update(tx, record["id"], {"operating_status": status.value})
        tx.tell(KIND, record["load_balancer_id"], record["project_id"])


def kinds(fabric: Fabric) -> list[LoadBalancerKind]:
    """Everything of the service that the engine drives; it can be audited as well."""
    return [LoadBalancerKind(fabric)]
