"""The load balancer service on each database: a whole life, lists, and changes that race."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from stackling.core.errors import Conflict, NotFound, QuotaExceeded, StacklingError
from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.engine.worker import Worker
from stackling.loadbalancer import changes, listeners, lists, load_balancers, members, pools, quotas
from stackling.loadbalancer.kinds import kinds
from stackling.loadbalancer.lists import ListQuery
from stackling.loadbalancer.rows import BALANCERS, LISTENERS, Record
from stackling.network import kinds as network_kinds
from stackling.ports.fabric import FabricKind, FabricLoadBalancer
from stackling.store.database import Database
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue
from tests.contract.test_network import ADMIN, CTX, lost, make_network, race, won

SPEC: dict[str, Any] = {"protocol": "TCP", "protocol_port": 80}


class World:
    """A load balancer in a network, an engine that is stepped, and the simulated fabric."""

    def __init__(self, database: Database) -> None:
        self.database, self.fabric = database, SimulatedFabric()
        self.worker = Worker(SqlWorkQueue(database), [*network_kinds.kinds(self.fabric), *kinds(self.fabric)])
        self.network = make_network(database)
        self.id = self.make()
        self.settle()

    def make(self, **body: Any) -> str:
        id = str(uuid.uuid4())
        self.database.write(load_balancers.create, CTX, {
            "id": id, "project_id": "p", "vip_network_id": self.network["id"], **body})
        return id

    def settle(self) -> None:
        for _ in range(50):
            if not self.worker.step(50):
                return

    def change(self, use_case: Any, *args: Any) -> Any:
        def run(tx: Tx) -> Any:
            return use_case(tx, CTX, changes.balancer(tx, self.id), *args)

        made = self.database.write(run)
        self.settle()
        return made

    def row(self) -> Record | None:
        return self.database.read(BALANCERS.get, self.id)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def new(**body: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), **body}


def test_a_whole_life(world: World) -> None:
    listener = world.change(listeners.create, new(**SPEC, tags=["a", "b"]))
    pool = world.change(pools.create, listener, new(protocol="TCP", lb_algorithm="SOURCE_IP", healthmonitor=new(
        type="TCP", delay=5, timeout=3, max_retries=2)))
    world.change(_replace, pool)
    row = world.row()
    assert row is not None
    assert (row["provisioning_status"], row["operating_status"], row["generation"]) == ("ACTIVE", "ERROR", 4)
    held = world.fabric.holds(FabricKind.LOAD_BALANCER, world.id)
    assert isinstance(held, FabricLoadBalancer)
    assert [one.id for one in held.listeners] == [listener["id"]]
    world.database.write(lambda tx: load_balancers.delete(tx, CTX, changes.balancer(tx, world.id), cascade=True))
    world.settle()
    assert world.row() is None
    with pytest.raises(NotFound):
        world.database.read(changes.balancer, world.id)
    assert not world.fabric.inventory(FabricKind.LOAD_BALANCER)


def _replace(tx: Tx, ctx: Any, balancer: Record, pool: Record) -> None:
    members.replace(tx, ctx, balancer, pool, [new(address=f"10.0.0.{last}", protocol_port=80) for last in (80, 81)],
                    additive=False)


def test_of_two_changes_at_once_one_is_refused(world: World) -> None:
    def change(port: int) -> Any:
        return lambda tx: listeners.create(tx, CTX, changes.balancer(tx, world.id), new(
            protocol="TCP", protocol_port=port))

    results = race(world.database, *(change(port) for port in (80, 81, 82, 83)))
    assert len(won(results)) == 1
    assert all(isinstance(one, (Conflict, dict)) for one in results)
    world.settle()
    row = world.row()
    assert row is not None
    assert (row["provisioning_status"], row["generation"]) == ("ACTIVE", 2)
    assert len(world.database.read(LISTENERS.of, [world.id])) == 1


def test_quotas_hold_in_a_race(world: World) -> None:
    world.database.write(quotas.update, "p", {"load_balancer": 2})

    def make(_: Tx) -> Any:
        return load_balancers.create(_, CTX, new(project_id="p", vip_network_id=world.network["id"]))

    results = race(world.database, *[make] * 3)
    assert len(won(results)) == 1
    assert all(isinstance(one, (dict, QuotaExceeded)) for one in results)
    assert "QuotaExceeded" in lost(results)


def test_lists_filter_sort_and_turn_pages(world: World) -> None:
    for port in (80, 81, 82):
        world.change(listeners.create, new(protocol="TCP", protocol_port=port, tags=["even"] if port % 2 == 0 else []))

    def ports(**query: Any) -> list[int]:
        listed = lists.LISTED["listener"]
        return [one["protocol_port"] for one in world.database.read(lists.find, listed, ListQuery(**query))]

    assert ports() == [80, 81, 82]
    assert ports(tags={"tags": ["even"]}) == [80, 82]
    assert ports(tags={"not-tags-any": ["even,odd"]}) == [81]
    assert ports(sorts=[("protocol_port", True)], limit=2) == [82, 81]
    first = world.database.read(lists.find, lists.LISTED["listener"], ListQuery(limit=1))[0]
    assert ports(marker=first["id"]) == [81, 82]
    assert ports(filters={"admin_state_up": [True], "protocol_port": [81, 82]}) == [81, 82]
    with pytest.raises(StacklingError):
        ports(marker="nonsense")


def test_an_administrator_may_delete_and_a_failed_one_too(world: World) -> None:
    def fail(tx: Tx) -> None:
        BALANCERS.update(tx, world.id, {"provisioning_status": "ERROR"})

    world.database.write(fail)
    world.database.write(lambda tx: load_balancers.delete(tx, ADMIN, changes.balancer(tx, world.id), cascade=False))
    world.settle()
    assert world.row() is None
