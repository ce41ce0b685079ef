"""A load balancer on a whole cloud with a real OVN: made by openstacksdk, asked by namespaces instead of servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.connection import Connection

from stackling.deploy.embedded import network, ovn
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.namespaces import ip
from tests import wire
from tests.e2e.clouds import TestCloud, cloud
from tests.ovn import Guest, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow]
WIRE = str(Path(wire.__file__).resolve())


@dataclass
class World:
    """A cloud, a client of it, and guests by name. ``name`` and ``paths`` are what ``Guest`` wants of its cloud."""

    cloud: TestCloud
    sdk: Connection
    name: str
    paths: ovn.OvnPaths
    outside: str
    net: Any = None
    subnet: Any = None
    guests: dict[str, Guest] = field(default_factory=dict[str, Guest])
    addresses: dict[str, str] = field(default_factory=dict[str, str])

    def plug(self, name: str, group: str) -> None:
        """A namespace on a port of the network."""
        host = next(iter(self.sdk.compute.services(binary="nova-compute"))).host
        port = self.sdk.network.create_port(
            network_id=self.net.id, name=name, binding_host_id=host, security_group_ids=[group])
        address = self.addresses[name] = port.fixed_ips[0]["ip_address"]
        guest = self.guests[name] = Guest(self, port.id, port.mac_address, 1400)     # type: ignore[arg-type]
        ip(guest.name, "address", "add", f"{address}/24", "dev", "eth0")
        ip(guest.name, "route", "add", "default", "via", "10.44.0.1")
        eventually(lambda: self.sdk.network.get_port(port.id).status == "ACTIVE", timeout=60)

    def answers(self, address: str, netns: str, number: int = 80, times: int = 16) -> set[str]:
        """Who answers; a dash for nobody."""
        return set(run(sys.executable, WIRE, "ask", address, str(number), str(times), netns=netns, timeout=90).split())

    @contextmanager
    def serving(self, name: str) -> Iterator[None]:
        """A server in a guest that says its name."""
        child = self.guests[name].spawn(sys.executable, WIRE, "named", "8080", name)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield
        child.kill()
        child.wait(5)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with cloud("--isolated") as made:
        loader = openstack.config.OpenStackConfig(config_files=[str(made.directory.clouds_yaml)], load_envvars=False)
        sdk = Connection(config=loader.get_one("stackling"))
        namespace = made.directory.instance
        world = World(made, sdk, namespace, network.paths(made.directory), f"{namespace}-outside")
        world.net = sdk.network.create_network(name="inside")
        world.subnet = sdk.network.create_subnet(network_id=world.net.id, ip_version=4, cidr="10.44.0.0/24")
        external = sdk.network.find_network("public")
        router = sdk.network.create_router(external_gateway_info={"network_id": external.id})
        sdk.network.add_interface_to_router(router, subnet_id=world.subnet.id)
        group = sdk.network.create_security_group(name="web")
        sdk.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
        try:
            for name in ("a", "b", "client"):
                world.plug(name, group.id)
            yield world
        finally:
            for guest in world.guests.values():
                guest.close()
            sdk.close()


def test_a_load_balancer_from_its_making_to_its_end(world: World) -> None:
    lbs = world.sdk.load_balancer
    balancer = lbs.create_load_balancer(name="web", vip_subnet_id=world.subnet.id)
    world.sdk.load_balancer.wait_for_load_balancer(balancer.id, interval=0.5, wait=60)
    listener = lbs.create_listener(name="http", load_balancer_id=balancer.id, protocol="TCP", protocol_port=80)
    lbs.wait_for_load_balancer(balancer.id, interval=0.5, wait=60)
    pool = lbs.create_pool(name="webs", listener_id=listener.id, protocol="TCP", lb_algorithm="SOURCE_IP_PORT")
    lbs.wait_for_load_balancer(balancer.id, interval=0.5, wait=60)
    for name in "ab":
        lbs.create_member(pool, address=world.addresses[name], protocol_port=8080, name=name)
        lbs.wait_for_load_balancer(balancer.id, interval=0.5, wait=60)
    lbs.create_health_monitor(pool_id=pool.id, type="TCP", delay=2, timeout=2, max_retries=1, max_retries_down=2)
    lbs.wait_for_load_balancer(balancer.id, interval=0.5, wait=60)
    external = world.sdk.network.find_network("public")
    floating = world.sdk.network.create_ip(floating_network_id=external.id, port_id=balancer.vip_port_id)
    client = world.guests["client"].name

    def health() -> dict[str, str]:
        return {one.name: one.operating_status for one in lbs.members(pool)}

    with ExitStack() as stack:
        stack.enter_context(world.serving("a"))
        with world.serving("b"):
            eventually(lambda: health() == {"a": "ONLINE", "b": "ONLINE"}, timeout=90, every=1)
            eventually(lambda: world.answers(balancer.vip_address, client) == {"a", "b"}, timeout=90)
            eventually(lambda: world.answers(floating.floating_ip_address, world.outside) == {"a", "b"}, timeout=90)
        eventually(lambda: health() == {"a": "ONLINE", "b": "ERROR"}, timeout=90, every=1)
        assert lbs.get_load_balancer(balancer.id).operating_status == "DEGRADED"
        eventually(lambda: world.answers(balancer.vip_address, client) == {"a"}, timeout=90)
        stack.enter_context(world.serving("b"))
        eventually(lambda: health() == {"a": "ONLINE", "b": "ONLINE"}, timeout=90, every=1)
        eventually(lambda: world.answers(balancer.vip_address, client) == {"a", "b"}, timeout=90)
        lbs.delete_load_balancer(balancer.id, cascade=True)
        eventually(lambda: lbs.find_load_balancer(balancer.id) is None, timeout=60, every=0.5)
        assert world.answers(balancer.vip_address, client, times=1) == {"-"}
    assert not [port for port in world.sdk.network.ports() if port.device_owner.startswith("ovn-lb")]


def test_no_process_is_forgotten(world: World) -> None:
    left = subprocess.run(["ip", "netns", "pids", world.guests["a"].name], capture_output=True, check=True)
    assert left.stdout == b""
