"""Resizing a server: confirmed, undone, refused; what it takes on its host meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.compute_world import V, World, world
from tests.api.conftest import Client

__all__ = ["world"]


@pytest.fixture
def sizes(world: World) -> dict[str, str]:
    """Flavor ids by name: (memory, disk) 128/1, 512/2, 512/0, 32768/2."""
    made: dict[str, str] = {}
    for name, ram, disk in (("small", 128, 1), ("large", 512, 2), ("diskless", 512, 0), ("huge", 32768, 2)):
        body = {"flavor": {"name": name, "ram": ram, "disk": disk, "vcpus": 1}}
        made[name] = world.admin.post(f"{V}/flavors", body).json()["flavor"]["id"]
    return made


def states(world: World, client: Client, id: str) -> tuple[str, str, Any]:
    shown = world.show(client, id)
    return shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]


def used(world: World) -> tuple[int, int]:
    found = world.admin.get(f"{V}/os-hypervisors/detail").json()["hypervisors"][0]
    return found["memory_mb_used"], found["local_gb_used"]


def resize(world: World, client: Client, id: str, flavor: str) -> Any:
    return world.act(client, id, "resize", {"flavorRef": flavor})


def test_a_confirmed_resize(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["small"])["id"]
    assert resize(world, member, id, sizes["large"]).status_code == 202
    assert states(world, member, id) == ("RESIZE", "active", "resize_finish")
    wanted = world.agents[0].fetch()[0]
    assert (wanted.memory_mib, wanted.root.size_gib if wanted.root else None) == (512, 2)
    assert (wanted.resizes, wanted.kept_resize, wanted.restored_resize) == (1, 1, 0)
    world.agents[0].report(world.agents[0].done(wanted, converged=False))
    assert states(world, member, id)[0] == "RESIZE"
    world.agents[0].report(world.agents[0].done(wanted))
    assert states(world, member, id) == ("VERIFY_RESIZE", "resized", None)
    assert world.show(member, id)["flavor"]["original_name"] == "large"
    assert world.act(member, id, "os-stop").status_code == 409
    assert world.act(member, id, "confirmResize").status_code == 204
    assert states(world, member, id) == ("ACTIVE", "active", None)
    assert world.agents[0].fetch()[0].kept_resize == 0
    [shown] = world.admin.get(f"{V}/os-migrations").json()["migrations"]
    assert (shown["status"], shown["source_compute"], shown["dest_compute"]) == ("confirmed", "h1", "h1")
    assert used(world) == (512, 2)


def test_a_resize_that_is_undone(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["small"])["id"]
    resize(world, member, id, sizes["large"])
    world.settle()
    assert world.act(member, id, "revertResize").status_code == 202
    assert states(world, member, id) == ("REVERT_RESIZE", "resized", "resize_reverting")
    assert used(world) == (512, 2)
    wanted = world.agents[0].fetch()[0]
    assert (wanted.memory_mib, wanted.resizes, wanted.kept_resize, wanted.restored_resize) == (128, 2, 0, 1)
    world.agents[0].report(world.agents[0].done(wanted))
    assert states(world, member, id) == ("ACTIVE", "active", None)
    assert world.show(member, id)["flavor"]["original_name"] == "small"
    assert used(world) == (128, 1)
    actions = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert [one["action"] for one in actions] == ["revertResize", "resize", "create"]


def test_a_stopped_server_stays_stopped(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["small"])["id"]
    world.act(member, id, "os-stop")
    world.settle()
    resize(world, member, id, sizes["large"])
    assert states(world, member, id) == ("RESIZE", "stopped", "resize_finish")
    world.settle()
    assert states(world, member, id) == ("VERIFY_RESIZE", "resized", None)
    world.act(member, id, "confirmResize")
    assert states(world, member, id) == ("SHUTOFF", "stopped", None)


def test_deleting_in_between_gives_everything_back(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["small"])["id"]
    resize(world, member, id, sizes["large"])
    world.settle()
    assert member.delete(f"{V}/servers/{id}").status_code == 204
    world.settle()
    assert used(world) == (0, 0)


def test_what_is_refused(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["large"])["id"]
    for flavor, why in (
        ("large", "must change flavor"),
        ("small", "resize disk down"),
        ("diskless", "zero disk"),
        ("huge", "lacks 24"),
    ):
        answer = resize(world, member, id, sizes[flavor])
        assert answer.status_code == 400
        assert why in answer.json()["badRequest"]["message"]
    assert resize(world, member, id, "no-such").status_code == 400
    for action in ("confirmResize", "revertResize"):
        assert world.act(member, id, action).status_code == 409
    assert states(world, member, id) == ("ACTIVE", "active", None)
    assert used(world) == (512, 2)


def test_the_quota_counts_what_is_added(world: World, member: Client, sizes: dict[str, str]) -> None:
    id = world.active(member, flavorRef=sizes["small"])["id"]
    world.admin.put(f"{V}/os-quota-sets/{member.project_id}", {"quota_set": {"ram": 300}})
    answer = resize(world, member, id, sizes["large"])
    assert answer.status_code == 403
    assert "Requested 384, but already used 128 of 300 ram" in answer.json()["forbidden"]["message"]
