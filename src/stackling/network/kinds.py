"""The network service's kinds for the engine.

Theory of operation. Each row is one object in the fabric, compared and put whole; a row that is on its way out is
removed by id. Two rules keep rows of one address apart. An API call frees an address the moment its owner is
deleted or moved, so the next owner may come before the fabric has let go; every row therefore keeps in ``held``
what the fabric may still hold of it, from the transaction that first wanted it until a turn has settled without
it, and a turn that finds a wanted address in another unsettled row's ``held`` blocks on that row. And whatever
``put`` reports as missing is blocked on as well. Both are woken when that row settles or goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, or_, select, update

from stackling.engine.kinds import Blocked, Fence, Key, Outcome, Retryable, Stale
from stackling.network import agents, external_gateways, qos, realisation, rules
from stackling.network.balanced import balancer_of
from stackling.network.ports import nudge_server
from stackling.network.resources import (
    ADDRESS_GROUPS,
    FLOATING_IPS,
    NETWORKS,
    PORT_FORWARDINGS,
    PORTS,
    ROUTERS,
    SECURITY_GROUPS,
    SUBNETS,
)
from stackling.network.routers import legs_of
from stackling.network.rows import Record, Rows
from stackling.network.security_groups import rules_of
from stackling.ports.fabric import (
    Fabric,
    FabricDown,
    FabricKind,
    FabricLimit,
    FabricObject,
    Found,
    Missing,
    PortRole,
    Refused,
)
from stackling.store.tables import network as tables
from stackling.store.tables.engine import guards
from stackling.store.tables.fleet import hosts, machines
from stackling.store.transaction import Tx

_p, _f = tables.ports, tables.floating_ips
_HOLDERS = select(_p.c.id, _p.c.held, _p.c.role, _p.c.device_id).where(
    _p.c.network_id == bindparam("network"), _p.c.settled.is_(False),
    or_(_p.c.deleting.is_(True), _p.c.generation > 1))
_FLOATING_HOLDERS = select(_f.c.id, _f.c.held).where(
    _f.c.settled.is_(False), or_(_f.c.deleting.is_(True), _f.c.generation > 1))
_w = tables.port_forwardings
_LEAVING = select(_w.c.id).where(_w.c.floating_ip_address == bindparam("address"), _w.c.deleting.is_(True),
                                 _w.c.id != bindparam("own")).limit(1)
_LEGS_SETTLED = update(_p).where(
    _p.c.device_id == bindparam("device"), _p.c.role == PortRole.ROUTER, _p.c.deleting.is_(False),
    or_(_p.c.settled.is_(False), _p.c.up.is_(False))).values(
    up=True, status="ACTIVE", settled=True, observed_generation=_p.c.generation)
_LEGS_GONE = delete(_p).where(_p.c.device_id == bindparam("device"), _p.c.deleting.is_(True),
                              _p.c.role.in_([PortRole.ROUTER, PortRole.FLOATING]))
_NETWORK_SETTLED = select(tables.networks.c.settled).where(tables.networks.c.id == bindparam("network"))
_UNSEEN = frozenset(("held", "last_error", "observed_generation", "settled"))
"""Columns that no view shows."""
# A host whose lease has never moved is where its name says; the network's programs are called after their machine.
_MOVED_TO = select(machines.c.name).join(hosts, hosts.c.machine_id == machines.c.id).where(
    hosts.c.name == bindparam("host"), hosts.c.lease_epoch > 1)
_GUARDS = {FabricKind.NETWORK: "network-addresses", FabricKind.ROUTER: "router",
           FabricKind.SECURITY_GROUP: "security-group"}
_DROP_GUARD = delete(guards).where(guards.c.name == bindparam("name"))
_MTUS = select(tables.networks.c.id, tables.networks.c.mtu).where(
    tables.networks.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Desired:
    """``wanted`` None: nothing of it should be there. ``waits_for``: who may still hold what it wants."""

    id: str
    generation: int
    wanted: FabricObject | None
    deleting: bool
    waits_for: Key | None = None


class FabricResource:
    """A kind whose rows are objects of the fabric."""

    def __init__(self, kind: FabricKind, rows: Rows, fabric: Fabric) -> None:
        self.name: str = kind.value
        self._kind, self._rows, self._fabric = kind, rows, fabric

    def load(self, tx: Tx, id: str) -> Desired | None:
        """The desired state, or None when the row is gone."""
        record = self._rows.any(tx, id)
        if record is None:
            return None
        if record["deleting"]:
            return Desired(id, record["generation"], None, True)
        return self.desired(tx, record)

    def desired(self, tx: Tx, record: Record) -> Desired:
        """The desired state of a row that stays."""
        raise NotImplementedError

    def generation(self, tx: Tx, id: str) -> int | None:
        """The row's generation now."""
        return self._rows.generation(tx, id)

    def observe(self, desired: Desired) -> Found:
        """What the fabric shows."""
        try:
            if desired.wanted is None:
                return self._fabric.find(self._kind, desired.id)
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
                self._fabric.remove(fence.era, self._kind, desired.id, desired.generation)
            else:
                self._fabric.put(fence.era, desired.wanted)
        except Missing as missing:
            raise Blocked(Key(missing.kind.value, missing.id), str(missing)) from missing
        except Refused as refused:
            raise Stale(str(refused)) from refused
        except FabricDown as down:
            raise Retryable(str(down)) from down

    def settle(self, tx: Tx, desired: Desired, observed: Found | None, outcome: Outcome) -> None:
        """Write what was found; a deleted row goes when the fabric has nothing left of it."""
        record = self._rows.locked(tx, desired.id, deleting=True)
        if record is None or record["generation"] != desired.generation:
            return
        if record["deleting"]:
            if outcome.converged:
                self.gone(tx, record)
                self._rows.delete(tx, desired.id)
                if tx.dialect != "sqlite" and self._kind in _GUARDS:
                    tx.execute(_DROP_GUARD, {"name": f"{_GUARDS[self._kind]}:{desired.id}"})
                tx.forget(self.name, desired.id, desired.generation)
                tx.tell(self.name, desired.id, record["project_id"])
            elif outcome.error != record["last_error"]:
                self._rows.update(tx, desired.id, {"last_error": outcome.error})
            return
        new: Record = {**record, "last_error": outcome.error, "settled": outcome.converged}
        if outcome.converged:
            new["observed_generation"] = desired.generation
        self.observed(tx, new, observed, outcome)
        changed = {key: new[key] for key in new if new[key] != record[key]}
        if changed:
            self._rows.update(tx, desired.id, changed)
            if not changed.keys() <= _UNSEEN:
                tx.tell(self.name, desired.id, record["project_id"])

    def inventory(self) -> Mapping[str, int]:
        """Every id of ours in the fabric with its generation (``engine.audit``)."""
        return self._fabric.inventory(self._kind)

    def remove(self, era: int, id: str, generation: int) -> None:
        """Leave nothing of it in the fabric (``engine.audit``)."""
        self._fabric.remove(era, self._kind, id, generation)

    def observed(self, tx: Tx, record: Record, found: Found | None, outcome: Outcome) -> None:
        """Recompute what depends on the observation, in *record*."""

    def gone(self, tx: Tx, record: Record) -> None:
        """The last of a deleted row: what else goes with it."""


