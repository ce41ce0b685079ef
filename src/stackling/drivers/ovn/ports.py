"""A port as rows: a logical switch port, its groups, its own DHCP options and its names where it has any."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from stackling.drivers.ovn import limits
from stackling.drivers.ovn.rows import Compiled, Member, Row, Value, row_id
from stackling.drivers.ovn.security_groups import DROP_GROUP
from stackling.ports.fabric import FabricKind, FabricPort

# Neutron's extra_dhcp_opts (dnsmasq's names, or numbers) → OVN's; quoted: its value is a string in OVN.
_QUOTED = {
    "bootfile-name": "bootfile_name", "67": "bootfile_name", "path-prefix": "path_prefix", "210": "path_prefix",
    "domain-name": "domain_name", "15": "domain_name", "wpad": "wpad", "252": "wpad", "hostname": "hostname",
    "12": "hostname", "domain-search": "domain_search_list", "119": "domain_search_list",
}
_BARE = {
    "tftp-server": "tftp_server", "66": "tftp_server", "tftp-server-address": "tftp_server_address",
    "server-ip-address": "tftp_server_address", "150": "tftp_server_address", "netmask": "netmask", "1": "netmask",
    "router": "router", "3": "router", "dns-server": "dns_server", "6": "dns_server", "log-server": "log_server",
    "7": "log_server", "lpr-server": "lpr_server", "9": "lpr_server", "swap-server": "swap_server",
    "16": "swap_server", "ip-forward-enable": "ip_forward_enable", "19": "ip_forward_enable",
    "default-ttl": "default_ttl", "23": "default_ttl", "mtu": "mtu", "26": "mtu",
    "router-discovery": "router_discovery", "31": "router_discovery", "router-solicitation": "router_solicitation",
    "32": "router_solicitation", "arp-timeout": "arp_cache_timeout", "35": "arp_cache_timeout",
    "ethernet-encap": "ethernet_encap", "36": "ethernet_encap", "tcp-ttl": "default_tcp_ttl", "37": "default_tcp_ttl",
    "nis-server": "nis_server", "41": "nis_server", "ntp-server": "ntp_server", "42": "ntp_server",
    "lease-time": "lease_time", "51": "lease_time", "T1": "T1", "58": "T1", "T2": "T2", "59": "T2",
    "classless-static-route": "classless_static_route", "121": "classless_static_route",
    "ms-classless-static-route": "ms_classless_static_route", "249": "ms_classless_static_route",
}
_BARE_V6 = {"dns-server": "dns_server", "23": "dns_server"}
_QUOTED_V6 = {"domain-search": "domain_search", "24": "domain_search"}
_BARE_VALUE = re.compile(r"[0-9A-Fa-f.:/,{} ]{1,1024}\Z")
_QUOTED_VALUE = re.compile(r"[ !#-\[\]-~]{1,1024}\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """What the port's network says: the DHCP options (CIDR, options) of its subnets, and its domain."""

    dhcp: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict[str, tuple[str, Mapping[str, str]]])
    dns_domain: str = ""


def compile(port: FabricPort, facts: PortFacts = PortFacts()) -> Compiled:
    """The rows of *port*."""
    uuid = row_id(port.id)
    switch = Member("Logical_Switch", row_id(port.network_id), "ports", (FabricKind.NETWORK, port.network_id))
    own, references = _dhcp(port, facts)
    columns: dict[str, Value] = {
        "name": port.id, "type": "", "parent_name": port.parent, "tag": port.tag,
        "enabled": port.admin_state_up, "addresses": addresses(port),
        "port_security": port_security(port), "options": {"requested-chassis": port.host} if port.host else {},
        "dhcpv4_options": references.get(4), "dhcpv6_options": references.get(6),
    }
    anchor = Row("Logical_Switch_Port", uuid, f"logical port {port.id}", columns, members=(switch, *_groups(port)))
    subnets = dict.fromkeys(subnet for subnet, _ in port.ips)
    needs = tuple(Member("DHCP_Options", row_id(subnet), "", (FabricKind.NETWORK, port.network_id))
                  for subnet in subnets)
    return Compiled(port.kind, port.id, port.generation, (anchor, *own, *_names(port, facts), *_qos(port)), needs)


