"""What load balancers need of the network: ports for their addresses, and what is reachable from where.

Theory of operation. A load balancer's ports are realised with it, as a router's legs are with theirs: a port is kept
as long as the fabric may hold its address, and whoever has the address next waits for the load balancer to let go.

An address is balanced only where it means this load balancer: in its own network, and in networks of the load
balancer's project. Somebody who connects a router of theirs to a network that is shared with them must not get at what
its other users send to addresses elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, or_, select, update

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.engine.kinds import Key
from stackling.network import addresses, kinds, networks, ports, quotas, rules
from stackling.network.balanced import DEVICE
from stackling.network.resources import NETWORKS, PORTS, SUBNETS
from stackling.network.rows import Record, many, moved, touch
from stackling.ports.fabric import FabricVip, PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

__all__ = ["BalancedNetwork", "BalancedPort", "BalancedSubnet", "Surroundings", "Wanted"]
VIP, SOURCE = "ovn-lb:vip", "ovn-lb-hm:distributed"
_p, _n, _s, _a = tables.ports, tables.networks, tables.subnets, tables.ip_allocations
_OWN = select(_p).where(_p.c.device_id == bindparam("device"), _p.c.role == PortRole.LOAD_BALANCER,
                        _p.c.deleting.is_(False)).order_by(_p.c.created_at, _p.c.id)
_SETTLED = update(_p).where(
    _p.c.device_id == bindparam("device"), _p.c.role == PortRole.LOAD_BALANCER, _p.c.deleting.is_(False),
    or_(_p.c.settled.is_(False), _p.c.up.is_(False))).values(
    up=True, status="ACTIVE", settled=True, observed_generation=_p.c.generation)
_GONE = delete(_p).where(_p.c.device_id == bindparam("device"), _p.c.role == PortRole.LOAD_BALANCER,
                         _p.c.deleting.is_(True))
_LEGS_IN = select(_p.c.device_id).distinct().where(
    _p.c.role == PortRole.ROUTER, _p.c.deleting.is_(False), _p.c.device_owner != rules.Owner.ROUTER_GATEWAY,
    _p.c.network_id.in_(bindparam("ids", expanding=True)))
_LEGS = select(_p.c.device_id, _p.c.network_id, _p.c.fixed_ips).where(
    _p.c.role == PortRole.ROUTER, _p.c.deleting.is_(False), _p.c.device_owner != rules.Owner.ROUTER_GATEWAY,
    _p.c.device_id.in_(bindparam("ids", expanding=True))).order_by(_p.c.created_at, _p.c.id)
_ROUTERS = select(tables.routers.c.id, tables.routers.c.project_id, tables.routers.c.gateway_network_id).where(
    tables.routers.c.id.in_(bindparam("ids", expanding=True)), tables.routers.c.deleting.is_(False),
    tables.routers.c.gateway_port_id.is_not(None)).order_by(tables.routers.c.created_at, tables.routers.c.id)
_NETWORKS = select(_n.c.id, _n.c.project_id, _n.c.external).where(
    _n.c.id.in_(bindparam("ids", expanding=True)), _n.c.deleting.is_(False))
_FLOATING = select(tables.floating_ips.c.port_id, tables.floating_ips.c.fixed_ip_address,
                   tables.floating_ips.c.floating_ip_address, tables.floating_ips.c.router_id).where(
    tables.floating_ips.c.port_id.in_(bindparam("ids", expanding=True)), tables.floating_ips.c.deleting.is_(False),
).order_by(tables.floating_ips.c.floating_ip_address)
_HOLDERS_OF = select(_a.c.network_id, _a.c.address, _a.c.port_id).select_from(
    _a.join(_p, _p.c.id == _a.c.port_id)).where(
    _a.c.network_id.in_(bindparam("networks", expanding=True)),
    _a.c.address.in_(bindparam("addresses", expanding=True)), _p.c.role == PortRole.INTERFACE,
    _p.c.deleting.is_(False))


@dataclass(frozen=True, slots=True)
class BalancedSubnet:
    """A subnet that the caller may use."""

    id: str
    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None


@dataclass(frozen=True, slots=True)
class BalancedNetwork:
    """A network that the caller may use, with its subnets."""

    id: str
    subnets: tuple[BalancedSubnet, ...]


@dataclass(frozen=True, slots=True)
class BalancedPort:
    """A port: (subnet id, address) pairs."""

    id: str
    network_id: str
    device_id: str
    fixed_ips: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A member as the network must know it. ``subnet_id`` None: it is in the address's own subnet."""

    address: str
    subnet_id: str | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a load balancer stands. ``ports``: which port has a member's address; ``sources``: where it is checked
    from; both by (subnet id, address) resp. subnet id. ``waits_for``: who may still hold its addresses."""

    vips: tuple[FabricVip, ...]
    networks: tuple[str, ...]
    routers: tuple[str, ...]
    ports: Mapping[tuple[str, str], str]
    sources: Mapping[str, str]
    waits_for: Key | None


# -- what the caller may use

def subnet(tx: Tx, ctx: Context, id: str) -> BalancedSubnet | None:
    """The subnet, unless the caller must not know of it."""
    record = SUBNETS.get(tx, id)
    if record is None:
        return None
    network = NETWORKS.get(tx, record["network_id"])
    return _subnet(record) if network is not None and networks.usable_by(tx, ctx, network) else None


def subnets_left(tx: Tx, ids: Iterable[str]) -> set[str]:
    """Which of the subnets still exist."""
    return {one["id"] for one in SUBNETS.several(tx, sorted(ids))}


def network(tx: Tx, ctx: Context, id: str) -> BalancedNetwork | None:
    """The network with its subnets in order of creation, unless the caller must not know of it."""
    record = NETWORKS.get(tx, id)
    if record is None or not networks.usable_by(tx, ctx, record):
        return None
    return BalancedNetwork(id, tuple(_subnet(one) for one in SUBNETS.where(tx, network_id=id)))


def port(tx: Tx, ctx: Context, id: str) -> BalancedPort | None:
    """A port of the caller's that could become an address."""
    record = PORTS.get(tx, id)
    if record is None or not (ctx.is_admin or record["project_id"] == ctx.project_id):
        return None
    taken = record["device_id"] or ("" if record["role"] == PortRole.INTERFACE else record["role"])
    return _port(record, taken)


