"""An address group as rows: one address set for each IP version, which rules' expressions name."""

from __future__ import annotations

import ipaddress
from uuid import UUID

from stackling.drivers.ovn.rows import Compiled, Row, row_id
from stackling.ports.fabric import FabricAddressGroup

_VERSIONS = {"IPv4": 4, "IPv6": 6}


def set_name(group_id: str, ethertype: str) -> str:
    """The set's name; OVN's expressions allow no dashes in it."""
    return f"ag_{group_id.replace('-', '_')}_ip{_VERSIONS[ethertype]}"


def set_id(group_id: str, ethertype: str) -> UUID:
    """The set's row."""
    return row_id(group_id, "" if ethertype == "IPv4" else "ip6")


def compile(group: FabricAddressGroup) -> Compiled:
    """The rows of *group*."""
    nets = [ipaddress.ip_network(one, strict=False) for one in group.addresses]
    rows = [Row("Address_Set", set_id(group.id, ethertype), f"{ethertype} addresses of group {group.id}", {
        "name": set_name(group.id, ethertype),
        "addresses": tuple(str(net) for net in dict.fromkeys(nets) if net.version == version),
    }) for ethertype, version in _VERSIONS.items()]
    return Compiled(group.kind, group.id, group.generation, tuple(rows))
