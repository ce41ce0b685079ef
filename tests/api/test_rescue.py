"""Rescue mode: from the image to the document, the states that follow, what is refused meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.api.internal.service import CREDENTIAL
from stackling.compute import facade as compute
from stackling.ports.document import ServerDesired
from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]


def states(world: World, client: Client, id: str) -> tuple[str, str, Any]:
    shown = world.show(client, id)
    return shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]


def work(world: World, **values: Any) -> ServerDesired:
    """The agent does what the document says of the one server."""
    agent = world.agents[0]
    [wanted] = agent.fetch()
    agent.report(agent.done(wanted, rescue=wanted.rescue.number if wanted.rescue else 0, **values))
    return wanted


def test_there_and_back(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    answer = world.act(member, id, "rescue", {"adminPass": "secret"})
    assert (answer.status_code, answer.json()) == (200, {"adminPass": "secret"})
    assert states(world, member, id) == ("ACTIVE", "active", "rescuing")
    wanted = work(world)
    assert wanted.rescue is not None
    assert (wanted.rescue.root.image_id, wanted.rescue.stable) == (world.image, False)
    assert states(world, member, id) == ("RESCUE", "rescued", None)
    assert world.act(member, id, "unrescue").status_code == 202
    assert states(world, member, id) == ("RESCUE", "rescued", "unrescuing")
    assert work(world).rescue is None
    assert states(world, member, id) == ("ACTIVE", "active", None)
    assert world.act(member, id, "rescue").json()["adminPass"]
    again = work(world)
    assert again.rescue is not None
    assert again.rescue.number > wanted.rescue.number
    actions = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert [one["action"] for one in actions] == ["rescue", "unrescue", "rescue", "create"]


def test_with_an_image_of_its_own(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    image = world.make_image("rescue", hw_rescue_device="cdrom", hw_rescue_bus="usb")
    agent = world.agents[0]
    path = f"/internal/images/{image}/file"
    assert world.cloud.send("GET", path, headers={CREDENTIAL: agent.credential}).status_code == 403
    answer = world.act(member, id, "rescue", {"rescue_image_ref": image}, headers=version(87))
    assert answer.status_code == 200, answer.text
    assert world.cloud.send("GET", path, headers={CREDENTIAL: agent.credential}).status_code == 200
    wanted = work(world)
    assert wanted.rescue is not None
    assert (wanted.rescue.root.image_id, wanted.rescue.stable) == (image, True)
    assert (wanted.rescue.device, wanted.rescue.bus) == ("cdrom", "usb")
    assert wanted.root is not None
    assert wanted.root.image_id == world.image
    assert world.show(member, id)["image"]["id"] == world.image


def test_a_stopped_server_is_on_afterwards(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "os-stop")
    world.settle()
    assert world.act(member, id, "rescue").status_code == 200
    assert work(world).power == "running"
    assert states(world, member, id)[0] == "RESCUE"
    world.act(member, id, "unrescue")
    assert work(world).power == "running"
    assert states(world, member, id)[0] == "ACTIVE"


def test_what_is_refused(world: World, member: Client, other: Client) -> None:
    id = world.active(member)["id"]
    assert world.act(member, id, "unrescue").status_code == 409
    assert world.act(other, id, "rescue").status_code == 404
    odd = world.make_image("odd", hw_rescue_bus="teleport")
    for value in ({"rescue_image_ref": "6f1c7d1e-0000-4000-8000-000000000001"}, {"rescue_image_ref": odd},
                  {"rescue_image_ref": "x"}, {"adminPass": 1}, {"host": "h1"}):
        assert world.act(member, id, "rescue", value).status_code == 400, value
    world.act(member, id, "pause")
    world.settle()
    assert world.act(member, id, "rescue").status_code == 409
    world.act(member, id, "unpause")
    world.settle()
    world.act(member, id, "rescue")
    work(world)
    for action, value in (("rescue", None), ("os-start", None), ("os-stop", None), ("reboot", {"type": "HARD"}),
                          ("pause", None), ("suspend", None), ("rebuild", {"imageRef": world.image}),
                          ("resize", {"flavorRef": "1"}), ("createImage", {"name": "x"}), ("shelve", None)):
        assert world.act(member, id, action, value).status_code == 409, action
    assert member.post(f"{V}/servers/{id}/os-interface", {}).status_code == 409
    for action in ("migrate", "evacuate"):
        assert world.act(world.admin, id, action, {} if action == "evacuate" else None, headers=LATEST
                         ).status_code == 409


@pytest.mark.parametrize("reported", [True, False])
def test_a_rescued_server_can_be_deleted(world: World, member: Client, reported: bool) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "rescue")
    if reported:
        work(world)
    assert member.delete(f"{V}/servers/{id}").status_code == 204
    world.settle()
    assert member.get(f"{V}/servers/{id}").status_code == 404


def test_a_lost_host_ends_it(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "rescue")
    work(world)
    host_id = world.cloud.database.read(compute.host_id, "h1")
    world.add_host("h2")
    world.cloud.database.write(compute.host_lost, host_id, "test")
    assert world.cloud.database.write(lambda tx: compute.evacuate(tx, id, reason="test")) is None
    world.settle()
    assert states(world, member, id) == ("ACTIVE", "active", None)
