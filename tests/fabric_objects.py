"""Objects of the fabric for tests: a small cloud with fresh ids, and changes of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stackling.core.ids import new_id
from stackling.ports.fabric import (
    FabricAddressGroup,
    FabricFloatingIP,
    FabricHealthCheck,
    FabricListener,
    FabricLoadBalancer,
    FabricMember,
    FabricNetwork,
    FabricObject,
    FabricPort,
    FabricPortForwarding,
    FabricRouter,
    FabricRule,
    FabricSecurityGroup,
    FabricSubnet,
    FabricVip,
    RouterGateway,
    RouterInterface,
)

PUBLIC = "198.51.100"


def mac(number: int) -> str:
    return f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"


def rule(direction: str = "ingress", ethertype: str = "IPv4", **more: Any) -> FabricRule:
    return FabricRule(new_id(), direction, ethertype, **more)


def egress() -> tuple[FabricRule, ...]:
    """What a new security group allows."""
    return rule("egress", "IPv4"), rule("egress", "IPv6")


def network(number: int = 1, *, ipv6: bool = False, **more: Any) -> FabricNetwork:
    """A tenant network 10.*number*.0.0/24 with a metadata port at .2."""
    subnets = [FabricSubnet(new_id(), f"10.{number}.0.0/24", 4, f"10.{number}.0.1", True,
                            metadata_ip=f"10.{number}.0.2", dns_nameservers=("192.0.2.53",))]
    if ipv6:
        subnets.append(FabricSubnet(new_id(), f"fd00:{number}::/64", 6, f"fd00:{number}::1", True,
                                    ipv6_ra_mode="slaac", ipv6_address_mode="slaac"))
    id = new_id()
    values: dict[str, Any] = {
        "subnets": tuple(subnets), "metadata_port_id": new_id(), "metadata_mac": mac(number * 256 + 2)}
    return FabricNetwork(id, 1, f"net-{number}", 1442, **(values | more))


def external() -> FabricNetwork:
    subnet = FabricSubnet(new_id(), f"{PUBLIC}.0/24", 4, f"{PUBLIC}.1", False)
    return FabricNetwork(new_id(), 1, "public", 1500, (subnet,), physical_network="public")


def port(of: FabricNetwork, last: int = 10, **more: Any) -> FabricPort:
    """A port whose IPv4 addresses end in *last*."""
    address = mac(int(of.name.rpartition("-")[2] or 0) * 256 + last)
    ips = tuple((subnet.id, subnet.cidr.replace("0/24", str(last)) if subnet.ip_version == 4
                 else slaac(subnet.cidr, address)) for subnet in of.subnets)
    return FabricPort(**({"id": new_id(), "generation": 1, "network_id": of.id, "mac": address, "ips": ips} | more))


def slaac(cidr: str, address: str) -> str:
    """The IPv6 address that a host makes of its MAC (RFC 4291, appendix A)."""
    parts = [int(part, 16) for part in address.split(":")]
    parts = [parts[0] ^ 2, parts[1], parts[2], 0xff, 0xfe, *parts[3:]]
    tail = ":".join(f"{parts[at] << 8 | parts[at + 1]:x}" for at in range(0, 8, 2))
    return cidr.replace("::/64", ":0:0:" + tail) if cidr.count(":") == 3 else cidr.replace("::/64", "::" + tail)


def router(*networks: FabricNetwork, gateway: FabricNetwork | None = None, chassis: str = "host-1",
           address: int = 2, **more: Any) -> FabricRouter:
    legs = tuple(RouterInterface(
        new_id(), of.id, mac(int(of.name.rpartition("-")[2]) * 256 + 1),
        tuple(f"{subnet.gateway_ip}/{subnet.cidr.rpartition('/')[2]}" for subnet in of.subnets),
        tuple((subnet.cidr, subnet.ipv6_ra_mode) for subnet in of.subnets if subnet.ipv6_ra_mode), of.mtu)
        for of in networks)
    out = None if gateway is None else RouterGateway(
        new_id(), gateway.id, mac(0xee00 + address), (f"{PUBLIC}.{address}/24",), (f"{PUBLIC}.1",), (chassis,))
    return FabricRouter(**({"id": new_id(), "generation": 1, "name": "r", "interfaces": legs, "gateway": out} | more))


@dataclass
class Cloud:
    """Two networks, a router with a gateway, a port in one network, a floating IP, groups, and balancers."""

    public: FabricNetwork = field(default_factory=external)
    one: FabricNetwork = field(default_factory=lambda: network(1))
    two: FabricNetwork = field(default_factory=lambda: network(2))

    def __post_init__(self) -> None:
        self.addresses = FabricAddressGroup(new_id(), 1, ("192.0.2.0/24", "fd00:9::/64"))
        self.group = FabricSecurityGroup(new_id(), 1, (
            *egress(), rule(protocol="tcp", port_range_min=22, port_range_max=22),
            rule(protocol="icmp", remote_address_group_id=self.addresses.id)))
        self.port = port(self.one, last=10, security_groups=(self.group.id,))
        self.router = router(self.one, self.two, gateway=self.public)
        self.floating = FabricFloatingIP(new_id(), 1, f"{PUBLIC}.50", mac(0xff50), self.router.id, self.port.id,
                                         self.port.ips[0][1], distributed=True)
        self.forwarding = FabricPortForwarding(new_id(), 1, self.router.id, "tcp", f"{PUBLIC}.51", "10.1.0.10",
                                               ((2222, 22),))
        members = (FabricMember(new_id(), self.port.ips[0][1], 8080, self.port.id, "10.1.0.90"),
                   FabricMember(new_id(), "10.2.0.20", 8080))
        vip = FabricVip(new_id(), self.one.id, mac(0x1e9), "10.1.0.233/24", floating=(f"{PUBLIC}.70",),
                        routes=(("10.2.0.0/24", "10.1.0.1"),))
        self.balancer = FabricLoadBalancer(
            new_id(), 1, "web", (vip,),
            (FabricListener(new_id(), "tcp", 80, members, ("ip_src", "ip_dst"), FabricHealthCheck(5, 3, 2, 3)),
             FabricListener(new_id(), "udp", 53, members[1:])),
            (self.one.id, self.two.id), (self.router.id,))

    def objects(self) -> list[FabricObject]:
        """In an order in which they can be put."""
        return [self.public, self.one, self.two, self.addresses, self.group, self.port, self.router, self.floating,
                self.forwarding, self.balancer]
