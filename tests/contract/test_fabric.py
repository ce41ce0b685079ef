"""What every network fabric must do, real or simulated."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.drivers.ovn.rows import ANCHOR
from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.ports.fabric import (
    Fabric,
    FabricDown,
    FabricFloatingIP,
    FabricKind,
    FabricObject,
    FabricPort,
    FabricSecurityGroup,
    Missing,
    PortRole,
    Refused,
)
from tests.fabric_objects import Cloud, mac, network, port, router, rule
from tests.ovn import CHASSIS, RealOvn, eventually


class Simulated:
    """The simulated fabric and what a test does to it from outside."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.fabric = SimulatedFabric(directory)

    def again(self) -> Fabric:
        """Another process's view of the same fabric."""
        return SimulatedFabric(self._directory)

    def damage(self, of: FabricObject) -> None:
        self.fabric.damage(of.kind, of.id)

    def lose(self, of: FabricObject) -> None:
        self.fabric.lose(of.kind, of.id)

    def plug(self, of: FabricPort, plugged: bool) -> None:
        self.fabric.set_up(of.id, plugged)

    def close(self) -> None:
        self.fabric.close()


class Ovn:
    """The OVN driver on a real OVN, and what a test does to that behind its back."""

    def __init__(self, real: RealOvn) -> None:
        self.real = real
        self.fabric = OvnFabric(real.paths.northbound, timeout=5)
        self._guests: dict[str, Any] = {}

    def again(self) -> Fabric:
        return OvnFabric(self.real.paths.northbound, timeout=5)

    def damage(self, of: FabricObject) -> None:
        if of.kind is FabricKind.FLOATING_IP:
            self.real.nbctl("set", "NAT", of.id, "logical_ip=10.99.99.99")
        elif of.kind is FabricKind.PORT:
            self.real.nbctl("set", "Logical_Switch_Port", of.id, "port_security=[]")
        elif of.kind is FabricKind.SECURITY_GROUP:
            self.real.nbctl("clear", "Port_Group", of.id, "acls")
        else:
            self.real.nbctl("set", ANCHOR[of.kind], of.id, "name=altered")

    def lose(self, of: FabricObject) -> None:
        if of.kind is FabricKind.PORT:
            self.real.nbctl("lsp-del", of.id)
        elif isinstance(of, FabricFloatingIP):
            self.real.nbctl("remove", "Logical_Router", f"stackling-{of.router_id}", "nat", of.id)
        else:
            self.real.nbctl("destroy", ANCHOR[of.kind], of.id)

    def plug(self, of: FabricPort, plugged: bool) -> None:
        if plugged:
            self._guests[of.id] = self.real.guest(of.id, of.mac)
        else:
            self._guests[of.id].close()
            self.real.guests.remove(self._guests.pop(of.id))

    def close(self) -> None:
        for kind in (FabricKind.LOAD_BALANCER, FabricKind.PORT_FORWARDING, FabricKind.FLOATING_IP, FabricKind.ROUTER,
                     FabricKind.PORT, FabricKind.SECURITY_GROUP, FabricKind.ADDRESS_GROUP, FabricKind.NETWORK):
            for id, generation in self.fabric.inventory(kind).items():
                self.fabric.remove(1000, kind, id, generation)
        self.fabric.close()


Backend = Simulated | Ovn


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOvn]:
    with RealOvn(tmp_path_factory.mktemp("ovn")) as started:
        yield started


