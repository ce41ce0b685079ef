"""Servers that boot from volumes, with turns of the engines and reports of the host that die anywhere.

Each call of the storage fails once, in turn; each turn may be taken over by another worker before it settles; each
report of the host may be lost, and said again. In the end everything is as if nothing had happened.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from stackling.engine.worker import Worker
from stackling.ports.volumes import StoreDown
from stackling.store.work import SqlWorkQueue
from stackling.volume import facade as volume
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import version
from tests.api.compute_world import world as world
from tests.api.conftest import cloud as cloud
from tests.api.conftest import identity_config as identity_config
from tests.api.conftest import service_arguments as service_arguments
from tests.api.test_boot_volumes import blank, boot, from_image
from tests.api.volume_world import V as VOLUME
from tests.api.volume_world import Volumes
from tests.api.volume_world import volumes as volumes

CALLS = ("size", "create", "replace", "delete")


class Killed(BaseException):
    """The process dies here: nothing that it would have done afterwards is done."""


def shake(found: Volumes, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the engine that works on volumes die after its *after*-th call of the storage, and another take over."""
    left = [after]
    for name in CALLS:
        real = getattr(found.store, name)

        def call(*args: Any, real: Any = real) -> Any:
            done = real(*args)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return done

        monkeypatch.setattr(found.store, name, call)


def settle(found: Volumes) -> None:
    """Until nothing is left to do; a killed engine's claims are released, as at its next start."""
    for _ in range(40):
        try:
            found.settle()
            return
        except Killed:
            SqlWorkQueue(found.world.cloud.database).release(found.engine.owner)
    raise AssertionError("it finds no end")


@pytest.mark.parametrize("after", range(1, 7))
def test_an_engine_killed_at_every_step_of_a_boot(volumes: Volumes, monkeypatch: pytest.MonkeyPatch,
                                                  after: int) -> None:
    shake(volumes, monkeypatch, after)
    made = volumes.world.try_create(volumes.client, headers=version(67), imageRef="", block_device_mapping_v2=[
        from_image(volumes.world.image, delete_on_termination=True), blank(boot_index=-1, delete_on_termination=True)])
    id = made.json()["server"]["id"]
    settle(volumes)
    shown = volumes.world.show(volumes.client, id)
    assert shown["status"] == "ACTIVE", shown
    assert len(volumes.store.inventory()) == 2
    shake(volumes, monkeypatch, after)
    assert volumes.client.delete(f"{COMPUTE}/servers/{id}").status_code == 204
    settle(volumes)
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}
    assert not volumes.store.inventory()


@pytest.mark.parametrize("after", range(1, 5))
def test_an_engine_killed_at_every_step_of_a_rebuild(volumes: Volumes, monkeypatch: pytest.MonkeyPatch,
                                                     after: int) -> None:
    server, other = boot(volumes, [from_image(volumes.world.image)]), volumes.world.make_image("other")
    shake(volumes, monkeypatch, after)
    volumes.world.act(volumes.client, server["id"], "rebuild", {"imageRef": other}, headers=version(93))
    settle(volumes)
    shown = volumes.world.show(volumes.client, server["id"])
    assert shown["status"] == "ACTIVE", shown
    root = volumes.show(shown["os-extended-volumes:volumes_attached"][0]["id"])
    assert (root["volume_image_metadata"]["image_id"], root["status"]) == (other, "in-use")


@pytest.mark.parametrize("seed", range(4))
def test_lost_reports_and_a_storage_that_is_away(volumes: Volumes, seed: int) -> None:
    chance = random.Random(seed)
    made = volumes.world.try_create(volumes.client, headers=version(67), imageRef="", block_device_mapping_v2=[
        from_image(volumes.world.image), blank(boot_index=-1)]).json()["server"]["id"]
    agent = volumes.world.agents[0]
    engines = [volumes.engine, Worker(SqlWorkQueue(volumes.world.cloud.database), volume.kinds(volume.Backends(
        {"stackling@simulated": volumes.store}, None, volumes.world.cloud.cloud.image_store)))]     # type: ignore[arg-type]
    for _ in range(12):
        match chance.randrange(4):
            case 0:
                volumes.store.fail(chance.choice(CALLS[:2]), StoreDown("no answer"))
            case 1:
                agent.fetch()               # and the report is lost
            case 2:
                chance.choice(engines).step(chance.randrange(1, 4))
            case _:
                volumes.world.engine.step(chance.randrange(1, 4))
    for name in CALLS[:2]:
        volumes.store._failing.pop(name, None)     # pyright: ignore[reportPrivateUsage]
    agent.generation = 0                            # a new agent asks for all of it
    agent.wanted.clear()
    for _ in range(30):
        volumes.settle()
        shown = volumes.world.show(volumes.client, made)
        if shown["status"] == "ACTIVE":
            break
        with volumes.world.cloud.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE work SET due_at = 0")
    assert shown["status"] == "ACTIVE", shown
    assert len(volumes.store.inventory()) == 2
