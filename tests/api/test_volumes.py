"""Volumes as clients see them, on a simulated backend."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.ports.volumes import StoreDown, StoreFull
from stackling.volume import facade as volume
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import world as world
from tests.api.conftest import Client
from tests.api.volume_world import NEWEST, V, Volumes
from tests.api.volume_world import volumes as volumes


def test_a_volume_lives(volumes: Volumes) -> None:
    made = volumes.create(name="data", metadata={"a": "b"})
    assert made["status"] == "creating"
    volumes.settle()
    shown = volumes.show(made["id"])
    assert (shown["status"], shown["size"], shown["metadata"]) == ("available", 1, {"a": "b"})
    assert volumes.client.delete(f"{V}/volumes/{made['id']}").status_code == 202
    volumes.settle()
    assert volumes.client.get(f"{V}/volumes/{made['id']}").status_code == 404
    assert not volumes.store.inventory()


def test_others_dont_see_it(volumes: Volumes) -> None:
    id = volumes.available()
    other = volumes.world.cloud.actor("elsewhere", "member")
    assert other.get(f"{V}/volumes/{id}").status_code == 404
    assert other.get(f"{V}/volumes").json() == {"volumes": []}
    wrong = volumes.client.get(f"{V}/{other.project_id}/volumes")
    assert wrong.status_code == 400


def test_a_full_backend_is_an_error_that_says_so(volumes: Volumes) -> None:
    volumes.store.fail("create", StoreFull("the pool is full"))
    made = volumes.create()
    volumes.settle()
    assert volumes.show(made["id"])["status"] == "error"
    found = volumes.client.get(f"{V}/messages", headers=NEWEST).json()["messages"]
    assert "the pool is full" in found[0]["user_message"]
    assert volumes.client.delete(f"{V}/volumes/{made['id']}").status_code == 202


def test_a_backend_that_is_away_is_waited_for(volumes: Volumes) -> None:
    volumes.store.fail("create", StoreDown("no answer"))
    made = volumes.create()
    volumes.engine.step(10)
    assert volumes.show(made["id"])["status"] == "creating"


def test_too_large_for_every_backend(volumes: Volumes) -> None:
    made = volumes.create(size=900)
    assert made["status"] == "error"
    assert volumes.client.get(f"{V}/messages", headers=NEWEST).json()["messages"][0]["resource_uuid"] == made["id"]


def test_a_volume_is_attached_and_detached(volumes: Volumes) -> None:
    id, client = volumes.available(), volumes.client
    server = volumes.world.active(client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    made = client.post(path, {"volumeAttachment": {"volumeId": id}})
    assert made.json()["volumeAttachment"]["device"] == "/dev/vdb"
    assert volumes.show(id)["status"] == "attaching"
    again = client.post(path, {"volumeAttachment": {"volumeId": id}})
    assert again.status_code == 400
    volumes.settle()
    shown = volumes.show(id)
    assert (shown["status"], shown["attachments"][0]["server_id"]) == ("in-use", server["id"])
    assert volumes.world.agents[0].wanted[server["id"]].volumes[0].volume_id == id
    attachment = shown["attachments"][0]["attachment_id"]
    assert client.delete(f"{V}/attachments/{attachment}", headers=NEWEST).status_code == 409
    assert client.delete(f"{V}/volumes/{id}").status_code == 400
    assert client.delete(f"{path}/{id}").status_code == 202
    assert volumes.show(id)["status"] == "detaching"
    volumes.settle()
    assert volumes.show(id)["status"] == "available"
    assert volumes.world.agents[0].wanted[server["id"]].volumes == ()


def test_a_volume_is_shown_until_its_host_has_let_go_of_it(volumes: Volumes) -> None:
    id, client = volumes.available(), volumes.client
    server = volumes.world.active(client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    client.post(path, {"volumeAttachment": {"volumeId": id}})
    volumes.settle()
    client.delete(f"{path}/{id}")
    shown = volumes.world.show(client, server["id"])["os-extended-volumes:volumes_attached"]
    assert ([one["volumeId"] for one in client.get(path).json()["volumeAttachments"]], len(shown)) == ([id], 1)
    again = client.delete(f"{path}/{id}")
    assert (again.status_code, "Unable to detach volume" in again.text) == (400, True)
    volumes.settle()
    assert client.get(path).json()["volumeAttachments"] == []
    assert client.delete(f"{V}/volumes/{id}").status_code == 202


def test_not_even_administrators_take_a_volume_from_a_server_behind_compute_s_back(volumes: Volumes) -> None:
    id, admin = volumes.available(), volumes.world.admin
    server = volumes.world.active(volumes.client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    volumes.client.post(path, {"volumeAttachment": {"volumeId": id}})
    volumes.settle()
    attachment = volumes.show(id)["attachments"][0]["attachment_id"]
    admin.post(f"{V}/volumes/{id}/action", {"os-reset_status": {"status": "error"}})
    asked = {"os-force_detach": {"attachment_id": attachment, "connector": None}}
    refused = admin.post(f"{V}/volumes/{id}/action", asked)
    assert (refused.status_code, "using the Compute API" in refused.text) == (409, True)
    volumes.settle()
    assert [one["attachment_id"] for one in volumes.show(id)["attachments"]] == [attachment]


def test_a_detach_that_names_another_volume_s_attachment_is_refused(volumes: Volumes) -> None:
    id, other, client = volumes.available(), volumes.available(), volumes.client
    server = volumes.world.active(client)
    client.post(f"{COMPUTE}/servers/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": id}})
    volumes.settle()
    attachment = volumes.show(id)["attachments"][0]["attachment_id"]
    stranger = volumes.world.cloud.actor("elsewhere", "member")
    theirs = stranger.post(f"{V}/volumes", {"volume": {"size": 1}}).json()["volume"]["id"]
    asked = {"os-detach": {"attachment_id": attachment}}
    assert client.post(f"{V}/volumes/{other}/action", asked).status_code == 400
    assert client.post(f"{V}/volumes/{id}/action", asked).status_code == 409
    assert stranger.post(f"{V}/volumes/{theirs}/action", asked).status_code == 404


def test_the_guest_is_told_of_volumes_with_tags(volumes: Volumes) -> None:
    id, other, client = volumes.available(), volumes.available(), volumes.client
    server = volumes.world.active(client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"

    def told() -> Any:
        return volumes.world.agents[0].wanted[server["id"]].metadata.meta_data["devices"]

    client.post(path, {"volumeAttachment": {"volumeId": other}})
    volumes.settle()
    client.post(path, {"volumeAttachment": {"volumeId": id, "tag": "data"}},
                headers={"OpenStack-API-Version": "compute 2.49"})
    volumes.settle()
    assert told() == [{"type": "disk", "bus": "none", "address": "none", "serial": id, "path": "/dev/vdc",
                       "tags": ["data"]}]
    client.delete(f"{path}/{id}")
    volumes.settle()
    assert told() == []


def test_a_late_detach_ends_no_newer_attachment(volumes: Volumes) -> None:
    id, client = volumes.available(), volumes.client
    server = volumes.world.active(client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    client.post(path, {"volumeAttachment": {"volumeId": id}})
    volumes.settle()
    old = volumes.show(id)["attachments"][0]["attachment_id"]
    client.delete(f"{path}/{id}")
    volumes.settle()
    client.post(path, {"volumeAttachment": {"volumeId": id}})
    volumes.settle()
    volumes.world.cloud.database.write(volume.detached, old)
    assert volumes.show(id)["status"] == "in-use"


def test_a_volume_goes_with_its_server(volumes: Volumes) -> None:
    kept, going, client = volumes.available(), volumes.available(), volumes.client
    server = volumes.world.active(client)
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    newest = {"OpenStack-API-Version": "compute 2.79"}
    client.post(path, {"volumeAttachment": {"volumeId": kept}}, headers=newest)
    volumes.settle()
    client.post(path, {"volumeAttachment": {"volumeId": going, "delete_on_termination": True}}, headers=newest)
    volumes.settle()
    client.delete(f"{COMPUTE}/servers/{server['id']}")
    volumes.settle()
    assert volumes.show(kept)["status"] == "available"
    assert client.get(f"{V}/volumes/{going}").status_code == 404


def test_quotas_hold(volumes: Volumes) -> None:
    admin, client = volumes.world.admin, volumes.client
    admin.put(f"{V}/os-quota-sets/{client.project_id}", {"quota_set": {"volumes": 1}})
    volumes.available()
    refused = client.post(f"{V}/volumes", {"volume": {"size": 1}})
    assert refused.status_code == 413
    assert "overLimit" in refused.json()


def test_a_snapshot_and_a_volume_of_it(volumes: Volumes) -> None:
    id, client = volumes.available(), volumes.client
    made = client.post(f"{V}/snapshots", {"snapshot": {"volume_id": id}}).json()["snapshot"]
    volumes.settle()
    assert client.get(f"{V}/snapshots/{made['id']}").json()["snapshot"]["status"] == "available"
    assert client.delete(f"{V}/volumes/{id}").status_code == 400
    volumes.available(snapshot_id=made["id"], size=2)
    client.delete(f"{V}/snapshots/{made['id']}")
    volumes.settle()
    assert client.get(f"{V}/snapshots/{made['id']}").status_code == 404


def test_snapshots_are_given_back_and_taken_again(volumes: Volumes) -> None:
    client, admin, id = volumes.client, volumes.world.admin, volumes.available()
    old = volumes.snapshot(id)
    there = {"source-name": f"_snapshot-{old}"}
    unmanage = f"{V}/snapshots/{old}/action", {"os-unmanage": None}
    assert client.post(*unmanage).status_code == 403
    assert admin.post(*unmanage).status_code == 202
    assert client.get(f"{V}/snapshots/{old}").json()["snapshot"]["status"] == "unmanaging"
    assert admin.post(*unmanage).status_code == 400
    volumes.settle()
    assert client.get(f"{V}/snapshots/{old}").status_code == 404
    assert client.get(f"{V}/limits").json()["limits"]["absolute"]["totalSnapshotsUsed"] == 0
    assert client.delete(f"{V}/snapshots/{old}").status_code == 404

    def manage(path: str = "manageable_snapshots", by: Client = admin, status: int = 202, **values: Any) -> str:
        answer = by.post(f"{V}/{path}", {"snapshot": {"volume_id": id, "ref": there, **values}}, headers=NEWEST)
        assert answer.status_code == status, answer.text
        if status != 202:
            return ""
        assert not [key for key in answer.json()["snapshot"] if key.startswith("os-")]      # as upstream's
        return answer.json()["snapshot"]["id"]

    manage(by=client, status=403)
    wrong: list[dict[str, Any]] = [
        {"ref": {}}, {"ref": {"source-name": 3}}, {"ref": ""}, {"volume_id": "x"}, {"metadata": {"a": 1}}]
    for values in wrong:
        manage(status=400, **values)
    manage(status=404, volume_id=new_id())
    made = manage(name="again", description="d", metadata={"a": "b"})
    twice = manage("os-snapshot-manage")
    volumes.settle()
    shown = client.get(f"{V}/snapshots/{made}").json()["snapshot"]
    assert {key: shown[key] for key in ("status", "size", "volume_id", "name", "description", "metadata")} == {
        "status": "available", "size": 1, "volume_id": id, "name": "again", "description": "d", "metadata": {"a": "b"}}
    assert client.get(f"{V}/snapshots/{twice}").json()["snapshot"]["status"] == "error"
    volumes.available(snapshot_id=made)
    for one in (made, twice):
        assert client.delete(f"{V}/snapshots/{one}").status_code == 202
    volumes.settle()
    assert client.get(f"{V}/snapshots").json()["snapshots"] == []
    assert client.delete(f"{V}/volumes/{id}").status_code == 202
    volumes.settle()
    assert client.get(f"{V}/volumes/{id}").status_code == 404


def test_what_is_unmanaged_may_be_in_use(volumes: Volumes) -> None:
    """No host is asked to copy anything."""
    client, admin, id = volumes.client, volumes.world.admin, volumes.available()
    old = volumes.snapshot(id)
    path = f"{COMPUTE}/servers/{volumes.world.active(client)['id']}/os-volume_attachments"
    assert client.post(path, {"volumeAttachment": {"volumeId": id}}).status_code == 200
    volumes.settle()
    assert volumes.show(id)["status"] == "in-use"
    assert admin.post(f"{V}/snapshots/{old}/action", {"os-unmanage": None}).status_code == 202
    volumes.settle()
    made = admin.post(f"{V}/os-snapshot-manage", {"snapshot": {"volume_id": id, "ref": f"_snapshot-{old}"}})
    assert made.status_code == 202, made.text
    volumes.settle()
    assert client.get(f"{V}/snapshots/{made.json()['snapshot']['id']}").json()["snapshot"]["status"] == "available"


def test_an_image_says_of_what_type_its_volumes_are(volumes: Volumes) -> None:
    """Cinder's ``cinder_img_volume_type``: an id or a name, unless a type is asked for."""
    admin, image = volumes.world.admin, volumes.world.image
    for name in ("fast", "slow"):
        assert admin.post(f"{V}/types", {"volume_type": {"name": name}}).status_code == 200
    usual = volumes.create(imageRef=image)["volume_type"]

    def prefers(type: str) -> None:
        change = [{"op": "add", "path": "/cinder_img_volume_type", "value": type}]
        answer = admin.request("PATCH", f"/image/v2/images/{image}", json=change,
                               headers={"Content-Type": "application/openstack-images-v2.1-json-patch"})
        assert answer.status_code == 200, answer.text

    prefers("fast")
    assert volumes.create(imageRef=image)["volume_type"] == "fast"
    assert volumes.create(imageRef=image, volume_type="slow")["volume_type"] == "slow"
    assert volumes.create()["volume_type"] == usual
    prefers("nothing")
    assert volumes.client.post(f"{V}/volumes", {"volume": {"size": 1, "imageRef": image}}).status_code == 404
    assert volumes.create(imageRef=image, volume_type="slow")["volume_type"] == "slow"
    prefers("")
    assert volumes.create(imageRef=image)["volume_type"] == usual


