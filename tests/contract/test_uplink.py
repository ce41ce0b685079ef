"""The ways from the cloud to the world, between namespaces that stand for the machine and its LAN."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.deploy.embedded import namespaces, ovn, uplink
from stackling.deploy.embedded.command import CommandFailed, run
from stackling.deploy.embedded.namespaces import ip
from stackling.deploy.embedded.uplink import Uplink, Way
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.ports.fabric import FabricFloatingIP, FabricNetwork, FabricSecurityGroup, FabricSubnet
from tests.contract.test_ovn_traffic import pings, python, reaches, running
from tests.fabric_objects import PUBLIC, egress, external, mac, network, port, router, rule
from tests.ovn import CHASSIS, Guest, RealOvn, eventually

pytestmark = [pytest.mark.root, pytest.mark.slow]
GATEWAY = f"{PUBLIC}.1/24"
LAN, MACHINE_ON_LAN = "203.0.113.9", "203.0.113.1"


class Machine:
    """A namespace that stands for the machine, joined to a second one, its LAN; a third interface is unused."""

    def __init__(self) -> None:
        tag = secrets.token_hex(2)
        self.name, self.lan = f"stk-test-m{tag}", f"stk-test-l{tag}"
        for one in (self.name, self.lan):
            namespaces.make(one)
        for mine, theirs in (("eth0", "lan0"), ("eth1", "lan1")):
            ip(self.name, "link", "add", mine, "type", "veth", "peer", "name", theirs, "netns", self.lan)
            for netns, device in ((self.name, mine), (self.lan, theirs)):
                namespaces.checksums_in_software(netns, device)
            ip(self.lan, "link", "set", theirs, "up")
        ip(self.name, "link", "set", "eth0", "up")
        ip(self.name, "address", "add", f"{MACHINE_ON_LAN}/24", "dev", "eth0")
        ip(self.lan, "address", "add", f"{LAN}/24", "dev", "lan0")
        ip(self.name, "route", "add", "default", "via", LAN)
        namespaces.set_sysctl(self.name, "net.ipv4.ip_forward", "0")
        run("nft", "add", "table", "inet", "theirs", netns=self.name)

    def close(self) -> None:
        for one in (self.name, self.lan):
            namespaces.delete(one)

    def picture(self) -> dict[str, Any]:
        """All that an uplink might change."""
        links = [{key: link.get(key) for key in ("ifname", "address", "mtu", "flags", "addr_info")}
                 for link in json.loads(run("ip", "-n", self.name, "-json", "address"))]
        for link in links:
            link["flags"] = sorted(set(link["flags"]) - {"NO-CARRIER", "LOWER_UP"})
            link["addr_info"] = [one for one in link["addr_info"] if one["scope"] != "link"]
        routes = [line for version in ("-4", "-6")
                  for line in run("ip", "-n", self.name, version, "route", "show", "table", "all").splitlines()
                  if "fe80" not in line and "multicast" not in line]
        return {"links": sorted(links, key=lambda link: link["ifname"]), "routes": sorted(routes),
                "rules": run("ip", "-n", self.name, "rule"), "nft": run("nft", "list", "ruleset", netns=self.name),
                "forward": namespaces.sysctl(self.name, "net.ipv4.ip_forward")}


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


class Inside:
    """A cloud with one guest on a floating IP; its router's gateway is *gateway*'s network."""

    def __init__(self, real: RealOvn, fabric: OvnFabric, public: FabricNetwork) -> None:
        self.real = real
        net, group = network(1), FabricSecurityGroup(new_id(), 1, (*egress(), rule()))
        one = port(net, host=CHASSIS, security_groups=(group.id,))
        way_out = router(net, gateway=public, chassis=CHASSIS)
        floating = FabricFloatingIP(new_id(), 1, f"{PUBLIC}.50", mac(0xff50), way_out.id, one.id, one.ips[0][1])
        for part in (public, net, group, one, way_out, floating):
            fabric.put(1, part)
        self.guest: Guest = real.guest(one.id, one.mac)
        ip(self.guest.name, "address", "add", f"{one.ips[0][1]}/24", "dev", "eth0")
        ip(self.guest.name, "route", "add", "default", "via", "10.1.0.1")
        eventually(lambda: fabric.compare(one).up)
        real.sync()


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with RealOvn(tmp_path_factory.mktemp("ovn")) as real:
        fabric = OvnFabric(real.paths.northbound)
        yield Inside(real, fabric, external())
        fabric.close()


def _way(inside: Inside, machine: Machine, way: Way, **more: Any) -> Uplink:
    gateways = () if way is Way.UPLINK else (GATEWAY,)
    return Uplink(way=way, cloud=inside.real.name, gateways=gateways, machine=machine.name,
                  datapath=inside.real.datapath, **more)


def test_host_only_reaches_floating_ips_and_lets_nothing_out(inside: Inside, machine: Machine, tmp_path: Path) -> None:
    before = machine.picture()
    guest, paths, record = inside.guest.name, inside.real.paths, tmp_path / "uplink.json"
    for _ in range(2):
        uplink.bring_up(_way(inside, machine, Way.HOST), paths, record)
    eventually(lambda: pings(machine.name, f"{PUBLIC}.50"))
    with running(guest, "serve", "0.0.0.0", "80"):
        assert python(machine.name, "get", f"{PUBLIC}.50", "80").strip() == f"{PUBLIC}.1"
    with running(machine.name, "serve", "0.0.0.0", "80"), running(machine.lan, "serve", "0.0.0.0", "80"):
        assert pings(guest, f"{PUBLIC}.1")
        for address in (f"{PUBLIC}.1", MACHINE_ON_LAN, LAN):
            assert not reaches(guest, address, 80), address
        assert not pings(guest, MACHINE_ON_LAN)
        namespaces.set_sysctl(machine.name, "net.ipv4.ip_forward", "1")        # a machine that routes for others
        assert not reaches(guest, LAN, 80)
        assert not pings(guest, LAN)
        namespaces.set_sysctl(machine.name, "net.ipv4.ip_forward", "0")
    uplink.take_down(paths, record)
    assert machine.picture() == before
    uplink.take_down(paths, record)


def test_without_the_pair_nothing_for_a_guest_leaves_by_the_uplink(inside: Inside, machine: Machine,
                                                                   tmp_path: Path) -> None:
    way, record = _way(inside, machine, Way.HOST), tmp_path / "uplink.json"
    before = machine.picture()
    uplink.bring_up(way, inside.real.paths, record)
    namespaces.delete_device(machine.name, way.pair)
    with pytest.raises(CommandFailed):
        ip(machine.name, "route", "get", f"{PUBLIC}.50")
    assert "via" in ip(machine.name, "route", "get", "192.0.2.1")
    uplink.take_down(inside.real.paths, record)
    assert machine.picture() == before


def test_nat_gives_guests_the_machine_s_address(inside: Inside, machine: Machine, tmp_path: Path) -> None:
    before = machine.picture()
    guest, record = inside.guest.name, tmp_path / "uplink.json"
    uplink.bring_up(_way(inside, machine, Way.NAT), inside.real.paths, record)
    eventually(lambda: pings(machine.name, f"{PUBLIC}.50"))
    with running(machine.lan, "serve", "0.0.0.0", "80"), running(machine.name, "serve", "0.0.0.0", "81"), running(
            guest, "serve", "0.0.0.0", "82"):
        assert python(guest, "get", LAN, "80").strip() == MACHINE_ON_LAN
        assert not reaches(guest, MACHINE_ON_LAN, 81)
        assert not reaches(guest, f"{PUBLIC}.1", 81)
        ip(machine.lan, "route", "add", f"{PUBLIC}.0/24", "via", MACHINE_ON_LAN)
        assert not reaches(machine.lan, f"{PUBLIC}.50", 82)
        assert reaches(machine.name, f"{PUBLIC}.50", 82)
    uplink.take_down(inside.real.paths, record)
    assert machine.picture() == before


def test_another_way_replaces_the_first_and_undoing_survives_the_cloud_s_end(
        inside: Inside, machine: Machine, tmp_path: Path) -> None:
    before, record = machine.picture(), tmp_path / "uplink.json"
    uplink.bring_up(_way(inside, machine, Way.NAT), inside.real.paths, record)
    uplink.bring_up(_way(inside, machine, Way.HOST), inside.real.paths, record)
    assert namespaces.sysctl(machine.name, "net.ipv4.ip_forward") == "0"
    ip(inside.real.name, "link", "delete", uplink.INSIDE)                  # as when the namespace went
    uplink.take_down(inside.real.paths, record)
    assert machine.picture() == before


def test_a_range_that_the_machine_uses_already_is_refused(inside: Inside, machine: Machine, tmp_path: Path) -> None:
    ip(machine.name, "address", "add", f"{PUBLIC}.129/25", "dev", "eth0")
    before = machine.picture()
    with pytest.raises(CommandFailed, match="choose another range"):
        uplink.bring_up(_way(inside, machine, Way.HOST), inside.real.paths, tmp_path / "uplink.json")
    assert machine.picture() == before
    assert not (tmp_path / "uplink.json").exists()


def test_an_interface_becomes_the_uplink_and_comes_back(machine: Machine, tmp_path: Path) -> None:
    before = machine.picture()
    ip(machine.lan, "address", "add", GATEWAY, "dev", "lan1")
    with RealOvn(tmp_path) as real:
        fabric = OvnFabric(real.paths.northbound)
        lan = FabricNetwork(new_id(), 1, "public", 1500, (FabricSubnet(new_id(), f"{PUBLIC}.0/24", 4, f"{PUBLIC}.1",
                                                                       False),), physical_network="public")
        inside, record = Inside(real, fabric, lan), tmp_path / "uplink-record.json"
        for device, why in (("eth0", "machine's own address"), ("nosuch", "no network interface")):
            with pytest.raises(CommandFailed, match=why):
                uplink.bring_up(_way(inside, machine, Way.UPLINK, device=device), real.paths, record)
        assert machine.picture() == before
        for _ in range(2):
            uplink.bring_up(_way(inside, machine, Way.UPLINK, device="eth1"), real.paths, record)
        assert not namespaces.has_device(machine.name, "eth1")
        eventually(lambda: pings(machine.lan, f"{PUBLIC}.50"))
        with running(machine.lan, "serve", f"{PUBLIC}.1", "80"):
            assert python(inside.guest.name, "get", f"{PUBLIC}.1", "80").strip() == f"{PUBLIC}.50"
        uplink.take_down(real.paths, record)
        assert machine.picture() == before
        assert "eth1" not in ovn.vsctl(real.paths, "list-ports", ovn.EXTERNAL)
        fabric.close()
