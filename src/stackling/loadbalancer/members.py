"""Members of pools: use-cases, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.core.ids import new_id
from stackling.loadbalancer import changes, quotas, rules, sources
from stackling.loadbalancer.errors import no_subresource, validation
from stackling.loadbalancer.model import Operating, Provisioning
from stackling.loadbalancer.rows import MEMBERS, MONITORS, Record, many
from stackling.network.facade import balancing
from stackling.store.tables.loadbalancer import lb_members
from stackling.store.transaction import Tx

Spec = Mapping[str, Any]
_m = lb_members
_AT_PORT = select(_m.c.address).where(_m.c.pool_id == bindparam("pool"), _m.c.protocol_port == bindparam("port"))


def vips(balancer: Record) -> list[str]:
    """All addresses of a load balancer."""
    return [balancer["vip_address"], *(one["ip_address"] for one in balancer["additional_vips"] or ())]


def create(tx: Tx, ctx: Context, balancer: Record, pool: Record, spec: Spec) -> Record:
    """Add a member to a pool."""
    quotas.reserve(tx, balancer["project_id"], "member")
    changes.begin(tx, ctx, balancer, f"member {spec['id']} made", pool=pool["id"])
    record = add(tx, ctx, balancer, pool, spec, monitored=bool(MONITORS.of_pools(tx, [pool["id"]])))
    sources.follow(tx, ctx, balancer)
    return record


def add(tx: Tx, ctx: Context, balancer: Record, pool: Record, spec: Spec, *, monitored: bool,
        several: bool = False) -> Record:
    """Insert a member of a pool that is being changed."""
    rules.check_member(spec, vips(balancer), several=several)
    if spec.get("request_sriov"):
        raise validation("The load balancer flavor does not allow SR-IOV member ports.")
    subnet_id = spec.get("subnet_id")
    if subnet_id and balancing.subnet(tx, ctx, subnet_id) is None:
        raise no_subresource("Subnet", subnet_id)
    if not subnet_id:
        home = balancing.subnet(tx, ctx, balancer["vip_subnet_id"])
        if home is None or not rules.is_inside(spec["address"], home.cidr):
            raise rules.subnet_required("batch update" if several else "creation")
    same = rules.canonical(spec["address"])
    if any(rules.canonical(one["address"]) == same for one in many(
            tx, _AT_PORT, pool=pool["id"], port=spec["protocol_port"])):
        raise Conflict(f"Another member on this pool is already using ip {spec['address']} on protocol_port "
                       f"{spec['protocol_port']}")
    record: Record = {
        **changes.fresh(tx, spec["id"], balancer["project_id"], spec, described=False),
        "load_balancer_id": balancer["id"], "pool_id": pool["id"], "address": spec["address"],
        "protocol_port": spec["protocol_port"], **_weights(spec, new=True), "subnet_id": subnet_id}
    if not monitored:
        record["operating_status"] = Operating.NO_MONITOR.value
    MEMBERS.insert(tx, record)
    return record


def _end(spec: Spec) -> tuple[str, int]:
    """Which member it is: two at one address and port would be the same."""
    return rules.canonical(spec["address"]), spec["protocol_port"]


def _weights(spec: Spec, *, new: bool = False) -> Record:
    values: Record = {}
    if new or "weight" in spec:
        values["weight"] = 1 if spec.get("weight") is None else spec["weight"]
    if new or "backup" in spec:
        values["backup"] = bool(spec.get("backup"))
    return values


def update(tx: Tx, ctx: Context, balancer: Record, pool: Record, record: Record, given: Spec) -> Record:
    """Change a member; where it is stays."""
    rules.check_member(given, vips(balancer))
    values = {**changes.named(given), **_weights(given), "updated_at": tx.now,
              "provisioning_status": Provisioning.PENDING_UPDATE.value}
    changes.begin(tx, ctx, balancer, f"member {record['id']} changed", pool=pool["id"])
    MEMBERS.update(tx, record["id"], values)
    return {**record, **values}


def delete(tx: Tx, ctx: Context, balancer: Record, pool: Record, record: Record) -> None:
    """Take a member out of its pool."""
    changes.begin(tx, ctx, balancer, f"member {record['id']} deleted", pool=pool["id"])
    MEMBERS.update(tx, record["id"], {"provisioning_status": Provisioning.PENDING_DELETE.value})
    sources.follow(tx, ctx, balancer)


def replace(tx: Tx, ctx: Context, balancer: Record, pool: Record, specs: Sequence[Spec], *, additive: bool) -> None:
    """Make *specs* the members of the pool, all or none; *additive*: keep those that aren't named.

    A member is the one with the same address and port.
    """
    changes.check_mutable(balancer)
    there = {_end(one): one for one in MEMBERS.of_pools(tx, [pool["id"]])}
    wanted: set[tuple[str, int]] = set()
    for spec in specs:
        end = _end(spec)
        if end in wanted:
            raise validation("Member must be updated only once in the same request.") if end in there else Conflict(
                f"Another member on this pool is already using ip {spec['address']} on protocol_port {end[1]}")
        wanted.add(end)
    gone = [] if additive else [one for end, one in there.items() if end not in wanted]
    if not specs and not gone:
        return
    fresh = [spec for spec in specs if _end(spec) not in there]
    quotas.reserve(tx, balancer["project_id"], "member", len(fresh) - len(gone))
    changes.begin(tx, ctx, balancer, f"members of pool {pool['id']} replaced", pool=pool["id"])
    monitored = bool(MONITORS.of_pools(tx, [pool["id"]]))
    for one in gone:
        MEMBERS.update(tx, one["id"], {"provisioning_status": Provisioning.PENDING_DELETE.value})
    for spec in fresh:
        add(tx, ctx, balancer, pool, {**spec, "id": new_id()}, monitored=monitored, several=True)
    for spec in specs:
        known = there.get(_end(spec))
        if known is not None:
            rules.check_member(spec, vips(balancer), several=True)
            MEMBERS.update(tx, known["id"], {
                **changes.named(spec), **_weights(spec), "updated_at": tx.now,
                "provisioning_status": Provisioning.PENDING_UPDATE.value})
    sources.follow(tx, ctx, balancer)
