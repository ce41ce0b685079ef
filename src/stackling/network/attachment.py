"""What compute and network tell each other about servers' ports: frozen values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AUTO: Literal["auto"] = "auto"
NONE: Literal["none"] = "none"


@dataclass(frozen=True, slots=True)
class RequestedNetwork:
    """One item of a server's ``networks``: a network or an existing port, perhaps with one exact address."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


Requested = Literal["auto", "none"] | list[RequestedNetwork] | None


@dataclass(frozen=True, slots=True)
class ServerToPlug:
    """A server that gets ports. ``host_name`` None: not scheduled yet, the ports stay unbound."""

    server_id: str
    name: str
    host_name: str | None


@dataclass(frozen=True, slots=True)
class PortSubnet:
    """The subnet of one fixed IP, as ``network_data.json`` needs it."""

    id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[tuple[str, str], ...] = ()           # (destination CIDR, next hop)
    ipv6_address_mode: str | None = None


@dataclass(frozen=True, slots=True)
class ServerPort:
    """A port of a server.

    ``created``: made for the server and deleted with it. ``up``: plugged in and working on its host. ``floating``:
    (fixed address, floating address) pairs. ``subnets``: one per fixed IP, in the same order.
    """

    port_id: str
    server_id: str
    network_id: str
    network_name: str
    mac: str
    mtu: int
    fixed_ips: tuple[tuple[str, str, int], ...]             # (subnet id, address, IP version)
    created: bool
    tag: str | None
    security_groups: tuple[tuple[str, str], ...]            # (id, name)
    dns_name: str
    host: str | None
    status: str
    up: bool
    floating: tuple[tuple[str, str], ...] = ()
    subnets: tuple[PortSubnet, ...] = ()


@dataclass(frozen=True, slots=True)
class FloatingIP:
    """A floating IP as Nova's ``os-floating-ips`` shows it: ``pool`` is the external network's name."""

    id: str
    address: str
    pool: str
    network_id: str
    project_id: str
    fixed_ip: str | None = None
    port_id: str | None = None
    server_id: str | None = None


@dataclass(frozen=True, slots=True)
class External:
    """The external network that first start makes. ``pool`` is (first, last) address of the floating IPs."""

    cidr: str
    gateway: str
    pool: tuple[str, str]
    physical_network: str
    name: str = "public"
    network_type: str = "flat"
    segmentation_id: int | None = None
    mtu: int = 1500
