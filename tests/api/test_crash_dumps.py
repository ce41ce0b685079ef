"""``trigger_crash_dump``: a guest is interrupted, so that its system writes a dump."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.compute_world import LATEST, World, version, world
from tests.api.conftest import Client
from tests.api.test_inside_servers import last_action

__all__ = ["world"]


class Agent:
    """What answers at the address of the host."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.asked: list[tuple[str, str]] = []

    async def ask(self, address: str, method: str, path: str) -> tuple[int, bytes]:
        assert address == "/run/h1.sock"
        self.asked.append((method, path))
        if self.status == 0:
            raise ConnectionError("nobody is there")
        return self.status, self.body


@pytest.fixture
def agent(world: World) -> Agent:
    found = Agent()
    world.cloud.cloud.ask_agent = found.ask
    world.agents[0].report(address="/run/h1.sock")
    return found


def dump(world: World, client: Client, id: str, minor: int = 17) -> Any:
    return world.act(client, id, "trigger_crash_dump", headers=version(minor))


def outcome(member: Client, id: str) -> tuple[str, list[tuple[str, str]]]:
    action = last_action(member, id)
    return action["action"], [(one["event"], one["result"]) for one in action["events"]]


def test_a_guest_is_interrupted(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    answer = dump(world, member, id)
    assert (answer.status_code, answer.content) == (202, b"")
    assert agent.asked == [("POST", f"/servers/{id}/nmi")]
    assert outcome(member, id) == ("trigger_crash_dump", [("compute_trigger_crash_dump", "Success")])
    assert world.show(member, id)["status"] == "ACTIVE"


@pytest.mark.parametrize(("status", "body", "words"), [
    (0, b"", "doesn't answer"), (404, b"{}", "isn't on its host"),
    (409, b'{"error": "the guest is off"}', "the guest is off")])
def test_what_fails_is_in_the_actions(world: World, member: Client, agent: Agent, status: int, body: bytes,
                                      words: str) -> None:
    id = world.active(member)["id"]
    agent.status, agent.body = status, body
    assert dump(world, member, id).status_code == 202
    assert outcome(member, id) == ("trigger_crash_dump", [("compute_trigger_crash_dump", "Error")])
    assert words in str(last_action(world.admin, id))


def test_only_from_217_on_and_without_more_to_say(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    assert dump(world, member, id, 16).status_code == 404
    assert world.act(member, id, "trigger_crash_dump", {"a": 1}, headers=LATEST).status_code == 400
    assert agent.asked == []


def test_only_of_a_server_that_may_be_on_and_is_unlocked(world: World, member: Client, other: Client, reader: Client,
                                                         agent: Agent) -> None:
    id = world.active(member)["id"]
    assert dump(world, other, id).status_code == 404
    assert dump(world, reader, id).status_code == 403
    assert world.act(member, id, "lock").status_code == 202
    assert dump(world, member, id).status_code == 409
    assert world.act(member, id, "unlock").status_code == 202
    assert world.act(member, id, "os-stop").status_code == 202
    world.settle()
    answer = dump(world, member, id)
    assert answer.status_code == 409
    assert answer.json()["conflictingRequest"]["message"] == (
        f"Cannot 'trigger_crash_dump' instance {id} while it is in vm_state stopped")
    assert agent.asked == []


def test_nothing_to_restore(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    answer = world.act(member, id, "restore")
    assert answer.status_code == 409
    assert answer.json()["conflictingRequest"]["message"] == (
        f"Cannot 'restore' instance {id} while it is in vm_state active")
