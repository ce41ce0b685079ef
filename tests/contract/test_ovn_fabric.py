"""What the OVN driver must do besides the contract: single rows, paused writers, a database that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stackling.core.ids import new_id
from stackling.drivers.ovn import fabric as driver
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.drivers.simulated.fabric import TYPES
from stackling.ports.fabric import (
    FabricAddressGroup,
    FabricDown,
    FabricKind,
    FabricLimit,
    FabricObject,
    FabricPort,
    FabricPortForwarding,
    FabricSecurityGroup,
    Missing,
)
from tests.fabric_objects import Cloud, mac, network, port, rule
from tests.ovn import RealOvn, eventually

pytestmark = pytest.mark.root

# A writer that stops itself after it has worked out its change and before it sends it.
ZOMBIE = """
import os, signal, sys
import msgspec
from ovs.db import idl
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.drivers.simulated.fabric import TYPES
from stackling.ports.fabric import FabricKind, Refused

send, stopped = idl.Transaction.commit, []
def commit(self):
    if not stopped:
        stopped.append(True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return send(self)
idl.Transaction.commit = commit

remote, call, kind, body = sys.argv[1:]
desired = msgspec.json.decode(body, type=TYPES[FabricKind(kind)])
fabric = OvnFabric(remote)
try:
    if call == "put":
        fabric.put(1, desired)
    else:
        fabric.remove(1, desired.kind, desired.id, desired.generation)
except Refused:
    print("refused")
else:
    print("done")
fabric.close()
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOvn]:
    with RealOvn(tmp_path_factory.mktemp("ovn"), switch=False) as started:
        yield started


@pytest.fixture
def fabric(real: RealOvn) -> Iterator[OvnFabric]:
    made = OvnFabric(real.paths.northbound, timeout=5)
    yield made
    made.close()


@pytest.fixture
def cloud(fabric: OvnFabric) -> Iterator[Cloud]:
    made = Cloud()
    for one in made.objects():
        fabric.put(1, one)
    yield made
    for one in reversed(made.objects()):
        fabric.remove(1000, one.kind, one.id, 1)


class Zombie:
    """The writer above, stopped."""

    def __init__(self, real: RealOvn, call: str, desired: FabricObject) -> None:
        assert type(desired) is TYPES[desired.kind]
        argv = [real.paths.northbound, call, desired.kind, msgspec.json.encode(desired).decode()]
        self._process = subprocess.Popen([sys.executable, "-c", ZOMBIE, *argv], stdout=subprocess.PIPE, text=True)
        eventually(lambda: "\nState:\tT" in Path(f"/proc/{self._process.pid}/status").read_text())

    def wake(self) -> str:
        os.kill(self._process.pid, signal.SIGCONT)
        out, _ = self._process.communicate(timeout=20)
        return out.strip()