class NetworkKind(FabricResource):
    """Networks with their subnets."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        subnets = SUBNETS.where(tx, network_id=record["id"]) if record["subnets"] else []
        return Desired(record["id"], record["generation"], realisation.network(record, subnets), False)


class PortKind(FabricResource):
    """Ports of guests. A router's leg is realised with its router: what was its guest's part is taken away."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        if record["role"] != PortRole.INTERFACE:
            return Desired(record["id"], record["generation"], None, False)
        at = tx.scalar(_MOVED_TO, host=record["binding_host"]) if record["binding_host"] else None
        wanted = realisation.port(record, _limits(tx, record), at)
        waits = None
        if not record["settled"]:
            own = [one["ip_address"] for one in record["fixed_ips"]]
            waits = holder(tx, record["network_id"], own, {record["id"]})
            if waits is None and tx.scalar(_NETWORK_SETTLED, network=record["network_id"]) is False:
                waits = Key(FabricKind.NETWORK, record["network_id"])
        return Desired(record["id"], record["generation"], wanted, False, waits)

    def settle(self, tx: Tx, desired: Desired, observed: Found | None, outcome: Outcome) -> None:
        if desired.wanted is None and not desired.deleting:
            if outcome.converged:               # from here on it is its router's
                PORTS.update(tx, desired.id, {"observed_generation": desired.generation})
                tx.forget(self.name, desired.id, desired.generation)
            return
        super().settle(tx, desired, observed, outcome)

    def observed(self, tx: Tx, record: Record, found: Found | None, outcome: Outcome) -> None:
        before = record["status"], record["up"]
        if found is not None and found.generation is not None:
            record["up"] = bool(found.up) and bool(record["binding_host"])
        record["status"] = rules.port_status(record)
        if outcome.converged:
            record["held"] = [one["ip_address"] for one in record["fixed_ips"]]
        if (record["status"], record["up"]) != before:
            nudge_server(tx, record["server_id"])


