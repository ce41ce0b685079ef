"""What guests on the real OVN can and can't do, seen on the wire."""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.deploy.embedded.command import CommandFailed, run
from stackling.deploy.embedded.namespaces import ip
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.ports.fabric import (
    FabricAddressGroup,
    FabricFloatingIP,
    FabricObject,
    FabricPort,
    FabricPortForwarding,
    FabricSecurityGroup,
)
from tests import wire
from tests.fabric_objects import PUBLIC, egress, external, mac, network, port, router, rule, slaac
from tests.ovn import CHASSIS, Guest, RealOvn, eventually

pytestmark = [pytest.mark.root, pytest.mark.slow]
SECOND = "203.0.113"        # another network outside
WIRE = str(Path(wire.__file__).resolve())


def python(netns: str, *arguments: str, timeout: float = 20) -> str:
    return run(sys.executable, WIRE, *arguments, netns=netns, timeout=timeout)


@contextmanager
def running(netns: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``wire.py`` in the background, ready."""
    process = subprocess.Popen(["nsenter", f"--net=/run/netns/{netns}", "--", sys.executable, WIRE, *arguments],
                               stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        if arguments[0] != "chat":
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def reaches(netns: str, address: str, port: int) -> bool:
    try:
        python(netns, "get", address, str(port), "1.5")
    except CommandFailed:
        return False
    return True


def pings(netns: str, address: str) -> bool:
    try:
        python(netns, "ping", address)
    except CommandFailed:
        return False
    return True


class World:
    """Two networks joined by a router with a gateway; guests a and b on the first, c on the second; an outside."""

    def __init__(self, real: RealOvn) -> None:
        self.real = real
        self.fabric = OvnFabric(real.paths.northbound)
        self.public, self.one, self.two = external(), network(1, ipv6=True, dns_domain="cloud.test"), network(2)
        self.open = FabricSecurityGroup(new_id(), 1, (*egress(), rule(), rule(ethertype="IPv6")))
        self.web = FabricSecurityGroup(new_id(), 1, (*egress(), rule(protocol="tcp", port_range_min=22,
                                                                    port_range_max=22)))
        self.ports = {
            "a": port(self.one, 10, host=CHASSIS, security_groups=(self.open.id,), dns_name="guest-a"),
            "b": port(self.one, 11, host=CHASSIS, security_groups=(self.open.id,)),
            "c": port(self.two, 12, host=CHASSIS, security_groups=(self.open.id,)),
        }
        self.router = router(self.one, self.two, gateway=self.public, chassis=CHASSIS)
        self.floating = FabricFloatingIP(new_id(), 1, f"{PUBLIC}.50", mac(0xff50), self.router.id, self.ports["a"].id,
                                         self.address("a"), distributed=True)
        self._generation = 1
        for one in (self.public, self.one, self.two, self.open, self.web, *self.ports.values(), self.router,
                    self.floating):
            self.fabric.put(1, one)
        self.guests: dict[str, Guest] = {}
        for name, one in self.ports.items():
            self.guests[name] = self.real.guest(one.id, one.mac)
        real.sync()
        for name in self.ports:
            eventually(lambda name=name: self.fabric.compare(self.ports[name]).up)

    def address(self, name: str) -> str:
        return self.ports[name].ips[0][1]

    def netns(self, name: str) -> str:
        return self.guests[name].name if name != "outside" else self.real.outside

    def configure(self, name: str) -> None:
        """Give the guest its address and routes, as DHCP says."""
        lease = json.loads(python(self.netns(name), "dhcp", "eth0"))
        ip(self.netns(name), "address", "replace", f"{lease['address']}/24", "dev", "eth0")
        for route in lease["routes"]:
            to, via = route.split()
            ip(self.netns(name), "route", "replace", to, "via", via)

    @contextmanager
    def changed(self, of: Any, **changes: Any) -> Iterator[Any]:
        """*of* put with *changes*, and as it was afterwards."""
        yield self.put(of, **changes)
        self.put(of)

    def put(self, of: Any, **changes: Any) -> Any:
        self._generation += 1
        new: FabricObject = replace(of, generation=self._generation, **changes)
        self.fabric.put(1, new)
        self.real.sync()
        return new


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with RealOvn(tmp_path_factory.mktemp("ovn"), gateways=(f"{PUBLIC}.1/24", f"{SECOND}.1/24")) as real:
        made = World(real)
        for name in made.ports:
            made.configure(name)
        yield made
        made.fabric.close()


def test_dhcp_gives_the_address_and_its_options(world: World) -> None:
    lease = json.loads(python(world.netns("a"), "dhcp", "eth0"))
    assert lease == {
        "address": "10.1.0.10", "type": 5, "mask": "255.255.255.0", "router": "10.1.0.1", "mtu": 1442, "lease": 86400,
        "dns": ["192.0.2.53"], "routes": ["169.254.169.254/32 10.1.0.2", "0.0.0.0/0 10.1.0.1"],
    }


def test_extra_dhcp_options_reach_the_guest(world: World) -> None:
    extra = (("mtu", "1300", 4), ("dns-server", "{192.0.2.7}", 4), ("router", '10.1.0.1); drop; (', 4))
    with world.changed(world.ports["b"], dhcp_options=extra):
        lease = json.loads(python(world.netns("b"), "dhcp", "eth0"))
    assert (lease["mtu"], lease["dns"], lease["router"]) == (1300, ["192.0.2.7"], "10.1.0.1")


def test_without_dhcp_no_lease(world: World) -> None:
    subnet = replace(world.one.subnets[0], enable_dhcp=False)
    with world.changed(world.one, subnets=(subnet, *world.one.subnets[1:])), pytest.raises(CommandFailed):
        python(world.netns("b"), "dhcp", "eth0", "2")
    assert json.loads(python(world.netns("b"), "dhcp", "eth0"))["address"] == world.address("b")


def test_guests_reach_each_other_across_the_router(world: World) -> None:
    assert pings(world.netns("a"), world.address("b"))
    assert pings(world.netns("a"), world.address("c"))
    with running(world.netns("c"), "serve", "0.0.0.0", "80"):
        assert python(world.netns("a"), "get", world.address("c"), "80").strip() == world.address("a")


def _floating_works(world: World, address: str, guest: str) -> None:
    assert pings(world.netns("outside"), address)
    with running(world.netns(guest), "serve", "0.0.0.0", "80"):
        assert python(world.netns("outside"), "get", address, "80").strip() == f"{PUBLIC}.1"
    with running(world.netns("outside"), "serve", f"{PUBLIC}.1", "80"):
        assert python(world.netns(guest), "get", f"{PUBLIC}.1", "80").strip() == address


def test_a_floating_ip_is_reached_from_outside_and_is_the_source_outside(world: World) -> None:
    _floating_works(world, f"{PUBLIC}.50", "a")


def test_so_is_one_that_the_gateway_translates(world: World) -> None:
    central = FabricFloatingIP(new_id(), 1, f"{PUBLIC}.51", mac(0xff51), world.router.id, world.ports["c"].id,
                               world.address("c"), distributed=False)
    world.fabric.put(1, central)
    world.real.sync()
    _floating_works(world, f"{PUBLIC}.51", "c")
    world.fabric.remove(1, central.kind, central.id, 2)
    world.real.sync()
    assert not pings(world.netns("outside"), f"{PUBLIC}.51")


def test_forwarded_ports_lead_to_their_guests(world: World) -> None:
    public = f"{PUBLIC}.60"
    forwards = [FabricPortForwarding(new_id(), 1, world.router.id, "tcp", public, world.address(guest), ((port, 88),))
                for guest, port in (("b", 2001), ("c", 2002))]
    with running(world.netns("b"), "serve", "0.0.0.0", "88"), running(world.netns("c"), "serve", "0.0.0.0", "88"):
        for one in forwards:
            world.fabric.put(1, one)
        world.real.sync()
        assert reaches(world.real.outside, public, 2001)
        assert python(world.real.outside, "get", public, "2002").strip() == f"{PUBLIC}.1"
        assert not reaches(world.real.outside, public, 2003)
        for one in forwards:
            world.fabric.remove(1, one.kind, one.id, 1)
        world.real.sync()
        assert not reaches(world.real.outside, public, 2001)


def test_source_nat_shows_the_router(world: World) -> None:
    with running(world.netns("outside"), "serve", f"{PUBLIC}.1", "81"):
        for name in ("b", "c"):
            assert python(world.netns(name), "get", f"{PUBLIC}.1", "81").strip() == f"{PUBLIC}.2"


def test_each_gateway_translates_to_its_own_address(world: World) -> None:
    first = world.router.gateway
    assert first is not None
    second = replace(first, port_id=new_id(), mac=mac(0xee03), addresses=(f"{PUBLIC}.3/24",))

    def source() -> str:
        return python(world.netns("b"), "get", f"{PUBLIC}.1", "84").strip()

    with running(world.netns("outside"), "serve", f"{PUBLIC}.1", "84"):
        with world.changed(world.router, more_gateways=(second,), ecmp=True):
            assert source() in (f"{PUBLIC}.2", f"{PUBLIC}.3")
            assert pings(world.netns("outside"), f"{PUBLIC}.2")
            assert pings(world.netns("outside"), f"{PUBLIC}.3")
            floating = FabricFloatingIP(
                new_id(), 1, f"{PUBLIC}.52", mac(0xff52), world.router.id, world.ports["c"].id, world.address("c"),
                gateway_port_id=first.port_id, one_of_several=True)
            world.fabric.put(1, floating)
            world.real.sync()
            assert pings(world.netns("outside"), floating.address)
            world.fabric.remove(1, floating.kind, floating.id, 2)
            with world.changed(world.router, gateway=second):
                eventually(lambda: source() == f"{PUBLIC}.3")
                assert not pings(world.netns("outside"), f"{PUBLIC}.2")
        eventually(lambda: source() == f"{PUBLIC}.2")


def test_a_default_route_is_used_while_its_next_hop_answers_bfd(world: World) -> None:
    far = "192.0.2.77"              # behind the next hop, which speaks no BFD
    assert world.router.gateway is not None
    gateway = replace(world.router.gateway, next_hops=(f"{PUBLIC}.1",))
    ip(world.netns("outside"), "address", "add", f"{far}/32", "dev", "lo")
    for watched in (False, True, False):
        with world.changed(world.router, gateway=gateway, bfd=watched):
            eventually(lambda watched=watched: pings(world.netns("b"), far) is not watched)


def test_gateways_in_two_networks(world: World) -> None:
    first, there = world.router.gateway, SECOND
    assert first is not None
    other = replace(world.public, id=new_id(), subnets=())
    world.fabric.put(1, other)
    second = replace(first, port_id=new_id(), network_id=other.id, mac=mac(0xee04), addresses=(f"{there}.4/24",),
                     next_hops=(f"{there}.1",))
    try:
        with (running(world.netns("outside"), "serve", f"{there}.1", "85"),
              running(world.netns("outside"), "serve", f"{PUBLIC}.1", "85"),
              world.changed(world.router, more_gateways=(second,))):
            for public, address in ((there, f"{there}.4"), (PUBLIC, f"{PUBLIC}.2")):
                assert python(world.netns("b"), "get", f"{public}.1", "85").strip() == address
            for last, gateway, public in ((53, first, PUBLIC), (54, second, there)):
                floating = FabricFloatingIP(
                    new_id(), 1, f"{public}.{last}", mac(0xff00 + last), world.router.id, world.ports["c"].id,
                    world.address("c"), gateway_port_id=gateway.port_id, one_of_several=True)
                world.fabric.put(1, floating)
                world.real.sync()
                eventually(lambda floating=floating: pings(world.netns("outside"), floating.address))
                with running(world.netns("c"), "serve", "0.0.0.0", "80"):
                    assert python(world.netns("outside"), "get", floating.address, "80").strip() == f"{public}.1"
                assert python(world.netns("c"), "get", f"{public}.1", "85").strip() == floating.address
                world.fabric.remove(1, floating.kind, floating.id, 2)
                world.real.sync()
    finally:
        world.fabric.remove(1, other.kind, other.id, 99)
        world.real.sync()


def test_guests_without_floating_ip_reach_one(world: World) -> None:
    with running(world.netns("a"), "serve", "0.0.0.0", "82"):
        assert reaches(world.netns("c"), f"{PUBLIC}.50", 82)


def test_a_floating_ip_moves_in_one_step(world: World) -> None:
    with running(world.netns("b"), "serve", "0.0.0.0", "83"):
        assert not reaches(world.netns("outside"), f"{PUBLIC}.50", 83)
        with world.changed(world.floating, port_id=world.ports["b"].id, fixed_ip=world.address("b")):
            assert reaches(world.netns("outside"), f"{PUBLIC}.50", 83)
        assert not reaches(world.netns("outside"), f"{PUBLIC}.50", 83)


def test_a_removed_floating_ip_is_closed(world: World) -> None:
    world._generation += 1
    world.fabric.remove(1, world.floating.kind, world.floating.id, world._generation)
    world.real.sync()
    assert not pings(world.netns("outside"), f"{PUBLIC}.50")
    world.put(world.floating)
    assert pings(world.netns("outside"), f"{PUBLIC}.50")


@pytest.mark.parametrize("stateful", [True, False])
def test_a_group_opens_what_it_says_and_nothing_else(world: World, stateful: bool) -> None:
    back = () if stateful else (rule(protocol="tcp"),)
    group = world.put(world.web, stateful=stateful)
    with world.changed(world.ports["a"], security_groups=(group.id,)), running(
            world.netns("a"), "serve", "0.0.0.0", "22"), running(world.netns("a"), "serve", "0.0.0.0", "80"), running(
            world.netns("outside"), "serve", f"{PUBLIC}.1", "84"):
        assert reaches(world.netns("outside"), f"{PUBLIC}.50", 22)
        assert not reaches(world.netns("outside"), f"{PUBLIC}.50", 80)
        assert not reaches(world.netns("b"), world.address("a"), 80)
        assert not pings(world.netns("b"), world.address("a"))
        assert reaches(world.netns("a"), f"{PUBLIC}.1", 84) is stateful
        assert json.loads(python(world.netns("a"), "dhcp", "eth0"))["address"] == world.address("a")
        web = rule(protocol="tcp", port_range_min=80, port_range_max=80)
        with world.changed(group, rules=(*group.rules, web, *back)):
            assert reaches(world.netns("outside"), f"{PUBLIC}.50", 80)
            assert reaches(world.netns("a"), f"{PUBLIC}.1", 84)
        assert not reaches(world.netns("outside"), f"{PUBLIC}.50", 80)
    world.put(world.web)


def test_removing_a_rule_cuts_what_it_had_let_in(world: World) -> None:
    echo = replace(world.web, rules=(*egress(), rule(protocol="tcp", port_range_min=7, port_range_max=7)))
    with world.changed(world.ports["a"], security_groups=(world.web.id,)), running(
            world.netns("a"), "echo", "0.0.0.0", "7"), world.changed(echo), running(
            world.netns("b"), "chat", world.address("a"), "7") as chat:
        assert chat.stdin is not None
        assert chat.stdout is not None

        def say(text: str) -> str:
            chat.stdin.write(text + "\n")
            chat.stdin.flush()
            return chat.stdout.readline().strip()

        assert say("one") == "one"
        world.put(world.web)
        assert say("two") == "cut"


def test_no_group_means_closed_both_ways(world: World) -> None:
    with world.changed(world.ports["b"], security_groups=()), running(
            world.netns("a"), "serve", "0.0.0.0", "85"), running(world.netns("b"), "serve", "0.0.0.0", "85"):
        assert not reaches(world.netns("b"), world.address("a"), 85)
        assert not reaches(world.netns("a"), world.address("b"), 85)
        assert json.loads(python(world.netns("b"), "dhcp", "eth0"))["address"] == world.address("b")


def test_a_rule_with_a_remote_group_means_its_members(world: World) -> None:
    members = FabricSecurityGroup(new_id(), 1, egress())
    world.fabric.put(1, members)
    group = world.put(world.web, rules=(*egress(), rule(protocol="tcp", remote_group_id=members.id)))
    with world.changed(world.ports["a"], security_groups=(group.id,)), running(
            world.netns("a"), "serve", "0.0.0.0", "86"):
        assert not reaches(world.netns("b"), world.address("a"), 86)
        with world.changed(world.ports["b"], security_groups=(members.id,)):
            assert reaches(world.netns("b"), world.address("a"), 86)
            assert not reaches(world.netns("c"), world.address("a"), 86)
        assert not reaches(world.netns("b"), world.address("a"), 86)
    world.put(world.web)


def test_a_rule_with_an_address_group_means_its_addresses(world: World) -> None:
    addresses = FabricAddressGroup(new_id(), 1, (f"{world.address('b')}/32",))
    world.fabric.put(1, addresses)
    group = FabricSecurityGroup(new_id(), 1, (*egress(), rule(protocol="icmp", remote_address_group_id=addresses.id)))
    world.fabric.put(1, group)
    with world.changed(world.ports["a"], security_groups=(group.id,)):
        assert pings(world.netns("b"), world.address("a"))
        assert not pings(world.netns("c"), world.address("a"))
        world.fabric.put(1, replace(addresses, generation=2, addresses=(f"{world.address('c')}/32",)))
        world.real.sync()
        assert pings(world.netns("c"), world.address("a"))
        assert not pings(world.netns("b"), world.address("a"))
    world.fabric.remove(1, group.kind, group.id, 1)
    world.fabric.remove(1, addresses.kind, addresses.id, 2)


def test_a_rule_with_a_prefix_means_that_prefix(world: World) -> None:
    group = world.put(world.web, rules=(*egress(), rule(protocol="tcp", remote_ip_prefix="10.2.0.7/24")))
    with world.changed(world.ports["a"], security_groups=(group.id,)), running(
            world.netns("a"), "serve", "0.0.0.0", "87"):
        assert reaches(world.netns("c"), world.address("a"), 87)
        assert not reaches(world.netns("b"), world.address("a"), 87)
    world.put(world.web)


def arrives(world: World, make: Any, sender: str = "b", receiver: str = "a") -> bool:
    """Whether the frame that *make* makes of a marker, sent by one guest, is seen by the other."""
    marker = secrets.token_bytes(8)
    frame = make(marker)
    looked_for = marker if marker in frame else frame[14:]
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{world.netns(receiver)}", "--", sys.executable, WIRE, "sniff", "eth0"],
        stdout=subprocess.PIPE, bufsize=0)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        python(world.netns(sender), "send", "eth0", frame.hex())
        return _sees(process, looked_for.hex().encode())
    finally:
        process.kill()
        process.communicate()


def _sees(process: subprocess.Popen[bytes], wanted: bytes, seconds: float = 0.7) -> bool:
    assert process.stdout is not None
    deadline, text = time.monotonic() + seconds, b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            text += os.read(process.stdout.fileno(), 65536)
            if wanted in text:
                return True
    return False


def test_a_guest_cannot_pretend_to_be_another(world: World) -> None:
    a, b, wrong = world.ports["a"], world.ports["b"], mac(0xdead)
    a4, b4, b6 = world.address("a"), world.address("b"), b.ips[1][1]
    a6, link = a.ips[1][1], slaac("fe80::/64", b.mac)

    def datagram(source_mac: str, source: str, to: str) -> Any:
        kind = wire.IPV6 if ":" in source else wire.IPV4
        return lambda marker: wire.ethernet(source_mac, a.mac, kind, wire.udp(source, to, 4000, 4000, marker))

    def arp(source_mac: str, claimed_mac: str, claimed: str) -> Any:
        return lambda marker: wire.ethernet(
            source_mac, a.mac, wire.ARP, wire.arp_reply(claimed_mac, claimed, a.mac, a4) + marker)

    def advertise(source: str, target: str, claimed_mac: str) -> Any:
        return lambda _: wire.ethernet(b.mac, a.mac, wire.IPV6,
                                       wire.neighbour_advertisement(source, a6, target, claimed_mac))

    assert arrives(world, datagram(b.mac, b4, a4))
    assert arrives(world, datagram(b.mac, b6, a6))
    assert arrives(world, arp(b.mac, b.mac, b4))
    assert arrives(world, advertise(b6, b6, b.mac))
    for what, make in {
        "MAC": datagram(wrong, b4, a4), "IPv4": datagram(b.mac, "10.1.0.99", a4),
        "IPv4 of the gateway": datagram(b.mac, "10.1.0.1", a4), "IPv6": datagram(b.mac, "fd00:1::99", a6),
        "another's link-local": datagram(b.mac, slaac("fe80::/64", wrong), a6),
        "ARP for the gateway": arp(b.mac, b.mac, "10.1.0.1"), "ARP for another MAC": arp(b.mac, wrong, b4),
        "ND for the gateway": advertise(link, "fd00:1::1", b.mac), "ND with another MAC": advertise(b6, b6, wrong),
        "ND for the victim's neighbour": advertise(b6, "fd00:1::99", b.mac),
    }.items():
        assert not arrives(world, make), f"{what} was spoofed"


def test_a_guest_cannot_serve_dhcp_or_router_advertisements(world: World) -> None:
    a, b = world.ports["a"], world.ports["b"]
    link = slaac("fe80::/64", b.mac)

    def offer(marker: bytes) -> bytes:
        body = wire.dhcp_message(2, a.mac, 1, b"\x0c\x08" + marker, reply=True, yours="10.1.0.200")
        return wire.ethernet(b.mac, a.mac, wire.IPV4, wire.udp(world.address("b"), world.address("a"), 67, 68, body))

    def broadcast_offer(marker: bytes) -> bytes:
        body = wire.dhcp_message(2, a.mac, 1, b"\x0c\x08" + marker, reply=True, yours="10.1.0.200")
        return wire.ethernet(b.mac, "ff:ff:ff:ff:ff:ff", wire.IPV4,
                             wire.udp(world.address("b"), "255.255.255.255", 67, 68, body))

    def advertise6(marker: bytes) -> bytes:
        return wire.ethernet(b.mac, a.mac, wire.IPV6,
                             wire.udp(link, slaac("fe80::/64", a.mac), 547, 546, b"\x07" + marker))

    def router_advertisement(_: bytes) -> bytes:
        return wire.ethernet(b.mac, "33:33:00:00:00:01", wire.IPV6, wire.router_advertisement(link, "fd00:bad::"))

    def redirect(_: bytes) -> bytes:
        body = bytes(4) + bytes(32)
        return wire.ethernet(b.mac, a.mac, wire.IPV6, wire.icmp6(link, slaac("fe80::/64", a.mac), 137, body))

    for make in (offer, broadcast_offer, advertise6, router_advertisement, redirect):
        assert not arrives(world, make), make.__name__
    stateless = world.put(world.web, stateful=False, rules=world.open.rules)
    with world.changed(b, security_groups=(stateless.id,)), world.changed(a, security_groups=(stateless.id,)):
        for make in (offer, broadcast_offer, advertise6, router_advertisement, redirect):
            assert not arrives(world, make), f"{make.__name__}, stateless"
    world.put(world.web)


def test_router_advertisements_stay_blocked_when_the_controller_starts_again(world: World) -> None:
    a, b = world.ports["a"], world.ports["b"]
    link = slaac("fe80::/64", b.mac)

    def router_advertisement(_: bytes) -> bytes:
        return wire.ethernet(b.mac, a.mac, wire.IPV6, wire.router_advertisement(link, "fd00:bad::"))

    def datagram(marker: bytes) -> bytes:
        return wire.ethernet(b.mac, a.mac, wire.IPV6, wire.udp(link, a.ips[1][1], 9, 9, marker))

    for process in ("ovn-controller", "ovs-vswitchd"):
        world.real.stop(process, kill=True)
        world.real.start(process)
        eventually(lambda: arrives(world, datagram), timeout=30)
        assert not arrives(world, router_advertisement), process


def test_a_port_without_an_ipv6_address_sends_no_ipv6(world: World) -> None:
    a, b = world.ports["a"], world.ports["b"]
    link = slaac("fe80::/64", b.mac)
    with world.changed(b, ips=b.ips[:1]):
        for packet in (wire.router_advertisement(link, "fd00:bad::"), wire.udp(link, a.ips[1][1], 9, 9, b"x" * 8)):
            assert not arrives(world, lambda _, packet=packet: wire.ethernet(b.mac, a.mac, wire.IPV6, packet))


def test_without_port_security_a_guest_may_send_as_anybody(world: World) -> None:
    a = world.ports["a"]

    def spoofed(marker: bytes) -> bytes:
        return wire.ethernet(mac(0xbeef), a.mac, wire.IPV4, wire.udp("10.1.0.99", world.address("a"), 9, 9, marker))

    assert not arrives(world, spoofed)
    with world.changed(world.ports["b"], port_security=False, security_groups=()):
        assert arrives(world, spoofed)


def test_allowed_address_pairs_are_allowed(world: World) -> None:
    a, b = world.ports["a"], world.ports["b"]

    def datagram(source_mac: str, source: str) -> Any:
        return lambda marker: wire.ethernet(source_mac, a.mac, wire.IPV4,
                                            wire.udp(source, world.address("a"), 9, 9, marker))

    pairs = ((None, "10.1.0.128/28"), (mac(0x5e00), "10.1.0.200"))
    with world.changed(b, allowed_address_pairs=pairs):
        assert arrives(world, datagram(b.mac, "10.1.0.130"))
        assert arrives(world, datagram(mac(0x5e00), "10.1.0.200"))
        assert not arrives(world, datagram(b.mac, "10.1.0.200"))
        assert not arrives(world, datagram(b.mac, "10.1.0.150"))


def test_metadata_is_reached_at_the_localport(world: World) -> None:
    metadata = world.real.guest(world.one.metadata_port_id or "", world.one.metadata_mac or "")
    ip(metadata.name, "address", "add", "10.1.0.2/24", "dev", "eth0")
    ip(metadata.name, "address", "add", "169.254.169.254/32", "dev", "eth0")
    world.real.sync()
    with running(metadata.name, "serve", "169.254.169.254", "80"):
        assert python(world.netns("a"), "get", "169.254.169.254", "80").strip() == world.address("a")
        with world.changed(world.ports["b"], security_groups=(world.web.id,)):
            assert python(world.netns("b"), "get", "169.254.169.254", "80").strip() == world.address("b")


def test_ipv6_by_router_advertisement(world: World) -> None:
    def addresses(name: str) -> str:
        return ip(world.netns(name), "-6", "address", "show", "dev", "eth0", "scope", "global", "-tentative")

    for name in ("a", "b"):
        eventually(lambda name=name: "fd00:1:" in addresses(name), timeout=20)
    b6 = world.ports["b"].ips[1][1]
    assert pings(world.netns("a"), b6)
    assert pings(world.netns("a"), "fd00:1::1")
    assert pings(world.netns("a"), slaac("fe80::/64", world.ports["b"].mac) + "%eth0")
    with running(world.netns("b"), "serve", "::", "88"):
        assert reaches(world.netns("a"), b6, 88)


def test_names_of_ports_are_answered(world: World) -> None:
    for name in ("guest-a", "guest-a.cloud.test", "GUEST-A.cloud.test"):
        assert python(world.netns("b"), "resolve", "192.0.2.53", name).strip() == world.address("a")


def test_what_is_switched_off_passes_nothing(world: World) -> None:
    assert pings(world.netns("a"), world.address("b"))
    with world.changed(world.ports["b"], admin_state_up=False):
        assert not pings(world.netns("a"), world.address("b"))
    with world.changed(world.one, admin_state_up=False):
        assert not pings(world.netns("a"), world.address("b"))
        assert not pings(world.netns("outside"), f"{PUBLIC}.50")
    with world.changed(world.router, admin_state_up=False):
        assert not pings(world.netns("a"), world.address("c"))
        assert pings(world.netns("a"), world.address("b"))
    assert pings(world.netns("a"), world.address("c"))


def test_nothing_listens_where_guests_are_plugged_in(world: World) -> None:
    listening = run("ss", "-H", "-ltnu", netns=world.real.name).splitlines()
    # Tunnels between machines: the kernel's own port, on which OVS accepts only what its flows name.
    assert [line for line in listening if ":6081" not in line] == []


def test_a_new_port_is_closed_before_anybody_says_so(world: World) -> None:
    """Its first flows already close it: there is no moment in which it is open."""
    one: FabricPort = port(world.one, 40, host=CHASSIS)
    world.fabric.put(1, one)
    guest = world.real.guest(one.id, one.mac)
    ip(guest.name, "address", "add", f"{one.ips[0][1]}/24", "dev", "eth0")
    eventually(lambda: world.fabric.compare(one).up)
    assert not pings(world.netns("a"), one.ips[0][1])
    world.fabric.remove(1, one.kind, one.id, 2)
