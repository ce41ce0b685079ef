"""Decisions of the network service: pure functions over records and values. No I/O."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from stackling.ports.fabric import PortRole

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Pools = list[dict[str, str]]


class Owner(StrEnum):
    """``device_owner`` values that mean something (neutron_lib.constants)."""

    ROUTER_INTERFACE = "network:router_interface"
    ROUTER_GATEWAY = "network:router_gateway"
    FLOATING_IP = "network:floatingip"
    METADATA = "network:distributed"
    DHCP = "network:dhcp"


AUTO_DELETED = (Owner.METADATA, Owner.DHCP)
"""Ports that go with their network or subnet and stand in nobody's way."""

ROLES = {
    Owner.ROUTER_INTERFACE: PortRole.ROUTER,
    Owner.ROUTER_GATEWAY: PortRole.ROUTER,
    Owner.FLOATING_IP: PortRole.FLOATING,
    Owner.METADATA: PortRole.METADATA,
}
AUTO_ADDRESS_MODES = ("slaac", "dhcpv6-stateless")
DEFAULT_MTU, GENEVE_OVERHEAD = 1500, 58
LEAST_MTU = {4: 68, 6: 1280}        # of a network with subnets of that IP version


# -- status

def network_status(record: Mapping[str, Any]) -> str:
    """ACTIVE unless it is switched off or the fabric refused it for good."""
    return "ACTIVE" if record["admin_state_up"] else "DOWN"


def port_status(record: Mapping[str, Any]) -> str:
    """A bound port is ACTIVE once its interface works on its host; a router's leg once its router is realised."""
    if record["role"] == PortRole.FLOATING:
        return "N/A"
    if record["role"] == PortRole.INTERFACE and not (record["binding_host"] and record["admin_state_up"]):
        return "DOWN"
    return "ACTIVE" if record["up"] else "DOWN"


def floating_ip_status(record: Mapping[str, Any]) -> str:
    """ACTIVE when associated and realised, or when ports of it are forwarded."""
    forwards = record["router_id"] and not record["port_id"]
    return "ACTIVE" if forwards or (record["port_id"] and record["settled"]) else "DOWN"


# -- addresses

def new_mac() -> str:
    """A random address under Neutron's default prefix ``fa:16:3e``."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def eui64(cidr: str, mac: str) -> str:
    """The SLAAC address of *mac* in the /64 *cidr* (RFC 4291, appendix A)."""
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    interface = int.from_bytes(bytes([*octets[:3], 0xff, 0xfe, *octets[3:]]), "big")
    return str(ipaddress.IPv6Address(int(ipaddress.ip_network(cidr).network_address) + interface))


def is_auto_address(subnet: Mapping[str, Any]) -> bool:
    """Whether guests form their own addresses in it (SLAAC or DHCPv6 stateless)."""
    return subnet["ip_version"] == 6 and (subnet["ipv6_address_mode"] in AUTO_ADDRESS_MODES
                                          or subnet["ipv6_ra_mode"] in AUTO_ADDRESS_MODES)


def canonical_cidr(text: str) -> str:
    """*text* with its host bits cleared."""
    return str(ipaddress.ip_network(text, strict=False))


def usable(network: Network) -> tuple[int, int]:
    """First and last address that can be given out: without network, broadcast and IPv6 router anycast address."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4:
        return (first, last) if network.prefixlen >= 31 else (first + 1, last - 1)
    return (first, last) if network.prefixlen >= 127 else (first + 1, last)


def address(version: int, value: int) -> str:
    """The text of an address."""
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))


def default_gateway(network: Network) -> str:
    """The first usable address, as Neutron takes it."""
    return address(network.version, usable(network)[0])


def default_pools(network: Network, gateway: str | None) -> Pools:
    """Everything usable but the gateway."""
    first, last = usable(network)
    if first > last:
        return []
    if gateway is None or ipaddress.ip_address(gateway) not in network:
        return [_pool(network.version, first, last)]
    at = int(ipaddress.ip_address(gateway))
    parts = [(first, at - 1), (at + 1, last)] if first <= at <= last else [(first, last)]
    return [_pool(network.version, low, high) for low, high in parts if low <= high]


def _pool(version: int, first: int, last: int) -> dict[str, str]:
    return {"start": address(version, first), "end": address(version, last)}


def pool_bounds(pools: Pools) -> list[tuple[int, int]]:
    """(first, last) as numbers, in order."""
    return sorted((int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))) for pool in pools)


def pool_fault(network: Network, pools: Pools) -> tuple[str, str] | None:
    """Why *pools* can't be pools of *network*: (exception, message), or None."""
    first, last = usable(network)
    if network.version == 6 and network.prefixlen < 127:
        first -= 1
    previous: tuple[int, int] | None = None
    for pool in pools:
        start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
        text = f"{start}-{end}"
        if start.version != network.version or end.version != network.version:
            return "InvalidAllocationPool", f"The allocation pool {text} is not valid."
        if int(end) < int(start):
            return "InvalidAllocationPool", f"The allocation pool {text} is not valid."
        if int(start) < first or int(end) > last:
            return "OutOfBoundsAllocationPool", f"The allocation pool {text} spans beyond the subnet cidr {network}."
    for low, high in pool_bounds(pools):
        if previous is not None and low <= previous[1]:
            version = network.version
            one, two = (f"{address(version, a)}-{address(version, b)}" for a, b in (previous, (low, high)))
            text = f"Found overlapping allocation pools: {one} {two} for subnet {network}."
            return "OverlappingAllocationPools", text
        previous = (low, high)
    return None


