"""Server groups that would rather be together, or apart: where their members get to."""

from __future__ import annotations

import pytest

from tests.api.compute_world import LATEST, V, World, world
from tests.api.conftest import Client

__all__ = ["world"]


@pytest.mark.parametrize(("policy", "hosts"), [("soft-affinity", 1), ("soft-anti-affinity", 3)])
def test_members_of_a_soft_group(world: World, member: Client, policy: str, hosts: int) -> None:
    for name in ("h2", "h3"):
        world.add_host(name)
    group = member.post(f"{V}/os-server-groups", {"server_group": {"name": "g", "policy": policy}},
                        headers=LATEST).json()["server_group"]["id"]
    made = [world.create(member, hints={"group": group})["id"] for _ in range(3)]
    world.settle()
    assert len({world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"] for id in made}) == hosts
    more = world.create(member, hints={"group": group})["id"]
    world.settle()
    assert world.show(member, more)["status"] == "ACTIVE"