def _subnet(record: Record) -> BalancedSubnet:
    return BalancedSubnet(record["id"], record["network_id"], record["cidr"], record["ip_version"],
                          record["gateway_ip"])


def _port(record: Record, device_id: str) -> BalancedPort:
    return BalancedPort(record["id"], record["network_id"], device_id,
                        tuple((one["subnet_id"], one["ip_address"]) for one in record["fixed_ips"]))


# -- ports

def make_port(tx: Tx, ctx: Context, project_id: str, balancer_id: str, subnet_id: str, name: str,
              address: str | None = None, *, source: bool = False) -> BalancedPort:
    """A port for an address (*source*: to check members from). Raises what Network raises: ``QuotaExceeded``,
    ``Conflict`` (address in use, none free), ``Invalid`` (address outside of the subnet)."""
    chosen = SUBNETS.get(tx, subnet_id)
    assert chosen is not None
    addresses.guard(tx, chosen["network_id"])
    where = NETWORKS.get(tx, chosen["network_id"])
    assert where is not None
    if address is not None and not (ctx.is_admin or where["project_id"] == project_id):
        _check_choice(chosen, address)
    quotas.reserve(tx, project_id, "port")
    fixed = {"subnet_id": subnet_id, **({"ip_address": address} if address else {})}
    spec: Record = {
        "id": new_id(), "project_id": project_id, "name": name, "fixed_ips": [fixed], "security_groups": [],
        "port_security_enabled": False, "device_id": f"{DEVICE}{balancer_id}",
        "device_owner": SOURCE if source else VIP}
    return _port(ports.make(tx, ctx, where, [chosen], spec, PortRole.LOAD_BALANCER), spec["device_id"])


def _check_choice(chosen: Record, address: str) -> None:
    """In somebody else's network one chooses among the addresses that it gives away: not its gateway's, for one."""
    wanted = addresses.key(address)
    if not any(addresses.key(pool["start"]) <= wanted <= addresses.key(pool["end"])
               for pool in chosen["allocation_pools"] or ()):
        raise Invalid(f"IP address {address} is not a valid IP for the specified subnet.", type="InvalidIpForSubnet")


