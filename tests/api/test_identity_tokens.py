"""Tokens: issue, check, revoke, scopes."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.core import clock
from stackling.identity.facade import IdentityConfig
from tests.api.conftest import ADMIN_PASSWORD, Client, CloudUnderTest

TOKENS = "/identity/v3/auth/tokens"


def by_password(name: str, password: str, scope: Any = None, **user: Any) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": {
        "name": name, "domain": {"id": "default"}, "password": password, **user}}}}
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def by_token(token: str | None, scope: Any = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["token"], "token": {"id": token}}}
    if scope is not None:
        auth["scope"] = scope
    return {"auth": auth}


def check(asker: Client, subject: str | None, query: str = "") -> Any:
    return asker.get(TOKENS + query, headers={"X-Subject-Token": subject or ""})


def test_discovery(anonymous: Client) -> None:
    answer = anonymous.get("/identity")
    assert answer.status_code == 300
    version = answer.json()["versions"]["values"][0]
    assert version["id"].startswith("v3.")
    assert version["links"][0]["href"] == answer.headers["Location"] == "http://cloud.test/identity/v3/"
    assert anonymous.get("/identity/v3/").json()["version"] == version


def test_a_project_token_says_who_where_and_what(member: Client) -> None:
    token = member.body
    assert token["methods"] == ["password"]
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["name"] == "demo"
    assert token["is_domain"] is False
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    catalog = {service["type"]: service for service in token["catalog"]}
    assert set(catalog) >= {"identity", "compute", "network", "image", "placement"}
    public = [e for e in catalog["compute"]["endpoints"] if e["interface"] == "public"]
    assert [e["url"] for e in public] == ["http://cloud.test/compute/v2.1"]
    assert public[0]["region"] == public[0]["region_id"] == "RegionOne"
    assert token["issued_at"] < token["expires_at"]
    assert len(token["audit_ids"]) == 1


def test_unknown_user_and_wrong_password_are_refused_alike(anonymous: Client) -> None:
    wrong = anonymous.post(TOKENS, by_password("admin", "wrong"))
    unknown = anonymous.post(TOKENS, by_password("nobody", "wrong"))
    elsewhere = anonymous.post(TOKENS, by_password("admin", ADMIN_PASSWORD, domain={"id": "nowhere"}))
    assert wrong.status_code == unknown.status_code == elsewhere.status_code == 401
    assert wrong.json() == unknown.json() == elsewhere.json() == {"error": {
        "code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}
    assert "Keystone uri=" in wrong.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("body", "says"), [
    ({}, "auth"),
    ({"auth": {}}, "identity"),
    ({"auth": {"identity": {"methods": ["password"]}}}, "Expecting to find password in identity."),
    ({"auth": {"identity": {"methods": "password"}}}, "auth/identity/methods"),
    ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x", "password": "y"}}}}},
     "Expecting to find domain in user."),
    ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "y"}}}}}, "id or name"),
    (by_password("admin", ADMIN_PASSWORD, {"project": {"name": "admin"}}), "Expecting to find domain in project."),
    (by_password("admin", ADMIN_PASSWORD, {"project": {}}), "scope/project"),
    (by_password("admin", ADMIN_PASSWORD, {"planet": {}}), "in scope"),
    (by_password("admin", ADMIN_PASSWORD, {"project": {"id": 7}}), "auth/scope/project/id"),
])
def test_malformed_requests_say_what_is_wrong(anonymous: Client, body: Any, says: str) -> None:
    answer = anonymous.post(TOKENS, body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_an_unsupported_method_names_those_that_are(anonymous: Client) -> None:
    answer = anonymous.post(TOKENS, {"auth": {"identity": {"methods": ["palmistry"], "palmistry": {}}}})
    assert answer.status_code == 401
    assert "password" in answer.json()["error"]["identity"]["methods"]


def test_scopes(cloud: CloudUnderTest, admin: Client) -> None:
    unscoped = cloud.client().login("admin", ADMIN_PASSWORD)
    assert not {"project", "domain", "system", "roles", "catalog"} & set(unscoped.body)
    system = cloud.client().login("admin", ADMIN_PASSWORD, scope={"system": {"all": True}})
    assert system.body["system"] == {"all": True}
    assert {role["name"] for role in system.body["roles"]} == {"admin", "manager", "member", "reader"}
    no_role = admin.post(TOKENS, by_password("admin", ADMIN_PASSWORD, {"domain": {"id": "default"}}))
    assert no_role.status_code == 401
    role = admin.get("/identity/v3/roles?name=admin").json()["roles"][0]["id"]
    assert admin.put(f"/identity/v3/domains/default/users/{admin.user_id}/roles/{role}").status_code == 204
    domain = cloud.client().login("admin", ADMIN_PASSWORD, scope={"domain": {"name": "Default"}})
    assert domain.body["domain"] == {"id": "default", "name": "Default"}
    missing = admin.post(TOKENS, by_password("admin", ADMIN_PASSWORD, {"project": {"id": "0" * 32}}))
    assert missing.status_code == 401


def test_the_default_project_is_the_scope_unless_asked_otherwise(cloud: CloudUnderTest, member: Client) -> None:
    admin, name = cloud.admin(), member.body["user"]["name"]
    admin.patch(f"/identity/v3/users/{member.user_id}", {"user": {"password": "known"}})
    assert member.post(TOKENS, by_password(name, "known")).json()["token"]["project"]["id"] == member.project_id
    assert "project" not in member.post(TOKENS, by_password(name, "known", "unscoped")).json()["token"]
    admin.patch(f"/identity/v3/projects/{member.project_id}", {"project": {"enabled": False}})
    assert "project" not in member.post(TOKENS, by_password(name, "known")).json()["token"]


def test_checking_a_token(admin: Client, member: Client, other: Client) -> None:
    answer = check(admin, member.token)
    assert answer.status_code == 200
    assert answer.headers["X-Subject-Token"] == member.token
    assert answer.json()["token"] == member.body
    assert check(member, member.token).status_code == 200
    assert check(other, member.token).status_code == 403
    assert "catalog" not in check(admin, member.token, "?nocatalog").json()["token"]
    head = admin.head(TOKENS, headers={"X-Subject-Token": member.token or ""})
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("bad", ["", "x", "gAAAAA" + "A" * 150, "é", "a" * 5000, "../../etc/passwd"])
def test_forged_tokens(cloud: CloudUnderTest, admin: Client, bad: str) -> None:
    headers = {"X-Auth-Token": bad.encode("latin-1")}
    assert cloud.send("GET", "/identity/v3/users", headers=headers).status_code == 401
    answer = admin.request("GET", TOKENS, headers={"X-Subject-Token": bad.encode("latin-1")})
    assert answer.status_code == 404
    flipped = (admin.token or "")[:-5] + ("A" if (admin.token or "")[-5] != "A" else "B") + (admin.token or "")[-4:]
    assert cloud.client(flipped).get("/identity/v3/users").status_code == 401


def test_revoking(cloud: CloudUnderTest, admin: Client, member: Client, other: Client) -> None:
    second = member.post(TOKENS, by_token(member.token)).headers["X-Subject-Token"]
    assert other.delete(TOKENS, headers={"X-Subject-Token": second}).status_code == 403
    assert member.delete(TOKENS, headers={"X-Subject-Token": second}).status_code == 204
    assert check(admin, second).status_code == 404
    assert cloud.client(second).get("/identity/v3/auth/projects").status_code == 401
    assert check(admin, member.token).status_code == 200
    assert admin.delete(TOKENS, headers={"X-Subject-Token": second}).status_code == 404
    assert admin.post(TOKENS, by_token(second)).status_code == 404


def test_rescoping_keeps_expiry_and_chain(cloud: CloudUnderTest, admin: Client) -> None:
    unscoped = cloud.client().login("admin", ADMIN_PASSWORD)
    answer = admin.post(TOKENS, by_token(unscoped.token, {"project": {"id": admin.project_id}}))
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert token["project"]["id"] == admin.project_id
    assert token["expires_at"] == unscoped.body["expires_at"]
    assert token["audit_ids"][-1] == unscoped.body["audit_ids"][0]
    assert sorted(token["methods"]) == ["password", "token"]


@pytest.mark.parametrize("change", ["disable user", "new password", "delete user", "take role", "disable project",
                                    "delete role", "disable domain"])
def test_what_ends_a_token(cloud: CloudUnderTest, admin: Client, change: str) -> None:
    v3 = "/identity/v3"
    domain = admin.post(f"{v3}/domains", {"domain": {"name": "far"}}).json()["domain"]["id"]
    project = admin.post(f"{v3}/projects", {"project": {"name": "p", "domain_id": domain}}).json()["project"]["id"]
    user = admin.post(f"{v3}/users", {"user": {"name": "u", "password": "s", "domain_id": domain}}).json()["user"]["id"]
    role = admin.post(f"{v3}/roles", {"role": {"name": "painter"}}).json()["role"]["id"]
    grant = f"{v3}/projects/{project}/users/{user}/roles/{role}"
    assert admin.put(grant).status_code == 204
    painter = cloud.client().login("u", "s", project="p", domain="far")
    assert painter.get(f"{v3}/auth/projects").status_code == 200
    changed = {
        "disable user": lambda: admin.patch(f"{v3}/users/{user}", {"user": {"enabled": False}}),
        "new password": lambda: admin.patch(f"{v3}/users/{user}", {"user": {"password": "t"}}),
        "delete user": lambda: admin.delete(f"{v3}/users/{user}"),
        "take role": lambda: admin.delete(grant),
        "disable project": lambda: admin.patch(f"{v3}/projects/{project}", {"project": {"enabled": False}}),
        "delete role": lambda: admin.delete(f"{v3}/roles/{role}"),
        "disable domain": lambda: admin.patch(f"{v3}/domains/{domain}", {"domain": {"enabled": False}}),
    }[change]()
    assert changed.status_code in (200, 204), changed.text
    assert painter.get(f"{v3}/auth/projects").status_code == 401
    assert check(admin, painter.token).status_code == 404


def test_a_disabled_users_old_token_stays_dead_when_enabled_again(admin: Client, member: Client) -> None:
    path = f"/identity/v3/users/{member.user_id}"
    admin.patch(path, {"user": {"enabled": False}})
    admin.patch(path, {"user": {"enabled": True}})
    assert check(admin, member.token).status_code == 404


def test_a_new_password_works_at_once_and_the_old_one_no_more(cloud: CloudUnderTest, admin: Client) -> None:
    user = admin.post("/identity/v3/users", {"user": {"name": "eve", "password": "one"}}).json()["user"]["id"]
    cloud.client().login("eve", "one")
    admin.patch(f"/identity/v3/users/{user}", {"user": {"password": "two"}})
    assert admin.post(TOKENS, by_password("eve", "one")).status_code == 401
    cloud.client().login("eve", "two")


def test_what_a_user_may_scope_to(cloud: CloudUnderTest, admin: Client, member: Client) -> None:
    auth = "/identity/v3/auth"
    assert [p["name"] for p in member.get(f"{auth}/projects").json()["projects"]] == ["demo"]
    assert member.get(f"{auth}/domains").json()["domains"] == []
    assert member.get(f"{auth}/system").json()["system"] == []
    assert admin.get(f"{auth}/system").json()["system"] == [{"all": True}]
    assert member.get(f"{auth}/catalog").json()["catalog"] == member.body["catalog"]
    unscoped = cloud.client().login("admin", ADMIN_PASSWORD)
    assert unscoped.get(f"{auth}/catalog").status_code == 403
    assert unscoped.get(f"{auth}/projects").status_code == 200


class TestExpiry:
    @pytest.fixture
    def identity_config(self) -> IdentityConfig:
        return IdentityConfig(token_expiration=60)

    def test_an_expired_token_is_worth_nothing_but_to_who_may_still_ask(
            self, cloud: CloudUnderTest, admin: Client, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        assert check(admin, member.token).status_code == 200
        now = clock.wall()
        monkeypatch.setattr(clock, "wall", lambda: now + 120)
        fresh = cloud.admin()
        assert member.get("/identity/v3/auth/projects").status_code == 401
        assert check(fresh, member.token).status_code == 404
        assert check(fresh, member.token, "?allow_expired=1").status_code == 200
        monkeypatch.setattr(clock, "wall", lambda: now + 3 * 86_400)
        assert check(cloud.admin(), member.token, "?allow_expired=1").status_code == 404


def test_keys_rotate_and_old_tokens_stay_good_until_their_key_goes(cloud: CloudUnderTest, admin: Client) -> None:
    v3 = "/identity/v3/auth/projects"
    cloud.database.write(cloud.identity.keys.rotate)
    assert admin.get(v3).status_code == 200
    cloud.database.write(cloud.identity.keys.rotate)
    assert admin.get(v3).status_code == 401
    assert cloud.admin().get(v3).status_code == 200


def test_the_database_holds_no_secret_in_clear(cloud: CloudUnderTest, admin: Client) -> None:
    admin.post("/identity/v3/credentials", {"credential": {
        "type": "totp", "blob": "JBSWY3DPEHPK3PXPSECRET", "user_id": admin.user_id}})
    stored = b"".join(path.read_bytes() for path in cloud.directory.glob("stackling.db*"))
    assert b"JBSWY3DPEHPK3PXPSECRET" not in stored
    assert ADMIN_PASSWORD.encode() not in stored
    assert (admin.token or "").encode() not in stored
