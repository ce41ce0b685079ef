"""What the fabric should hold of a row: records to the values of ``ports.fabric``. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from stackling.network import rules, segments
from stackling.network.rows import Record
from stackling.ports.fabric import (
    FabricAddressGroup,
    FabricFloatingIP,
    FabricLimit,
    FabricNetwork,
    FabricPort,
    FabricPortForwarding,
    FabricRouter,
    FabricRule,
    FabricSecurityGroup,
    FabricSubnet,
    PortRole,
    RouterGateway,
    RouterInterface,
)


def network(record: Record, subnets: Sequence[Record]) -> FabricNetwork:
    """A network with its subnets."""
    return FabricNetwork(
        id=record["id"], generation=record["generation"], name=record["name"], mtu=record["mtu"],
        subnets=tuple(_subnet(one) for one in subnets), physical_network=record["physical_network"],
        segmentation_id=record["segmentation_id"] if record["network_type"] == "vlan" else None,
        more_segments=tuple((one[segments.PHYSICAL], one[segments.ID] if one[segments.TYPE] == "vlan" else None)
                            for one in (record["segments"] or ())[1:] if one[segments.PHYSICAL] is not None),
        vlan_transparent=record["vlan_transparent"],
        metadata_port_id=record["metadata_port_id"], metadata_mac=record["metadata_mac"],
        admin_state_up=record["admin_state_up"], dns_domain=record["dns_domain"])


def _subnet(record: Record) -> FabricSubnet:
    return FabricSubnet(
        id=record["id"], cidr=record["cidr"], ip_version=record["ip_version"], gateway_ip=record["gateway_ip"],
        enable_dhcp=record["enable_dhcp"], dns_nameservers=tuple(record["dns_nameservers"]),
        host_routes=tuple((one["destination"], one["nexthop"]) for one in record["host_routes"]),
        ipv6_ra_mode=record["ipv6_ra_mode"], ipv6_address_mode=record["ipv6_address_mode"],
        metadata_ip=record["metadata_ip"])


def limits(rules_of_policy: Sequence[Record]) -> tuple[FabricLimit, ...]:
    """What a QoS policy's rules limit and mark, a value for each direction. Guaranteed bandwidth isn't the fabric's."""
    found: list[FabricLimit] = []
    for direction in ("egress", "ingress"):
        own = {one["type"]: one for one in rules_of_policy if one["direction"] == direction}
        most, mark = own.get("bandwidth_limit"), own.get("dscp_marking")
        if most is not None or mark is not None:
            found.append(FabricLimit(
                direction, most["max_kbps"] if most is not None else None,
                (most["max_burst_kbps"] or None) if most is not None else None,
                mark["dscp_mark"] if mark is not None else None))
    return tuple(found)


def port(record: Record, qos: tuple[FabricLimit, ...] = (), moved_to: str | None = None) -> FabricPort:
    """A guest's port. *moved_to*: the machine that has taken over the identity of the host that it is bound to."""
    secured = record["port_security_enabled"]
    return FabricPort(
        id=record["id"], generation=record["generation"], network_id=record["network_id"], mac=record["mac_address"],
        ips=tuple((one["subnet_id"], one["ip_address"]) for one in record["fixed_ips"]), role=PortRole(record["role"]),
        host=moved_to or record["binding_host"] or None,
        security_groups=tuple(record["security_groups"]) if secured else (),
        port_security=secured,
        allowed_address_pairs=tuple((one["mac_address"], one["ip_address"]) for one in record["allowed_address_pairs"]),
        dhcp_options=tuple((one["opt_name"], one["opt_value"], one["ip_version"]) for one in record["extra_dhcp_opts"]),
        dns_name=record["dns_name"], admin_state_up=record["admin_state_up"],
        qos=qos if not record["device_owner"].startswith("network:") else (), parent=record["parent_port_id"],
        tag=record["trunk_tag"])


def router(record: Record, legs: Sequence[Record], subnets: Mapping[str, Record], mtus: Mapping[str, int],
           chassis: Sequence[str], qos: tuple[FabricLimit, ...] = ()) -> FabricRouter:
    """A router with its legs. *subnets* by id, *mtus* by network id."""
    gateway = next((leg for leg in legs if leg["id"] == record["gateway_port_id"]), None)
    known = {leg["id"]: leg for leg in legs}
    more = [known[one["port_id"]] for one in record["more_gateways"] if one["port_id"] in known]
    outside = {leg["id"] for leg in (*more, *([gateway] if gateway is not None else []))}
    return FabricRouter(
        id=record["id"], generation=record["generation"], name=record["name"],
        interfaces=tuple(_interface(leg, subnets, mtus) for leg in legs if leg["id"] not in outside),
        gateway=None if gateway is None else _gateway(record, gateway, subnets, chassis, qos),
        more_gateways=tuple(_gateway(record, leg, subnets, (*chassis[at:], *chassis[:at]), ())
                            for at, leg in enumerate(more, 1)),
        ecmp=record["enable_default_route_ecmp"], bfd=record["enable_default_route_bfd"],
        routes=tuple((one["destination"], one["nexthop"]) for one in record["routes"]),
        admin_state_up=record["admin_state_up"])


