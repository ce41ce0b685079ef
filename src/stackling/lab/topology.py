"""Names and addresses of a lab: arithmetic, no more.

Lab number *i* owns 10.77.4i.0/22, a /24 a network in the order of ``Network``. Machine *n* has the address *n* in
each, except in the external network, whose interface belongs to the cloud.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

LABS = 64
MACHINES = 99
VIRTUAL, CEPH, CLIENT = 100, 200, 254
CLIENT_NETWORKS: tuple[Network, ...]
_NAME = re.compile(r"[a-z][a-z0-9]{0,7}")


class Network(StrEnum):
    """What a machine's network cards are plugged into. ``EXTERNAL`` carries floating IPs."""

    MGMT = "mgmt"
    STORAGE = "storage"
    TENANT = "tenant"
    EXTERNAL = "ext"

    @property
    def device(self) -> str:
        """The interface inside a machine, or of the client."""
        return f"{self.value}0"

    @property
    def bridge(self) -> str:
        """The switch, in the lab's own namespace."""
        return f"br-{self.value}"


CLIENT_NETWORKS = (Network.MGMT, Network.EXTERNAL)


@dataclass(frozen=True, slots=True)
class Topology:
    """Of the lab *name* with the number *index*."""

    name: str
    index: int

    def range(self, network: Network) -> ipaddress.IPv4Network:
        """All addresses of *network*."""
        return ipaddress.IPv4Network((0x0A4D0000 + (self.index * 4 + list(Network).index(network)) * 256, 24))

    def address(self, network: Network, number: int) -> str:
        """The address with *number* in *network*."""
        return str(self.range(network)[number])

    def interface(self, network: Network, number: int) -> str:
        """The same in CIDR form."""
        return f"{self.address(network, number)}/24"

    @property
    def whole(self) -> str:
        """Everything that belongs to the lab, in CIDR form."""
        return str(self.range(Network.MGMT).supernet(new_prefix=22))

    @property
    def virtual_ip(self) -> str:
        """The cluster's, in CIDR form."""
        return self.interface(Network.MGMT, VIRTUAL)

    @property
    def gateway(self) -> str:
        """The external network's gateway: the client."""
        return self.address(Network.EXTERNAL, CLIENT)

    @property
    def pool(self) -> str:
        """Floating IPs."""
        return f"{self.address(Network.EXTERNAL, 10)}-{self.address(Network.EXTERNAL, 250)}"

    @property
    def switches(self) -> str:
        """The network namespace of the bridges."""
        return f"{self.name}-net"

    @property
    def client(self) -> str:
        """The network namespace of the client."""
        return f"{self.name}-client"

    @property
    def ceph(self) -> str:
        """The network namespace of the lab's Ceph."""
        return f"{self.name}-ceph"

    def namespace(self, machine: str) -> str:
        """The network namespace of a machine."""
        return f"{self.name}-{machine}"

    def mac(self, network: Network, number: int) -> str:
        """A network card's address; it stays over reboots."""
        return f"02:77:{self.index:02x}:00:{list(Network).index(network):02x}:{number:02x}"


def port(machine: str, network: Network) -> str:
    """The switch's end of a machine's cable."""
    return f"{machine}-{network.value}"


def valid_name(name: str) -> bool:
    """Whether a lab may be called so: names of namespaces and interfaces are made of it."""
    return _NAME.fullmatch(name) is not None
