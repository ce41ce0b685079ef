"""Files that a request puts into a new server (``personality``, until 2.56): in its config drive, as with Nova."""

from __future__ import annotations

import base64
from typing import Any

from stackling.ports.document import InjectedFile
from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]
OLD = version(56)
HELLO = base64.b64encode(b"hello\n").decode()


def file(path: str = "/etc/motd", contents: str = HELLO) -> dict[str, str]:
    return {"path": path, "contents": contents}


def files_of(world: World, id: str) -> tuple[InjectedFile, ...]:
    world.settle()
    return world.agents[0].wanted[id].metadata.files


def message(answer: Any, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()[kind]["message"]


def test_files_reach_the_config_drive_of_the_server(world: World, member: Client) -> None:
    two = [file(), file("/root/x", "YQ==")]
    id = world.create(member, personality=two, config_drive=True, headers=OLD)["id"]
    assert files_of(world, id) == (InjectedFile("/etc/motd", HELLO), InjectedFile("/root/x", "YQ=="))
    assert world.agents[0].wanted[id].config_drive
    assert HELLO not in member.get(f"{V}/servers/{id}", headers=LATEST).text
    bare = world.create(member, headers=OLD)["id"]
    assert files_of(world, bare) == ()


def test_a_rebuild_has_files_of_its_own(world: World, member: Client) -> None:
    id = world.create(member, personality=[file()], config_drive=True, headers=OLD)["id"]
    world.settle()
    body = {"imageRef": world.image, "personality": [file("/new")]}
    done = world.act(member, id, "rebuild", body, headers=OLD)
    assert done.status_code == 202, done.text
    assert [one.path for one in files_of(world, id)] == ["/new"]
    assert world.act(member, id, "rebuild", {"imageRef": world.image}, headers=LATEST).status_code == 202
    assert files_of(world, id) == ()


def test_from_257_on_there_are_none(world: World, member: Client) -> None:
    refused = world.try_create(member, personality=[file()], headers=version(57))
    assert "personality" in message(refused, 400, "badRequest")
    id = world.active(member)["id"]
    refused = world.act(member, id, "rebuild", {"imageRef": world.image, "personality": []}, headers=version(57))
    assert "personality" in message(refused, 400, "badRequest")


def test_what_is_no_file(world: World, member: Client) -> None:
    for wrong in ([{"path": "/x"}], [{"contents": HELLO}], [file(contents="%%%")], [{**file(), "mode": 1}], {}, ["x"]):
        assert world.try_create(member, personality=wrong, headers=OLD).status_code == 400, wrong


def test_quotas_of_files(world: World, member: Client) -> None:
    def create(*files: dict[str, str]) -> Any:
        return world.try_create(member, personality=list(files), headers=OLD)

    assert message(create(*[file(f"/{n}") for n in range(6)]), 403, "forbidden") == "Personality file limit exceeded"
    assert message(create(file("/" + "x" * 255)), 403, "forbidden") == "Personality file path exceeds maximum 255"
    assert message(create(file(contents="YWFh" * 2561)), 403, "forbidden") == (
        "Personality file content exceeds maximum 10240")
    id = create(*[file(f"/{n}") for n in range(5)]).json()["server"]["id"]
    assert len(files_of(world, id)) == 5
    path = f"{V}/os-quota-sets/{member.project_id}"
    assert world.admin.put(path, {"quota_set": {"injected_files": 0}}, headers=OLD).status_code == 200
    assert message(create(file()), 403, "forbidden") == "Personality file limit exceeded"
    refused = world.act(member, id, "rebuild", {"imageRef": world.image, "personality": [file()]}, headers=OLD)
    assert message(refused, 403, "forbidden") == "Personality file limit exceeded"
    assert world.show(member, id)["status"] == "ACTIVE"


def test_an_image_may_demand_a_config_drive(world: World, member: Client) -> None:
    image = world.make_image("with drive", img_config_drive="mandatory")
    server = world.active(member, imageRef=image)
    assert server["config_drive"] == "True"
    assert world.agents[0].wanted[server["id"]].config_drive
    optional = world.make_image("without", img_config_drive="optional")
    assert world.active(member, imageRef=optional)["config_drive"] == ""
