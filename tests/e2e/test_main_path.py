"""A real cloud as its users meet it: the unmodified client, a real server, SSH on its floating IP, and all around it.

The cloud is isolated: the namespace ``…-outside`` stands for the world, and holds the external network's gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.connection import Connection

from stackling.deploy.embedded.command import run
from stackling.deploy.guest import build
from tests.e2e import outside
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.outside import Login

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow]
GATEWAY = "172.24.4.1"
BOOTS = 90          # seconds in which a server must answer, on a slow machine that does other things too
USER_DATA = """#!/bin/sh
mkdir -p /www
echo "hello from $(hostname)" >/www/index.html
httpd -p 80 -h /www
"""


@dataclass(frozen=True)
class World:
    """A cloud, clients of it, and the server ``web`` on a floating IP with a web server from its user data."""

    cloud: TestCloud
    sdk: Connection
    key: Path
    outside: str
    machine: dict[str, list[str]]
    """The machine before the cloud was there."""
    before: dict[str, Any]
    """What stood for servers before there was one."""
    web_id: str
    port_id: str
    fixed_ip: str
    floating_ip: str

    @property
    def web(self) -> Login:
        return self.login(self.floating_ip)

    def login(self, address: str) -> Login:
        return Login(address, self.key, self.outside)

    def reaches(self, address: str, port: int) -> bool:
        """Whether the world opens a connection."""
        return outside.opens(self.outside, address, port)

    def until(self, login: Login) -> None:
        """Until *login* is let in."""
        self.cloud.eventually(lambda: login.answers, bool, BOOTS)

    def status(self, wanted: str, server_id: str | None = None) -> Any:
        """Wait until the server is *wanted*."""
        return self.cloud.eventually(lambda: self.sdk.compute.get_server(server_id or self.web_id),
                                     lambda server: server.status == wanted, BOOTS)

    def action(self, **body: Any) -> None:
        """A server action of Compute 2.1, as old clients send it."""
        done = self.sdk.compute.post(f"/servers/{self.web_id}/action", json=body, microversion="2.1")
        assert done.status_code == 202, done.text

    def boot_id(self) -> str:
        return self.web("cat /proc/sys/kernel/random/boot_id")


def connect(made: TestCloud) -> Connection:
    """openstacksdk with the cloud's own ``clouds.yaml``."""
    loader = openstack.config.OpenStackConfig(config_files=[str(made.directory.clouds_yaml)], load_envvars=False)
    return Connection(config=loader.get_one("stackling"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tour of the README, step by step with the unmodified client."""
    folder = tmp_path_factory.mktemp("user")
    key, image, user_data = folder / "key", folder / "tiny.qcow2", folder / "user-data"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    user_data.write_text(USER_DATA)
    build.build(image)
    machine = outside.machine()
    with cloud("--isolated") as made:
        client = made.openstack
        (group,) = client("security", "group", "list")
        before = made.eventually(lambda: outside.servers_left(made),
                                 lambda left: group["ID"] in left["rows"]["Port_Group"])
        client("image", "create", "--file", str(image), "--disk-format", "qcow2", "tiny")
        client("network", "create", "net")
        client("subnet", "create", "--network", "net", "--subnet-range", "10.7.0.0/24", "subnet")
        client("subnet", "create", "--network", "net", "--ip-version", "6", "--subnet-range", "fd07::/64",
               "--ipv6-ra-mode", "slaac", "--ipv6-address-mode", "slaac", "subnet6")
        client("router", "create", "--external-gateway", "public", "router")
        client("router", "add", "subnet", "router", "subnet")
        client("router", "add", "subnet", "router", "subnet6")
        client("keypair", "create", "--public-key", f"{key}.pub", "mine")
        client("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
        client("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine",
               "--user-data", str(user_data), "--property", "role=demo", "web")

        # The article's four steps: find the networks, get an address, find the server's port, put them together.
        assert "public" in {network["Name"] for network in client("network", "list")}
        floating = client("floating", "ip", "create", "public")
        (port,) = client("port", "list", "--server", "web")
        client("floating", "ip", "set", "--port", port["ID"], floating["floating_ip_address"])

        fixed_ip = next(ip["ip_address"] for ip in port["Fixed IP Addresses"] if "." in ip["ip_address"])
        sdk = connect(made)
        ready = World(made, sdk, key, f"{made.directory.instance}-outside", machine, before,
                      sdk.compute.find_server("web").id, port["ID"], fixed_ip, floating["floating_ip_address"])
        ready.until(ready.web)
        yield ready
        sdk.close()


# -- the server


def test_the_server_is_what_was_asked_for(world: World) -> None:
    assert world.web("hostname") == "web"
    shown = world.cloud.openstack("server", "show", "web")
    assert shown["status"] == "ACTIVE"
    assert sorted(address for address in shown["addresses"]["net"] if "." in address) == [
        world.fixed_ip, world.floating_ip]
    assert world.fixed_ip in world.web("ip -4 -o address show dev eth0")
    assert "stackling-guest: ready" in run_console(world)
    assert shown["OS-EXT-SRV-ATTR:instance_name"] in outside.servers_left(world.cloud)["domains"], "virsh list"


def run_console(world: World) -> str:
    return world.cloud.openstack("console", "log", "show", "web", check=True).stdout


def test_metadata_is_the_server_s_own(world: World) -> None:
    found = json.loads(world.web("wget -q -O- http://169.254.169.254/openstack/latest/meta_data.json"))
    assert (found["uuid"], found["name"], found["meta"]) == (world.web_id, "web", {"role": "demo"})
    assert found["public_keys"]["mine"] == Path(f"{world.key}.pub").read_text()
    ec2 = "wget -q -O- http://169.254.169.254/latest"
    assert world.web(f"{ec2}/meta-data/local-ipv4") == world.fixed_ip
    assert world.web(f"{ec2}/meta-data/public-ipv4") == world.floating_ip
    assert world.web(f"{ec2}/user-data") == USER_DATA.strip()


def test_user_data_ran(world: World) -> None:
    assert world.web("wget -q -O- http://127.0.0.1/") == "hello from web"


def test_only_the_key_opens_the_door(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other))
    done = replace(world.web, key=other).try_("true")
    assert done.returncode == 255
    assert "denied" in done.stderr


# -- the network around it


def test_a_security_group_blocks_and_allows(world: World) -> None:
    assert not world.reaches(world.floating_ip, 80)
    group = world.sdk.network.get_port(world.port_id).security_group_ids[0]
    rule = world.sdk.network.create_security_group_rule(
        security_group_id=group, direction="ingress", protocol="tcp", port_range_min=80, port_range_max=80)
    world.cloud.eventually(lambda: world.reaches(world.floating_ip, 80), bool)
    world.sdk.network.delete_security_group_rule(rule)
    world.cloud.eventually(lambda: world.reaches(world.floating_ip, 80), lambda open_: not open_)


def test_the_world_sees_the_floating_ip_and_without_it_the_router(world: World) -> None:
    (router,) = world.sdk.network.routers(name="router")
    router_ip = router.external_gateway_info["external_fixed_ips"][0]["ip_address"]
    floating = world.sdk.network.find_ip(world.floating_ip)
    with outside.callers(world.outside, GATEWAY, 8000) as called:
        assert world.web(f"nc -w 5 {GATEWAY} 8000 </dev/null") == world.floating_ip
        # The server calls again and again by itself, since nobody can log in to it meanwhile.
        world.web(f"while sleep 0.2; do nc -w 2 {GATEWAY} 8000; done </dev/null >/dev/null 2>&1 &")
        world.sdk.network.update_ip(floating, port_id=None)
        assert called(router_ip)
        world.cloud.eventually(lambda: world.reaches(world.floating_ip, 22), lambda open_: not open_)
        world.sdk.network.update_ip(floating, port_id=world.port_id)
        assert called(world.floating_ip)


def test_one_step_detaches_and_attaches(world: World) -> None:
    world.cloud.run("ip", "detach", "web")
    world.cloud.eventually(lambda: world.reaches(world.floating_ip, 22), lambda open_: not open_)
    assert world.cloud.stackling("ip", "attach", "web")["floating_ip"] == world.floating_ip
    world.until(world.web)


@pytest.mark.parametrize("by", ["address", "UUID"])
def test_compute_s_old_calls_forward_to_the_network(world: World, by: str) -> None:
    floating = world.sdk.network.find_ip(world.floating_ip)
    name = world.floating_ip if by == "address" else floating.id
    world.action(removeFloatingIp={"address": name})
    world.cloud.eventually(lambda: world.reaches(world.floating_ip, 22), lambda open_: not open_)
    assert world.sdk.network.get_ip(floating.id).port_id is None
    world.action(addFloatingIp={"address": name})
    world.until(world.web)
    assert world.sdk.network.get_ip(floating.id).port_id == world.port_id


def test_an_interface_comes_and_goes_while_the_server_runs(world: World) -> None:
    net = world.sdk.network.create_network(name="second")
    world.sdk.network.create_subnet(network_id=net.id, ip_version=4, cidr="10.8.0.0/24", gateway_ip=None)
    added = world.sdk.compute.create_server_interface(world.web_id, net_id=net.id)
    address = added.fixed_ips[0]["ip_address"]
    world.cloud.eventually(lambda: world.web("ip -4 -o address show dev eth1 || true"), lambda text: address in text)
    assert world.web("cat /sys/class/net/eth1/address") == added.mac_addr
    world.sdk.compute.delete_server_interface(added.port_id, server=world.web_id)
    world.cloud.eventually(lambda: world.web("ls /sys/class/net"), lambda names: "eth1" not in names)
    world.cloud.eventually(lambda: list(world.sdk.network.ports(network_id=net.id, device_id=world.web_id)),
                           lambda ports: not ports)
    world.sdk.network.delete_network(net)


# -- its life


def test_pause_and_suspend_stop_it_and_it_goes_on(world: World) -> None:
    boot_id = world.boot_id()
    for stop, status, go_on in (("pause", "PAUSED", "unpause"), ("suspend", "SUSPENDED", "resume")):
        world.action(**{stop: None})
        world.status(status)
        assert not world.web.answers
        world.action(**{go_on: None})
        world.status("ACTIVE")
        world.until(world.web)
        assert world.boot_id() == boot_id, f"{go_on} booted it"
    assert world.web("wget -q -O- http://127.0.0.1/") == "hello from web"


@pytest.mark.parametrize("kind", ["SOFT", "HARD"])
def test_reboot_boots_it_and_keeps_the_disk(world: World, kind: str) -> None:
    boot_id = world.boot_id()
    world.web(f"echo {kind} >/root/kept; sync")
    world.action(reboot={"type": kind})
    world.cloud.eventually(lambda: world.web.try_("cat /proc/sys/kernel/random/boot_id").stdout.strip(),
                           lambda now: now not in ("", boot_id), BOOTS)
    world.status("ACTIVE")
    assert world.web("cat /root/kept") == kind
    if kind == "SOFT":
        assert "power button pressed" in run_console(world)


def test_stop_ends_it_start_boots_it(world: World) -> None:
    boot_id = world.boot_id()
    world.action(**{"os-stop": None})
    assert world.status("SHUTOFF").power_state == 4
    assert outside.servers_left(world.cloud)["guests"] == []
    world.action(**{"os-start": None})
    world.status("ACTIVE")
    world.until(world.web)
    assert world.boot_id() != boot_id


def test_rebuild_gives_it_a_new_disk_and_the_same_addresses(world: World) -> None:
    world.web("touch /root/old; sync")
    image = world.sdk.image.find_image("tiny")
    world.sdk.compute.rebuild_server(world.web_id, image=image.id, name="web")
    world.cloud.eventually(lambda: world.web.try_("test ! -e /root/old && hostname").stdout.strip(),
                           lambda name: name == "web", BOOTS)
    world.status("ACTIVE")
    assert world.fixed_ip in world.web("ip -4 -o address show dev eth0")


# -- a second one beside it


def test_config_drive_ipv6_and_an_automatic_floating_ip(world: World) -> None:
    """The second server has no metadata service to ask first, gets its address by itself, and talks IPv6."""
    net = world.sdk.network.find_network("net")
    second = world.sdk.compute.create_server(
        name="second", image_id=world.sdk.image.find_image("tiny").id, networks=[{"uuid": net.id}],
        flavor_id=world.sdk.compute.find_flavor("m1.nano").id, key_name="mine", config_drive=True,
        metadata={"floating_ip": "auto"})
    server = world.status("ACTIVE", second.id)
    addresses = server.addresses["net"]
    (floating,) = [one["addr"] for one in addresses if one["OS-EXT-IPS:type"] == "floating"]
    (six,) = [one["addr"] for one in addresses if one["version"] == 6]
    login = world.login(floating)
    world.until(login)
    assert login("hostname") == "second"
    drive = "mkdir -p /mnt && mount -o ro -t iso9660 $(findfs LABEL=config-2) /mnt && cat /mnt/openstack/latest/"
    assert json.loads(login(f"{drive}meta_data.json && umount /mnt"))["uuid"] == second.id
    assert "from the config drive" in world.sdk.compute.get_server_console_output(second.id)["output"]
    world.cloud.eventually(lambda: world.web.try_(f"ping6 -c 1 -w 3 {six}").returncode, lambda code: code == 0)
    world.sdk.compute.delete_server(second.id)
    world.cloud.eventually(lambda: world.sdk.compute.find_server("second"), lambda found: found is None)
    assert world.sdk.network.find_ip(floating) is None


# -- what can't be, and the end


def test_a_refusal_explains_itself(world: World) -> None:
    world.sdk.compute.create_flavor(name="giant", ram=1 << 20, vcpus=1, disk=1)
    net = world.sdk.network.find_network("net")
    refused = world.sdk.compute.create_server(
        name="impossible", image_id=world.sdk.image.find_image("tiny").id, networks=[{"uuid": net.id}],
        flavor_id=world.sdk.compute.find_flavor("giant").id)
    fault = world.status("ERROR", refused.id).fault["message"]
    assert "0 of 1 host: 1 lacks" in fault
    assert "MiB of memory" in fault
    events = [event["message"] for part in world.cloud.stackling("explain", "impossible") for event in part["events"]]
    assert any("MiB of memory" in message for message in events), events
    world.sdk.compute.delete_server(refused.id)
    world.cloud.eventually(lambda: world.sdk.compute.find_server("impossible"), lambda found: found is None)


def test_delete_leaves_nothing(world: World) -> None:
    """Server, addresses, router and network go; what was there before is all that is left."""
    client = world.cloud.openstack
    client("server", "delete", "--wait", "web")
    client("floating", "ip", "delete", world.floating_ip)
    for subnet in ("subnet", "subnet6"):
        client("router", "remove", "subnet", "router", subnet)
    client("router", "delete", "router")
    client("network", "delete", "net")
    (rule,) = world.sdk.network.security_group_rules(protocol="tcp", port_range_min=22)
    world.sdk.network.delete_security_group_rule(rule)
    for what, before in world.before.items():
        world.cloud.eventually(lambda what=what: outside.servers_left(world.cloud)[what],
                               lambda left, before=before: left == before)


def test_down_leaves_the_machine_as_it_was(world: World) -> None:
    """Also with a server that runs."""
    launched = world.cloud.stackling("launch", "last", "--image", "tiny", "--flavor", "m1.nano")
    assert launched["status"] == "ACTIVE"
    world.cloud.run("down")
    directory = world.cloud.directory
    assert world.cloud.processes() == []
    assert list(outside.guest_processes(outside.libvirt_paths(directory))) == []
    assert outside.machine(directory.instance, directory.digest) == world.machine