@pytest.fixture(params=["simulated", pytest.param("ovn", marks=pytest.mark.root)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend = Simulated(tmp_path) if request.param == "simulated" else Ovn(request.getfixturevalue("real"))
    yield made
    made.close()


@pytest.fixture
def cloud(backend: Backend) -> Cloud:
    """A small cloud, put."""
    made = Cloud()
    for one in made.objects():
        backend.fabric.put(1, one)
    return made


def newer(one: Any, **changes: Any) -> Any:
    return replace(one, generation=one.generation + 1, **changes)


def test_what_was_put_is_found_equal(backend: Backend, cloud: Cloud) -> None:
    for one in cloud.objects():
        found = backend.fabric.compare(one)
        assert (found.generation, found.drift) == (1, ()), one.kind
        assert backend.fabric.find(one.kind, one.id).generation == 1


def test_nothing_is_there_before_it_is_put(backend: Backend) -> None:
    for one in Cloud().objects():
        assert backend.fabric.compare(one).generation is None
        assert backend.fabric.find(one.kind, one.id).generation is None


def test_another_process_sees_the_same(backend: Backend, cloud: Cloud) -> None:
    other = backend.again()
    for one in cloud.objects():
        found = other.compare(one)
        assert (found.generation, found.drift) == (1, ())
    other.close()


def test_a_change_is_drift_until_it_is_put(backend: Backend, cloud: Cloud) -> None:
    changes = [
        newer(cloud.one, mtu=1400),
        newer(cloud.two, vlan_transparent=True),
        newer(cloud.public, more_segments=(("elsewhere", 7), ("nowhere", None))),
        newer(cloud.group, rules=(rule(protocol="icmp"),)),
        newer(cloud.port, security_groups=()),
        newer(cloud.router, routes=(("192.0.2.0/24", "10.1.0.99"),)),
        newer(cloud.floating, fixed_ip="10.1.0.11"),
    ]
    for changed in changes:
        before = backend.fabric.compare(changed)
        assert before.generation == 1
        assert before.drift, changed.kind
        backend.fabric.put(1, changed)
        after = backend.fabric.compare(changed)
        assert (after.generation, after.drift) == (2, ()), changed.kind


def test_what_somebody_else_alters_is_found_and_repaired(backend: Backend, cloud: Cloud) -> None:
    for one in cloud.objects():
        backend.damage(one)
        eventually(lambda one=one: backend.fabric.compare(one).drift)
        backend.fabric.put(1, one)
        assert backend.fabric.compare(one).drift == (), one.kind


def test_what_somebody_else_deletes_is_put_again(backend: Backend, cloud: Cloud) -> None:
    for one in (cloud.floating, cloud.forwarding, cloud.port, cloud.router, cloud.group):
        backend.lose(one)
        eventually(lambda one=one: (found := backend.fabric.compare(one)).generation is None or found.drift)
        backend.fabric.put(1, one)
        assert backend.fabric.compare(one).drift == (), one.kind
        for other in cloud.objects():
            backend.fabric.put(1, other)


def test_putting_twice_changes_nothing(backend: Backend, cloud: Cloud) -> None:
    for one in cloud.objects():
        backend.fabric.put(1, one)
        assert backend.fabric.compare(one).drift == ()


def test_removing_leaves_nothing_and_may_be_repeated(backend: Backend, cloud: Cloud) -> None:
    for one in reversed(cloud.objects()):
        for _ in range(2):
            backend.fabric.remove(1, one.kind, one.id, 2)
        assert backend.fabric.find(one.kind, one.id).generation is None
        assert one.id not in backend.fabric.inventory(one.kind)


def test_removing_what_never_was_is_no_error(backend: Backend) -> None:
    for kind in FabricKind:
        backend.fabric.remove(1, kind, new_id(), 1)


def test_an_older_generation_is_refused(backend: Backend, cloud: Cloud) -> None:
    for one in cloud.objects():
        backend.fabric.put(1, newer(one))
        with pytest.raises(Refused):
            backend.fabric.put(1, one)
        with pytest.raises(Refused):
            backend.fabric.remove(1, one.kind, one.id, 1)
        assert backend.fabric.find(one.kind, one.id).generation == 2


def test_an_older_era_is_refused_and_a_newer_one_wins(backend: Backend, cloud: Cloud) -> None:
    backend.fabric.put(1, replace(cloud.group, generation=9))
    backend.fabric.put(2, replace(cloud.group, generation=3))
    assert backend.fabric.find(cloud.group.kind, cloud.group.id).generation == 3
    with pytest.raises(Refused):
        backend.fabric.put(1, replace(cloud.group, generation=10))


def test_what_was_removed_does_not_come_back(backend: Backend, cloud: Cloud) -> None:
    backend.fabric.remove(1, cloud.floating.kind, cloud.floating.id, 3)
    with pytest.raises(Refused):
        backend.fabric.put(1, newer(cloud.floating))
    assert backend.fabric.find(cloud.floating.kind, cloud.floating.id).generation is None
    backend.fabric.put(1, replace(cloud.floating, generation=4))
    assert backend.fabric.compare(replace(cloud.floating, generation=4)).drift == ()


def test_what_is_missing_is_named(backend: Backend) -> None:
    cloud = Cloud()
    with pytest.raises(Missing) as missing:
        backend.fabric.put(1, cloud.port)
    assert (missing.value.kind, missing.value.id) == (FabricKind.NETWORK, cloud.one.id)
    backend.fabric.put(1, cloud.one)
    with pytest.raises(Missing) as missing:
        backend.fabric.put(1, cloud.port)
    assert (missing.value.kind, missing.value.id) == (FabricKind.SECURITY_GROUP, cloud.group.id)
    with pytest.raises(Missing) as missing:
        backend.fabric.put(1, cloud.floating)
    assert missing.value.kind in (FabricKind.ROUTER, FabricKind.PORT)


def test_the_inventory_has_every_id_and_its_generation(backend: Backend, cloud: Cloud) -> None:
    backend.fabric.put(1, newer(cloud.port))
    assert backend.fabric.inventory(FabricKind.PORT) == {cloud.port.id: 2}
    assert backend.fabric.inventory(FabricKind.NETWORK) == {cloud.public.id: 1, cloud.one.id: 1, cloud.two.id: 1}
    assert backend.fabric.inventory(FabricKind.ROUTER) == {cloud.router.id: 1}
    assert backend.fabric.inventory(FabricKind.FLOATING_IP) == {cloud.floating.id: 1}
    assert backend.fabric.inventory(FabricKind.SECURITY_GROUP) == {cloud.group.id: 1}


def test_ports_that_belong_to_others_are_nothing_of_their_own(backend: Backend, cloud: Cloud) -> None:
    for role in (PortRole.METADATA, PortRole.ROUTER, PortRole.FLOATING):
        one = port(cloud.one, last=77, role=role)
        backend.fabric.put(1, one)
        assert backend.fabric.compare(one).generation == one.generation
        assert one.id not in backend.fabric.inventory(FabricKind.PORT)
    leg = cloud.router.interfaces[0].port_id
    backend.fabric.remove(1, FabricKind.PORT, leg, 5)
    assert backend.fabric.compare(cloud.router).drift == ()


@pytest.mark.parametrize("router_first", [True, False])
def test_a_port_becomes_a_router_s_leg(backend: Backend, cloud: Cloud, router_first: bool) -> None:
    net = network(6)
    leg = router(net)
    one = port(net, last=1, id=leg.interfaces[0].port_id, security_groups=(cloud.group.id,), dns_name="was-a-guest")
    for part in (net, one):
        backend.fabric.put(1, part)
    if router_first:
        backend.fabric.put(1, leg)
        backend.fabric.remove(1, one.kind, one.id, 2)
    else:
        backend.fabric.remove(1, one.kind, one.id, 2)
        backend.fabric.put(1, leg)
    assert backend.fabric.compare(leg).drift == ()
    assert backend.fabric.find(one.kind, one.id).generation is None
    assert one.id not in backend.fabric.inventory(FabricKind.PORT)
    with pytest.raises(Refused):
        backend.fabric.put(1, one)


def test_a_port_without_a_host_is_neither_up_nor_down(backend: Backend, cloud: Cloud) -> None:
    assert backend.fabric.compare(cloud.port).up is None


def test_a_port_comes_up_and_goes_down_and_watchers_hear_of_it(backend: Backend, cloud: Cloud) -> None:
    bound = newer(cloud.port, host=CHASSIS)
    backend.fabric.put(1, bound)
    heard: list[tuple[FabricKind, str]] = []
    told = threading.Event()

    def changed(keys: Sequence[tuple[FabricKind, str]]) -> None:
        heard.extend(keys)
        told.set()

    backend.fabric.watch(changed)
    backend.plug(bound, True)
    assert told.wait(10)
    eventually(lambda: backend.fabric.compare(bound).up is True)
    told.clear()
    backend.plug(bound, False)
    assert told.wait(10)
    eventually(lambda: backend.fabric.compare(bound).up is False)
    assert (FabricKind.PORT, bound.id) in heard


def test_many_at_once(backend: Backend) -> None:
    net, group = network(3), FabricSecurityGroup(new_id(), 1, (rule(protocol="icmp"),))
    backend.fabric.put(1, net)
    backend.fabric.put(1, group)
    ports = [port(net, last=10 + at, security_groups=(group.id,), mac=mac(0xa000 + at)) for at in range(60)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda one: backend.fabric.put(1, one), ports))
        founds = list(pool.map(backend.fabric.compare, ports))
    assert all(found.generation == 1 and found.drift == () for found in founds)
    assert len(backend.fabric.inventory(FabricKind.PORT)) == 60
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda one: backend.fabric.remove(1, one.kind, one.id, 2), ports))
    assert backend.fabric.inventory(FabricKind.PORT) == {}
    assert backend.fabric.compare(net).drift == ()


