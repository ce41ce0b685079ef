"""The network's kinds under failures: the fabric ends up as desired whatever fails, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.engine.worker import Worker
from stackling.network.kinds import kinds
from stackling.ports.fabric import FabricDown, FabricKind
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, Neutron, first_start

CALLS = ("compare", "put", "find", "remove")
KINDS = [kind for kind in FabricKind if kind is not FabricKind.LOAD_BALANCER]       # test_load_balancers.py has it


@pytest.fixture
def mine(member: Client) -> Neutron:
    return Neutron(member)


@pytest.fixture
def engine(cloud: CloudUnderTest) -> Engine:
    return Engine(cloud)


def build(mine: Neutron, external: str) -> dict[str, str]:
    network = mine.network()
    subnet = mine.subnet(network)
    router = mine.router(external_gateway_info={"network_id": external})
    mine.add_interface(router, subnet_id=subnet["id"])
    group = mine.group()
    mine.rule(group, protocol="tcp", port_range_min=22, port_range_max=22)
    port = mine.port(network, security_groups=[group["id"]])
    floating = mine.floating_ip(external, port_id=port["id"])
    addresses = mine.create("address-groups", "address_group", addresses=["192.0.2.0/24"])
    mine.rule(group, remote_address_group_id=addresses["id"])
    forwarding, inside = mine.floating_ip(external), mine.port(network)
    forwarded = mine.create(f"floatingips/{forwarding['id']}/port_forwardings", "port_forwarding", protocol="tcp",
                            internal_port_id=inside["id"], internal_port=22, external_port=22)
    return {"network": network["id"], "port": port["id"], "router": router["id"], "floating_ip": floating["id"],
            "security_group": group["id"], "subnet": subnet["id"], "address_group": addresses["id"],
            "port_forwarding": forwarded["id"], "forwarding": forwarding["id"], "inside": inside["id"]}


def tear_down(mine: Neutron, ids: dict[str, str]) -> None:
    mine.delete("floatingips", ids["floating_ip"])
    mine.delete(f"floatingips/{ids['forwarding']}/port_forwardings", ids["port_forwarding"])
    mine.delete("floatingips", ids["forwarding"])
    mine.delete("ports", ids["port"])
    mine.delete("ports", ids["inside"])
    mine.remove_interface({"id": ids["router"]}, subnet_id=ids["subnet"])
    mine.delete("routers", ids["router"])
    mine.delete("networks", ids["network"])
    mine.delete("security-groups", ids["security_group"])
    mine.delete("address-groups", ids["address_group"])


class Failing:
    """A fabric that fails at its *at*-th call, before or after it has done it; every other call is passed on."""

    def __init__(self, fabric: Any, at: int, late: bool) -> None:
        self._fabric, self._at, self._late = fabric, at, late
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._fabric, name)
        if name not in CALLS:
            return call

        def run(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls != self._at:
                return call(*arguments)
            if self._late:
                call(*arguments)
            raise FabricDown(f"{name} failed as ordered")

        return run


@pytest.mark.parametrize("late", [False, True])
def test_every_call_may_fail(cloud: CloudUnderTest, mine: Neutron, admin: Client, late: bool,
                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackling.engine.turn.delay", lambda attempts: 0.005)
    external = first_start(cloud, admin.project_id)
    at, reached, engine = 0, True, Engine(cloud)
    while reached:
        at += 1
        failing = Failing(engine.fabric, at, late)
        engine.worker = Worker(engine.queue, kinds(failing))    # type: ignore[arg-type]
        ids = build(mine, external)
        engine.settle(20)
        reached = failing.calls >= at
        holds = engine.holds()
        assert all(ids[kind.value] in holds[kind.value] for kind in KINDS), (at, holds)
        assert mine.show("floatingips", ids["floating_ip"])["status"] == "ACTIVE"
        failing.calls = 0
        tear_down(mine, ids)
        engine.settle(20)
        holds = engine.holds()
        assert not any(ids[kind.value] in holds[kind.value] for kind in KINDS), (at, holds)
    assert at > 10


def test_drift_is_repaired(cloud: CloudUnderTest, mine: Neutron, admin: Client, engine: Engine) -> None:
    external = first_start(cloud, admin.project_id)
    ids = build(mine, external)
    engine.settle()
    for kind in KINDS:
        engine.fabric.lose(kind, ids[kind.value])
    engine.queue.sweep(engine.kinds, 0.0, 1000)
    engine.settle(20)
    holds = engine.holds()
    for kind in KINDS:
        assert ids[kind.value] in holds[kind.value]


def test_build_and_tear_down_before_the_engine_looks(cloud: CloudUnderTest, mine: Neutron, admin: Client,
                                                     engine: Engine) -> None:
    external = first_start(cloud, admin.project_id)
    ids = build(mine, external)
    tear_down(mine, ids)
    engine.settle(20)
    holds = engine.holds()
    assert holds["port"] == holds["router"] == holds["floating_ip"] == set()
    assert ids["network"] not in holds["network"]


def test_a_port_goes_down_and_up_with_its_interface(cloud: CloudUnderTest, mine: Neutron, admin: Client,
                                                    engine: Engine) -> None:
    port = mine.port(mine.network())
    admin.put(f"/network/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h"}})
    engine.settle()
    assert mine.show("ports", port["id"])["status"] == "ACTIVE"
    engine.fabric.set_up(port["id"], False)
    engine.queue.sweep(engine.kinds, 0.0, 1000)
    engine.settle()
    assert mine.show("ports", port["id"])["status"] == "DOWN"
