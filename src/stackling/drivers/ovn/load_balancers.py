"""A load balancer as rows: one of OVN's load balancers for each of its ports, and a small router that has its address.

Guests' connections are balanced where they leave the guest: in every network from which the address can be reached.
What is sent on from there goes to the address's MAC, hence to the small router, which knows nothing but the way to the
members; the answer goes straight back to the guest. So a load balancer works in a network without any router, and its
address answers pings. What comes from outside is balanced on the gateway of the network's router.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from stackling.drivers.ovn.routers import leg_name
from stackling.drivers.ovn.rows import Compiled, Member, Row, Value, row_id
from stackling.ports.fabric import FabricKind, FabricListener, FabricLoadBalancer, FabricMember, FabricVip


def compile(balancer: FabricLoadBalancer) -> Compiled:
    """The rows of *balancer*. The first one balances nothing: it carries the fence."""
    rows = [Row("Load_Balancer", row_id(balancer.id), f"load balancer {balancer.id}", {
        "name": f"stackling-{balancer.id}", "vips": {}}, {"stackling:name": balancer.name})]
    switches = tuple(Member("Logical_Switch", row_id(id), "load_balancer", (FabricKind.NETWORK, id))
                     for id in balancer.networks)
    routers = tuple(Member("Logical_Router", row_id(id), "load_balancer", (FabricKind.ROUTER, id))
                    for id in balancer.routers)
    for listener in balancer.listeners:
        near = [one for vip in balancer.vips for one in (vip.address, *vip.floating)]
        far = [one for vip in balancer.vips for one in (*(() if vip.inside else (vip.address,)), *vip.floating)]
        rows += _balanced(balancer, listener, near, "inside", switches)
        if routers:
            rows += _balanced(balancer, listener, far, "outside", routers)
    for vip in balancer.vips:
        if vip.inside:
            rows += _own_router(balancer, vip)
    return Compiled(balancer.kind, balancer.id, balancer.generation, tuple(rows))


def endpoint(address: str, port: int) -> str:
    """``10.0.0.1:80``, ``[fd00::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _balanced(balancer: FabricLoadBalancer, listener: FabricListener, addresses: Iterable[str], where: str,
              members: tuple[Member, ...]) -> list[Row]:
    vips: dict[str, str] = {}
    for address in addresses:
        ends = [endpoint(one.address, one.port) for one in listener.members if _same_version(one.address, address)]
        if ends:
            vips[endpoint(address, listener.port)] = ",".join(ends)
    checked = _mappings(listener.members) if listener.check is not None else {}
    checks = [_check(listener, vip, where) for vip in vips] if checked else []
    columns: dict[str, Value] = {
        "name": f"stackling-{balancer.id}-{where}-{listener.port}-{listener.protocol}", "vips": vips,
        "protocol": listener.protocol, "selection_fields": listener.fields, "options": {},
        "ip_port_mappings": checked, "health_check": tuple(one.uuid for one in checks)}
    return [Row("Load_Balancer", row_id(listener.id, where), f"listener {listener.id} {where}", columns,
                members=members), *checks]


def _check(listener: FabricListener, vip: str, where: str) -> Row:
    assert listener.check is not None
    return Row("Load_Balancer_Health_Check", row_id(listener.id, f"check {where} {vip}"), f"checks of {vip} {where}", {
        "vip": vip, "options": {
            "interval": str(listener.check.interval), "timeout": str(listener.check.timeout),
            "success_count": str(listener.check.successes), "failure_count": str(listener.check.failures)}})


def _mappings(members: Iterable[FabricMember]) -> Mapping[str, str]:
    """From which address, and through which port, each member is checked."""
    found: dict[str, str] = {}
    for one in members:
        if one.port_id and one.source:
            six = ":" in one.address
            found[f"[{one.address}]" if six else one.address] = (
                f"{one.port_id}:[{one.source}]" if six else f"{one.port_id}:{one.source}")
    return found


def _own_router(balancer: FabricLoadBalancer, vip: FabricVip) -> list[Row]:
    """The router that has the address. It forwards to its own subnet and to members' networks."""
    uuid, leg = row_id(vip.port_id, "router"), row_id(vip.port_id, "leg")
    routes = [Row("Logical_Router_Static_Route", row_id(vip.port_id, f"route {to} {hop}"), f"way to {to}", {
        "ip_prefix": to, "nexthop": hop}) for to, hop in vip.routes]
    inside = Member("Logical_Switch", row_id(vip.network_id), "ports", (FabricKind.NETWORK, vip.network_id))
    return [
        Row("Logical_Router", uuid, f"router of {vip.address}", {
            "name": f"stackling-vip-{vip.port_id}", "enabled": True, "ports": (leg,),
            "static_routes": tuple(route.uuid for route in routes),
            "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"}}),
        Row("Logical_Router_Port", leg, f"leg of {vip.address}", {
            "name": leg_name(vip.port_id), "mac": vip.mac, "networks": (vip.cidr,), "ipv6_ra_configs": {},
            "gateway_chassis": ()}),
        # The address is named, and not "router", so that the switch itself answers who has it: the network's router
        # balances the same address for those outside and would answer as well.
        Row("Logical_Switch_Port", row_id(vip.port_id), f"port of {vip.address}", {
            "name": vip.port_id, "type": "router", "addresses": (f"{vip.mac} {vip.address}",), "enabled": None,
            "options": {"router-port": leg_name(vip.port_id)}, "port_security": (), "dhcpv4_options": None,
            "dhcpv6_options": None}, members=(inside,)),
        *routes,
    ]


def _same_version(one: str, other: str) -> bool:
    return ipaddress.ip_address(one).version == ipaddress.ip_address(other).version


def monitored(balancer: FabricLoadBalancer) -> dict[str, tuple[str, str, int, str]]:
    """The members that are checked, by id: logical port, address, port, protocol."""
    return {one.id: (one.port_id, one.address, one.port, listener.protocol)
            for listener in balancer.listeners if listener.check is not None for one in listener.members
            if one.port_id and one.source}