def test_a_paused_writer_cannot_undo_what_is_newer(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    zombie = Zombie(real, "put", replace(cloud.group, generation=2))
    fabric.put(1, replace(cloud.group, generation=3, rules=()))
    assert zombie.wake() == "refused"
    assert fabric.compare(replace(cloud.group, generation=3, rules=())).drift == ()


def test_a_paused_writer_cannot_bring_back_what_was_removed(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    fabric.remove(1, cloud.floating.kind, cloud.floating.id, 1)
    zombie = Zombie(real, "put", replace(cloud.floating, generation=2))
    fabric.remove(1, cloud.floating.kind, cloud.floating.id, 3)
    assert zombie.wake() == "refused"
    assert fabric.find(cloud.floating.kind, cloud.floating.id).generation is None


def test_a_paused_first_writer_cannot_create_what_came_and_went(real: RealOvn, fabric: OvnFabric) -> None:
    net = network(7)
    zombie = Zombie(real, "put", net)
    fabric.put(1, replace(net, generation=2))
    fabric.remove(1, net.kind, net.id, 3)
    assert zombie.wake() == "refused"
    assert fabric.find(net.kind, net.id).generation is None


def test_a_paused_remover_cannot_remove_what_is_newer(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    zombie = Zombie(real, "remove", replace(cloud.floating, generation=2))
    fabric.put(1, replace(cloud.floating, generation=3))
    assert zombie.wake() == "refused"
    assert fabric.compare(replace(cloud.floating, generation=3)).drift == ()


def test_a_paused_writer_that_is_still_right_finishes(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    zombie = Zombie(real, "put", replace(cloud.group, generation=3, rules=()))
    fabric.put(1, replace(cloud.group, generation=2))
    assert zombie.wake() == "done"
    eventually(lambda: fabric.compare(replace(cloud.group, generation=3, rules=())).drift == ())


def _alter(real: RealOvn, table: str, column: str, value: str, where: str) -> None:
    uuid = real.nbctl("--bare", "--columns=_uuid", "find", table, where).split()[0]
    real.nbctl("set", table, uuid, f"{column}={value}")


def test_every_altered_or_deleted_row_is_found(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    def find(table: str, of: FabricObject) -> str:
        return real.nbctl("--bare", "--columns=_uuid", "find", table,
                          f'external_ids:"stackling:id"="{of.id}"').split()[0]

    def check(of: FabricObject, what: str) -> None:
        eventually(lambda: fabric.compare(of).drift)
        fabric.put(1, of)
        assert fabric.compare(of).drift == (), what

    real.nbctl("set", "ACL", find("ACL", cloud.group), "action=drop")
    check(cloud.group, "altered ACL")
    real.nbctl("remove", "Port_Group", cloud.group.id, "acls", find("ACL", cloud.group))
    check(cloud.group, "deleted ACL")
    real.nbctl("acl-add", "pg_" + cloud.group.id.replace("-", "_"), "to-lport", "2000", "1", "allow")
    check(cloud.group, "foreign ACL")
    real.nbctl("set", "NAT", find("NAT", cloud.router), "external_ip=198.51.100.9")
    check(cloud.router, "altered source NAT")
    real.nbctl("remove", "Logical_Router", cloud.router.id, "nat", find("NAT", cloud.router))
    check(cloud.router, "deleted source NAT")
    real.nbctl("lr-route-del", cloud.router.id)
    check(cloud.router, "deleted route")
    real.nbctl("destroy", "DHCP_Options", cloud.one.subnets[0].id)
    check(cloud.one, "deleted DHCP options")
    fabric.put(1, cloud.port)
    real.nbctl("set", "DHCP_Options", cloud.one.subnets[0].id, "options:router=10.1.0.66")
    check(cloud.one, "altered DHCP options")
    real.nbctl("clear", "Logical_Switch_Port", cloud.port.id, "dhcpv4_options")
    check(cloud.port, "DHCP taken from a port")
    real.nbctl("remove", "Port_Group", "stackling_drop", "ports", cloud.port.id)
    check(cloud.port, "port taken out of the closing group")
    _alter(real, "ACL", "action", "allow", "priority=1010")
    check(cloud.port, "altered closing rule")


def test_what_the_server_refuses_for_one_goes_through_for_the_others(real: RealOvn, fabric: OvnFabric,
                                                                     cloud: Cloud) -> None:
    ports = [port(cloud.two, last=20 + at, mac=mac(0xc000 + at)) for at in range(8)]
    real.nbctl("ls-add", "foreign", "--", "lsp-add", "foreign", ports[3].id)

    def put(one: FabricPort) -> str:
        try:
            fabric.put(1, one)
        except FabricDown as down:
            return str(down)
        return ""

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(put, ports))
    assert "constraint violation" in results.pop(3)
    assert not any(results)
    real.nbctl("ls-del", "foreign")
    assert put(ports[3]) == ""
    for one in ports:
        assert fabric.compare(one).drift == ()
        fabric.remove(1, one.kind, one.id, 2)


def test_all_rows_carry_what_they_are_for(real: RealOvn, cloud: Cloud) -> None:
    for table in ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "NAT", "ACL",
                  "Port_Group", "DHCP_Options", "Logical_Router_Static_Route", "Gateway_Chassis"):
        rows = [row for row in real.nbctl("--bare", "--columns=external_ids", "list", table).splitlines() if row]
        assert rows
        for row in rows:
            for mark in ("stackling:kind=", "stackling:id=", "stackling:generation=", "stackling:era="):
                assert mark in row, table


def test_a_restarted_database_is_found_again(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    real.stop("ovn-nb", kill=True)
    started = time.monotonic()
    with pytest.raises(FabricDown, match=r"nb\.sock"):
        fabric.put(1, replace(cloud.group, generation=2))
    assert time.monotonic() - started < 12
    real.start("ovn-nb")
    fabric.put(1, replace(cloud.group, generation=2))
    assert fabric.compare(replace(cloud.group, generation=2)).drift == ()
    assert fabric.compare(cloud.one).drift == ()


def test_a_database_that_comes_back_empty_is_told_of_at_once(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    """Its file is deleted and its process started again; everything that was in it is named, nothing twice."""
    heard: list[tuple[FabricKind, str]] = []
    batches: list[int] = []

    def changed(keys: Sequence[tuple[FabricKind, str]]) -> None:
        batches.append(len(keys))
        heard.extend(keys)

    fabric.watch(changed)
    heard.clear()
    real.stop("ovn-nb", kill=True)
    real.paths.database("nb").unlink()
    real.start("ovn-nb")
    wanted = {(one.kind, one.id) for one in cloud.objects()}
    eventually(lambda: wanted <= set(heard), timeout=5)
    assert len(batches) < len(wanted), "told together"
    for one in cloud.objects():
        assert fabric.compare(one).generation is None
        fabric.put(1, one)
    for one in cloud.objects():
        assert fabric.compare(one).drift == ()


def test_a_database_that_hangs_is_down_in_time(real: RealOvn, cloud: Cloud) -> None:
    quick = OvnFabric(real.paths.northbound, timeout=1)
    quick.compare(cloud.group)
    pid = real.processes["ovn-nb"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        for call in (lambda: quick.put(1, replace(cloud.group, generation=5)),
                     lambda: OvnFabric(real.paths.northbound, timeout=1).compare(cloud.one)):
            started = time.monotonic()
            with pytest.raises(FabricDown):
                call()
            assert time.monotonic() - started < 4
    finally:
        os.kill(pid, signal.SIGCONT)
    quick.put(1, replace(cloud.group, generation=6))
    assert quick.compare(replace(cloud.group, generation=6)).drift == ()
    quick.close()


def test_fences_of_the_removed_are_dropped_after_an_hour(real: RealOvn, fabric: OvnFabric,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(8)
    fabric.put(1, net)
    fabric.remove(1, net.kind, net.id, 2)
    fabric.inventory(FabricKind.NETWORK)
    assert f"stackling-removed-network-{net.id}" in real.nbctl("--bare", "--columns=name", "list", "Copp")
    later = time.time() + 4000
    monkeypatch.setattr(driver.clock, "wall", lambda: later)
    fabric.inventory(FabricKind.NETWORK)
    assert not real.nbctl("--bare", "--columns=name", "list", "Copp").strip()


def test_own_changes_wake_nobody_and_others_do(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    heard: list[tuple[FabricKind, str]] = []
    told = threading.Event()

    def changed(keys: Sequence[tuple[FabricKind, str]]) -> None:
        heard.extend(keys)
        told.set()

    fabric.watch(changed)
    fabric.put(1, replace(cloud.group, generation=2, rules=()))
    fabric.put(1, replace(cloud.port, generation=2, security_groups=()))
    real.nbctl("clear", "Port_Group", cloud.group.id, "acls")
    real.nbctl("set", "Logical_Switch", cloud.one.id, "name=other")
    assert told.wait(5)
    eventually(lambda: (FabricKind.NETWORK, cloud.one.id) in heard)
    assert (FabricKind.SECURITY_GROUP, cloud.group.id) not in heard


def test_an_address_group_is_two_address_sets(real: RealOvn, fabric: OvnFabric) -> None:
    addresses = FabricAddressGroup(new_id(), 1, ("10.1.0.0/16", "192.0.2.7/32", "fd00::/64"))
    group = FabricSecurityGroup(new_id(), 1, (rule(protocol="tcp", remote_address_group_id=addresses.id),))
    with pytest.raises(Missing):
        fabric.put(1, group)
    fabric.put(1, addresses)
    fabric.put(1, group)
    name = "ag_" + addresses.id.replace("-", "_")
    listed = real.nbctl("--bare", "--columns=addresses", "find", "Address_Set", f"name={name}_ip4")
    assert sorted(listed.split()) == ["10.1.0.0/16", "192.0.2.7/32"]
    assert real.nbctl("--bare", "--columns=addresses", "find", "Address_Set", f"name={name}_ip6").split() == [
        "fd00::/64"]
    assert f"ip4.src == ${name}_ip4" in real.nbctl("acl-list", "pg_" + group.id.replace("-", "_"))
    fabric.put(1, replace(addresses, generation=2, addresses=()))
    assert real.nbctl("--bare", "--columns=addresses", "find", "Address_Set", f"name={name}_ip4").strip() == ""
    real.nbctl("set", "Address_Set", f"{name}_ip6", "addresses=10.9.9.9")
    assert fabric.compare(replace(addresses, generation=2, addresses=())).drift
    fabric.remove(1, group.kind, group.id, 1)
    fabric.remove(1, addresses.kind, addresses.id, 2)
    assert name not in real.nbctl("--bare", "--columns=name", "list", "Address_Set")


def test_limits_are_rows_of_the_switch(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    limits = (FabricLimit("egress", 1000, 100, 26), FabricLimit("ingress", 500))
    limited = replace(cloud.port, generation=2, qos=limits)
    fabric.put(1, limited)
    listed = real.nbctl("qos-list", f"stackling-{cloud.one.id}")
    assert f'from-lport  2002 inport == "{limited.id}" rate=1000 burst=100 dscp=26' in " ".join(listed.split()).replace(
        "from-lport ", "from-lport  ").replace("(", "").replace(")", "")
    assert fabric.compare(limited).drift == ()
    gateway = cloud.router.gateway
    assert gateway is not None
    floating = replace(cloud.floating, generation=2, network_id=cloud.public.id, gateway_port_id=gateway.port_id,
                       qos=limits)
    router = replace(cloud.router, generation=2, gateway=replace(gateway, qos=limits[:1]))
    fabric.put(1, floating)
    fabric.put(1, router)
    outside = real.nbctl("qos-list", f"stackling-{cloud.public.id}")
    assert f'ip4.src == {floating.address} && is_chassis_resident("cr-lrp-{gateway.port_id}")' in outside
    assert f'ip4.dst == {floating.address}' in outside
    assert outside.count("rate=1000") == 2
    for one in (replace(limited, generation=3, qos=()), replace(floating, generation=3, qos=()),
                replace(router, generation=3, gateway=gateway)):
        fabric.put(1, one)
        assert fabric.compare(one).drift == ()
    assert real.nbctl("qos-list", f"stackling-{cloud.one.id}").strip() == ""
    assert real.nbctl("qos-list", f"stackling-{cloud.public.id}").strip() == ""


def test_a_port_forwarding_is_a_load_balancer_of_the_router(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    forwarding = FabricPortForwarding(new_id(), 1, cloud.router.id, "tcp", "198.51.100.60", "10.1.0.10",
                                      ((2222, 22), (2223, 23)))
    fabric.put(1, forwarding)
    listed = real.nbctl("lr-lb-list", f"stackling-{cloud.router.id}")
    assert {line.split()[-2]: line.split()[-1] for line in listed.splitlines() if "198.51.100.60:" in line} == {
        "198.51.100.60:2222": "10.1.0.10:22", "198.51.100.60:2223": "10.1.0.10:23"}
    moved = replace(forwarding, generation=2, ports=((2222, 80),), protocol="udp")
    assert fabric.compare(moved).drift
    fabric.put(1, moved)
    assert fabric.compare(moved).drift == ()
    fabric.remove(1, moved.kind, moved.id, 2)
    assert "198.51.100.60" not in real.nbctl("lb-list")


def test_a_subport_has_its_parent_and_tag(real: RealOvn, fabric: OvnFabric, cloud: Cloud) -> None:
    subport = replace(port(cloud.two, last=77), parent=cloud.port.id, tag=100, host="host-1")
    fabric.put(1, subport)
    shown = real.nbctl("--bare", "--columns=parent_name,tag", "list", "Logical_Switch_Port", subport.id)
    assert shown.split() == [cloud.port.id, "100"]
    assert fabric.compare(subport).drift == ()
    alone = replace(subport, generation=2, parent=None, tag=None)
    fabric.put(1, alone)
    assert real.nbctl("--bare", "--columns=parent_name,tag", "list", "Logical_Switch_Port", subport.id).split() == []
    assert fabric.compare(alone).drift == ()
    fabric.remove(1, alone.kind, alone.id, 2)


def test_a_network_of_several_segments_has_a_way_out_for_each(real: RealOvn, fabric: OvnFabric) -> None:
    wide = replace(network(9), physical_network="left", segmentation_id=7,
                   more_segments=(("right", 8), ("outer", None)), vlan_transparent=True)
    fabric.put(1, wide)

    def ways_out() -> set[tuple[str, str]]:
        listed = real.nbctl("--format=csv", "--no-headings", "--columns=options,tag,name", "find",
                            "Logical_Switch_Port", "type=localnet")
        rows = [line.split(",") for line in listed.splitlines() if wide.id in line]
        return {(options.strip('"{}').removeprefix("network_name="), tag) for options, tag, _name in rows}

    assert ways_out() == {("left", "7"), ("right", "8"), ("outer", "[]")}
    config = real.nbctl("get", "Logical_Switch", f"stackling-{wide.id}", "other_config:vlan-passthru")
    assert config.strip().strip('"') == "true"
    assert fabric.compare(wide).drift == ()
    narrow = replace(wide, generation=2, more_segments=(), vlan_transparent=False)
    assert fabric.compare(narrow).drift
    fabric.put(1, narrow)
    assert ways_out() == {("left", "7")}
    fabric.remove(1, narrow.kind, narrow.id, 2)
    assert ways_out() == set()
