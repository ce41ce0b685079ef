"""``/stackling/v1/audit`` and ``/stackling/v1/settings``: for administrators alone, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from stackling.api.stackling.service import service as stackling_service
from stackling.deploy import federation
from stackling.deploy.cluster.description import Cluster, Fencing, Machine, Storage
from stackling.deploy.embedded.configuration import Configuration
from stackling.main import shown_settings
from stackling.store import audit, timeline
from tests.api import compute_world
from tests.api.compute_world import World
from tests.api.conftest import Client

AUDIT, SETTINGS = "/stackling/v1/audit", "/stackling/v1/settings"
CONFIGURATION = Configuration(instance="cloud", run_directory="/run/cloud", region="Mars", identity_providers={"sso": {
    "issuer": "https://sso.example", "client_id": "cloud", "client_secret_file": "/etc/secret-of-sso"}})
PROVIDERS = federation.settings(CONFIGURATION.identity_providers)
world = compute_world.world


@pytest.fixture
def told(world: World) -> World:
    world.cloud.start([*world.services, stackling_service(
        timeline.explain, timeline.owner, lines=audit.find,
        configured=shown_settings.of_directory(CONFIGURATION, PROVIDERS))])
    return world


def ask(client: Client, **filters: Any) -> list[dict[str, Any]]:
    answer = client.get(AUDIT, params=filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]


def test_who_did_what_to_what_and_when(told: World, member: Client) -> None:
    server = told.active(member, name="web")
    (made,) = ask(told.admin, resource_id=server["id"], event="create")
    assert (made["kind"], made["resource_name"], made["project_name"]) == ("server", "web", "demo")
    assert made["user_id"] == member.user_id
    assert made["user_name"] is not None
    assert made["at"].endswith("Z")
    assert {one["source"] for one in ask(told.admin, resource_id=server["id"])} >= {"api", "agent"}
    assert all(one["user_id"] for one in ask(told.admin, resource_id=server["id"], by_people="true"))


def test_filters_and_pages(told: World, member: Client, other: Client) -> None:
    for number in range(5):
        member.post("/network/v2.0/networks", {"network": {"name": f"n{number}"}})
    other.post("/network/v2.0/networks", {"network": {"name": "theirs"}})
    assert [one["resource_name"] for one in ask(told.admin, kind="network", user_id=member.user_id, limit=2)] == [
        "n4", "n3"]
    assert [one["resource_name"] for one in ask(told.admin, kind="network", project_id=other.project_id)] == ["theirs"]
    first = told.admin.get(AUDIT, params={"kind": "network", "limit": 4}).json()
    rest = told.admin.get(AUDIT, params={"kind": "network", "limit": 4, "marker": first["next"]}).json()
    everything = ask(told.admin, kind="network")
    assert first["events"] + rest["events"] == everything[:8]
    assert everything[0]["resource_name"] == "theirs"
    assert ask(told.admin, since="2999-01-01T00:00:00Z") == []
    assert ask(told.admin, before="2000-01-01T00:00:00+02:00") == []
    assert len(ask(told.admin, since="2000-01-01")) > 5


@pytest.mark.parametrize("query", ["since=yesterday", "limit=0", "limit=1001", "limit=x", "marker=x", "by_people=maybe",
                                   "colour=red", "before=9999-99-99", "marker=-1"])
def test_what_can_t_be_asked(told: World, query: str) -> None:
    answer = told.admin.get(f"{AUDIT}?{query}")
    assert answer.status_code == 400, answer.text
    assert query.partition("=")[0] in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", [AUDIT, SETTINGS])
def test_only_administrators_look(told: World, member: Client, reader: Client, anonymous: Client, path: str) -> None:
    assert told.admin.get(path).status_code == 200
    assert member.get(path).status_code == 403
    assert reader.get(path).status_code == 403
    assert anonymous.get(path).status_code == 401


def test_settings_are_shown_with_what_they_mean(told: World) -> None:
    shown = {one["name"]: one for one in told.admin.get(SETTINGS).json()["settings"]}
    assert (shown["region"]["value"], shown["region"]["default"]) == ("Mars", "RegionOne")
    assert shown["region"]["help"]
    assert shown["sso.issuer"]["value"] == "https://sso.example"
    assert "secret" not in json.dumps(shown)


def test_every_key_of_the_configuration_is_shown_but_tables_and_the_place_of_sockets() -> None:
    shown = {one.name for one in shown_settings.of_directory(CONFIGURATION, ())}
    missing = {one.name for one in fields(Configuration)} - shown - {"run_directory"}
    assert "identity_providers" in missing
    assert all(isinstance(getattr(CONFIGURATION, name), Mapping) for name in missing), missing


def test_a_cluster_shows_no_parameters_of_fencing() -> None:
    cluster = Cluster(name="c", virtual_ip="10.0.0.9/24", machines=(Machine(name="m1", address="10.0.0.1"),),
                      fencing=Fencing(agent="fence_ipmilan", parameters={"password": "hunter2"}))
    shown = shown_settings.of_cluster(cluster, federation.settings({"sso": {
        "issuer": "https://sso.example", "client_id": "cloud", "client_secret_file": str(Path("/etc/secret"))}}))
    text = json.dumps([[one.name, one.value, one.help] for one in shown])
    assert "fence_ipmilan" in text
    assert "hunter2" not in text
    assert "secret" not in text.replace("secrets are", "")
    assert {one.name for one in shown} >= set(Storage.__struct_fields__) - {"disk_directory_id"}


def test_identity_writes_down_who_changed_what(told: World, member: Client) -> None:
    admin = told.admin
    user = admin.post("/identity/v3/users", {"user": {"name": "nina", "password": "a secret of nina"}}).json()["user"]
    role = admin.get("/identity/v3/roles", params={"name": "reader"}).json()["roles"][0]["id"]
    grant = f"/identity/v3/projects/{member.project_id}/users/{user['id']}/roles/{role}"
    assert admin.put(grant).status_code == 204
    assert member.delete(grant).status_code == 403
    assert admin.delete(grant).status_code == 204
    assert told.cloud.client().post(f"/identity/v3/users/{user['id']}/password", {"user": {
        "original_password": "a secret of nina", "password": "another secret"}}).status_code == 204
    admin.delete(f"/identity/v3/users/{user['id']}")
    of_user = [(one["event"], one["message"], one["user_name"])
               for one in ask(admin, kind="user", resource_id=user["id"])]
    assert of_user == [("delete", "nina", "admin"), ("change_password", "nina", None), ("create", "nina", "admin")]
    of_project = [(one["event"], one["message"], one["resource_name"], one["user_id"])
                  for one in ask(admin, kind="project", resource_id=member.project_id)][:2]
    assert of_project == [("revoke", "role reader, user nina", "demo", admin.user_id),
                          ("grant", "role reader, user nina", "demo", admin.user_id)]
    assert "secret" not in json.dumps(ask(admin))