def take_port(tx: Tx, port_id: str, balancer_id: str) -> None:
    """Make an existing port a load balancer's address; as a guest's port it leaves the fabric."""
    record = PORTS.locked(tx, port_id)
    assert record is not None
    changed: Record = {
        **touch(tx, record), **moved(record), "role": PortRole.LOAD_BALANCER, "device_id": f"{DEVICE}{balancer_id}",
        "up": False, "status": "DOWN", "security_groups": [],
        "device_owner": "" if record["device_owner"] in (VIP, SOURCE) else record["device_owner"]}
    PORTS.update(tx, port_id, changed)
    tx.execute(ports.DROP_GROUPS, {"port": port_id})
    tx.nudge("port", port_id)


def own_ports(tx: Tx, balancer_id: str, *, sources: bool) -> list[BalancedPort]:
    """Its addresses, or what it checks members from."""
    return [_port(one, one["device_id"]) for one in many(tx, _OWN, device=f"{DEVICE}{balancer_id}")
            if (one["device_owner"] == SOURCE) is sources]


def drop_ports(tx: Tx, balancer_id: str, ids: Iterable[str] | None = None) -> None:
    """Give ports back (None: all). Made for the load balancer: deleted; a user's: it is nobody's again once the fabric
    has let go."""
    wanted = None if ids is None else set(ids)
    for record in many(tx, _OWN, device=f"{DEVICE}{balancer_id}"):
        if wanted is not None and record["id"] not in wanted:
            continue
        addresses.guard(tx, record["network_id"])
        if record["device_owner"] in (VIP, SOURCE):
            ports.floating_release.port_gone(tx, record["id"])
            ports.drop_leg(tx, record)


def ports_settled(tx: Tx, balancer_id: str, *, gone: bool = False) -> None:
    """The fabric has what the load balancer wants (*gone*: nothing of it any more)."""
    device = f"{DEVICE}{balancer_id}"
    tx.execute(_GONE, {"device": device})
    if not gone:
        tx.execute(_SETTLED, {"device": device})
        return
    for record in many(tx, _OWN, device=device):            # a user's own
        PORTS.update(tx, record["id"], {**touch(tx, record), **moved(record), "role": PortRole.INTERFACE,
                                        "device_id": "", "status": "DOWN", "up": False})
        tx.nudge("port", record["id"])


# -- the surroundings

def surroundings(tx: Tx, project_id: str, balancer_id: str, vip_port_ids: Sequence[str],
                 members: Sequence[Wanted], *, settled: bool) -> Surroundings:
    """All that the fabric must know besides listeners; nine queries at most."""
    own = many(tx, _OWN, device=f"{DEVICE}{balancer_id}")
    by_id = {one["id"]: one for one in own}
    addressed = [by_id[id] for id in vip_port_ids if id in by_id]
    subnets = {one["id"]: _subnet(one) for one in SUBNETS.several(tx, sorted({
        *(fixed["subnet_id"] for one in own for fixed in one["fixed_ips"]),
        *(one.subnet_id for one in members if one.subnet_id)}))}
    home = next((fixed["subnet_id"] for one in addressed for fixed in one["fixed_ips"]), "")
    used = {one.subnet_id or home for one in members}
    start = sorted({*(one["network_id"] for one in addressed),
                    *(subnets[id].network_id for id in used if id in subnets)})
    legs = _legs(tx, start)
    around = {row.id: row for row in tx.all(_NETWORKS, ids=sorted({*start, *(leg.network_id for leg in legs)}))}
    floating: Sequence[Any] = tx.all(_FLOATING, ids=[one["id"] for one in addressed]) if addressed else []
    vips = tuple(_vip(one, around, subnets, used, legs, floating) for one in addressed)
    return Surroundings(
        vips, tuple(sorted(id for id, row in around.items() if not row.external and (
            row.project_id == project_id or id in {vip.network_id for vip in vips}))),
        _routers(tx, project_id, vips, legs, floating), _holders(tx, members, home, subnets),
        {fixed["subnet_id"]: fixed["ip_address"] for one in own if one["device_owner"] == SOURCE
         for fixed in one["fixed_ips"]},
        None if settled else _waits(tx, addressed))


