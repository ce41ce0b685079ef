"""The network fabric (OVN, or simulated): desired values as whole objects, compared and put one by one.

A driver compiles an object into its backend's rows (pure), compares them with what is there, and writes the
difference in one backend transaction that refuses an older ``(era, generation)``. Everything written carries
our id and that pair, so that what a crash left is recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

METADATA_ADDRESS = "169.254.169.254"


class FabricKind(StrEnum):
    """What the fabric holds. The values are the kinds' names in the work queue."""

    NETWORK = "network"
    PORT = "port"
    ROUTER = "router"
    FLOATING_IP = "floating_ip"
    SECURITY_GROUP = "security_group"
    LOAD_BALANCER = "load_balancer"
    ADDRESS_GROUP = "address_group"
    PORT_FORWARDING = "port_forwarding"


class PortRole(StrEnum):
    """How a port is realised."""

    INTERFACE = "interface"             # a guest's, or one that nobody uses yet
    METADATA = "metadata"               # the network's own: DHCP and metadata, on every machine; realised with it
    ROUTER = "router"                   # a router's leg; realised with its router
    FLOATING = "floating"               # reserves a floating IP's address; nothing is realised
    LOAD_BALANCER = "load_balancer"     # a load balancer's address, or what it checks members from; realised with it


@dataclass(frozen=True, slots=True)
class FabricSubnet:
    """A subnet. ``dhcp_server_mac``/``dhcp_server_ip``: what DHCP answers as; ``metadata_ip``: next hop to metadata."""

    id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[tuple[str, str], ...] = ()           # (destination CIDR, next hop)
    ipv6_ra_mode: str | None = None                          # slaac, dhcpv6-stateful, dhcpv6-stateless
    ipv6_address_mode: str | None = None
    metadata_ip: str | None = None


@dataclass(frozen=True, slots=True)
class FabricNetwork:
    """A layer-2 network. ``physical_network`` is set for an external (provider) network only. ``more_segments`` are
    further ways out, (physical network, VLAN tag): a machine has one of those physical networks at most."""

    id: str
    generation: int
    name: str
    mtu: int
    subnets: tuple[FabricSubnet, ...] = ()
    physical_network: str | None = None
    segmentation_id: int | None = None                       # VLAN tag on the physical network
    more_segments: tuple[tuple[str, int | None], ...] = ()
    vlan_transparent: bool = False                           # guests' own VLAN tags go through
    metadata_port_id: str | None = None
    metadata_mac: str | None = None
    admin_state_up: bool = True
    dns_domain: str = ""

    @property
    def kind(self) -> FabricKind:
        return FabricKind.NETWORK


@dataclass(frozen=True, slots=True)
class FabricLimit:
    """What QoS does to one direction, seen from the guest. Rates in kbit/s, bursts in kbit; None: not limited."""

    direction: str                                           # egress, ingress
    max_kbps: int | None = None
    max_burst_kbps: int | None = None
    dscp: int | None = None


@dataclass(frozen=True, slots=True)
class FabricPort:
    """A guest's or metadata port. ``ips`` are (subnet id, address) pairs; ``host`` the chassis it is bound to."""

    id: str
    generation: int
    network_id: str
    mac: str
    ips: tuple[tuple[str, str], ...] = ()
    role: PortRole = PortRole.INTERFACE
    host: str | None = None
    security_groups: tuple[str, ...] = ()
    port_security: bool = True
    allowed_address_pairs: tuple[tuple[str | None, str], ...] = ()      # (MAC, address or CIDR)
    dhcp_options: tuple[tuple[str, str, int], ...] = ()      # extra_dhcp_opts: (name, value, ip version)
    dns_name: str = ""
    admin_state_up: bool = True
    qos: tuple[FabricLimit, ...] = ()
    parent: str | None = None                                # the port of its trunk, and its VLAN tag there
    tag: int | None = None

    @property
    def kind(self) -> FabricKind:
        return FabricKind.PORT

    @property
    def realised(self) -> bool:
        """Whether it is an object of its own here; if not, ``compare`` finds it always and ``put`` does nothing."""
        return self.role is PortRole.INTERFACE


