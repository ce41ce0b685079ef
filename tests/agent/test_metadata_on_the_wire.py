"""Agent, libvirt, Open vSwitch and OVN together: interfaces of real guests, and metadata as guests read it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.deploy.embedded import libvirt as deployed
from stackling.deploy.embedded import namespaces
from stackling.deploy.embedded.namespaces import ip
from stackling.drivers.ovn.fabric import OvnFabric
from stackling.ports.document import MetadataDocument, MetadataNetwork, Nic, Power, RootDisk, ServerDesired
from stackling.ports.fabric import FabricNetwork, FabricPort, FabricSecurityGroup
from tests.agent.conftest import AgentProcess
from tests.agent.test_libvirt_agent import IMAGE
from tests.fabric_objects import egress, network, port, rule
from tests.fake_control import FakeControl
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import CHASSIS, Guest, RealOvn, eventually

pytestmark = [pytest.mark.root, pytest.mark.slow]


class World:
    """A network with a namespace guest "a", and ports "b" and "c" for a real guest; an agent over it all."""

    def __init__(self, real: RealOvn, machine: Libvirtd, directory: Path) -> None:
        self.real, self.machine, self.directory = real, machine, directory
        self.fabric = OvnFabric(real.paths.northbound)
        self.net: FabricNetwork = network(1, ipv6=True)
        group = FabricSecurityGroup(new_id(), 1, (*egress(), rule(), rule(ethertype="IPv6")))
        self.ports: dict[str, FabricPort] = {name: port(self.net, last, host=CHASSIS, security_groups=(group.id,))
                                             for name, last in (("a", 10), ("b", 11), ("c", 12))}
        for each in (self.net, group, *self.ports.values()):
            self.fabric.put(1, each)
        self.guest: Guest = real.guest(self.ports["a"].id, self.ports["a"].mac)
        ip(self.guest.name, "addr", "add", "10.1.0.10/24", "dev", "eth0")
        ip(self.guest.name, "addr", "add", "10.1.0.99/24", "dev", "eth0")
        ip(self.guest.name, "route", "add", "169.254.169.254/32", "via", "10.1.0.2")
        real.sync()
        self.control = FakeControl(directory).start()
        self.control.images["i"] = IMAGE
        self.instance = f"st{secrets.token_hex(2)}"
        self.agent = AgentProcess(directory, self.control, driver="libvirt", libvirt={
            "instances": str(machine.paths.instances), "images": str(machine.paths.images), "uri": machine.paths.uri,
            "accelerator": "tcg", "netns": real.name, "instance": self.instance, "datapath": real.datapath,
            "ovs_socket": str(real.paths.socket("conf"))}).start()
        self.a = self.put("a", power=Power.STOPPED)
        self.b = self.put("b")
        self.serve()
        self.agent_namespace = f"{self.instance}-md-{self.net.id[:8]}"

    def put(self, name: str, **more: Any) -> ServerDesired:
        root = RootDisk(image_id="i", image_format="raw", image_size=len(IMAGE),
                        image_checksum=hashlib.sha512(IMAGE).hexdigest())
        document = MetadataDocument(
            meta_data={"uuid": f"uuid-{name}", "name": name, "hostname": name}, vendor_data={"v": 1},
            network_data={"links": []}, user_data=base64.b64encode(f"hello {name}".encode()).decode(),
            ec2={"instance-id": f"i-{name}", "security-groups": ["x", "y"], "placement": {"availability-zone": "nova"},
                 "public-keys": {"0": {"_name": "0=mine", "openssh-key": "ssh-rsa AAAA"}}})
        return self.control.put(ServerDesired(**{
            "id": new_id(), "generation": 0, "root": root, "memory_mib": 32, "stop_timeout": 0,
            "nics": (self.nic(name),), "metadata": document, **more}))

    def nic(self, name: str) -> Nic:
        return Nic(port_id=self.ports[name].id, mac=self.ports[name].mac, network_id=self.net.id)

    def serve(self) -> None:
        self.control.set_networks(MetadataNetwork(
            network_id=self.net.id, port_id=self.net.metadata_port_id or "", mac=self.net.metadata_mac or "",
            addresses=("10.1.0.2/24",), servers={"10.1.0.10": self.a.id, "10.1.0.11": self.b.id}))

    def close(self) -> None:
        self.agent.kill()
        self.control.stop()
        self.fabric.close()
        deployed.forget_metadata(self.instance)

    def curl(self, path: str, *options: str, at: str = "169.254.169.254") -> str:
        command = ["nsenter", f"--net=/run/netns/{self.guest.name}", "--", "curl", "-s", "-g", "--max-time", "5",
                   *options, f"http://{at}{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def status(self, path: str, *options: str) -> str:
        return self.curl(path, "-o", "/dev/null", "-w", "%{http_code}", *options)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        real = stack.enter_context(RealOvn(tmp_path_factory.mktemp("ovn")))
        machine = stack.enter_context(libvirtd(real.name, real.paths.socket("conf")))
        made = World(real, machine, tmp_path_factory.mktemp("agent"))
        stack.callback(made.close)
        eventually(lambda: made.curl("/openstack/latest/meta_data.json"), 60)
        yield made


def test_a_guest_is_known_by_its_address_alone(world: World) -> None:
    shown = json.loads(world.curl("/openstack/latest/meta_data.json"))
    assert (shown["uuid"], shown["hostname"]) == ("uuid-a", "a")
    assert len(base64.b64decode(shown["random_seed"])) == 512
    claims = ("-H", "X-Forwarded-For: 10.1.0.11", "-H", f"X-Instance-ID: {world.b.id}", "-H", "X-Tenant-ID: t")
    assert json.loads(world.curl("/openstack/latest/meta_data.json", *claims))["uuid"] == "uuid-a"
    assert world.status("/openstack/latest/meta_data.json", "--interface", "10.1.0.99") in ("404", "000")


def test_both_forms_are_there(world: World) -> None:
    assert world.curl("/openstack/latest/user_data") == "hello a"
    assert world.curl("/latest/user-data") == "hello a"
    assert world.curl("/2009-04-04/meta-data/instance-id") == "i-a"
    assert world.curl("/latest/meta-data/public-keys/") == "0=mine"
    assert world.curl("/latest/meta-data/public-keys/0/openssh-key") == "ssh-rsa AAAA"
    assert world.curl("/latest/meta-data/security-groups") == "x\ny"
    assert "latest" in world.curl("/openstack").splitlines()
    assert world.status("/openstack/latest/nothing") == "404"
    assert world.status("/latest/meta-data/../../../../etc/passwd", "--path-as-is") == "404"


def test_ipv6_link_local_asks_too(world: World) -> None:
    eventually(lambda: "uuid-a" in world.curl("/openstack/latest/meta_data.json", at="[fe80::a9fe:a9fe%25eth0]"))


def test_a_request_that_is_too_large_or_no_request_is_refused(world: World) -> None:
    assert world.status("/" + "x" * 20_000) in ("400", "431")
    assert world.status("/openstack", "-H", "X: " + "y" * 20_000) == "431"
    assert world.status("/openstack", "-X", "POST", "-d", "x" * 100_000) == "413"
    assert world.status("/openstack", "-X", "DELETE") == "405"
    assert world.curl("/openstack/latest/user_data") == "hello a"


def test_a_guests_interface_is_bound_and_hot_plugged(world: World) -> None:
    world.control.wait_converged(world.b, 60, power=Power.RUNNING)
    eventually(lambda: world.fabric.compare(world.ports["b"]).up)
    device = f"tap{world.ports['b'].id[:11]}"
    assert namespaces.has_device(world.real.name, device)
    assert "mtu 1442" in ip(world.real.name, "link", "show", device)
    world.control.wait_converged(world.control.change(world.b.id, nics=(world.nic("b"), world.nic("c"))), 30)
    eventually(lambda: world.fabric.compare(world.ports["c"]).up)
    # nobody in this guest answers a request to let go, so the unplugging is done by switching it off and on
    number = len(world.machine.pids())
    world.control.wait_converged(world.control.change(world.b.id, nics=(world.nic("b"),), hard_reboots=1), 60)
    eventually(lambda: not world.fabric.compare(world.ports["c"]).up)
    assert not namespaces.has_device(world.real.name, f"tap{world.ports['c'].id[:11]}")
    assert len(world.machine.pids()) == number


def test_a_killed_agents_metadata_is_served_again(world: World) -> None:
    world.agent.kill()
    assert namespaces.exists(world.agent_namespace)
    world.agent.start()
    eventually(lambda: world.curl("/openstack/latest/user_data") == "hello a", 30)


def test_a_network_that_goes_takes_its_namespace_along(world: World) -> None:
    world.control.set_networks()
    eventually(lambda: not namespaces.exists(world.agent_namespace))
    assert not namespaces.has_device(world.real.name, f"md-{world.net.id[:11]}")
    world.serve()
    eventually(lambda: world.curl("/openstack/latest/user_data") == "hello a", 30)
