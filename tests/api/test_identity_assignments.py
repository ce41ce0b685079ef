"""Roles, grants, and the list of assignments."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Client, CloudUnderTest
from tests.api.test_identity_projects import new_project
from tests.api.test_identity_users import V3, new_user


def role_id(admin: Client, name: str) -> str:
    found = admin.get(f"{V3}/roles?name={name}").json()["roles"]
    return found[0]["id"] if found else admin.post(f"{V3}/roles", {"role": {"name": name}}).json()["role"]["id"]


def listed(admin: Client, query: str) -> list[dict[str, Any]]:
    answer = admin.get(f"{V3}/role_assignments?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["role_assignments"]


def test_roles(admin: Client) -> None:
    assert {r["name"] for r in admin.get(f"{V3}/roles").json()["roles"]} == {
        "admin", "manager", "member", "reader", "service"}
    role = admin.post(f"{V3}/roles", {"role": {"name": "painter", "description": "d"}}).json()["role"]
    assert role["domain_id"] is None
    path = f"{V3}/roles/{role['id']}"
    assert admin.post(f"{V3}/roles", {"role": {"name": "painter"}}).status_code == 409
    assert admin.patch(path, {"role": {"name": "sculptor"}}).json()["role"]["description"] == "d"
    local = admin.post(f"{V3}/roles", {"role": {"name": "sculptor", "domain_id": "default"}}).json()["role"]
    assert [r["id"] for r in admin.get(f"{V3}/roles?domain_id=default").json()["roles"]] == [local["id"]]
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_implied_roles(admin: Client) -> None:
    prior, implied = role_id(admin, "painter"), role_id(admin, "brusher")
    path = f"{V3}/roles/{prior}/implies/{implied}"
    assert admin.get(path).status_code == 404
    made = admin.put(path)
    assert made.status_code == 201
    assert made.json()["role_inference"]["implies"]["id"] == implied
    assert admin.head(path).status_code == 204
    shown = admin.get(f"{V3}/roles/{prior}/implies").json()["role_inference"]
    assert [r["name"] for r in shown["implies"]] == ["brusher"]
    rules = {r["prior_role"]["name"]: {i["name"] for i in r["implies"]}
             for r in admin.get(f"{V3}/role_inferences").json()["role_inferences"]}
    assert rules == {"admin": {"manager"}, "manager": {"member"}, "member": {"reader"}, "painter": {"brusher"}}
    assert admin.put(f"{V3}/roles/{prior}/implies/{role_id(admin, 'admin')}").status_code == 403
    assert admin.delete(path).status_code == 204
    assert admin.delete(path).status_code == 404


@pytest.mark.parametrize("target", ["projects", "domains", "system"])
@pytest.mark.parametrize("actor", ["users", "groups"])
def test_grants(admin: Client, target: str, actor: str) -> None:
    actor_id = (new_user(admin) if actor == "users" else
                admin.post(f"{V3}/groups", {"group": {"name": "g"}}).json()["group"])["id"]
    place = {"projects": f"projects/{admin.project_id}", "domains": "domains/default", "system": "system"}[target]
    many = f"{V3}/{place}/{actor}/{actor_id}/roles"
    one = f"{many}/{role_id(admin, 'member')}"
    assert admin.get(one).status_code == 404
    assert admin.put(one).status_code == 204
    assert admin.put(one).status_code == 204
    assert admin.head(one).status_code == 204
    assert [r["name"] for r in admin.get(many).json()["roles"]] == ["member"]
    assert admin.delete(one).status_code == 204
    assert admin.delete(one).status_code == 404
    assert admin.put(f"{many}/{'f' * 32}").status_code == 404
    assert admin.put(one.replace(actor_id, "f" * 32)).status_code == 404


def test_a_group_gives_its_members_its_roles(cloud: CloudUnderTest, admin: Client) -> None:
    user, project = new_user(admin), new_project(admin, "p")
    group = admin.post(f"{V3}/groups", {"group": {"name": "g"}}).json()["group"]["id"]
    admin.put(f"{V3}/groups/{group}/users/{user['id']}")
    admin.put(f"{V3}/projects/{project['id']}/groups/{group}/roles/{role_id(admin, 'member')}")
    ann = cloud.client().login("ann", "first", project="p")
    assert {r["name"] for r in ann.body["roles"]} == {"member", "reader"}
    assert [p["name"] for p in ann.get(f"{V3}/auth/projects").json()["projects"]] == ["p"]
    effective = listed(admin, f"user.id={user['id']}&effective&include_names")
    assert {e["role"]["name"] for e in effective} == {"member", "reader"}
    assert all(e["user"]["name"] == "ann" and e["links"]["membership"].endswith(f"{group}/users/{user['id']}")
               for e in effective)
    assert listed(admin, f"user.id={user['id']}") == []
    admin.delete(f"{V3}/groups/{group}/users/{user['id']}")
    assert ann.get(f"{V3}/auth/projects").status_code == 401


def test_inherited_roles(cloud: CloudUnderTest, admin: Client) -> None:
    user, top = new_user(admin), new_project(admin, "top")
    new_project(admin, "below", parent_id=top["id"])
    grant = f"{V3}/OS-INHERIT/projects/{top['id']}/users/{user['id']}/roles"
    member = role_id(admin, "member")
    assert admin.put(f"{grant}/{member}/inherited_to_projects").status_code == 204
    assert admin.head(f"{grant}/{member}/inherited_to_projects").status_code == 204
    assert [r["name"] for r in admin.get(f"{grant}/inherited_to_projects").json()["roles"]] == ["member"]
    ann = cloud.client().login("ann", "first", project="below")
    assert {r["name"] for r in ann.body["roles"]} == {"member", "reader"}
    assert [p["name"] for p in ann.get(f"{V3}/auth/projects").json()["projects"]] == ["below"]
    stored = listed(admin, f"user.id={user['id']}")
    assert [e["scope"] for e in stored] == [{"project": {"id": top["id"]}, "OS-INHERIT:inherited_to": "projects"}]
    assert "/OS-INHERIT/projects/" in stored[0]["links"]["assignment"]
    effective = listed(admin, f"user.id={user['id']}&effective&include_names")
    assert {e["scope"]["project"]["name"] for e in effective} == {"below"}
    assert admin.put(f"{V3}/OS-INHERIT/domains/default/users/{user['id']}/roles/{member}/inherited_to_projects"
                     ).status_code == 204
    cloud.client().login("ann", "first", project="admin")


def test_filters_of_the_list(admin: Client) -> None:
    user, project = new_user(admin), new_project(admin, "p")
    child = new_project(admin, "child", parent_id=project["id"])
    member, reader = role_id(admin, "member"), role_id(admin, "reader")
    for path in (f"projects/{project['id']}/users/{user['id']}/roles/{member}",
                 f"projects/{child['id']}/users/{user['id']}/roles/{reader}",
                 f"domains/default/users/{user['id']}/roles/{reader}",
                 f"system/users/{user['id']}/roles/{reader}"):
        assert admin.put(f"{V3}/{path}").status_code == 204
    assert len(listed(admin, f"user.id={user['id']}")) == 4
    assert [e["role"]["id"] for e in listed(admin, f"scope.project.id={project['id']}")] == [member]
    assert len(listed(admin, f"scope.project.id={project['id']}&include_subtree=true")) == 2
    assert len(listed(admin, f"scope.domain.id=default&role.id={reader}")) == 1
    system = listed(admin, f"scope.system=all&user.id={user['id']}")
    assert [e["scope"] for e in system] == [{"system": {"all": True}}]
    implied = listed(admin, f"user.id={user['id']}&scope.project.id={project['id']}&effective")
    assert {e["role"]["id"] for e in implied} == {member, reader}
    assert [e["links"]["prior_role"] for e in implied if e["role"]["id"] == reader]
    for query in ("scope.project.id=a&scope.domain.id=b", "user.id=a&group.id=b", "effective&group.id=b",
                  "scope.system=all&scope.domain.id=b", "include_subtree=true"):
        assert admin.get(f"{V3}/role_assignments?{query}").status_code == 400, query


def test_deleting_either_end_deletes_the_assignment(admin: Client) -> None:
    user, project, role = new_user(admin), new_project(admin, "p"), role_id(admin, "painter")
    path = f"{V3}/projects/{project['id']}/users/{user['id']}/roles/{role}"
    admin.put(path)
    admin.delete(f"{V3}/roles/{role}")
    assert listed(admin, f"user.id={user['id']}") == []
    admin.put(f"{V3}/projects/{project['id']}/users/{user['id']}/roles/{role_id(admin, 'member')}")
    admin.delete(f"{V3}/projects/{project['id']}")
    assert listed(admin, f"user.id={user['id']}") == []


def test_domain_roles_stay_in_their_domain_and_only_imply(cloud: CloudUnderTest, admin: Client) -> None:
    domain = admin.post(f"{V3}/domains", {"domain": {"name": "d"}}).json()["domain"]["id"]
    local = admin.post(f"{V3}/roles", {"role": {"name": "local", "domain_id": "default"}}).json()["role"]["id"]
    admin.put(f"{V3}/roles/{local}/implies/{role_id(admin, 'reader')}")
    user, here = new_user(admin), new_project(admin, "here")
    there = new_project(admin, "there", domain_id=domain)
    assert admin.put(f"{V3}/projects/{there['id']}/users/{user['id']}/roles/{local}").status_code == 403
    assert admin.put(f"{V3}/projects/{here['id']}/users/{user['id']}/roles/{local}").status_code == 204
    ann = cloud.client().login("ann", "first", project="here")
    assert [r["name"] for r in ann.body["roles"]] == ["reader"]


class TestDomainManager:
    @pytest.fixture
    def manager(self, cloud: CloudUnderTest, admin: Client) -> Client:
        domain = admin.post(f"{V3}/domains", {"domain": {"name": "arts"}}).json()["domain"]["id"]
        user = admin.post(f"{V3}/users", {"user": {"name": "boss", "password": "s", "domain_id": domain}})
        admin.put(f"{V3}/domains/{domain}/users/{user.json()['user']['id']}/roles/{role_id(admin, 'manager')}")
        return cloud.client().login("boss", "s", domain="arts", scope={"domain": {"name": "arts"}})

    def test_manages_what_is_in_the_domain_and_nothing_else(self, admin: Client, manager: Client) -> None:
        home = manager.body["domain"]["id"]
        for kind in ("project", "user", "group"):        # the domain has to be named
            assert manager.post(f"{V3}/{kind}s", {kind: {"name": "p"}}).status_code == 403
        project = manager.post(f"{V3}/projects", {"project": {"name": "p", "domain_id": home}})
        assert project.status_code == 201
        assert project.json()["project"]["domain_id"] == manager.body["domain"]["id"]
        user = manager.post(f"{V3}/users", {"user": {"name": "ann", "password": "x", "domain_id": home}})
        assert user.status_code == 201
        assert {u["name"] for u in manager.get(f"{V3}/users").json()["users"]} == {"boss", "ann"}
        grant = f"{V3}/projects/{project.json()['project']['id']}/users/{user.json()['user']['id']}/roles"
        assert manager.put(f"{grant}/{role_id(admin, 'member')}").status_code == 204
        assert manager.put(f"{grant}/{role_id(admin, 'admin')}").status_code == 403
        assert manager.post(f"{V3}/users", {"user": {"name": "x", "domain_id": "default"}}).status_code == 403
        assert manager.get(f"{V3}/users/{admin.user_id}").status_code == 403
        assert manager.delete(f"{V3}/users/{admin.user_id}").status_code == 403
        assert manager.post(f"{V3}/domains", {"domain": {"name": "mine"}}).status_code == 403
        names = {e["user"]["id"] for e in listed(manager, "")}
        assert admin.user_id not in names

    def test_sees_only_the_domains_own_among_a_groups_members(self, admin: Client, manager: Client) -> None:
        home = manager.body["domain"]["id"]
        group = admin.post(f"{V3}/groups", {"group": {"name": "g", "domain_id": home}}).json()["group"]["id"]
        ids: list[str] = []
        for domain in (home, "default"):
            user = {"name": "ann", "password": "x", "domain_id": domain}
            ids.append(admin.post(f"{V3}/users", {"user": user}).json()["user"]["id"])
            assert admin.put(f"{V3}/groups/{group}/users/{ids[-1]}").status_code == 204
        path = f"{V3}/groups/{group}/users"
        assert {user["id"] for user in admin.get(path).json()["users"]} == set(ids)
        assert [user["id"] for user in manager.get(path).json()["users"]] == ids[:1]
        assert manager.get(f"{path}?domain_id=default").json()["users"] == []


def test_a_domains_own_role_is_given_in_any_domain_and_to_its_own_projects(admin: Client) -> None:
    """As with Keystone, which compares domains for projects only."""
    def make(kind: str, one: str, **values: Any) -> str:
        answer = admin.post(f"/identity/v3/{kind}", {one: values})
        assert answer.status_code == 201, answer.text
        return answer.json()[one]["id"]

    domain, other = (make("domains", "domain", name=name) for name in ("theirs", "others"))
    role = make("roles", "role", name="special", domain_id=domain)
    user = make("users", "user", name="somebody", domain_id=other)
    for target, status in ((f"domains/{domain}", 204), (f"domains/{other}", 204),
                           (f"projects/{make('projects', 'project', name='p', domain_id=domain)}", 204),
                           (f"projects/{make('projects', 'project', name='q', domain_id=other)}", 403)):
        answer = admin.request("PUT", f"/identity/v3/{target}/users/{user}/roles/{role}")
        assert answer.status_code == status, answer.text
    assert admin.request("PUT", f"/identity/v3/system/users/{user}/roles/{role}").status_code == 403