def test_what_types_tell_whom(volumes: Volumes) -> None:
    admin, member = volumes.world.admin, volumes.client
    reader = volumes.world.cloud.actor("demo", "reader")
    specs = {"multiattach": "<is> True", "where": "cellar"}
    path = f"{V}/types/" + admin.post(f"{V}/types", {"volume_type": {"name": "both", "extra_specs": specs}}).json()[
        "volume_type"]["id"]
    shown = [one.get(path).json()["volume_type"] for one in (admin, member, reader)]
    assert [one["extra_specs"] for one in shown] == [specs, *[{"multiattach": "<is> True"}] * 2]
    assert ["qos_specs_id" in one for one in shown] == [True, False, False]
    assert ["os-volume-type-access:is_public" in one for one in shown] == [True, True, False]

    def found(by: Client, wanted: str) -> list[str]:
        answer = by.get(f"{V}/types", params={"extra_specs": wanted}, headers=NEWEST)
        return [one["name"] for one in answer.json()["volume_types"]]

    assert found(member, "{'multiattach': '<is> True'}") == ["both"]
    assert found(admin, "{'where': 'cellar'}") == ["both"]
    assert found(member, "{'where': 'cellar'}") == []           # or it could be guessed


def test_a_volume_in_use_becomes_no_shared_one(volumes: Volumes) -> None:
    client, admin = volumes.client, volumes.world.admin
    admin.post(f"{V}/types", {"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}})
    id, retype = volumes.available(), {"os-retype": {"new_type": "shared"}}
    path = f"{COMPUTE}/servers/{volumes.world.active(client)['id']}/os-volume_attachments"
    assert client.post(path, {"volumeAttachment": {"volumeId": id}}).status_code == 200
    volumes.settle()
    refused = client.post(f"{V}/volumes/{id}/action", retype)
    assert refused.status_code == 400
    assert "only allowed on available volumes" in refused.text
    assert client.delete(f"{path}/{id}").status_code == 202
    volumes.settle()
    assert client.post(f"{V}/volumes/{id}/action", retype).status_code == 202
    volumes.settle()
    assert volumes.show(id)["multiattach"] is True


def test_where_a_volume_cant_move(volumes: Volumes) -> None:
    path = f"{V}/volumes/{volumes.available()}/action"
    for where in ({"host": "nowhere@x#y"}, {"cluster": "none"}, {}, {"host": "a", "cluster": "b"}):
        answer = volumes.world.admin.post(path, {"os-migrate_volume": where}, headers=NEWEST)
        assert answer.status_code == 400, answer.text
    assert "No available service named" in volumes.world.admin.post(
        path, {"os-migrate_volume": {"host": "nowhere@x#y"}}, headers=NEWEST).text


@pytest.mark.parametrize(("body", "status"), [
    ({"size": 0}, 400), ({"size": -1}, 400), ({"size": "#"}, 400), ({}, 400),
    ({"size": 1, "source_volid": new_id()}, 404), ({"size": 1, "snapshot_id": new_id()}, 404),
    ({"size": 1, "volume_type": "nothing"}, 404), ({"size": 1, "imageRef": new_id()}, 400),
    ({"size": 1, "availability_zone": "nowhere"}, 400)])
def test_what_cant_be_made(volumes: Volumes, body: dict[str, Any], status: int) -> None:
    answer = volumes.client.post(f"{V}/volumes", {"volume": body})
    assert answer.status_code == status, answer.text
    assert volumes.client.get(f"{V}/volumes").json() == {"volumes": []}
