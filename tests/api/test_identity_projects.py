"""Projects, domains, tags, hierarchy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Client

V3 = "/identity/v3"


def new_project(admin: Client, name: str, **values: Any) -> dict[str, Any]:
    answer = admin.post(f"{V3}/projects", {"project": {"name": name, **values}})
    assert answer.status_code == 201, answer.text
    return answer.json()["project"]


def test_a_projects_life(admin: Client) -> None:
    project = new_project(admin, "colour", description="paint", tags=["red", "blue"], brush="round")
    assert project["domain_id"] == project["parent_id"] == "default"
    assert project["is_domain"] is False
    assert project["enabled"] is True
    assert sorted(project["tags"]) == ["blue", "red"]
    assert project["brush"] == "round"
    path = f"{V3}/projects/{project['id']}"
    assert admin.get(path).json()["project"] == project
    changed = admin.patch(path, {"project": {"name": "hue", "enabled": False, "canvas": "big"}}).json()["project"]
    assert (changed["name"], changed["enabled"], changed["brush"], changed["canvas"]) == ("hue", False, "round", "big")
    assert admin.patch(path, {"project": {}}).json()["project"] == changed
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


@pytest.mark.parametrize("values", [
    {"name": ""}, {"name": "x" * 65}, {"enabled": "true"}, {"tags": ["a,b"]}, {"tags": ["a", "a"]}, {"tags": "red"},
    {"is_domain": 1}, {"parent_id": 3}, {"options": {"x": 1}}, {"name": None}])
def test_bad_projects_are_refused(admin: Client, values: dict[str, Any]) -> None:
    assert admin.post(f"{V3}/projects", {"project": {"name": "p", **values}}).status_code == 400


def test_names_are_unique_within_a_domain(admin: Client) -> None:
    new_project(admin, "p")
    again = admin.post(f"{V3}/projects", {"project": {"name": "p"}})
    assert again.status_code == 409
    assert again.json()["error"]["title"] == "Conflict"


def test_a_hierarchy(admin: Client) -> None:
    a = new_project(admin, "a")
    b = new_project(admin, "b", parent_id=a["id"])
    c = new_project(admin, "c", parent_id=b["id"])
    assert admin.get(f"{V3}/projects?parent_id={a['id']}").json()["projects"][0]["id"] == b["id"]
    shown = admin.get(f"{V3}/projects/{b['id']}?parents_as_ids&subtree_as_ids").json()["project"]
    assert shown["subtree"] == {c["id"]: None}
    assert list(shown["parents"]) == [a["id"]]
    assert admin.delete(f"{V3}/projects/{a['id']}").status_code == 403
    assert admin.patch(f"{V3}/projects/{b['id']}", {"project": {"enabled": False}}).status_code == 403
    assert admin.patch(f"{V3}/projects/{c['id']}", {"project": {"parent_id": a["id"]}}).status_code == 403
    d = new_project(admin, "d", parent_id=c["id"])
    e = new_project(admin, "e", parent_id=d["id"])
    assert admin.post(f"{V3}/projects", {"project": {"name": "f", "parent_id": e["id"]}}).status_code == 403
    assert admin.get(f"{V3}/projects/{b['id']}?parents_as_ids&parents_as_list").status_code == 400


def test_tags(admin: Client) -> None:
    project = new_project(admin, "p", tags=["red"])
    path = f"{V3}/projects/{project['id']}/tags"
    assert admin.put(f"{path}/green").status_code == 201
    assert admin.get(f"{path}/green").status_code == 204
    assert admin.get(path).json()["tags"] == ["green", "red"]
    assert admin.delete(f"{path}/red").status_code == 204
    assert admin.delete(f"{path}/red").status_code == 404
    assert admin.put(path, {"tags": ["x", "y"]}).json()["tags"] == ["x", "y"]
    new_project(admin, "q", tags=["y"])

    def names(query: str) -> set[str]:
        return {p["name"] for p in admin.get(f"{V3}/projects?{query}").json()["projects"]}

    assert names("tags=x,y") == {"p"}
    assert names("tags-any=x,y") == {"p", "q"}
    assert names("not-tags=x,y") == {"q", "admin"}
    assert names("not-tags-any=x,y") == {"admin"}
    assert admin.delete(path).status_code == 204
    assert admin.get(path).json()["tags"] == []


def test_a_domains_life(admin: Client) -> None:
    domain = admin.post(f"{V3}/domains", {"domain": {"name": "arts", "description": "d"}}).json()["domain"]
    path = f"{V3}/domains/{domain['id']}"
    assert admin.post(f"{V3}/domains", {"domain": {"name": "arts"}}).status_code == 409
    assert [d["name"] for d in admin.get(f"{V3}/domains?name=arts").json()["domains"]] == ["arts"]
    assert {d["name"] for d in admin.get(f"{V3}/domains").json()["domains"]} == {"Default", "arts"}
    as_project = admin.get(f"{V3}/projects/{domain['id']}").json()["project"]
    assert as_project["is_domain"] is True
    assert as_project["domain_id"] is None
    project = new_project(admin, "p", domain_id=domain["id"])
    user = admin.post(f"{V3}/users", {"user": {"name": "u", "domain_id": domain["id"]}}).json()["user"]
    refused = admin.delete(path)
    assert refused.status_code == 403
    assert "disable it first" in refused.json()["error"]["message"]
    assert admin.patch(path, {"domain": {"enabled": False}}).json()["domain"]["enabled"] is False
    assert admin.delete(path).status_code == 204
    for gone in (path, f"{V3}/projects/{project['id']}", f"{V3}/users/{user['id']}"):
        assert admin.get(gone).status_code == 404


def test_a_domain_is_also_made_as_a_project(admin: Client) -> None:
    made = new_project(admin, "arts", is_domain=True)
    assert admin.get(f"{V3}/domains/{made['id']}").json()["domain"]["name"] == "arts"
    assert [p["id"] for p in admin.get(f"{V3}/projects?is_domain=true&name=arts").json()["projects"]] == [made["id"]]


def test_explicit_domain_ids(admin: Client) -> None:
    made = admin.post(f"{V3}/domains", {"domain": {"name": "x", "explicit_domain_id": "a" * 32}})
    assert made.json()["domain"]["id"] == "a" * 32
    assert admin.post(f"{V3}/domains", {"domain": {"name": "y", "explicit_domain_id": "a" * 32}}).status_code == 409
    assert admin.post(f"{V3}/domains", {"domain": {"name": "z", "explicit_domain_id": "?"}}).status_code == 400


def test_immutable_resources(admin: Client) -> None:
    project = new_project(admin, "p", options={"immutable": True})
    path = f"{V3}/projects/{project['id']}"
    assert admin.patch(path, {"project": {"name": "q"}}).status_code == 403
    assert admin.delete(path).status_code == 403
    assert admin.patch(path, {"project": {"options": {"immutable": False}}}).status_code == 200
    assert admin.delete(path).status_code == 204
    role = admin.get(f"{V3}/roles?name=admin").json()["roles"][0]
    assert admin.delete(f"{V3}/roles/{role['id']}").status_code == 403


def test_a_reader_sees_their_own_project_only(admin: Client, reader: Client, other: Client) -> None:
    own, foreign = f"{V3}/projects/{reader.project_id}", f"{V3}/projects/{other.project_id}"
    assert reader.get(own).status_code == 200
    assert reader.get(foreign).status_code == 403
    assert reader.get(f"{V3}/projects").status_code == 403
    assert reader.get(f"{V3}/projects/{'f' * 32}").status_code == 403
    assert reader.patch(own, {"project": {"name": "mine"}}).status_code == 403
    assert [p["id"] for p in reader.get(f"{V3}/users/{reader.user_id}/projects").json()["projects"]] == [
        reader.project_id]
    assert reader.get(f"{V3}/users/{other.user_id}/projects").status_code == 403
    assert reader.get(f"{V3}/domains/default").status_code == 200