class RouterKind(FabricResource):
    """Routers with their legs."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        legs = legs_of(tx, record["id"])
        found = SUBNETS.several(tx, sorted({one["subnet_id"] for leg in legs for one in leg["fixed_ips"]}))
        subnets = {subnet["id"]: subnet for subnet in found}
        mtus = {row.id: row.mtu for row in tx.all(_MTUS, ids=[leg["network_id"] for leg in legs])} if legs else {}
        chassis = agents.gateway_hosts(tx, record["id"]) if record["gateway_port_id"] else []
        limits = _limits_of(tx, record["gateway_qos_policy_id"])
        wanted = realisation.router(record, legs, subnets, mtus, chassis, limits)
        waits = None
        own = {leg["id"] for leg in legs}
        for leg in legs if not record["settled"] else ():
            if leg["observed_generation"] < leg["generation"] > 1:      # was a guest's port, must leave as such first
                waits = Key(FabricKind.PORT, leg["id"])
            waits = waits or holder(tx, leg["network_id"], [one["ip_address"] for one in leg["fixed_ips"]], own,
                                     router=record["id"])
        return Desired(record["id"], record["generation"], wanted, False, waits)

    def observed(self, tx: Tx, record: Record, found: Found | None, outcome: Outcome) -> None:
        if outcome.converged:
            tx.execute(_LEGS_SETTLED, {"device": record["id"]})
            self.gone(tx, record)

    def gone(self, tx: Tx, record: Record) -> None:
        tx.execute(_LEGS_GONE, {"device": record["id"]})


class FloatingIpKind(FabricResource):
    """Floating IPs; one that points at nothing is absent from the fabric."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        gateway, alone = _gateway_port(tx, record)
        wanted = realisation.floating_ip(record, _limits(tx, record), gateway, alone=alone)
        waits = None
        if wanted is not None and not record["settled"]:
            waits = _forwarder(tx, wanted.address, record["id"])
            mine = {wanted.address, f"{wanted.port_id} {wanted.fixed_ip}"}
            for row in tx.all(_FLOATING_HOLDERS) if waits is None else ():
                if row.id != record["id"] and mine & _floating_held(row.held):
                    waits = Key(self.name, row.id)
                    break
        return Desired(record["id"], record["generation"], wanted, False, waits)

    def observed(self, tx: Tx, record: Record, found: Found | None, outcome: Outcome) -> None:
        before = record["status"]
        record["status"] = rules.floating_ip_status(record)
        if outcome.converged:
            record["held"] = ([record["floating_ip_address"], record["port_id"], record["fixed_ip_address"]]
                              if record["port_id"] else None)
        if record["status"] != before and record["port_id"]:
            port = PORTS.any(tx, record["port_id"])
            if port is not None:
                nudge_server(tx, port["server_id"])

    def gone(self, tx: Tx, record: Record) -> None:
        tx.execute(_LEGS_GONE, {"device": record["id"]})


