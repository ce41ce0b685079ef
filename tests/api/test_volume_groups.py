"""Groups of volumes, as the calls for groups and those for consistency groups show them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stackling.api.call import Version
from tests.api.compute_world import world as world
from tests.api.volume_world import NEWEST, V, Volumes
from tests.api.volume_world import volumes as volumes

CG, SNAPSHOTS = f"{V}/consistencygroups", f"{V}/cgsnapshots"


def _version(version: Version) -> dict[str, str]:
    return {"OpenStack-API-Version": f"volume {version[0]}.{version[1]}"}


def _type(volumes: Volumes) -> str:
    return volumes.world.admin.get(f"{V}/types/default").json()["volume_type"]["id"]


def _consistent(volumes: Volumes, **values: Any) -> str:
    answer = volumes.client.post(CG, {"consistencygroup": {"volume_types": f"{_type(volumes)},", **values}})
    assert answer.status_code == 202, answer.text
    assert set(answer.json()["consistencygroup"]) == {"id", "name"}
    return answer.json()["consistencygroup"]["id"]


def test_a_consistency_group_lives(volumes: Volumes) -> None:
    client, kind = volumes.client, _type(volumes)
    group = _consistent(volumes, name=" together ", description="x")
    shown = client.get(f"{CG}/{group}").json()["consistencygroup"]
    assert (shown["name"], shown["status"], shown["volume_types"]) == ("together", "available", [kind])
    assert set(shown) == {"id", "status", "availability_zone", "created_at", "name", "description", "volume_types"}
    volume = volumes.available(consistencygroup_id=group, volume_type=kind)
    assert volumes.show(volume)["consistencygroup_id"] == volumes.show(volume)["group_id"] == group
    other = volumes.available(volume_type=kind)
    change = {"consistencygroup": {"name": "renamed", "add_volumes": other, "remove_volumes": volume}}
    assert client.put(f"{CG}/{group}", change).status_code == 202
    assert volumes.show(volume)["consistencygroup_id"] is None
    assert volumes.show(other)["consistencygroup_id"] == group
    refused = client.post(f"{CG}/{group}/delete", {"consistencygroup": {"force": False}})
    assert refused.status_code == 400
    refused = client.post(f"{CG}/{group}/delete", {"consistency_group": {"force": False}})      # openstacksdk's word
    assert (refused.status_code, "still contains volumes" in refused.text) == (400, True)
    assert client.post(f"{CG}/{group}/delete", {"consistencygroup": {"force": True}}).status_code == 202
    volumes.settle()
    assert client.get(f"{CG}/{group}").status_code == client.get(f"{V}/volumes/{other}").status_code == 404
    assert volumes.show(volume)["status"] == "available"


def test_snapshots_of_a_consistency_group(volumes: Volumes) -> None:
    client, kind = volumes.client, _type(volumes)
    group = _consistent(volumes, name="together")
    new = {"cgsnapshot": {"consistencygroup_id": group, "name": "point"}}
    assert client.post(SNAPSHOTS, new).status_code == 400       # nothing is in it
    volumes.available(consistencygroup_id=group, volume_type=kind)
    made = client.post(SNAPSHOTS, new)
    assert made.status_code == 202, made.text
    snapshot = made.json()["cgsnapshot"]
    assert snapshot == {"id": snapshot["id"], "name": "point"}
    volumes.settle()
    shown = client.get(f"{SNAPSHOTS}/{snapshot['id']}").json()["cgsnapshot"]
    assert (shown["status"], shown["consistencygroup_id"], shown["name"]) == ("available", group, "point")
    assert client.get(f"{SNAPSHOTS}/detail").json()["cgsnapshots"] == [shown]
    assert client.get(SNAPSHOTS).json()["cgsnapshots"] == [snapshot]
    source = {"consistencygroup-from-src": {"cgsnapshot_id": snapshot["id"], "source_cgid": None, "name": "again"}}
    again = client.post(f"{CG}/create_from_src", source)
    assert again.status_code == 202, again.text
    volumes.settle()
    found = client.get(f"{CG}/detail").json()["consistencygroups"]
    assert [(one["name"], one["status"]) for one in found] == [("again", "available"), ("together", "available")]
    assert client.delete(f"{SNAPSHOTS}/{snapshot['id']}").status_code == 202
    volumes.settle()
    assert client.get(f"{SNAPSHOTS}/{snapshot['id']}").status_code == 404


def test_the_calls_for_groups_leave_consistency_groups_alone(volumes: Volumes) -> None:
    client, admin = volumes.client, volumes.world.admin
    group = _consistent(volumes)
    for answer in (
        client.get(f"{V}/groups/{group}", headers=NEWEST),
        client.put(f"{V}/groups/{group}", {"group": {"name": "x"}}, headers=NEWEST),
        client.post(f"{V}/groups/{group}/action", {"delete": {}}, headers=NEWEST),
        client.post(f"{V}/group_snapshots", {"group_snapshot": {"group_id": group}}, headers=NEWEST),
        client.post(f"{V}/groups/action", {"create-from-src": {"source_group_id": group}}, headers=NEWEST),
        client.post(f"{V}/groups", {"group": {"group_type": "default_cgsnapshot_type",
                                              "volume_types": [_type(volumes)]}}, headers=NEWEST),
    ):
        assert answer.status_code == 400, answer.text
        assert "reserved for migrating CGs" in answer.text
    assert client.get(f"{V}/groups/detail", headers=NEWEST).json()["groups"] == []
    made = admin.post(f"{V}/group_types", {"group_type": {"name": "plain"}}, headers=NEWEST)
    assert made.status_code == 202, made.text
    body = {"group": {"name": "generic", "group_type": "plain", "volume_types": [_type(volumes)]}}
    generic = client.post(f"{V}/groups", body, headers=NEWEST).json()["group"]["id"]
    assert [one["id"] for one in client.get(f"{V}/groups", headers=NEWEST).json()["groups"]] == [generic]
    assert {one["id"] for one in client.get(CG).json()["consistencygroups"]} == {generic, group}


def test_others_dont_see_a_consistency_group(volumes: Volumes) -> None:
    group, other = _consistent(volumes), volumes.world.cloud.actor("elsewhere", "member")
    assert other.get(f"{CG}/{group}").status_code == 404
    assert other.get(CG).json()["consistencygroups"] == []
    assert other.post(f"{CG}/{group}/delete", {"consistencygroup": {"force": True}}).status_code == 404
    reader = volumes.world.cloud.actor("demo", "reader", "reading")
    assert reader.get(f"{CG}/{group}").status_code == 200
    assert reader.put(f"{CG}/{group}", {"consistencygroup": {"name": "x"}}).status_code == 403


@pytest.mark.parametrize(("path", "body"), [
    ("", {"consistencygroup": {}}), ("", {"consistencygroup": {"volume_types": ","}}),
    ("", {"consistencygroup": {"volume_types": ["x"]}}), ("", {"consistencygroup": {"volume_types": "x", "name": 1}}),
    ("/create_from_src", {"consistencygroup-from-src": {}}),
    ("/create_from_src", {"consistencygroup-from-src": {"cgsnapshot_id": "a", "source_cgid": "b"}}),
])
def test_consistency_groups_that_cant_be(volumes: Volumes, path: str, body: dict[str, Any]) -> None:
    assert volumes.client.post(f"{CG}{path}", body).status_code == 400
    assert volumes.client.get(CG).json() == {"consistencygroups": []}


def test_an_update_that_says_nothing(volumes: Volumes) -> None:
    group = _consistent(volumes, name="together")
    nothing, blank = {"consistencygroup": {}}, {"consistencygroup": {"name": ""}}
    assert volumes.client.put(f"{CG}/{group}", nothing, headers=_version((3, 5))).status_code == 400
    assert volumes.client.put(f"{CG}/{group}", blank, headers=_version((3, 5))).status_code == 400
    assert volumes.client.put(f"{CG}/{group}", nothing, headers=NEWEST).status_code == 400
    assert volumes.client.put(f"{CG}/{group}", blank, headers=NEWEST).status_code == 202
    assert volumes.client.get(f"{CG}/{group}").json()["consistencygroup"]["name"] == ""


def test_there_are_no_clusters_and_nothing_to_clean(volumes: Volumes) -> None:
    admin = volumes.world.admin
    assert admin.get(f"{V}/clusters/detail?is_up=true", headers=NEWEST).json() == {"clusters": []}
    assert admin.get(f"{V}/clusters?frozen=x", headers=_version((3, 7))).status_code == 400
    assert admin.get(f"{V}/clusters", headers=_version((3, 6))).status_code == 404
    assert admin.get(f"{V}/clusters/one", headers=NEWEST).status_code == 404
    assert admin.put(f"{V}/clusters/disable", {"name": "one"}, headers=NEWEST).status_code == 404
    assert admin.put(f"{V}/clusters/disable", {}, headers=NEWEST).status_code == 400
    cleaned = admin.post(f"{V}/workers/cleanup", {"binary": "cinder-volume"}, headers=NEWEST)
    assert (cleaned.status_code, cleaned.json()) == (202, {"cleaning": [], "unavailable": []})
    assert admin.post(f"{V}/workers/cleanup", {"resource_type": "x"}, headers=NEWEST).status_code == 400
    assert volumes.client.get(f"{V}/clusters", headers=NEWEST).status_code == 403


def test_levels_of_logs(volumes: Volumes) -> None:
    admin, levels = volumes.world.admin, f"{V}/os-services"
    body = {"binary": "cinder-api", "prefix": "stackling.api.app"}
    before = admin.put(f"{levels}/get-log", body, headers=NEWEST).json()["log_levels"][0]
    assert (before["binary"], set(before["levels"])) == ("cinder-api", {"stackling.api.app"})
    try:
        assert admin.put(f"{levels}/set-log", {**body, "level": "debug"}, headers=NEWEST).status_code == 202
        assert admin.put(f"{levels}/get-log", body, headers=NEWEST).json()["log_levels"][0]["levels"] == {
            "stackling.api.app": "DEBUG"}
    finally:
        logging.getLogger("stackling.api.app").setLevel(logging.NOTSET)
    everything = admin.put(f"{levels}/get-log", {}, headers=NEWEST).json()["log_levels"][0]["levels"]
    assert all(name.startswith("stackling") for name in everything)     # a library's details may hold secrets
    assert admin.put(f"{levels}/set-log", {"level": "loud"}, headers=NEWEST).status_code == 400
    assert admin.put(f"{levels}/get-log", {}, headers=_version((3, 31))).status_code == 404
    assert volumes.client.put(f"{levels}/get-log", {}, headers=NEWEST).status_code == 403


def test_what_could_be_managed(volumes: Volumes) -> None:
    admin = volumes.world.admin
    for kind in ("volumes", "snapshots"):
        path = f"{V}/manageable_{kind}"
        found = admin.get(f"{path}/detail?host=stackling@simulated%23simulated", headers=NEWEST)
        assert found.json() == {f"manageable-{kind}": []}, found.text
        assert admin.get(f"{path}?host=nowhere", headers=NEWEST).status_code == 404
        assert admin.get(path, headers=NEWEST).status_code == 400
        assert admin.get(f"{path}?host=a&cluster=b", headers=NEWEST).status_code == 400
        assert admin.get(f"{path}?host=stackling@simulated&sort=color", headers=NEWEST).status_code == 400
