"""A router as rows: a logical router, its legs on both sides, gateway chassis, routes and source NAT."""

from __future__ import annotations

import ipaddress
from uuid import UUID

from stackling.drivers.ovn import limits
from stackling.drivers.ovn.rows import Compiled, Member, Row, Value, row_id
from stackling.ports.fabric import FabricKind, FabricRouter, RouterGateway, RouterInterface

_RA_MODES = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}
_HIGHEST = 32767                                # a gateway chassis' highest priority


def compile(router: FabricRouter) -> Compiled:
    """The rows of *router*; floating IPs are objects of their own beside its source NAT."""
    uuid, gateways = row_id(router.id), _gateways(router)
    legs = [_leg(one) for one in router.interfaces]
    chassis: list[Row] = []
    for gateway in gateways:
        here = _chassis(gateway)
        legs.append(_gateway_leg(gateway, here))
        chassis += here
    routes = _routes(router)
    anchor = Row("Logical_Router", uuid, f"logical router {router.id}", {
        "name": f"stackling-{router.id}", "enabled": router.admin_state_up, "ports": tuple(leg.uuid for leg in legs),
        "static_routes": tuple(route.uuid for route in routes),
        "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
    }, {"stackling:name": router.name})
    sides = [_switch_side(one.port_id, one.network_id, False) for one in router.interfaces]
    sides += [_switch_side(one.port_id, one.network_id, True) for one in gateways]
    watches = [_watch(router, leg, hop) for _, hop, leg in _defaults(router)] if router.bfd else []
    nat = [row for gateway in gateways for row in _snat(router, gateway, uuid)]
    return Compiled(router.kind, router.id, router.generation,
                    (anchor, *legs, *chassis, *sides, *watches, *routes, *nat, *_qos(router.id, router.gateway)))


def _gateways(router: FabricRouter) -> list[RouterGateway]:
    return [] if router.gateway is None else [router.gateway, *router.more_gateways]


def leg_name(port_id: str) -> str:
    """The logical router port that belongs to the port *port_id* of a network."""
    return f"lrp-{port_id}"


def _leg(interface: RouterInterface) -> Row:
    columns: dict[str, Value] = {
        "name": leg_name(interface.port_id), "mac": interface.mac, "networks": interface.addresses,
        "gateway_chassis": (), "ipv6_ra_configs": {},
    }
    modes = [_RA_MODES[mode] for _, mode in interface.ra_modes if mode in _RA_MODES]
    if modes:
        columns["ipv6_ra_configs"] = {
            "address_mode": modes[0], "send_periodic": "true", "mtu": str(interface.mtu), "min_interval": "3",
            "max_interval": "10"}
    return Row("Logical_Router_Port", row_id(interface.port_id, "leg"), f"leg in network {interface.network_id}",
               columns)


def _gateway_leg(gateway: RouterGateway, chassis: list[Row]) -> Row:
    return Row("Logical_Router_Port", row_id(gateway.port_id, "leg"), "gateway leg", {
        "name": leg_name(gateway.port_id), "mac": gateway.mac, "networks": gateway.addresses,
        "gateway_chassis": tuple(one.uuid for one in chassis), "ipv6_ra_configs": {},
    })


def _chassis(gateway: RouterGateway) -> list[Row]:
    return [Row("Gateway_Chassis", row_id(gateway.port_id, f"on {name}"), f"gateway on {name}", {
        "name": f"{leg_name(gateway.port_id)}_{name}", "chassis_name": name, "priority": _HIGHEST - place,
    }) for place, name in enumerate(gateway.chassis)]


def _switch_side(port_id: str, network_id: str, outside: bool) -> Row:
    options = {"router-port": leg_name(port_id)}
    if outside:
        options |= {"nat-addresses": "router", "exclude-lb-vips-from-garp": "true"}
    return Row("Logical_Switch_Port", row_id(port_id), f"port of the router in network {network_id}", {
        "name": port_id, "type": "router", "addresses": ("router",), "options": options, "enabled": None,
        # It may have been a port for a guest before.
        "port_security": (), "dhcpv4_options": None, "dhcpv6_options": None,
    }, members=(Member("Logical_Switch", row_id(network_id), "ports", (FabricKind.NETWORK, network_id)),))


def _routes(router: FabricRouter) -> list[Row]:
    """Default routes and the user's. The next hops of the gateway may be outside its own prefix."""
    rows: dict[UUID, Row] = {}
    several = bool(router.more_gateways)
    defaults = [(prefix, hop, leg if several else None, _watch(router, leg, hop).uuid if router.bfd else None)
                for prefix, hop, leg in _defaults(router)]
    own = [(destination, hop, None, None) for destination, hop in router.routes]
    for destination, hop, through, watch in (*defaults, *own):
        prefix = str(ipaddress.ip_network(destination, strict=False))
        uuid = row_id(router.id, f"route {prefix} {hop}" + (f" through {through}" if through else ""))
        rows[uuid] = Row("Logical_Router_Static_Route", uuid, f"route to {prefix}", {
            "ip_prefix": prefix, "nexthop": hop, "output_port": through, "bfd": watch})
    return list(rows.values())


def _watch(router: FabricRouter, leg: str, hop: str) -> Row:
    return Row("BFD", row_id(router.id, f"bfd {hop} through {leg}"), f"whether {hop} answers", {
        "logical_port": leg, "dst_ip": hop})


def _defaults(router: FabricRouter) -> list[tuple[str, str, str]]:
    """(prefix, next hop, leg): the first gateway's of each IP version, or with ECMP all of them, which OVN takes turns
    with as long as their legs are told apart."""
    found: list[tuple[str, str, str]] = []
    for gateway in _gateways(router):
        for hop in gateway.next_hops:
            prefix = "0.0.0.0/0" if ipaddress.ip_address(hop).version == 4 else "::/0"
            if router.ecmp or prefix not in [known for known, _, _ in found]:
                found.append((prefix, hop, leg_name(gateway.port_id)))
    return found


def _qos(router_id: str, gateway: RouterGateway | None) -> list[Row]:
    if gateway is None:
        return []
    outside = (FabricKind.NETWORK, gateway.network_id)
    return [limits.row(router_id, one, outside, f'{limits.side(one)} == "{gateway.port_id}"') for one in gateway.qos]


def _snat(router: FabricRouter, gateway: RouterGateway, uuid: UUID) -> list[Row]:
    """Towards each gateway its own address, where there are several."""
    if not gateway.snat:
        return []
    several = bool(router.more_gateways)
    outside = next((address.split("/")[0] for address in gateway.addresses if ":" not in address), None)
    if outside is None:
        return []
    inside = dict.fromkeys(str(ipaddress.ip_network(address, strict=False))
                           for one in router.interfaces for address in one.addresses if ":" not in address)
    first = "" if gateway is router.gateway else f" at {gateway.port_id}"
    return [Row("NAT", row_id(router.id, f"snat {cidr}{first}"), f"source NAT of {cidr}", {
        "type": "snat", "external_ip": outside, "logical_ip": cidr,
        "gateway_port": row_id(gateway.port_id, "leg") if several else None,
    }, members=(Member("Logical_Router", uuid, "nat"),)) for cidr in inside]
