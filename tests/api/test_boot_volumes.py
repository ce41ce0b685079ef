"""Servers that boot from volumes, as clients of Compute see them. What the rules are is Nova's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.ports.document import Power
from stackling.ports.volumes import StoreRefused
from tests.api.compute_world import LATEST, version
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import world as world
from tests.api.volume_world import V as VOLUME
from tests.api.volume_world import Volumes
from tests.api.volume_world import volumes as volumes

IMAGE = "/image/v2/images"


def blank(**values: Any) -> dict[str, Any]:
    return {"source_type": "blank", "destination_type": "volume", "volume_size": 1, **values}


def from_image(image: str, **values: Any) -> dict[str, Any]:
    return {"source_type": "image", "uuid": image, "destination_type": "volume", "volume_size": 1, "boot_index": 0,
            **values}


def local(image: str) -> dict[str, Any]:
    return {"source_type": "image", "uuid": image, "destination_type": "local", "boot_index": 0}


def ask(found: Volumes, devices: list[dict[str, Any]], *, minor: int = 67, **values: Any) -> Any:
    return found.world.try_create(found.client, headers=version(minor), imageRef="",
                                  block_device_mapping_v2=devices, **values)


def boot(found: Volumes, devices: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    """An ACTIVE server with these disks."""
    answer = ask(found, devices, **values)
    assert answer.status_code == 202, answer.text
    found.settle()
    shown = found.world.show(found.client, answer.json()["server"]["id"])
    assert shown["status"] == "ACTIVE", shown
    return shown


def wanted(found: Volumes, id: str) -> Any:
    """What the host is told of the server."""
    return found.world.agents[0].wanted[id]


def test_a_volume_is_made_and_booted_from(volumes: Volumes) -> None:
    made = ask(volumes, [from_image(volumes.world.image, delete_on_termination=True, tag="root"),
                         blank(boot_index=-1, volume_size=2)]).json()["server"]
    shown = volumes.world.show(volumes.client, made["id"])
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["image"]) == ("BUILD", "block_device_mapping", "")
    volumes.world.agents[0].work()
    assert made["id"] not in volumes.world.agents[0].wanted     # not before its volumes are there
    volumes.settle()
    shown = volumes.world.show(volumes.client, made["id"])
    assert (shown["status"], shown["image"]) == ("ACTIVE", "")
    admins = volumes.world.show(volumes.world.admin, made["id"])
    assert admins["OS-EXT-SRV-ATTR:root_device_name"] == "/dev/vda"
    attached = shown["os-extended-volumes:volumes_attached"]
    assert [one["delete_on_termination"] for one in attached] == [True, False]
    root, data = (volumes.show(one["id"]) for one in attached)
    assert (root["size"], root["status"], root["bootable"], root["name"]) == (1, "in-use", "true", "")
    assert root["attachments"][0]["device"] == "/dev/vda"
    assert (data["size"], data["bootable"], data["name"]) == (2, "false", f"{made['id']}-blank-vol")
    told = wanted(volumes, made["id"])
    assert told.root is None
    assert [(one.device, one.boot_index) for one in told.volumes] == [("/dev/vda", 0), ("/dev/vdb", -1)]
    assert told.volumes[0].location
    assert volumes.client.delete(f"{COMPUTE}/servers/{made['id']}").status_code == 204
    volumes.settle()
    assert volumes.client.get(f"{VOLUME}/volumes/{root['id']}").status_code == 404
    assert volumes.show(data["id"])["status"] == "available"


def test_old_versions_show_volumes_without_more(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    shown = volumes.world.show(volumes.client, server["id"], version(2))
    assert [set(one) for one in shown["os-extended-volumes:volumes_attached"]] == [{"id"}]


def test_an_existing_volume_is_booted_from_in_the_old_form_too(volumes: Volumes) -> None:
    volume = volumes.available(imageRef=volumes.world.image)
    answer = volumes.world.try_create(volumes.client, imageRef="", block_device_mapping=[
        {"volume_id": volume, "device_name": "vda", "delete_on_termination": True}])
    assert answer.status_code == 202, answer.text
    id = answer.json()["server"]["id"]
    assert volumes.show(volume)["status"] == "attaching"
    volumes.settle()
    assert volumes.world.show(volumes.client, id)["status"] == "ACTIVE"
    assert wanted(volumes, id).volumes[0].volume_id == volume
    volumes.client.delete(f"{COMPUTE}/servers/{id}")
    volumes.settle()
    assert volumes.client.get(f"{VOLUME}/volumes/{volume}").status_code == 404


def test_a_snapshot_becomes_the_root_and_an_image_keeps_a_data_volume(volumes: Volumes) -> None:
    volume = volumes.available(imageRef=volumes.world.image)
    made = volumes.snapshot(volume)
    server = boot(volumes, [{"source_type": "snapshot", "uuid": made, "destination_type": "volume",
                             "boot_index": 0}])
    root = volumes.show(server["os-extended-volumes:volumes_attached"][0]["id"])
    assert (root["snapshot_id"], root["size"]) == (made, 1)
    other = volumes.world.create(volumes.client, block_device_mapping_v2=[
        local(volumes.world.image), blank(boot_index=-1)])
    volumes.settle()
    other = volumes.world.show(volumes.client, other["id"])
    assert (other["status"], other["image"]["id"]) == ("ACTIVE", volumes.world.image)
    assert wanted(volumes, other["id"]).root is not None
    assert wanted(volumes, other["id"]).volumes[0].device == "/dev/vdb"


def test_swap_and_ephemeral_disks_are_as_large_as_asked_for(volumes: Volumes) -> None:
    made = volumes.world.admin.post(f"{COMPUTE}/flavors", {"flavor": {
        "name": "big", "vcpus": 1, "ram": 64, "disk": 1, "swap": 512, "OS-FLV-EXT-DATA:ephemeral": 4}}).json()["flavor"]
    server = boot(volumes, [from_image(volumes.world.image),
                            {"source_type": "blank", "destination_type": "local", "volume_size": 2},
                            {"source_type": "blank", "destination_type": "local", "guest_format": "swap",
                             "volume_size": 256}], flavorRef=made["id"])
    told = wanted(volumes, server["id"])
    assert (told.ephemeral_gib, told.swap_mib) == (2, 256)
    assert told.volumes[0].device == "/dev/vda"


def test_a_volume_backed_server_takes_no_local_disk(volumes: Volumes) -> None:
    boot(volumes, [from_image(volumes.world.image)], flavorRef="4")      # 80 GiB
    found = volumes.world.admin.get(f"{COMPUTE}/os-hypervisors/detail", headers=version(87)).json()["hypervisors"]
    assert found[0]["local_gb_used"] == 0


def test_a_flavor_without_disk_boots_from_volumes_only(volumes: Volumes) -> None:
    flavor = volumes.world.admin.post(f"{COMPUTE}/flavors", {"flavor": {
        "name": "none", "vcpus": 1, "ram": 64, "disk": 0}}).json()["flavor"]["id"]
    refused = volumes.world.try_create(volumes.client, flavorRef=flavor)
    assert refused.status_code == 403
    assert "Only volume-backed servers" in refused.text
    boot(volumes, [from_image(volumes.world.image)], flavorRef=flavor)


@pytest.mark.parametrize(("devices", "words"), [
    ([blank(boot_index=0, uuid="00000000-0000-4000-8000-000000000000")], "Invalid device UUID."),
    ([{"source_type": "volume", "destination_type": "volume", "boot_index": 0}], "Missing device UUID."),
    ([{"source_type": "image", "uuid": "IMAGE", "destination_type": "local", "boot_index": 1}],
     "Mapping image to local is not supported."),
    ([{"source_type": "image", "uuid": "IMAGE", "destination_type": "local", "boot_index": 0}],
     "Mapping image to local is not supported."),
    ([blank(destination_type="local", volume_type="lvm")], "Specifying a volume_type with destination_type=local"),
    ([{"source_type": "volume", "uuid": "IMAGE", "destination_type": "volume", "volume_type": "x"}],
     "Specifying volume type to existing volume"),
    ([blank(device_name="a b", boot_index=0)], "does not match"),
    ([blank()], "Boot sequence for the instance"),
    ([blank(boot_index=1)], "Boot sequence for the instance"),
    ([blank(boot_index=0), blank(boot_index=0)], "Boot sequence for the instance"),
    ([{"source_type": "image", "uuid": "IMAGE", "destination_type": "volume", "boot_index": 0}], "non-zero size"),
    ([{"source_type": "blank", "destination_type": "volume", "boot_index": 0}], "need to have non-zero size"),
    ([from_image("00000000-0000-4000-8000-000000000000")], "failed to get image"),
    ([{"source_type": "volume", "uuid": "00000000-0000-4000-8000-000000000000", "destination_type": "volume",
       "boot_index": 0}], "failed to get volume"),
    ([{"source_type": "snapshot", "uuid": "00000000-0000-4000-8000-000000000000", "destination_type": "volume",
       "boot_index": 0}], "failed to get snapshot"),
    ([from_image("IMAGE", volume_type="nothing")], "Volume type nothing could not be found."),
    ([from_image("IMAGE", disk_bus="carrier pigeon")], "Block Device Mapping is Invalid"),
    ([from_image("IMAGE"), blank(destination_type="local")], "Ephemeral disks requested are larger"),
    ([from_image("IMAGE"), blank(destination_type="local", guest_format="swap")], "Swap drive requested is larger"),
    ([from_image("IMAGE"), *[{"source_type": "blank", "destination_type": "local", "guest_format": "swap"}] * 2],
     "More than one swap drive requested."),
    ([from_image("IMAGE"), *[{"source_type": "blank", "destination_type": "local"}] * 4],
     "more local devices than the limit allows"),
])
def test_what_cant_be_asked_for(volumes: Volumes, devices: list[dict[str, Any]], words: str) -> None:
    real = [{**one, **({"uuid": volumes.world.image} if one.get("uuid") == "IMAGE" else {})} for one in devices]
    answer = ask(volumes, real)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["badRequest"]["message"], answer.text
    assert volumes.client.get(f"{COMPUTE}/servers").json() == {"servers": []}
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}


def test_more_that_cant_be_asked_for(volumes: Volumes) -> None:
    empty, image = volumes.available(), volumes.world.image
    both = ask(volumes, [from_image(image)], block_device_mapping=[{"volume_id": empty, "device_name": "vda"}])
    assert "Using different block_device_mapping syntaxes" in both.text
    device = {"source_type": "volume", "uuid": empty, "destination_type": "volume", "boot_index": 0}
    assert f"Block Device {empty} is not bootable." in ask(volumes, [device]).text
    many = ask(volumes, [from_image(image), {**device, "boot_index": -1}], max_count=2)
    assert "Cannot attach one or more volumes to multiple instances" in many.text
    named = volumes.world.try_create(volumes.client, block_device_mapping_v2=[
        local(image), {**device, "boot_index": -1, "device_name": "vda"}])
    assert "same device name as the root device vda" in named.text
    bare = volumes.world.try_create(volumes.client, imageRef="")
    assert bare.status_code == 400
    assert "Missing imageRef attribute" in bare.text
    other = volumes.world.cloud.actor("elsewhere", "member")
    stolen = volumes.world.try_create(other, block_device_mapping_v2=[local(image), {**device, "boot_index": -1}])
    assert (stolen.status_code, "failed to get volume" in stolen.text) == (400, True)
    small = volumes.world.make_image("large", min_disk=3)
    assert "Volume is smaller than the minimum size" in ask(volumes, [from_image(small)]).text


def test_a_volume_in_use_is_refused_and_nothing_is_made(volumes: Volumes) -> None:
    volume = volumes.available(imageRef=volumes.world.image)
    device = {"source_type": "volume", "uuid": volume, "destination_type": "volume", "boot_index": 0}
    boot(volumes, [device])
    refused = ask(volumes, [device, blank(boot_index=-1)])
    assert refused.status_code == 400, refused.text
    assert "Invalid volume" in refused.text
    assert len(volumes.client.get(f"{COMPUTE}/servers").json()["servers"]) == 1
    assert len(volumes.client.get(f"{VOLUME}/volumes").json()["volumes"]) == 1


def test_a_volume_that_cant_be_made_ends_the_build(volumes: Volumes) -> None:
    volumes.store.fail("create", StoreRefused("the image can't be read"))
    id = ask(volumes, [from_image(volumes.world.image, delete_on_termination=True)]).json()["server"]["id"]
    volumes.settle()
    shown = volumes.world.show(volumes.client, id)
    assert shown["status"] == "ERROR"
    assert f"Build of instance {id} aborted" in shown["fault"]["message"]
    assert "did not finish being created" in shown["fault"]["message"]
    assert shown["os-extended-volumes:volumes_attached"] == []
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}
    found = volumes.world.admin.get(f"{COMPUTE}/os-hypervisors/detail", headers=version(87)).json()["hypervisors"]
    assert (found[0]["vcpus_used"], found[0]["memory_mb_used"]) == (0, 0)
    assert volumes.client.delete(f"{COMPUTE}/servers/{id}").status_code == 204
    assert volumes.client.get(f"{COMPUTE}/servers/{id}").status_code == 404


def test_quotas_of_volumes_count_and_end_the_build(volumes: Volumes) -> None:
    volumes.world.admin.put(f"{VOLUME}/os-quota-sets/{volumes.client.project_id}", {"quota_set": {"volumes": 1}})
    id = ask(volumes, [from_image(volumes.world.image), blank(boot_index=-1)]).json()["server"]["id"]
    shown = volumes.world.show(volumes.client, id)
    assert shown["status"] == "ERROR"
    assert "Maximum number of volumes allowed (1) exceeded" in shown["fault"]["message"]
    volumes.settle()
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}
    assert not volumes.store.inventory()


def test_a_server_deleted_while_its_volume_is_made_leaves_nothing(volumes: Volumes) -> None:
    id = ask(volumes, [from_image(volumes.world.image, delete_on_termination=True)]).json()["server"]["id"]
    assert volumes.client.delete(f"{COMPUTE}/servers/{id}").status_code == 204
    volumes.settle()
    assert volumes.client.get(f"{COMPUTE}/servers/{id}").status_code == 404
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}
    assert not volumes.store.inventory()


def test_the_root_stays_and_delete_on_termination_can_change(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    volume = server["os-extended-volumes:volumes_attached"][0]["id"]
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments/{volume}"
    refused = volumes.client.delete(path)
    assert (refused.status_code, "Cannot detach a root device volume" in refused.text) == (400, True)
    body = {"volumeAttachment": {"volumeId": volume, "delete_on_termination": True}}
    assert volumes.client.put(path, body, headers=version(85)).status_code == 202
    assert volumes.client.get(path, headers=LATEST).json()["volumeAttachment"]["delete_on_termination"] is True
    for name in ("id", "serverId"):
        wrong = volumes.client.put(path, {"volumeAttachment": {"volumeId": volume, name: new_id()}},
                                   headers=version(85))
        assert (wrong.status_code, f"The {name} property is not mutable" in wrong.text) == (400, True)
    assert volumes.client.put(path, {"volumeAttachment": {"volumeId": volumes.available()}},
                              headers=version(84)).status_code == 403
    volumes.client.delete(f"{COMPUTE}/servers/{server['id']}")
    volumes.settle()
    assert volumes.client.get(f"{VOLUME}/volumes/{volume}").status_code == 404


def test_an_image_of_a_volume_backed_server_boots(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image), blank(boot_index=-1, volume_size=2)])
    made = volumes.world.act(volumes.client, server["id"], "createImage", {"name": "saved", "metadata": {"a": "b"}},
                             headers=version(45))
    assert made.status_code == 202, made.text
    image = volumes.client.get(f"{IMAGE}/{made.json()['image_id']}").json()
    assert (image["status"], image["size"], image["a"], image["bdm_v2"]) == ("active", 0, "b", "True")
    assert image["root_device_name"] == "/dev/vda"
    mapping = json.loads(image["block_device_mapping"])
    assert [(one["source_type"], one["volume_size"], one["boot_index"]) for one in mapping] == [
        ("snapshot", 1, 0), ("snapshot", 2, -1)]
    volumes.settle()
    snapshots = volumes.client.get(f"{VOLUME}/snapshots/detail").json()["snapshots"]
    assert {one["name"] for one in snapshots} == {"snapshot for saved"}
    second = volumes.world.create(volumes.client, imageRef=image["id"])
    volumes.settle()
    shown = volumes.world.show(volumes.client, second["id"])
    assert (shown["status"], shown["image"]["id"]) == ("ACTIVE", image["id"])
    sizes = [volumes.show(one["id"])["size"] for one in shown["os-extended-volumes:volumes_attached"]]
    assert sizes == [1, 2]
    assert wanted(volumes, second["id"]).root is None
    assert volumes.client.get(f"{IMAGE}/{image['id']}/file").status_code == 204
    assert volumes.client.delete(f"{IMAGE}/{image['id']}").status_code == 204


def test_an_image_with_nonsense_for_disks_is_refused(volumes: Volumes) -> None:
    for text in ("nonsense", "[1]", '[{"source_type": "floppy"}]', "{}"):
        image = volumes.world.make_image("odd", block_device_mapping=text, bdm_v2="True")
        answer = volumes.world.try_create(volumes.client, imageRef=image)
        assert answer.status_code == 400, (text, answer.text)


def test_backups_are_refused(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    refused = volumes.world.act(volumes.client, server["id"], "createBackup",
                                {"name": "b", "backup_type": "daily", "rotation": 1})
    assert (refused.status_code, "Backup is not supported for volume-backed instances" in refused.text) == (400, True)


def test_a_rebuild_gives_the_root_volume_the_image(volumes: Volumes) -> None:
    server, other = boot(volumes, [from_image(volumes.world.image)]), volumes.world.make_image("other")
    volume = server["os-extended-volumes:volumes_attached"][0]["id"]
    old = volumes.world.act(volumes.client, server["id"], "rebuild", {"imageRef": other}, headers=version(92))
    assert (old.status_code, "Unable to rebuild with a different image" in old.text) == (400, True)
    assert volumes.world.act(volumes.client, server["id"], "rebuild", {"imageRef": other},
                             headers=version(93)).status_code == 202
    assert volumes.world.show(volumes.client, server["id"])["status"] == "REBUILD"
    agent = volumes.world.agents[0]
    agent.work()
    assert wanted(volumes, server["id"]).power is Power.STOPPED
    assert volumes.show(volume)["status"] == "downloading"
    agent.work()
    shown = volumes.world.show(volumes.client, server["id"])
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("REBUILD", "rebuild_block_device_mapping")
    volumes.settle()
    shown = volumes.world.show(volumes.client, server["id"])
    assert (shown["status"], shown["image"]) == ("ACTIVE", "")
    assert wanted(volumes, server["id"]).power is Power.RUNNING
    assert volumes.show(volume)["volume_image_metadata"]["image_id"] == other
    assert volumes.show(volume)["status"] == "in-use"


def test_a_rebuild_whose_volume_fails_is_an_error(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    volumes.store.fail("replace", StoreRefused("the image can't be read"))
    volumes.world.act(volumes.client, server["id"], "rebuild", {"imageRef": volumes.world.image}, headers=version(93))
    volumes.settle()
    shown = volumes.world.show(volumes.client, server["id"])
    assert (shown["status"], "the image can't be read" in shown["fault"]["message"]) == ("ERROR", True)


def test_a_server_deleted_while_its_volume_gets_an_image_leaves_nothing(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image, delete_on_termination=True)])
    volumes.world.act(volumes.client, server["id"], "rebuild", {"imageRef": volumes.world.image}, headers=version(93))
    volumes.world.agents[0].work()
    assert volumes.client.delete(f"{COMPUTE}/servers/{server['id']}").status_code == 204
    volumes.world.agents[0].work()
    volumes.settle()
    assert volumes.client.get(f"{COMPUTE}/servers/{server['id']}").status_code == 404
    assert volumes.client.get(f"{VOLUME}/volumes").json() == {"volumes": []}
    assert not volumes.store.inventory()


def test_shelving_keeps_the_volume_and_makes_no_image(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    volume = server["os-extended-volumes:volumes_attached"][0]["id"]
    assert volumes.world.act(volumes.client, server["id"], "shelve").status_code == 202
    volumes.world.agents[0].fetch()
    told = wanted(volumes, server["id"])
    assert (told.present, told.politely) == (False, True)
    volumes.world.agents[0].report(volumes.world.agents[0].done(told))
    volumes.settle()
    shown = volumes.world.show(volumes.client, server["id"])
    assert (shown["status"], shown["hostId"]) == ("SHELVED_OFFLOADED", "")
    assert volumes.client.get(IMAGE, params={"owner": volumes.client.project_id}).json()["images"] == []
    assert volumes.show(volume)["status"] in ("in-use", "reserved")
    assert volumes.client.delete(
        f"{COMPUTE}/servers/{server['id']}/os-volume_attachments/{volume}").status_code == 400
    assert volumes.world.act(volumes.client, server["id"], "unshelve", {}).status_code == 202
    volumes.settle()
    assert volumes.world.show(volumes.client, server["id"])["status"] == "ACTIVE"
    assert wanted(volumes, server["id"]).volumes[0].volume_id == volume


def test_a_volume_that_was_leaving_is_free_when_its_server_has_left_its_host(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    path = f"{COMPUTE}/servers/{server['id']}/os-volume_attachments"
    leaving, coming = volumes.available(), volumes.available()
    assert volumes.client.post(path, {"volumeAttachment": {"volumeId": leaving}}).status_code == 200
    volumes.settle()
    assert volumes.client.delete(f"{path}/{leaving}").status_code == 202
    assert volumes.client.post(path, {"volumeAttachment": {"volumeId": coming}}).status_code == 200
    assert (volumes.show(leaving)["status"], volumes.show(coming)["status"]) == ("detaching", "attaching")
    assert volumes.world.act(volumes.client, server["id"], "shelve").status_code == 202
    volumes.settle()
    assert volumes.world.show(volumes.client, server["id"])["status"] == "SHELVED_OFFLOADED"
    assert (volumes.show(leaving)["status"], volumes.show(coming)["status"]) == ("available", "in-use")
    assert leaving not in [one["volumeId"] for one in volumes.client.get(path).json()["volumeAttachments"]]


def test_rescue_needs_a_stable_device(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    stable = volumes.world.make_image("rescue", hw_rescue_device="disk", hw_rescue_bus="virtio")
    for image, minor in ((volumes.world.image, 87), (stable, 86)):
        refused = volumes.world.act(volumes.client, server["id"], "rescue", {"rescue_image_ref": image},
                                    headers=version(minor))
        assert (refused.status_code, "Cannot rescue a volume-backed instance" in refused.text) == (400, True)
    assert volumes.world.act(volumes.client, server["id"], "rescue", {"rescue_image_ref": stable},
                             headers=version(87)).status_code == 200


def test_a_resize_looks_at_no_disk(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)], flavorRef="2")
    assert volumes.world.act(volumes.client, server["id"], "resize", {"flavorRef": "1"}).status_code == 202
    volumes.settle()
    assert volumes.world.show(volumes.client, server["id"])["status"] == "VERIFY_RESIZE"
    assert volumes.world.act(volumes.client, server["id"], "confirmResize").status_code == 204
    volumes.settle()
    assert volumes.world.show(volumes.client, server["id"])["flavor"]["original_name"] == "m1.tiny"
    found = volumes.world.admin.get(f"{COMPUTE}/os-hypervisors/detail", headers=version(87)).json()["hypervisors"]
    assert found[0]["local_gb_used"] == 0


def test_a_volume_backed_server_migrates_without_copies(volumes: Volumes) -> None:
    server = boot(volumes, [from_image(volumes.world.image)])
    volumes.world.add_host("h2")
    assert volumes.world.act(volumes.world.admin, server["id"], "migrate").status_code == 202
    agents = {agent.name: agent for agent in volumes.world.agents}
    agents["h2"].fetch()
    told = agents["h2"].wanted[server["id"]]
    assert (told.arrival.hold, told.arrival.source, told.root) == (True, "", None)
    volumes.settle()
    assert volumes.world.show(volumes.client, server["id"])["status"] == "VERIFY_RESIZE"
    assert volumes.show(server["os-extended-volumes:volumes_attached"][0]["id"])["attachments"][0]["host_name"] in (
        "h2", None)
