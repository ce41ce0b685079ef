"""``/stackling/v1/explain``: a resource's timeline, for its project and for administrators."""

from __future__ import annotations

import pytest

from stackling.api.stackling.service import service as stackling_service
from stackling.store import timeline
from tests.api import compute_world
from tests.api.compute_world import World
from tests.api.conftest import Client

BASE = "/stackling/v1/explain"
world = compute_world.world


@pytest.fixture
def told(world: World) -> World:
    world.cloud.start([*world.services, stackling_service(timeline.explain, timeline.owner)])
    return world


def test_a_server_tells_its_story_to_its_project_and_to_administrators(
        told: World, member: Client, reader: Client) -> None:
    server = told.active(member)
    for client in (member, reader, told.admin):
        answer = client.get(f"{BASE}/server/{server['id']}")
        assert answer.status_code == 200, answer.text
        found = answer.json()["explanation"]
        assert found["events"][0]["event"] == "create"
        assert found["deleted_at"] is None
        assert all(event["request_id"] for event in found["events"] if event["source"] == "api")


def test_others_learn_nothing_not_even_that_it_exists(
        told: World, member: Client, other: Client, anonymous: Client) -> None:
    server = told.active(member)
    foreign = other.get(f"{BASE}/server/{server['id']}")
    never = other.get(f"{BASE}/server/{server['id'][:-1]}0")
    assert foreign.status_code == never.status_code == 404
    assert foreign.json()["error"]["message"].replace(server["id"], "") == \
        never.json()["error"]["message"].replace(server["id"][:-1] + "0", "")
    assert anonymous.get(f"{BASE}/server/{server['id']}").status_code == 401


def test_a_refusal_by_the_scheduler_is_told_with_its_reasons(told: World) -> None:
    told.agents[0].report(inventory=compute_world.Inventory(vcpus=4, memory_mib=1, disk_gib=200), complete=True)
    server = told.create(told.admin)
    told.settle()
    events = told.admin.get(f"{BASE}/server/{server['id']}").json()["explanation"]["events"]
    (refusal,) = [event for event in events if event["event"] == "no_valid_host"]
    assert "0 of 1 host" in refusal["message"]


@pytest.mark.parametrize("path", ["nonsense/1", "server/%00", "server/'%20or%201=1", "settings/era", "work/x"])
def test_unknown_things_are_unknown(told: World, path: str) -> None:
    assert told.admin.get(f"{BASE}/{path}").status_code == 404
