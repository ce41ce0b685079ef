"""What the tests of volumes share: the world of Compute with a volume service, whose engine a test steps itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stackling.api.volume.service import service as volume_service
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.engine.worker import Worker
from stackling.store.work import SqlWorkQueue
from stackling.volume import facade as volume
from tests.api.compute_world import World
from tests.api.compute_world import world as world
from tests.api.conftest import Client

V = "/volume/v3"
NEWEST = {"OpenStack-API-Version": "volume 3.71"}


@dataclass
class Volumes:
    world: World
    store: SimulatedVolumes
    engine: Worker
    client: Client

    def create(self, **values: Any) -> dict[str, Any]:
        answer = self.client.post(f"{V}/volumes", {"volume": {"size": 1, **values}})
        assert answer.status_code == 202, answer.text
        return answer.json()["volume"]

    def show(self, id: str) -> dict[str, Any]:
        answer = self.client.get(f"{V}/volumes/{id}", headers=NEWEST)
        assert answer.status_code == 200, answer.text
        return answer.json()["volume"]

    def settle(self) -> None:
        for _ in range(20):
            self.world.settle()
            if not self.engine.step(10):
                return
        raise AssertionError("the engine finds no end")

    def snapshot(self, id: str) -> str:
        """Make one of a volume; its id."""
        answer = self.client.post(f"{V}/snapshots", {"snapshot": {"volume_id": id}})
        assert answer.status_code == 202, answer.text
        self.settle()
        return answer.json()["snapshot"]["id"]

    def available(self, **values: Any) -> str:
        made = self.create(**values)
        self.settle()
        assert self.show(made["id"])["status"] == "available"
        return made["id"]


def backends(world: World, stores: dict[str, Any], backups: Any = None) -> volume.Backends:
    """With the world's images."""
    assert world.cloud.cloud.image_store is not None
    return volume.Backends(stores, backups, world.cloud.cloud.image_store)


def begun(world: World, places: volume.Backends) -> Worker:
    """The engine of a volume service that runs over these."""
    world.cloud.start([*world.services, volume_service()])
    world.cloud.database.write(volume.bootstrap)
    world.cloud.database.write(volume.start, places)
    engine = Worker(SqlWorkQueue(world.cloud.database), volume.kinds(places))
    engine.step(10)
    return engine


@pytest.fixture
def volumes(world: World) -> Iterator[Volumes]:
    """On a simulated backend."""
    store = SimulatedVolumes(total_gib=100)
    engine = begun(world, backends(world, {"stackling@simulated": store}))
    yield Volumes(world, store, engine, world.cloud.actor("demo", "member"))
    store.close()
