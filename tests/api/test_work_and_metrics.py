"""``/stackling/v1/work``: what the engines have in hand. ``/stackling/v1/servers/ID/metrics``: what a server uses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stackling.api.stackling.service import service as stackling_service
from stackling.store import in_hand, timeline
from stackling.store.work import SqlWorkQueue
from tests.api import compute_world
from tests.api.compute_world import V, World
from tests.api.conftest import Client
from tests.api.test_inside_servers import USED

WORK = "/stackling/v1/work"
world = compute_world.world


@pytest.fixture
def told(world: World) -> World:
    world.cloud.start([*world.services, stackling_service(timeline.explain, timeline.owner, in_hand=in_hand.find)])
    return world


def ask(client: Client, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{WORK}{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_an_engine_has_in_hand_and_what_waits_for_one(told: World, member: Client) -> None:
    told.settle()
    ids = [told.create(member, name=name)["id"] for name in ("first", "second")]
    before = ask(told.admin)
    assert {one["id"]: (one["name"], one["engine"]) for one in before["work"] if one["kind"] == "server"} == {
        ids[0]: ("first", None), ids[1]: ("second", None)}
    (claim,) = SqlWorkQueue(told.cloud.database).claim(["server"], "m1", 30.0, 1)
    found = ask(told.admin)
    taken = found["work"][0]
    assert (taken["kind"], taken["id"], taken["engine"], taken["next_try_in"]) == ("server", claim.key.id, "m1", None)
    assert found["counts"]["under_way"] == 1
    assert found["counts"]["unsettled"] == before["counts"]["unsettled"]
    SqlWorkQueue(told.cloud.database).settle(
        claim, next_due=60.0, converged=False, error="the host is full", blocked_on=None, write=None)
    failed = next(one for one in ask(told.admin)["work"] if one["id"] == claim.key.id)
    assert (failed["engine"], failed["reason"]) == (None, "the host is full")
    assert 0 < failed["next_try_in"] <= 60
    assert ask(told.admin)["counts"]["failing"] == 1
    assert len(ask(told.admin, "?limit=1")["work"]) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "colour=red"])
def test_what_can_t_be_asked(told: World, query: str) -> None:
    answer = told.admin.get(f"{WORK}?{query}")
    assert answer.status_code == 400, answer.text
    assert query.partition("=")[0] in answer.json()["error"]["message"]


def test_work_is_for_administrators(told: World, member: Client, anonymous: Client) -> None:
    assert member.get(WORK).status_code == 403
    assert anonymous.get(WORK).status_code == 401


def test_who_may_read_a_server_may_see_what_it_uses_and_not_what_it_runs_on(
        told: World, member: Client, reader: Client, other: Client, anonymous: Client) -> None:
    async def answers(_address: str, method: str, path: str, *_more: Any, **_values: Any) -> tuple[int, bytes]:
        assert (method, path) == ("GET", f"/servers/{id}/diagnostics")
        return 200, msgspec.json.encode(USED)

    id = told.active(member)["id"]
    told.cloud.cloud.ask_agent = answers
    told.agents[0].report(address="/run/h1.sock")
    for client in (member, reader, told.admin):
        answer = client.get(f"/stackling/v1/servers/{id}/metrics")
        assert answer.status_code == 200, answer.text
        found = answer.json()["metrics"]
        assert found["memory_details"] == {"maximum": 512, "used": 256}
        assert found["nic_details"][0]["rx_octets"] == 1
        assert not found.keys() & {"driver", "hypervisor", "hypervisor_os"}
    assert other.get(f"/stackling/v1/servers/{id}/metrics").status_code == 404
    assert anonymous.get(f"/stackling/v1/servers/{id}/metrics").status_code == 401
    assert told.act(member, id, "os-stop").status_code == 202
    told.settle()
    assert member.get(f"/stackling/v1/servers/{id}/metrics").status_code == 409
    assert member.get(f"{V}/servers/{id}/diagnostics").status_code == 403