def in_pools(value: str, pools: Pools) -> bool:
    """Whether the address lies in one of the pools."""
    number = int(ipaddress.ip_address(value))
    return any(low <= number <= high for low, high in pool_bounds(pools))


def overlaps(cidrs: Iterable[str], cidr: str) -> str | None:
    """The first of *cidrs* that shares an address with *cidr*."""
    mine = ipaddress.ip_network(cidr)
    for other in cidrs:
        theirs = ipaddress.ip_network(other)
        if theirs.version == mine.version and theirs.overlaps(mine):    # type: ignore[arg-type]
            return other
    return None


def ipv6_mode_fault(ra_mode: str | None, address_mode: str | None) -> str | None:
    """The valid combinations are equal modes or one of them unset (Neutron's API guide, IPv6)."""
    if ra_mode and address_mode and ra_mode != address_mode:
        return (f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
                "If both attributes are set, they must be the same value")
    return None


# -- security group rules

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
ICMP = frozenset({1, 58})
IPV6_ONLY = frozenset({"icmpv6", "ipv6-icmp", "ipv6-encap", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "ipv6-route"})


_IPV6_NUMBERS = frozenset(PROTOCOLS[name] for name in IPV6_ONLY)


def protocol_number(protocol: str | None) -> int | None:
    """The IP protocol number; None for any. The value was validated before."""
    if protocol is None or protocol == "any":
        return None
    return int(protocol) if protocol.isdigit() else PROTOCOLS[protocol]


def rule_protocol_number(rule: Mapping[str, Any]) -> int | None:
    """As ``protocol_number``; ``icmp`` in an IPv6 rule means ICMPv6."""
    number = protocol_number(rule["protocol"])
    return 58 if number == 1 and rule["ethertype"] == "IPv6" else number


def rule_fingerprint(rule: Mapping[str, Any]) -> str:
    """Equal for rules that mean the same; unique within a group."""
    prefix = rule["remote_ip_prefix"]
    if prefix is not None:
        prefix = canonical_cidr(prefix)
        if prefix in ("0.0.0.0/0", "::/0"):
            prefix = None
    number = rule_protocol_number(rule)
    low, high = rule["port_range_min"], rule["port_range_max"]
    if number in WITH_PORTS and (low, high) == (1, 65535):
        low = high = None
    meaning = (rule["direction"], rule["ethertype"], number, low, high, prefix, rule["remote_group_id"],
               *([rule["remote_address_group_id"]] if rule["remote_address_group_id"] else ()))
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def rule_fault(rule: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a rule can't be: (exception, message) in Neutron's words, or None."""
    number = protocol_number(rule["protocol"])
    low, high, name = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    remotes = (rule["remote_ip_prefix"], rule["remote_group_id"], rule["remote_address_group_id"])
    if sum(remote is not None for remote in remotes) > 1:
        return ("SecurityGroupMultipleRemoteEntitiesInRule",
                "Only one of remote_group_id, remote_address_group_id, remote_ip_prefix may be provided.")
    fault = _port_fault(number, name, low, high)
    if fault is not None:
        return fault
    if (name in IPV6_ONLY or number in _IPV6_NUMBERS) and rule["ethertype"] == "IPv4":
        return ("SecurityGroupEthertypeConflictWithProtocol",
                f"Invalid ethertype IPv4 for protocol {name}.")
    prefix = rule["remote_ip_prefix"]
    if prefix is not None and f"IPv{ipaddress.ip_network(prefix, strict=False).version}" != rule["ethertype"]:
        return ("SecurityGroupRuleParameterConflict",
                f"Conflicting value ethertype {rule['ethertype']} for CIDR {prefix}")
    return None


def _port_fault(number: int | None, name: str | None, low: int | None, high: int | None) -> tuple[str, str] | None:
    if low is None and high is None:
        return None
    if number is None:
        return ("SecurityGroupProtocolRequiredWithPorts",
                "Must also specify protocol if port range is given.")
    if number in ICMP:
        for field, value in (("port_range_min", low), ("port_range_max", high)):
            label = "ICMP type" if field == "port_range_min" else "ICMP code"
            if value is not None and not 0 <= value <= 255:
                return ("SecurityGroupInvalidIcmpValue",
                        f"Invalid value for {label} ({field}) {value}. It must be 0 to 255.")
        if low is None:
            return ("SecurityGroupMissingIcmpType",
                    f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.")
        return None
    if number in WITH_PORTS:
        if low is None or high is None or low > high:
            return ("SecurityGroupInvalidPortRange",
                    "For TCP/UDP protocols, port_range_min must be <= port_range_max")
        if number != 132 and low == 0:
            return ("SecurityGroupInvalidPortValue", "Invalid value for port 0")
        return None
    return ("SecurityGroupInvalidProtocolForPort",
            f"Invalid protocol {name} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.")


# -- routers

def route_fault(routes: Sequence[Mapping[str, str]], cidrs: Sequence[str], addresses: Sequence[str]) -> str | None:
    """Why a router that is connected to *cidrs* with *addresses* can't have these routes."""
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if not any(hop in ipaddress.ip_network(cidr) for cidr in cidrs):
            return "the nexthop is not connected with router"
        if str(hop) in addresses:
            return "the nexthop is used by router"
    return None


def name_fault_of_group(name: str) -> bool:
    """Whether *name* is reserved for the project's default group."""
    return name.lower() == "default"


MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