def _addresses(leg: Record, subnets: Mapping[str, Record]) -> tuple[str, ...]:
    return tuple(f"{one['ip_address']}/{subnets[one['subnet_id']]['cidr'].split('/')[1]}"
                 for one in leg["fixed_ips"] if one["subnet_id"] in subnets)


def _interface(leg: Record, subnets: Mapping[str, Record], mtus: Mapping[str, int]) -> RouterInterface:
    used = [subnets[one["subnet_id"]] for one in leg["fixed_ips"] if one["subnet_id"] in subnets]
    return RouterInterface(
        port_id=leg["id"], network_id=leg["network_id"], mac=leg["mac_address"], addresses=_addresses(leg, subnets),
        ra_modes=tuple((one["cidr"], one["ipv6_ra_mode"]) for one in used if one["ipv6_ra_mode"]),
        mtu=mtus.get(leg["network_id"], rules.DEFAULT_MTU - rules.GENEVE_OVERHEAD))


def _gateway(record: Record, leg: Record, subnets: Mapping[str, Record], chassis: Sequence[str],
             qos: tuple[FabricLimit, ...]) -> RouterGateway:
    hops: dict[int, str] = {}
    for one in leg["fixed_ips"]:
        subnet = subnets.get(one["subnet_id"])
        if subnet is not None and subnet["gateway_ip"]:
            hops.setdefault(ipaddress.ip_address(subnet["gateway_ip"]).version, subnet["gateway_ip"])
    return RouterGateway(
        port_id=leg["id"], network_id=leg["network_id"], mac=leg["mac_address"], addresses=_addresses(leg, subnets),
        next_hops=tuple(hops.values()), chassis=tuple(chassis), snat=record["enable_snat"],
        qos=qos)


def floating_ip(record: Record, qos: tuple[FabricLimit, ...] = (),
                gateway_port_id: str | None = None, *, alone: bool = True) -> FabricFloatingIP | None:
    """An associated floating IP; None when it points at nothing. *alone*: its router has no other gateway."""
    if record["deleting"] or not record["port_id"]:
        return None
    return FabricFloatingIP(
        id=record["id"], generation=record["generation"], address=record["floating_ip_address"],
        mac=record["floating_mac"], router_id=record["router_id"], port_id=record["port_id"],
        fixed_ip=record["fixed_ip_address"], network_id=record["floating_network_id"] if qos else None,
        gateway_port_id=gateway_port_id if qos or not alone else None, qos=qos if gateway_port_id else (),
        one_of_several=not alone)


def security_group(record: Record, group_rules: Sequence[Record]) -> FabricSecurityGroup:
    """A group with its rules."""
    return FabricSecurityGroup(
        id=record["id"], generation=record["generation"], stateful=record["stateful"],
        rules=tuple(FabricRule(
            id=one["id"], direction=one["direction"], ethertype=one["ethertype"], protocol=_protocol(one),
            port_range_min=one["port_range_min"], port_range_max=one["port_range_max"],
            remote_ip_prefix=one["remote_ip_prefix"], remote_group_id=one["remote_group_id"],
            remote_address_group_id=one["remote_address_group_id"],
        ) for one in group_rules))


def port_forwarding(record: Record) -> FabricPortForwarding:
    """Forwarded ports; where there is one inside, all lead to it."""
    inside = range(record["internal_low"], record["internal_high"] + 1)
    outside = range(record["external_low"], record["external_high"] + 1)
    return FabricPortForwarding(
        id=record["id"], generation=record["generation"], router_id=record["router_id"], protocol=record["protocol"],
        address=record["floating_ip_address"], inside=record["internal_ip_address"],
        ports=tuple((port, inside[at] if len(inside) > 1 else inside[0]) for at, port in enumerate(outside)))


def address_group(record: Record) -> FabricAddressGroup:
    """A group of addresses."""
    return FabricAddressGroup(record["id"], record["generation"], tuple(record["addresses"]))


_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


def _protocol(rule: Record) -> str | None:
    number = rules.rule_protocol_number(rule)
    return None if number is None else _NAMES.get(number, str(number))
