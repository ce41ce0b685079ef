"""OVN of three machines, for real: its databases lose members and come back, agents stay within their role."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from stackling.core.ids import new_id
from stackling.deploy.cluster import ovn
from stackling.deploy.cluster.ovn.configuration import CENTRE_UNITS, SETTINGS, SWITCH_UNITS
from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.ovn import INTEGRATION, plug
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.ports.fabric import FabricDown, FabricFloatingIP, FabricNetwork, FabricPort, Found
from tests.cluster.bench import Bench, eventually, machines
from tests.fabric_objects import PUBLIC, external, mac, network, port, router

pytestmark = [pytest.mark.root, pytest.mark.crash]


class Centre:
    """The databases and northd of a bench's machines, and a driver in the switch's place."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        for name in bench.names:
            bench.put(ovn.files(bench.cluster, name, bench.paths(name)))
        for token in self.at("m1").tokens:
            token.touch()

    def at(self, name: str) -> ovn.Layout:
        return ovn.Layout(self.bench.paths(name))

    def start(self, *names: str) -> None:
        for name in names or self.bench.names:
            for unit in (*CENTRE_UNITS, SETTINGS):
                self.bench.start_unit(unit, name)

    def kill(self, *names: str) -> None:
        for name in names or self.bench.names:
            for unit in (*CENTRE_UNITS, SETTINGS):
                self.bench.kill(self.bench.key(unit, name))

    def leader(self, database: str = "nb") -> str:
        """The machine that leads; waits until there is one."""
        found: list[str] = []

        def look() -> bool:
            for name in self.bench.names:
                if self.bench.key(f"stackling-ovn-{database}.service", name) in self.bench.processes:
                    status = subprocess.run(
                        ["ovs-appctl", "-t", str(self.at(name).centre.run / f"ovn-{database}.ctl"), "cluster/status",
                         ovn.layout.SCHEMAS[database]], capture_output=True, text=True, check=False, timeout=10).stdout
                    if "Role: leader" in status:
                        found.append(name)
                        return True
            return False

        eventually(look, 60)
        return found[-1]

    @contextmanager
    def fabric(self, machine: str) -> Iterator[OvnFabric]:
        """The driver, as the control plane of *machine* has it. It must be on the bench's network: entered by a thread
        would not do for the library, so this very process enters the namespace for the time being."""
        import ctypes
        import os

        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.bench.netns(machine)}", os.O_RDONLY)
        identity = self.at(machine).identity
        assert libc.setns(there, 0) == 0
        fabric = OvnFabric(ovn.northbound(self.bench.cluster), 10, (identity, identity, identity))
        try:
            yield fabric
        finally:
            fabric.close()
            assert libc.setns(before, 0) == 0
            os.close(before)
            os.close(there)


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with machines(3) as bench:
        made = Centre(bench)
        made.start()
        try:
            yield made
        finally:
            for name in bench.names:
                for unit in CENTRE_UNITS:
                    print(f"--- {unit} of {name}\n{bench.log(bench.key(unit, name), name)[-1500:]}")


def test_the_leader_dies_and_the_driver_goes_on(centre: Centre) -> None:
    leader = centre.leader()
    other = next(name for name in centre.bench.names if name != leader)
    before, after = network(1), network(2)
    with centre.fabric(other) as fabric:
        fabric.put(1, before)
        centre.bench.cut(leader)
        centre.kill(leader)
        started = time.monotonic()
        eventually(lambda: _written(fabric, after), 60)
        print(f"written {time.monotonic() - started:.1f} s after the loss of the leader")
        assert fabric.compare(before) == Found(1)
    centre.bench.heal(leader)
    centre.start(leader)
    with centre.fabric(leader) as fabric:
        assert fabric.compare(after) == Found(1)


def test_all_dead_and_two_are_enough(centre: Centre) -> None:
    before, after = network(3), network(4)
    with centre.fabric("m2") as fabric:
        fabric.put(1, before)
    centre.kill()
    centre.start("m2", "m3")
    with centre.fabric("m3") as fabric:
        eventually(lambda: _written(fabric, after), 60)
        assert fabric.compare(before) == Found(1)
    centre.start("m1")
    with centre.fabric("m1") as fabric:
        assert fabric.compare(after) == Found(1)


def _written(fabric: OvnFabric, desired: FabricNetwork) -> bool:
    try:
        fabric.put(1, desired)
    except FabricDown:
        return False
    return True