class PortForwardingKind(FabricResource):
    """Port forwardings. The floating IP may have been associated, or its address somebody else's, a moment ago."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        waits = None
        if not record["settled"]:
            waits = _forwarder(tx, record["floating_ip_address"], record["id"])
            for row in tx.all(_FLOATING_HOLDERS) if waits is None else ():
                if record["floating_ip_address"] in _floating_held(row.held):
                    waits = Key(FabricKind.FLOATING_IP, row.id)
                    break
        return Desired(record["id"], record["generation"], realisation.port_forwarding(record), False, waits)


class AddressGroupKind(FabricResource):
    """Address groups."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        return Desired(record["id"], record["generation"], realisation.address_group(record), False)


class SecurityGroupKind(FabricResource):
    """Security groups with their rules."""

    def desired(self, tx: Tx, record: Record) -> Desired:
        found = rules_of(tx, [record["id"]])[record["id"]]
        return Desired(record["id"], record["generation"], realisation.security_group(record, found), False)


def holder(tx: Tx, network_id: str, wanted: Sequence[str], own: set[str], router: str | None = None) -> Key | None:
    """Who may still hold one of these addresses of the network."""
    for row in tx.all(_HOLDERS, network=network_id):
        if row.id in own or (router is not None and row.device_id == router) or not set(row.held or ()) & set(wanted):
            continue
        if row.role == PortRole.ROUTER:
            return Key(FabricKind.ROUTER, row.device_id)
        if row.role == PortRole.LOAD_BALANCER:
            return Key(FabricKind.LOAD_BALANCER, balancer_of(row.device_id))
        return Key(FabricKind.FLOATING_IP if row.role == PortRole.FLOATING else FabricKind.PORT,
                   row.device_id if row.role == PortRole.FLOATING else row.id)
    return None


def _limits_of(tx: Tx, policy_id: str | None) -> tuple[FabricLimit, ...]:
    return realisation.limits(qos.rules_of(tx, [policy_id])[policy_id]) if policy_id is not None else ()


def _limits(tx: Tx, record: Record) -> tuple[FabricLimit, ...]:
    """What the record's own policy says, or its network's."""
    return _limits_of(tx, record["qos_policy_id"] or record["qos_network_policy_id"])


def _gateway_port(tx: Tx, record: Record) -> tuple[str | None, bool]:
    """The port of the floating IP's router in its network, and whether it is the router's only gateway."""
    router = ROUTERS.get(tx, record["router_id"]) if record["router_id"] else None
    found = external_gateways.gateways(router) if router is not None else []
    here = [one["port_id"] for one in found if one["network_id"] == record["floating_network_id"]]
    return next(iter(here), router["gateway_port_id"] if router is not None else None), len(found) < 2


def _forwarder(tx: Tx, address: str, own: str) -> Key | None:
    """Which forwarding of the address is on its way out."""
    id = tx.scalar(_LEAVING, address=address, own=own)
    return None if id is None else Key(FabricKind.PORT_FORWARDING, id)


def _floating_held(held: list[Any] | None) -> set[str]:
    found: set[str] = set()
    flat = held or []
    for start in range(0, len(flat), 3):
        found |= {flat[start], f"{flat[start + 1]} {flat[start + 2]}"}
    return found


def kinds(fabric: Fabric) -> list[FabricResource]:
    """Everything of the network service that the engine drives; each can be audited as well."""
    return [
        NetworkKind(FabricKind.NETWORK, NETWORKS, fabric), PortKind(FabricKind.PORT, PORTS, fabric),
        RouterKind(FabricKind.ROUTER, ROUTERS, fabric), FloatingIpKind(FabricKind.FLOATING_IP, FLOATING_IPS, fabric),
        SecurityGroupKind(FabricKind.SECURITY_GROUP, SECURITY_GROUPS, fabric),
        PortForwardingKind(FabricKind.PORT_FORWARDING, PORT_FORWARDINGS, fabric),
        AddressGroupKind(FabricKind.ADDRESS_GROUP, ADDRESS_GROUPS, fabric),
    ]