def test_one_that_cannot_be_put_does_not_hold_up_the_others(backend: Backend) -> None:
    net = network(4)
    backend.fabric.put(1, net)
    good = [port(net, last=10 + at, mac=mac(0xb000 + at)) for at in range(10)]
    bad = [port(net, last=30 + at, mac=mac(0xb100 + at), network_id=new_id()) for at in range(3)]

    def put(one: FabricPort) -> type[Exception] | None:
        try:
            backend.fabric.put(1, one)
        except Missing as missing:
            return type(missing)
        return None

    with ThreadPoolExecutor(13) as pool:
        results = list(pool.map(put, [*good, *bad]))
    assert results == [None] * 10 + [Missing] * 3
    assert set(backend.fabric.inventory(FabricKind.PORT)) == {one.id for one in good}


def test_a_port_moves_between_groups_and_a_floating_ip_between_routers(backend: Backend, cloud: Cloud) -> None:
    other = FabricSecurityGroup(new_id(), 1, ())
    second = router(cloud.two, gateway=cloud.public, address=3)
    backend.fabric.put(1, newer(cloud.router, interfaces=cloud.router.interfaces[:1]))
    for one in (other, second):
        backend.fabric.put(1, one)
    moved = [newer(cloud.port, security_groups=(other.id,)), newer(cloud.floating, router_id=second.id)]
    for one in moved:
        assert backend.fabric.compare(one).drift
        backend.fabric.put(1, one)
        assert backend.fabric.compare(one).drift == ()
    assert backend.fabric.compare(second).drift == ()


def test_down_says_so_in_time(tmp_path: Path) -> None:
    fabric = OvnFabric(f"unix:{tmp_path}/nobody", timeout=0.5)
    for call in (lambda: fabric.find(FabricKind.PORT, new_id()), lambda: fabric.put(1, network()),
                 lambda: fabric.remove(1, FabricKind.PORT, new_id(), 1), lambda: fabric.inventory(FabricKind.PORT)):
        with pytest.raises(FabricDown, match="nobody"):
            call()
    fabric.close()
