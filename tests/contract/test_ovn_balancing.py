"""Load balancers on the real OVN: what a client in a namespace gets from behind the address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stackling.core.ids import new_id
from stackling.deploy.embedded.command import CommandFailed, run
from stackling.deploy.embedded.namespaces import ip
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.ports.fabric import (
    FabricFloatingIP,
    FabricHealthCheck,
    FabricKind,
    FabricListener,
    FabricLoadBalancer,
    FabricMember,
    FabricNetwork,
    FabricObject,
    FabricPort,
    FabricSecurityGroup,
    FabricVip,
)
from tests import wire
from tests.fabric_objects import PUBLIC, egress, external, mac, network, port, router, rule
from tests.ovn import CHASSIS, Guest, RealOvn, eventually

pytestmark = [pytest.mark.root, pytest.mark.slow]
WIRE = str(Path(wire.__file__).resolve())
FIELDS = ("ip_src", "ip_dst", "tp_src", "tp_dst")


class Balanced:
    """Guests a, b and c on the first network, d on the second, a router between them, e on a network without one."""

    def __init__(self, real: RealOvn) -> None:
        self.real = real
        self.fabric = OvnFabric(real.paths.northbound, southbound=f"unix:{real.paths.socket('sb')}")
        self.public, self.one, self.two, self.alone = external(), network(1), network(2), network(3)
        self.open = FabricSecurityGroup(new_id(), 1, (*egress(), rule()))
        self.ports = {name: port(of, last, host=CHASSIS, security_groups=(self.open.id,)) for name, of, last in (
            ("a", self.one, 10), ("b", self.one, 11), ("c", self.one, 12), ("d", self.two, 13),
            ("e", self.alone, 14), ("f", self.alone, 15))}
        self.router = router(self.one, self.two, gateway=self.public, chassis=CHASSIS)
        self._generation = 1
        for one in (self.public, self.one, self.two, self.alone, self.open, *self.ports.values(), self.router):
            self.fabric.put(1, one)
        self.guests: dict[str, Guest] = {name: real.guest(one.id, one.mac) for name, one in self.ports.items()}
        for name, one in self.ports.items():
            ip(self.netns(name), "address", "replace", f"{self.address(name)}/24", "dev", "eth0")
            if one.network_id != self.alone.id:
                ip(self.netns(name), "route", "replace", "default", "via", f"{self.address(name).rpartition('.')[0]}.1")
        for name in self.ports:
            eventually(lambda name=name: self.fabric.compare(self.ports[name]).up)

    def address(self, name: str) -> str:
        return self.ports[name].ips[0][1]

    def netns(self, name: str) -> str:
        return self.guests[name].name if name != "outside" else self.real.outside

    def put(self, of: FabricObject) -> None:
        self._generation += 1
        self.fabric.put(1, replace(of, generation=self._generation))
        self.real.sync()

    @contextmanager
    def there(self, of: FabricObject) -> Iterator[None]:
        """*of* put, and removed afterwards."""
        self.put(of)
        yield
        self._generation += 1
        self.fabric.remove(1, of.kind, of.id, self._generation)
        self.real.sync()

    def member(self, name: str, number: int = 80, source: str | None = None) -> FabricMember:
        return FabricMember(new_id(), self.address(name), number, self.ports[name].id, source)

    def vip(self, of: FabricNetwork, last: int, **more: object) -> FabricVip:
        number = int(of.name.rpartition("-")[2])
        return FabricVip(**({"port_id": new_id(), "network_id": of.id, "mac": mac(number * 256 + last),
                             "cidr": f"10.{number}.0.{last}/24"} | more))

    def balancer(self, vip: FabricVip, *listeners: FabricListener, networks: tuple[FabricNetwork, ...] = (),
                 routers: tuple[str, ...] = ()) -> FabricLoadBalancer:
        return FabricLoadBalancer(new_id(), 1, "web", (vip,), listeners, tuple(one.id for one in networks), routers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with RealOvn(tmp_path_factory.mktemp("ovn"), gateways=(f"{PUBLIC}.1/24",)) as real:
        made = Balanced(real)
        yield made
        made.fabric.close()


@contextmanager
def serving(world: Balanced, name: str, number: int = 80, kind: str = "named") -> Iterator[None]:
    process = subprocess.Popen(["nsenter", f"--net=/run/netns/{world.netns(name)}", "--", sys.executable, WIRE, kind,
                                str(number), name], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def answers(world: Balanced, client: str, address: str, number: int = 80, times: int = 24,
            kind: str = "ask") -> set[str]:
    """Who answers over so many connections; a dash for one that nobody did."""
    return set(run(sys.executable, WIRE, kind, address, str(number), str(times), netns=world.netns(client),
                   timeout=60).split())


def pings(world: Balanced, client: str, address: str) -> bool:
    try:
        run(sys.executable, WIRE, "ping", address, netns=world.netns(client), timeout=10)
    except CommandFailed:
        return False
    return True


def web(world: Balanced, *members: FabricMember, **more: object) -> FabricListener:
    return FabricListener(**({"id": new_id(), "protocol": "tcp", "port": 8080, "members": members,
                              "fields": FIELDS} | more))


def test_connections_reach_all_members_and_nothing_else(world: Balanced) -> None:
    vip = world.vip(world.one, 100)
    balancer = world.balancer(vip, web(world, world.member("a"), world.member("b")), networks=(world.one, world.two))
    with ExitStack() as stack:
        for name in "ab":
            stack.enter_context(serving(world, name))
        with world.there(balancer):
            assert answers(world, "c", vip.address, 8080) == {"a", "b"}
            assert answers(world, "d", vip.address, 8080) == {"a", "b"}         # through the network's router
            assert "a" in answers(world, "a", vip.address, 8080)                # a member that asks gets to itself, too
            assert pings(world, "c", vip.address)
            assert answers(world, "c", vip.address, 8081, 1) == {"-"}
        assert answers(world, "c", vip.address, 8080, 1) == {"-"}
        assert not pings(world, "c", vip.address)


def test_it_works_where_there_is_no_router(world: Balanced) -> None:
    vip = world.vip(world.alone, 100)
    with serving(world, "e"), world.there(world.balancer(vip, web(world, world.member("e")), networks=(world.alone,))):
        assert answers(world, "f", vip.address, 8080) == {"e"}
        assert pings(world, "f", vip.address)


def test_members_in_another_network_are_reached_through_the_networks_router(world: Balanced) -> None:
    vip = world.vip(world.one, 101, routes=(("10.2.0.0/24", "10.1.0.1"),))
    balancer = world.balancer(vip, web(world, world.member("d")), networks=(world.one, world.two))
    with serving(world, "d"), world.there(balancer):
        assert answers(world, "c", vip.address, 8080) == {"d"}


def test_datagrams_are_balanced(world: Balanced) -> None:
    vip = world.vip(world.one, 102)
    listener = web(world, world.member("a", 53), world.member("b", 53), protocol="udp", port=53)
    with serving(world, "a", 53, "named_udp"), serving(world, "b", 53, "named_udp"), world.there(
            world.balancer(vip, listener, networks=(world.one,))):
        assert answers(world, "c", vip.address, 53, kind="ask_udp") == {"a", "b"}


def test_a_client_stays_with_its_member(world: Balanced) -> None:
    vip = world.vip(world.one, 103)
    by_address = web(world, world.member("a"), world.member("b"), fields=("ip_src", "ip_dst"))
    with serving(world, "a"), serving(world, "b"), world.there(
            world.balancer(vip, by_address, networks=(world.one, world.two))):
        assert answers(world, "c", vip.address, 8080) in ({"a"}, {"b"})


def test_a_member_that_dies_leaves_and_one_that_comes_joins(world: Balanced) -> None:
    vip, source = world.vip(world.one, 104), "10.1.0.90"
    check = FabricHealthCheck(interval=1, timeout=1, successes=1, failures=2)
    members = world.member("a", source=source), world.member("b", source=source)
    listener = web(world, *members, check=check)
    balancer = world.balancer(vip, listener, networks=(world.one, world.two))
    told: list[tuple[FabricKind, str]] = []
    world.fabric.watch(told.extend)

    def health() -> dict[str, bool]:
        return dict(world.fabric.compare(balancer).health)

    with serving(world, "a"), world.there(balancer):
        with serving(world, "b"):
            eventually(lambda: health() == {one.id: True for one in members}, timeout=20)
            assert answers(world, "c", vip.address, 8080) == {"a", "b"}
            told.clear()
        eventually(lambda: health() == {members[0].id: True, members[1].id: False}, timeout=20)
        eventually(lambda: (FabricKind.LOAD_BALANCER, balancer.id) in told)
        eventually(lambda: answers(world, "c", vip.address, 8080) == {"a"})
        with serving(world, "b"):
            eventually(lambda: health()[members[1].id], timeout=20)
            eventually(lambda: answers(world, "c", vip.address, 8080) == {"a", "b"})
        with serving(world, "d"):
            joined = replace(listener, members=(*members, world.member("d", source="10.2.0.90")))
            world.put(replace(balancer, listeners=(joined,), vips=(
                replace(vip, routes=(("10.2.0.0/24", "10.1.0.1"),)),)))
            eventually(lambda: answers(world, "c", vip.address, 8080) == {"a", "d"}, timeout=20)


def test_from_outside_by_a_floating_ip(world: Balanced) -> None:
    address = f"{PUBLIC}.60"
    vip = world.vip(world.one, 105, floating=(address,), routes=(("0.0.0.0/0", "10.1.0.1"),))
    balancer = world.balancer(vip, web(world, world.member("a"), world.member("d")), networks=(world.one, world.two),
                              routers=(world.router.id,))
    floating = FabricFloatingIP(new_id(), 1, address, mac(0xff60), world.router.id, vip.port_id, vip.address)
    with serving(world, "a"), serving(world, "d"), world.there(balancer), world.there(floating):
        assert answers(world, "outside", address, 8080) == {"a", "d"}
        assert pings(world, "outside", address)
        assert answers(world, "c", address, 8080) == {"a", "d"}
        assert answers(world, "d", address, 8080) >= {"a"}
        assert answers(world, "c", vip.address, 8080) == {"a", "d"}


def test_from_outside_by_an_address_in_the_external_network(world: Balanced) -> None:
    vip = FabricVip(new_id(), world.public.id, mac(0xff61), f"{PUBLIC}.61/24", inside=False)
    balancer = world.balancer(vip, web(world, world.member("a"), world.member("d")), networks=(world.one, world.two),
                              routers=(world.router.id,))
    with serving(world, "a"), serving(world, "d"), world.there(balancer):
        assert answers(world, "outside", vip.address, 8080) == {"a", "d"}
        assert answers(world, "c", vip.address, 8080) == {"a", "d"}


def test_what_was_a_guests_port_becomes_the_address_and_goes_back(world: Balanced) -> None:
    own: FabricPort = port(world.one, 106)
    world.put(own)
    world._generation += 1
    world.fabric.remove(1, own.kind, own.id, world._generation)
    vip = FabricVip(own.id, world.one.id, own.mac, f"{own.ips[0][1]}/24")
    with serving(world, "a"), world.there(world.balancer(vip, web(world, world.member("a")), networks=(world.one,))):
        assert answers(world, "c", vip.address, 8080, 4) == {"a"}
    world.put(own)
    assert world.fabric.compare(own).generation
    world._generation += 1
    world.fabric.remove(1, own.kind, own.id, world._generation)
