"""Which fixed IPs a port gets: Neutron's rules (neutron-lib's ``fixed_ips``, the guide's "IPv6" chapter)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stackling.core.errors import Invalid
from stackling.network import addresses, rules
from stackling.network.errors import addresses_exhausted, invalid_input
from stackling.network.rows import Record
from stackling.ports.fabric import PortRole
from stackling.store.transaction import Tx

MOST = 5
FixedIps = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes addresses of one network for one port; the network's guard is held."""

    tx: Tx
    network_id: str
    port_id: str

    def free(self, subnet: Record) -> dict[str, str] | None:
        """Any free address of the subnet's pools."""
        value = addresses.first_free(self.tx, subnet)
        return None if value is None else self._take(subnet, value)

    def exact(self, subnet: Record, value: str) -> dict[str, str]:
        """This address; raises IpAddressAlreadyAllocated."""
        return self._take(subnet, addresses.take_exact(self.tx, self.network_id, value))

    def _take(self, subnet: Record, value: str) -> dict[str, str]:
        fixed = {"subnet_id": subnet["id"], "ip_address": value}
        addresses.take(self.tx, self.network_id, self.port_id, [fixed])
        return fixed


def choose(taker: Taker, subnets: Sequence[Record], mac: str, owner: str, role: PortRole,
           wanted: Sequence[dict[str, Any]] | None) -> FixedIps:
    """Choose and take the fixed IPs of a port.

    *wanted* None: one IPv4 address, one address of a stateful IPv6 subnet, and one in every SLAAC subnet.
    """
    fitting = _fitting(subnets, owner)
    if wanted is None:
        return _automatic(taker, fitting, mac, role)
    result: FixedIps = []
    for one in wanted:
        result.append(_asked(taker, subnets, fitting, mac, role, one, result))
    if result and role == PortRole.INTERFACE:
        have = {fixed["subnet_id"] for fixed in result}
        result += [_auto(taker, subnet, mac) for subnet in fitting
                   if rules.is_auto_address(subnet) and subnet["id"] not in have]
    if len(result) > MOST and role == PortRole.INTERFACE:
        raise invalid_input("Exceeded maximum amount of fixed ips per port")
    return result


def keep(current: FixedIps, wanted: Sequence[dict[str, Any]]) -> tuple[FixedIps, list[dict[str, Any]]]:
    """(what stays of *current*, what of *wanted* is new): an item with a subnet only is met by an address there."""
    left = list(current)
    kept: FixedIps = []
    fresh: list[dict[str, Any]] = []
    for one in sorted(wanted, key=lambda item: "ip_address" not in item):
        found = next((fixed for fixed in left if _meets(fixed, one)), None)
        if found is None:
            fresh.append(one)
        else:
            left.remove(found)
            kept.append(found)
    return kept, fresh


def _meets(fixed: dict[str, str], one: dict[str, Any]) -> bool:
    if "ip_address" in one:
        same = ipaddress.ip_address(fixed["ip_address"]) == ipaddress.ip_address(one["ip_address"])
        return same and one.get("subnet_id", fixed["subnet_id"]) == fixed["subnet_id"]
    return one.get("subnet_id") == fixed["subnet_id"]


def _fitting(subnets: Sequence[Record], owner: str) -> list[Record]:
    return [subnet for subnet in subnets if not subnet["service_types"] or any(
        owner.startswith(kind) if kind.endswith(":") else owner == kind or owner.startswith(kind)
        for kind in subnet["service_types"])]


def _automatic(taker: Taker, subnets: Sequence[Record], mac: str, role: PortRole) -> FixedIps:
    result: FixedIps = []
    for version in (4, 6):
        stateful = [s for s in subnets if s["ip_version"] == version and not rules.is_auto_address(s)]
        if not stateful:
            continue
        for subnet in stateful:
            fixed = taker.free(subnet)
            if fixed is not None:
                result.append(fixed)
                break
        else:
            raise addresses_exhausted(taker.network_id)
    if role == PortRole.INTERFACE:
        result += [_auto(taker, subnet, mac) for subnet in subnets if rules.is_auto_address(subnet)]
    return result


def _auto(taker: Taker, subnet: Record, mac: str) -> dict[str, str]:
    return taker.exact(subnet, rules.eui64(subnet["cidr"], mac))


def _asked(taker: Taker, subnets: Sequence[Record], fitting: Sequence[Record], mac: str, role: PortRole,
           one: dict[str, Any], so_far: FixedIps) -> dict[str, str]:
    subnet_id, value = one.get("subnet_id"), one.get("ip_address")
    network_id = taker.network_id
    if subnet_id is None and value is None:
        raise invalid_input("IP allocation requires subnet_id or ip_address")
    if value is not None:
        subnet = _containing(network_id, subnets, subnet_id, value)
        if role == PortRole.INTERFACE and rules.is_auto_address(subnet) and value != rules.eui64(subnet["cidr"], mac):
            raise invalid_input(f"IPv6 address {value} can not be directly assigned to a port on subnet {subnet['id']} "
                                "since the subnet is configured for automatic addresses")
        if any(fixed["ip_address"] == value for fixed in so_far):
            raise invalid_input(f"Duplicate IP address '{value}'")
        return taker.exact(subnet, value)
    subnet = next((s for s in subnets if s["id"] == subnet_id), None)
    if subnet is None:
        raise invalid_input(f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
                            f"{subnet_id}")
    if rules.is_auto_address(subnet) and role == PortRole.INTERFACE:
        return _auto(taker, subnet, mac)
    fixed = taker.free(subnet)
    if fixed is None:
        raise addresses_exhausted(network_id)
    return fixed


def _containing(network_id: str, subnets: Sequence[Record], subnet_id: str | None, value: str) -> Record:
    parsed = ipaddress.ip_address(value)
    for subnet in subnets:
        if subnet_id is not None and subnet["id"] != subnet_id:
            continue
        network = ipaddress.ip_network(subnet["cidr"])
        if parsed.version == network.version and parsed in network:
            edges = _edges(network)
            if parsed in edges:
                raise Invalid(f"IP address {value} is not a valid IP for the specified subnet.",
                              type="InvalidIpForSubnet")
            return subnet
        if subnet_id is not None:
            raise Invalid(f"IP address {value} is not a valid IP for the specified subnet.", type="InvalidIpForSubnet")
    if subnet_id is not None:
        raise invalid_input(f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
                            f"{subnet_id}")
    raise Invalid(f"IP address {value} is not a valid IP for any of the subnets on the specified network.",
                  type="InvalidIpForNetwork")


def _edges(network: rules.Network) -> tuple[Any, ...]:
    if network.version == 4:
        return (network.network_address, network.broadcast_address) if network.prefixlen < 31 else ()
    return (network.network_address,) if network.prefixlen < 127 else ()