def addresses(port: FabricPort) -> tuple[str, ...]:
    """Where the switch sends what is meant for the port: its own address first, then those of allowed MACs."""
    own = " ".join([port.mac, *(ip for _, ip in port.ips)])
    others = sorted({mac.lower() for mac, _ in port.allowed_address_pairs if mac} - {port.mac.lower()})
    return (own, *others) if port.port_security else (own, "unknown")


def port_security(port: FabricPort) -> tuple[str, ...]:
    """What the port may send as, a line a MAC; empty: anything.

    The link-local IPv6 address is named beside others: OVN adds it by itself, but 23.03 then drops the answers to
    neighbours who ask for it (it looks for a hop limit of 225).
    """
    if not port.port_security:
        return ()
    allowed: dict[str, list[str]] = {port.mac.lower(): [ip for _, ip in port.ips]}
    for mac, cidr in port.allowed_address_pairs:
        allowed.setdefault((mac or port.mac).lower(), []).append(_short(cidr))
    for mac, ips in allowed.items():
        if any(":" in ip for ip in ips):
            ips.append(link_local(mac))
    return tuple(" ".join([mac, *dict.fromkeys(ips)]) for mac, ips in allowed.items())


def link_local(mac: str) -> str:
    """The link-local address that belongs to a MAC (RFC 4291, appendix A)."""
    raw = bytearray.fromhex(mac.replace(":", ""))
    raw[0] ^= 2
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes(raw[:3]) + b"\xff\xfe" + bytes(raw[3:])))


def _groups(port: FabricPort) -> Iterable[Member]:
    if not port.port_security:
        return ()
    return (
        Member("Port_Group", row_id(DROP_GROUP), "ports"),
        *(Member("Port_Group", row_id(group), "ports", (FabricKind.SECURITY_GROUP, group))
          for group in port.security_groups),
    )


def _dhcp(port: FabricPort, facts: PortFacts) -> tuple[list[Row], dict[int, UUID]]:
    """The port's own DHCP rows, and which row it refers to for each IP version."""
    rows: list[Row] = []
    references: dict[int, UUID] = {}
    for subnet, ip in port.ips:
        version = ipaddress.ip_address(ip).version
        if version in references:
            continue
        extra = [(name, value) for name, value, of in port.dhcp_options if of == version]
        if any(name == "dhcp_disabled" and value.lower() == "true" for name, value in extra):
            continue
        references[version] = row_id(subnet)
        cidr, options = facts.dhcp.get(subnet, ("", {}))
        if extra and options:
            references[version] = row_id(port.id, f"dhcp{version}")
            rows.append(Row("DHCP_Options", references[version], f"own DHCPv{version} options", {
                "cidr": cidr, "options": {**options, **extra_options(extra, version)}}))
    return rows, references


def extra_options(options: Iterable[tuple[str, str]], version: int) -> dict[str, str]:
    """Extra options as OVN names them. One that OVN doesn't know, or whose value could end the text that OVN makes
    of it, is left out."""
    bare, quoted = (_BARE, _QUOTED) if version == 4 else (_BARE_V6, _QUOTED_V6)
    chosen: dict[str, str] = {}
    for name, value in options:
        if name in bare and _BARE_VALUE.match(value):
            chosen[bare[name]] = value
        elif name in quoted and _QUOTED_VALUE.match(value.strip('"')):
            chosen[quoted[name]] = '"' + value.strip('"') + '"'
    return chosen


def _qos(port: FabricPort) -> list[Row]:
    inside = (FabricKind.NETWORK, port.network_id)
    return [limits.row(port.id, one, inside, f'{limits.side(one)} == "{port.id}"') for one in port.qos]


def _names(port: FabricPort, facts: PortFacts) -> list[Row]:
    if not port.dns_name or not port.ips or not _HOST_NAME.match(port.dns_name):
        return []
    name, answer = port.dns_name.lower(), " ".join(ip for _, ip in port.ips)
    records = {name: answer}
    if facts.dns_domain:
        records[f"{name}.{facts.dns_domain.lower()}"] = answer
    inside = Member("Logical_Switch", row_id(port.network_id), "dns_records", (FabricKind.NETWORK, port.network_id))
    return [Row("DNS", row_id(port.id, "dns"), f"names of port {port.id}", {"records": records}, members=(inside,))]


def _short(cidr: str) -> str:
    """A prefix without its length when it is a single address; host bits cleared otherwise."""
    network = ipaddress.ip_network(cidr, strict=False)
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