def _legs(tx: Tx, network_ids: Sequence[str]) -> Sequence[Any]:
    """Every leg of the routers that are in these networks."""
    found = sorted(row.device_id for row in tx.all(_LEGS_IN, ids=list(network_ids))) if network_ids else []
    return tx.all(_LEGS, ids=found) if found else []


def _vip(record: Record, around: Mapping[str, Any], subnets: Mapping[str, BalancedSubnet], used: Iterable[str],
         legs: Sequence[Any], floating: Sequence[Any]) -> FabricVip:
    fixed = record["fixed_ips"][0]
    home = subnets[fixed["subnet_id"]]
    where = around.get(record["network_id"])
    return FabricVip(
        record["id"], record["network_id"], record["mac_address"],
        f"{fixed['ip_address']}/{home.cidr.partition('/')[2]}", inside=where is None or not where.external,
        routes=tuple(sorted(_ways(home, [subnets[id] for id in used if id in subnets], legs).items())),
        floating=tuple(row.floating_ip_address for row in floating
                       if row.port_id == record["id"] and row.fixed_ip_address == fixed["ip_address"]))


def _ways(home: BalancedSubnet, others: Iterable[BalancedSubnet], legs: Sequence[Any]) -> dict[str, str]:
    """From the address's subnet to the members' and to everything else: the routers that connect them."""
    doors: dict[str, str] = {}          # router → its address in the home subnet
    for leg in legs:
        for fixed in leg.fixed_ips:
            if fixed["subnet_id"] == home.id:
                doors[leg.device_id] = fixed["ip_address"]
    ways: dict[str, str] = {}
    if home.gateway_ip and home.gateway_ip in doors.values():
        ways["0.0.0.0/0" if home.ip_version == 4 else "::/0"] = home.gateway_ip
    for other in others:
        if other.id == home.id or other.ip_version != home.ip_version:
            continue
        through = [doors[leg.device_id] for leg in legs if leg.device_id in doors
                   and any(fixed["subnet_id"] == other.id for fixed in leg.fixed_ips)]
        if through:
            ways[other.cidr] = through[0]
    return ways


def _routers(tx: Tx, project_id: str, vips: Sequence[FabricVip], legs: Sequence[Any],
             floating: Sequence[Any]) -> tuple[str, ...]:
    """The routers on whose gateways connections come in: those of floating IPs, and for an address in an external
    network the project's first one that leads there."""
    found = {row.router_id for row in floating if row.router_id}
    outside = {vip.network_id for vip in vips if not vip.inside}
    if outside and legs:
        rows = tx.all(_ROUTERS, ids=sorted({leg.device_id for leg in legs}))
        for id in outside:
            found |= {row.id for row in [one for one in rows if one.gateway_network_id == id
                                         and one.project_id == project_id][:1]}
    return tuple(sorted(found))


def _holders(tx: Tx, members: Sequence[Wanted], home: str, subnets: Mapping[str, BalancedSubnet]
             ) -> dict[tuple[str, str], str]:
    """Which port has each member's address."""
    ends = {(subnets[one.subnet_id or home].network_id, one.address): (one.subnet_id or home, one.address)
            for one in members if (one.subnet_id or home) in subnets}
    if not ends:
        return {}
    rows = tx.all(_HOLDERS_OF, networks=sorted({network for network, _ in ends}),
                  addresses=sorted({address for _, address in ends}))
    return {ends[row.network_id, row.address]: row.port_id for row in rows if (row.network_id, row.address) in ends}


def _waits(tx: Tx, addressed: Sequence[Record]) -> Key | None:
    own = {one["id"] for one in addressed}
    for one in addressed:
        if one["observed_generation"] < one["generation"] > 1:          # was a guest's port, must leave as such first
            return Key("port", one["id"])
        found = kinds.holder(tx, one["network_id"], [fixed["ip_address"] for fixed in one["fixed_ips"]], own)
        if found is not None:
            return found
    return None
