"""A network as rows: a logical switch, DHCP options for each subnet, the metadata port, the way to the outside."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from uuid import UUID

from stackling.drivers.ovn.rows import Compiled, Member, Row, Value, row_id
from stackling.ports.fabric import METADATA_ADDRESS, FabricNetwork, FabricSubnet

LEASE = 86400                       # seconds
NO_DHCP = {4: "0.0.0.0/32", 6: "::/128"}
DNS_DOMAIN = "stackling:dns_domain"
_DOMAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z")


def compile(network: FabricNetwork) -> Compiled:
    """The rows of *network*. A subnet without DHCP keeps an inert row, so that ports can refer to it all the same."""
    switch = row_id(network.id)
    rows = [Row("Logical_Switch", switch, f"logical switch of network {network.id}", {
        "name": f"stackling-{network.id}",
        "acls": () if network.admin_state_up else (_closed(network.id, "from"), _closed(network.id, "to")),
        "other_config": {"mcast_snoop": "false", "vlan-passthru": "true" if network.vlan_transparent else "false"},
    }, {"stackling:name": network.name, "stackling:mtu": str(network.mtu), DNS_DOMAIN: _domain(network.dns_domain)})]
    rows += [_dhcp_options(network, subnet) for subnet in network.subnets]
    inside = (Member("Logical_Switch", switch, "ports"),)
    for number, (physical, tag) in enumerate(_ways_out(network)):
        part = f"localnet{number or ''}"
        rows.append(Row("Logical_Switch_Port", row_id(network.id, part), "port to the physical network", {
            "name": f"{part}-{network.id}", "type": "localnet", "addresses": ("unknown",),
            "tag": tag, "options": {"network_name": physical},
        }, members=inside))
    metadata_ips = [subnet.metadata_ip for subnet in network.subnets if subnet.metadata_ip]
    if network.metadata_port_id and network.metadata_mac:
        rows.append(Row("Logical_Switch_Port", row_id(network.metadata_port_id), "metadata port", {
            "name": network.metadata_port_id, "type": "localport",
            "addresses": (" ".join([network.metadata_mac, *metadata_ips]),),
        }, members=inside))
    if not network.admin_state_up:
        rows += [Row("ACL", _closed(network.id, way), f"rule that closes the network ({way} its ports)", {
            "direction": f"{way}-lport", "priority": 32767, "match": "1", "action": "drop"}) for way in ("from", "to")]
    return Compiled(network.kind, network.id, network.generation, tuple(rows))


def _ways_out(network: FabricNetwork) -> list[tuple[str, int | None]]:
    first = [] if network.physical_network is None else [(network.physical_network, network.segmentation_id)]
    return [*first, *network.more_segments]


def server_mac(subnet_id: str) -> str:
    """The MAC that DHCP answers from, derived from the subnet's id (locally administered)."""
    digest = hashlib.sha256(subnet_id.encode()).hexdigest()
    return ":".join(["0a", *(digest[at:at + 2] for at in range(0, 10, 2))])


def _closed(network_id: str, way: str) -> UUID:
    return row_id(network_id, f"closed-{way}")


def _domain(name: str) -> str:
    """*name* without its final dot; empty when it isn't a domain name (it ends up inside a flow's text)."""
    name = name.rstrip(".")
    return name if _DOMAIN.match(name) else ""


def _dhcp_options(network: FabricNetwork, subnet: FabricSubnet) -> Row:
    options = dhcp_v4(network, subnet) if subnet.ip_version == 4 else dhcp_v6(network, subnet)
    columns: dict[str, Value] = {"cidr": subnet.cidr if options else NO_DHCP[subnet.ip_version], "options": options}
    return Row("DHCP_Options", row_id(subnet.id), f"DHCP options of subnet {subnet.id}", columns,
               {"stackling:subnet": subnet.id})


def dhcp_v4(network: FabricNetwork, subnet: FabricSubnet) -> Mapping[str, str]:
    """Options of DHCPv4 as OVN takes them (``ovn-nb``, table DHCP_Options); empty: no DHCP."""
    server = subnet.gateway_ip or subnet.metadata_ip or _first_address(subnet.cidr)
    if not subnet.enable_dhcp or server is None:
        return {}
    options = {"lease_time": str(LEASE), "mtu": str(network.mtu), "server_id": server,
               "server_mac": server_mac(subnet.id)}
    routes: list[tuple[str, str]] = list(subnet.host_routes)
    if subnet.metadata_ip and all(destination != f"{METADATA_ADDRESS}/32" for destination, _ in routes):
        routes.insert(0, (f"{METADATA_ADDRESS}/32", subnet.metadata_ip))
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
        if all(destination != "0.0.0.0/0" for destination, _ in routes):
            routes.append(("0.0.0.0/0", subnet.gateway_ip))
    if routes:
        options["classless_static_route"] = "{" + ", ".join(map(_route, routes)) + "}"
    if servers := _of_version(subnet.dns_nameservers, 4):
        options["dns_server"] = "{" + ", ".join(servers) + "}"
    if domain := _domain(network.dns_domain):
        options["domain_name"] = f'"{domain}"'
    return options


def dhcp_v6(network: FabricNetwork, subnet: FabricSubnet) -> Mapping[str, str]:
    """Options of DHCPv6; empty: addresses come by router advertisement alone, or by hand."""
    if not subnet.enable_dhcp or subnet.ipv6_address_mode not in ("dhcpv6-stateful", "dhcpv6-stateless"):
        return {}
    options = {"server_id": server_mac(subnet.id)}
    if subnet.ipv6_address_mode == "dhcpv6-stateless":
        options["dhcpv6_stateless"] = "true"
    if servers := _of_version(subnet.dns_nameservers, 6):
        options["dns_server"] = "{" + ", ".join(servers) + "}"
    if domain := _domain(network.dns_domain):
        options["domain_search"] = f'"{domain}"'
    return options


def _route(route: tuple[str, str]) -> str:
    return f"{ipaddress.ip_network(route[0], strict=False)},{ipaddress.ip_address(route[1])}"


def _of_version(addresses: tuple[str, ...], version: int) -> list[str]:
    return [address for address in addresses if ipaddress.ip_address(address).version == version]


def _first_address(cidr: str) -> str | None:
    return next((str(address) for address in ipaddress.ip_network(cidr, strict=False).hosts()), None)
