"""Images made of servers: the way from the action to the image, what is refused, backups and their rotation."""

from __future__ import annotations

from typing import Any

from stackling.api.internal.service import CREDENTIAL
from stackling.drivers.simulated.disks import empty_qcow2
from tests.api.compute_world import V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]


def ask(world: World, client: Client, id: str, name: str = "copy", **values: Any) -> Any:
    return world.act(client, id, "createImage", {"name": name, **values}, headers=version(45))


def send(world: World, image: str, credential: str = "secret of h1", data: bytes | None = None) -> Any:
    return world.cloud.send(
        "PUT",
        f"/internal/images/{image}/file",
        content=data or empty_qcow2(1 << 30),
        headers={CREDENTIAL: credential, "Content-Type": "application/octet-stream"},
    )


def state(world: World, client: Client, id: str) -> tuple[str, Any]:
    shown = world.show(client, id)
    return shown["status"], shown["OS-EXT-STS:task_state"]


def test_the_host_hands_the_disk_over(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    answer = ask(world, member, id, metadata={"purpose": "test"})
    assert answer.status_code == 202
    image = answer.json()["image_id"]
    found = member.get(f"/image/v2/images/{image}").json()
    assert (found["status"], found["disk_format"], found["visibility"]) == ("queued", "qcow2", "private")
    assert (found["instance_uuid"], found["image_type"], found["purpose"]) == (id, "snapshot", "test")
    assert found["base_image_ref"] == world.image
    assert state(world, member, id) == ("ACTIVE", "image_uploading")
    assert ask(world, member, id).status_code == 409
    assert world.agents[0].fetch()[0].snapshot == image
    assert send(world, image).status_code == 204
    world.agents[0].report(world.agents[0].done(world.agents[0].wanted[id]))
    assert state(world, member, id) == ("ACTIVE", None)
    assert member.get(f"/image/v2/images/{image}").json()["status"] == "active"
    assert member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"][0]["action"] == "createImage"


def test_only_the_servers_own_machine_may_send(world: World, member: Client) -> None:
    world.add_host("h2")
    id = world.active(member)["id"]
    here = world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"]
    other = "h1" if here == "h2" else "h2"
    image = ask(world, member, id).json()["image_id"]
    assert send(world, image, f"secret of {other}").status_code == 404
    assert send(world, image, "wrong").status_code == 401
    assert send(world, world.image, f"secret of {here}").status_code == 404
    assert send(world, image, f"secret of {here}").status_code == 204


def test_an_image_deleted_meanwhile_frees_the_server(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    image = ask(world, member, id).json()["image_id"]
    assert member.delete(f"/image/v2/images/{image}").status_code == 204
    assert send(world, image).status_code == 404
    world.settle()
    assert state(world, member, id) == ("ACTIVE", None)


def test_data_that_is_no_image_is_refused_and_leaves_nothing(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    image = ask(world, member, id).json()["image_id"]
    assert send(world, image, data=b"no disk at all").status_code == 415
    world.settle()
    assert state(world, member, id) == ("ACTIVE", None)
    assert member.get(f"/image/v2/images/{image}").status_code == 404


def test_a_deleted_server_leaves_no_empty_image(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    image = ask(world, member, id).json()["image_id"]
    member.delete(f"{V}/servers/{id}")
    world.settle()
    assert member.get(f"/image/v2/images/{image}").status_code == 404


def test_a_backup_replaces_the_oldest(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    made: list[str] = []
    for number in range(3):
        answer = world.act(
            member,
            id,
            "createBackup",
            {"name": f"b{number}", "backup_type": "daily", "rotation": 2},
            headers=version(45),
        )
        assert answer.status_code == 202, answer.text
        made.append(answer.json()["image_id"])
        assert send(world, made[-1]).status_code == 204
        world.settle()
    left = member.get("/image/v2/images?backup_type=daily").json()["images"]
    assert {one["id"] for one in left} == set(made[1:])


def test_a_foreign_server_is_not_found(world: World, member: Client, other: Client) -> None:
    id = world.active(member)["id"]
    assert ask(world, other, id).status_code == 404
