"""Users, passwords, groups."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.core import clock
from stackling.identity.facade import IdentityConfig, SecurityCompliance
from tests.api.conftest import Client, CloudUnderTest
from tests.api.test_identity_tokens import TOKENS, by_password

V3 = "/identity/v3"


def new_user(admin: Client, **values: Any) -> dict[str, Any]:
    answer = admin.post(f"{V3}/users", {"user": {"name": "ann", "password": "first", **values}})
    assert answer.status_code == 201, answer.text
    return answer.json()["user"]


def change(client: Client, user_id: str, old: str, new: str) -> int:
    return client.post(f"{V3}/users/{user_id}/password", {"user": {
        "original_password": old, "password": new}}).status_code


def test_a_users_life(admin: Client) -> None:
    user = new_user(admin, email="ann@example.org", description="painter", options={"ignore_password_expiry": True})
    assert user["domain_id"] == "default"
    assert user["enabled"] is True
    assert user["password_expires_at"] is None
    assert user["links"]["self"] == f"http://cloud.test{V3}/users/{user['id']}"
    assert "password" not in user
    assert admin.get(f"{V3}/users/{user['id']}").json()["user"] == user
    path = f"{V3}/users/{user['id']}"
    changed = admin.patch(path, {"user": {"name": "anna", "email": "anna@example.org",
                                          "options": {"ignore_password_expiry": None}}}).json()["user"]
    assert (changed["name"], changed["email"], changed["description"]) == ("anna", "anna@example.org", "painter")
    assert changed["options"] == {}
    assert admin.delete(path).status_code == 204
    gone = admin.get(path)
    assert gone.status_code == 404
    assert gone.json()["error"]["message"] == f"Could not find user: {user['id']}."


@pytest.mark.parametrize("values", [
    {"name": ""}, {"name": "   "}, {"name": "n" * 256}, {"name": 7}, {"enabled": "yes"}, {"enabled": None},
    {"options": {"unknown": True}}, {"options": {"multi_factor_auth_rules": "x"}}, {"password": 5},
    {"default_project_id": 9}, {"domain_id": "with space"}, {"default_project_id": "default"}])
def test_bad_users_are_refused(admin: Client, values: dict[str, Any]) -> None:
    answer = admin.post(f"{V3}/users", {"user": {"name": "ann", "password": "x", **values}})
    assert answer.status_code == 400, answer.text
    assert len(admin.get(f"{V3}/users").json()["users"]) == 1


def test_names_are_unique_within_a_domain(admin: Client) -> None:
    first = new_user(admin)
    again = admin.post(f"{V3}/users", {"user": {"name": "ann"}})
    assert again.status_code == 409
    assert again.json()["error"]["message"] == (
        "Conflict occurred attempting to store user - Duplicate entry found with name ann at domain ID default.")
    domain = admin.post(f"{V3}/domains", {"domain": {"name": "d"}}).json()["domain"]["id"]
    assert new_user(admin, domain_id=domain)["id"] != first["id"]
    other = new_user(admin, name="bob")
    assert admin.patch(f"{V3}/users/{other['id']}", {"user": {"name": "ann"}}).status_code == 409
    assert admin.patch(f"{V3}/users/{other['id']}", {"user": {"domain_id": domain}}).status_code == 400
    assert admin.post(f"{V3}/users", {"user": {"name": "x", "domain_id": "f" * 32}}).status_code == 404


def test_filters_and_pages(admin: Client) -> None:
    for name in ("alpha", "beta", "alphabet"):
        new_user(admin, name=name, enabled=name != "beta")

    def names(query: str) -> set[str]:
        return {user["name"] for user in admin.get(f"{V3}/users?{query}").json()["users"]}

    assert names("name=alpha") == {"alpha"}
    assert names("name__contains=alpha") == {"alpha", "alphabet"}
    assert names("name__icontains=ALPHA") == {"alpha", "alphabet"}
    assert names("name__startswith=be") == {"beta"}
    assert names("name__endswith=bet") == {"alphabet"}
    assert names("enabled=false") == {"beta"}
    assert names("enabled=1&name__contains=a&domain_id=default") == {"alpha", "alphabet", "admin"}
    seen: list[str] = []
    url: str | None = f"{V3}/users?limit=3"
    while url:
        page = admin.get(url).json()
        assert len(page["users"]) <= 3
        seen += [user["id"] for user in page["users"]]
        url = page["links"]["next"]
    assert len(seen) == len(set(seen)) == 4
    assert admin.get(f"{V3}/users?limit=x").status_code == 400


def test_changing_ones_own_password(cloud: CloudUnderTest, admin: Client, anonymous: Client) -> None:
    user = new_user(admin)
    path = f"{V3}/users/{user['id']}/password"
    assert anonymous.get(path).status_code == 405
    assert change(anonymous, user["id"], "wrong", "second") == 401
    assert change(anonymous, "f" * 32, "first", "second") == 401
    assert anonymous.post(path, {"user": {"password": "x"}}).status_code == 400
    session = cloud.client().login("ann", "first")
    assert change(anonymous, user["id"], "first", "second") == 204
    assert session.get(f"{V3}/auth/projects").status_code == 401
    assert anonymous.post(TOKENS, by_password("ann", "first")).status_code == 401
    cloud.client().login("ann", "second")


def test_a_locked_password_option(admin: Client, anonymous: Client) -> None:
    user = new_user(admin, options={"lock_password": True})
    assert change(anonymous, user["id"], "first", "second") == 400


def test_multi_factor_rules(cloud: CloudUnderTest, admin: Client) -> None:
    new_user(admin, options={"multi_factor_auth_rules": [["password", "totp"]]})
    assert admin.post(TOKENS, by_password("ann", "first")).status_code == 401
    admin.patch(f"{V3}/users/{admin.get(f'{V3}/users?name=ann').json()['users'][0]['id']}",
                {"user": {"options": {"multi_factor_auth_enabled": False}}})
    cloud.client().login("ann", "first")


def test_groups(admin: Client) -> None:
    user = new_user(admin)
    group = admin.post(f"{V3}/groups", {"group": {"name": "painters", "description": "colour"}}).json()["group"]
    path = f"{V3}/groups/{group['id']}"
    membership = f"{path}/users/{user['id']}"
    assert admin.get(membership).status_code == 404
    assert admin.put(membership).status_code == 204
    assert admin.put(membership).status_code == 204
    assert admin.head(membership).status_code == 204
    assert [u["name"] for u in admin.get(f"{path}/users").json()["users"]] == ["ann"]
    assert [g["name"] for g in admin.get(f"{V3}/users/{user['id']}/groups").json()["groups"]] == ["painters"]
    assert admin.patch(path, {"group": {"name": "sculptors"}}).json()["group"]["description"] == "colour"
    assert admin.post(f"{V3}/groups", {"group": {"name": "sculptors"}}).status_code == 409
    assert admin.delete(membership).status_code == 204
    assert admin.delete(membership).status_code == 404
    assert admin.delete(path).status_code == 204
    assert admin.get(f"{path}/users").status_code == 404


class TestLockOut:
    @pytest.fixture
    def identity_config(self) -> IdentityConfig:
        return IdentityConfig(security=SecurityCompliance(lockout_failure_attempts=3, lockout_duration=60))

    def test_after_some_failures_even_the_right_password_waits(
            self, cloud: CloudUnderTest, admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        user = new_user(admin)
        cloud.client().login("ann", "first")
        for _ in range(3):
            assert admin.post(TOKENS, by_password("ann", "wrong")).status_code == 401
        assert admin.post(TOKENS, by_password("ann", "first")).status_code == 401
        assert change(admin, user["id"], "first", "second") == 401
        now = clock.wall()
        monkeypatch.setattr(clock, "wall", lambda: now + 61)
        cloud.client().login("ann", "first")
        assert admin.post(TOKENS, by_password("ann", "wrong")).status_code == 401
        cloud.client().login("ann", "first")

    def test_an_exempt_user_is_never_locked(self, cloud: CloudUnderTest, admin: Client) -> None:
        new_user(admin, options={"ignore_lockout_failure_attempts": True})
        for _ in range(4):
            assert admin.post(TOKENS, by_password("ann", "wrong")).status_code == 401
        cloud.client().login("ann", "first")


class TestPasswordRules:
    @pytest.fixture
    def identity_config(self) -> IdentityConfig:
        return IdentityConfig(security=SecurityCompliance(
            unique_last_password_count=3, password_expires_days=30, minimum_password_age=1,
            password_regex=r"^.*[a-z].*\d+$", password_regex_description="letters, then digits"))

    def test_form(self, admin: Client) -> None:
        refused = admin.post(f"{V3}/users", {"user": {"name": "ann", "password": "nodigits"}})
        assert refused.status_code == 400
        assert "letters, then digits" in refused.json()["error"]["message"]

    def test_history_age_and_expiry(self, cloud: CloudUnderTest, admin: Client,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
        user = new_user(admin, password="first1")
        assert user["password_expires_at"] is not None
        start, day = clock.wall(), 86_400

        def days(count: float) -> None:
            monkeypatch.setattr(clock, "wall", lambda: start + count * day)

        assert change(admin, user["id"], "first1", "first1") == 400
        assert change(admin, user["id"], "first1", "second2") == 204            # an administrator chose the first
        assert change(admin, user["id"], "second2", "third3") == 400            # too young
        days(2)
        assert change(admin, user["id"], "second2", "first1") == 400
        assert change(admin, user["id"], "second2", "third3") == 204
        days(4)
        assert change(admin, user["id"], "third3", "first1") == 400
        assert change(admin, user["id"], "third3", "fourth4") == 204
        days(6)
        assert change(admin, user["id"], "fourth4", "first1") == 204
        days(40)
        late = admin.post(TOKENS, by_password("ann", "first1"))
        assert late.status_code == 401
        assert "expired" in late.json()["error"]["message"]
        assert change(admin, user["id"], "first1", "fifth5") == 204             # an expired one can be changed
        cloud.client().login("ann", "fifth5")