def test_an_agent_stays_within_its_role(centre: Centre) -> None:
    bench, pki = centre.bench, centre.bench.paths("m2").pki
    tls = [f"--{what}={pki / file}" for what, file in (
        ("private-key", "machine.key"), ("certificate", "machine.crt"), ("ca-cert", "ca.crt"))]
    southbound = ["ovn-sbctl", *tls, f"--db={ovn.southbound(bench.cluster)}", "--timeout=20"]
    eventually(lambda: _runs(bench, *southbound, "show"), 60)
    chassis = ["--", "--id=@e", "create", "Encap", "type=geneve", 'ip="10.79.1.2"', "chassis_name=m2", "--", "create",
               "Chassis", "name=m2", "encaps=@e"]
    assert _runs(bench, *southbound, *chassis)
    for forbidden in (["create", "Chassis", "name=m1"], ["--all", "destroy", "Logical_Flow"],
                      ["set", "SB_Global", ".", "options:northd_internal_version=0"]):
        assert not _runs(bench, *southbound, *forbidden)
    assert not _runs(bench, "ovn-nbctl", *tls, f"--db={ovn.northbound(bench.cluster)}", "--timeout=5", "show")


def _runs(bench: Bench, *argv: str) -> bool:
    try:
        bench.run("m2", *argv)
    except AssertionError:
        return False
    return True


# -- servers of several machines

class Guest:
    """A network namespace as a server's stand-in, plugged into *machine*'s switch."""

    def __init__(self, centre: Centre, machine: str, port: FabricPort, gateway: str) -> None:
        self.centre, self.machine, self.port = centre, machine, port
        self.name, self.tap = f"{centre.bench.netns(machine)}-{port.id[:4]}", f"tap{port.id[:8]}"
        switch, netns = centre.at(machine).switch, centre.bench.netns(machine)
        namespaces.make(self.name)
        namespaces.ip(netns, "link", "add", self.tap, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        namespaces.checksums_in_software(self.name, "eth0")
        namespaces.ip(self.name, "link", "set", "eth0", "address", port.mac, "mtu", "1442", "up")
        namespaces.ip(self.name, "addr", "add", f"{port.ips[0][1]}/24", "dev", "eth0")
        namespaces.ip(self.name, "route", "add", "default", "via", gateway)
        namespaces.ip(netns, "link", "set", self.tap, "up")
        plug(switch, INTEGRATION, self.tap, port.id)

    def reaches(self, address: str) -> bool:
        return _ping(self.name, address)

    def close(self) -> None:
        namespaces.delete(self.name)


def _ping(netns: str, address: str) -> bool:
    return subprocess.run(["ip", "netns", "exec", netns, "ping", "-nqc1", "-W1", address], capture_output=True,
                          timeout=10, check=False).returncode == 0


@pytest.fixture(scope="module")
def switches(centre: Centre) -> Iterator[Centre]:
    """Every machine's switch, and a neighbour on the external network."""
    bench = centre.bench
    for name in bench.names:
        for unit in SWITCH_UNITS:
            bench.start_unit(unit, name)
    outside = bench.netns("outside")
    namespaces.make(outside)
    namespaces.ip(bench.switch, "link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", outside)
    namespaces.ip(bench.switch, "link", "set", "outside", "master", "bridge2", "up")
    namespaces.checksums_in_software(outside, "eth0")
    namespaces.ip(outside, "addr", "add", f"{PUBLIC}.1/24", "dev", "eth0")
    namespaces.ip(outside, "link", "set", "eth0", "up")
    yield centre
    for name in bench.names:
        for unit in SWITCH_UNITS:
            print(f"--- {unit} of {name}\n{bench.log(bench.key(unit, name), name)[-2500:]}")
    namespaces.delete(outside)


def test_servers_of_two_machines_meet_and_a_gateway_fails_over(switches: Centre) -> None:
    bench, net, public = switches.bench, network(9), external()
    gateways = tuple(bench.names)
    one = port(net, 11, host="m1", port_security=False)
    two = port(net, 12, host="m3", port_security=False)
    way_out = router(net, gateway=public)
    assert way_out.gateway is not None
    way_out = replace(way_out, gateway=replace(way_out.gateway, chassis=gateways))
    floating = FabricFloatingIP(new_id(), 1, f"{PUBLIC}.50", mac(0xee32), way_out.id, two.id, two.ips[0][1])
    with switches.fabric("m1") as fabric:
        eventually(lambda: _written(fabric, net), 60)
        for one_object in (public, way_out, one, two, floating):
            fabric.put(1, one_object)
    guests = [Guest(switches, "m1", one, "10.9.0.1"), Guest(switches, "m3", two, "10.9.0.1")]
    outside = bench.netns("outside")
    try:
        eventually(lambda: guests[0].reaches(two.ips[0][1]), 60)        # through the tunnel
        eventually(lambda: _ping(outside, floating.address), 60)
        switch = bench.key("stackling-ovs-switch.service", "m1")        # the preferred gateway loses its power
        bench.cut("m1")
        for unit in ("stackling-ovn-controller.service", "stackling-ovs-switch.service"):
            bench.kill(bench.key(unit, "m1"))
        started = time.monotonic()
        eventually(lambda: _ping(outside, floating.address), 60, 0.0)
        print(f"the floating IP answers {time.monotonic() - started:.1f} s after the loss of its gateway")
        assert switch not in bench.processes
    finally:
        for guest in guests:
            guest.close()