@dataclass(frozen=True, slots=True)
class RouterInterface:
    """A router's leg in a network: ``addresses`` are in CIDR form (``10.0.0.1/24``)."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]
    ra_modes: tuple[tuple[str, str], ...] = ()               # (IPv6 CIDR, ra mode): router advertisements
    mtu: int = 1442


@dataclass(frozen=True, slots=True)
class RouterGateway:
    """The leg in an external network. ``chassis`` in order of preference; ``next_hops`` one per IP version."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]
    next_hops: tuple[str, ...] = ()
    chassis: tuple[str, ...] = ()
    snat: bool = True
    qos: tuple[FabricLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class FabricRouter:
    """A distributed router. SNAT covers the IPv4 subnets of its interfaces. Default routes are the first gateway's,
    where it has one of that IP version, or with *ecmp* those of all gateways at once; with *bfd* (RFC 5880) each is
    used only while its next hop answers."""

    id: str
    generation: int
    name: str
    interfaces: tuple[RouterInterface, ...] = ()
    gateway: RouterGateway | None = None
    more_gateways: tuple[RouterGateway, ...] = ()
    ecmp: bool = False
    bfd: bool = False
    routes: tuple[tuple[str, str], ...] = ()                 # (destination CIDR, next hop)
    admin_state_up: bool = True

    @property
    def kind(self) -> FabricKind:
        return FabricKind.ROUTER


@dataclass(frozen=True, slots=True)
class FabricFloatingIP:
    """An associated floating IP. (One without a port is simply absent from the fabric.)

    ``distributed``: translated on the machine of its port instead of on its router's gateway. Off by default:
    OVN 23.03 does not notice that a port was plugged in after its floating IP was made (ADR 9).
    """

    id: str
    generation: int
    address: str
    mac: str
    router_id: str
    port_id: str
    fixed_ip: str
    distributed: bool = False
    network_id: str | None = None                            # for ``qos``: the external network and the router's port
    gateway_port_id: str | None = None
    qos: tuple[FabricLimit, ...] = ()
    one_of_several: bool = False                             # its router has other gateways than that port

    @property
    def kind(self) -> FabricKind:
        return FabricKind.FLOATING_IP


@dataclass(frozen=True, slots=True)
class FabricPortForwarding:
    """Ports of a floating IP that lead to ports of ``inside``: (outside, inside) pairs."""

    id: str
    generation: int
    router_id: str
    protocol: str                                            # tcp, udp, sctp
    address: str
    inside: str
    ports: tuple[tuple[int, int], ...]

    @property
    def kind(self) -> FabricKind:
        return FabricKind.PORT_FORWARDING


@dataclass(frozen=True, slots=True)
class FabricRule:
    """A security group rule. ``remote_…`` exclude each other; None = any."""

    id: str
    direction: str                                           # ingress, egress
    ethertype: str                                           # IPv4, IPv6
    protocol: str | None = None                              # tcp, udp, icmp, icmpv6, a number, …
    port_range_min: int | None = None                        # ICMP: type
    port_range_max: int | None = None                        # ICMP: code
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class FabricSecurityGroup:
    """A group with its rules; a port in no rule's favour is closed."""

    id: str
    generation: int
    rules: tuple[FabricRule, ...] = ()
    stateful: bool = True

    @property
    def kind(self) -> FabricKind:
        return FabricKind.SECURITY_GROUP


@dataclass(frozen=True, slots=True)
class FabricMember:
    """Where connections go. ``port_id`` is the port that has the address, ``source`` an address of its network to check
    it from; without both it isn't checked."""

    id: str
    address: str
    port: int
    port_id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class FabricHealthCheck:
    """How members are checked; ``interval`` and ``timeout`` in seconds."""

    interval: int
    timeout: int
    successes: int
    failures: int


@dataclass(frozen=True, slots=True)
class FabricListener:
    """A port of the load balancer's addresses. ``fields``: what of a packet chooses the member (OVN's names)."""

    id: str
    protocol: str                                            # tcp, udp, sctp
    port: int
    members: tuple[FabricMember, ...] = ()
    fields: tuple[str, ...] = ()
    check: FabricHealthCheck | None = None


@dataclass(frozen=True, slots=True)
class FabricVip:
    """An address of a load balancer. ``cidr`` is the address in its subnet (``10.0.0.9/24``), ``routes`` the ways to
    members elsewhere; ``floating`` are the floating IPs that point at it.

    ``inside``: the address is answered in its network. One in an external network is answered by routers' gateways.
    """

    port_id: str
    network_id: str
    mac: str
    cidr: str
    inside: bool = True
    routes: tuple[tuple[str, str], ...] = ()                 # (destination CIDR, next hop)
    floating: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return self.cidr.partition("/")[0]


@dataclass(frozen=True, slots=True)
class FabricLoadBalancer:
    """A load balancer of layer 4. It balances what guests in ``networks`` send, and what comes from outside through
    the gateways of ``routers``."""

    id: str
    generation: int
    name: str
    vips: tuple[FabricVip, ...] = ()
    listeners: tuple[FabricListener, ...] = ()
    networks: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()

    @property
    def kind(self) -> FabricKind:
        return FabricKind.LOAD_BALANCER


@dataclass(frozen=True, slots=True)
class FabricAddressGroup:
    """Addresses (CIDRs of both versions) that rules of security groups name."""

    id: str
    generation: int
    addresses: tuple[str, ...] = ()

    @property
    def kind(self) -> FabricKind:
        return FabricKind.ADDRESS_GROUP


FabricObject = (FabricNetwork | FabricPort | FabricRouter | FabricFloatingIP | FabricSecurityGroup
                | FabricLoadBalancer | FabricAddressGroup | FabricPortForwarding)


@dataclass(frozen=True, slots=True)
class Found:
    """What the backend shows. ``generation`` None: nothing there. ``drift``: what differs, for people; empty: equal.

    ``up``: a port's interface is plugged in and working on its chassis (None where it has no meaning). ``health``:
    whether a load balancer's member answers, by its id; one of which nothing is known is left out.
    """

    generation: int | None
    drift: tuple[str, ...] = ()
    up: bool | None = None
    health: Mapping[str, bool] = field(default_factory=dict[str, bool])


class Missing(Exception):
    """``put`` needs another object that isn't in the fabric yet."""

    def __init__(self, kind: FabricKind, id: str) -> None:
        super().__init__(f"{kind} {id} is not in the fabric yet")
        self.kind, self.id = kind, id


class Refused(Exception):
    """The backend holds a newer ``(era, generation)``: the caller's desired state is stale."""


class FabricDown(Exception):
    """The backend doesn't answer; try later. The message says which and where."""


class Fabric(Protocol):
    """Blocking calls, safe from several threads; each bounded by a deadline of the driver."""

    def compare(self, desired: FabricObject) -> Found:
        """What is there of *desired*, and what differs. Raises ``FabricDown``."""
        ...

    def find(self, kind: FabricKind, id: str) -> Found:
        """Whether anything of this id is there (``generation`` None when not). Raises ``FabricDown``."""
        ...

    def put(self, era: int, desired: FabricObject) -> None:
        """Make it so. Idempotent. Raises ``Missing``, ``Refused``, ``FabricDown``."""
        ...

    def remove(self, era: int, kind: FabricKind, id: str, generation: int) -> None:
        """Leave nothing of it. Idempotent. Raises ``Refused``, ``FabricDown``."""
        ...

    def inventory(self, kind: FabricKind) -> Mapping[str, int]:
        """Every id of ours and its generation, for the audit."""
        ...

    def watch(self, changed: Callable[[Sequence[tuple[FabricKind, str]]], None]) -> None:
        """Call *changed* (from any thread) with what the backend has changed by itself, as when a port comes up, or
        lost, as when it comes back empty. A hint only."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
