"""Application credentials, access rules, trusts, stored credentials."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from stackling.core import clock
from tests.api.conftest import Client, CloudUnderTest
from tests.api.test_identity_assignments import role_id
from tests.api.test_identity_tokens import TOKENS, by_token
from tests.api.test_identity_users import V3, new_user


def new_credential(owner: Client, **values: Any) -> dict[str, Any]:
    answer = owner.post(f"{V3}/users/{owner.user_id}/application_credentials", {
        "application_credential": {"name": "robot", **values}})
    assert answer.status_code == 201, answer.text
    return answer.json()["application_credential"]


def use(cloud: CloudUnderTest, credential: dict[str, Any], **more: Any) -> Client:
    client = cloud.client()
    answer = client.post(TOKENS, {"auth": {"identity": {
        "methods": ["application_credential"],
        "application_credential": {"id": credential["id"], "secret": credential["secret"]}}, **more}})
    assert answer.status_code == 201, answer.text
    client.token, client.body = answer.headers["X-Subject-Token"], answer.json()["token"]
    return client


class TestApplicationCredentials:
    def test_life(self, cloud: CloudUnderTest, member: Client) -> None:
        made = new_credential(member, description="d", expires_at="2100-01-01T00:00:00.000000Z")
        assert len(made["secret"]) > 40
        assert made["project_id"] == member.project_id
        assert made["unrestricted"] is False
        assert made["expires_at"].startswith("2100-01-01T00:00:00")
        assert {r["name"] for r in made["roles"]} == {"member", "reader"}
        path = f"{V3}/users/{member.user_id}/application_credentials"
        shown = member.get(f"{path}/{made['id']}").json()["application_credential"]
        assert "secret" not in shown
        assert shown == {k: v for k, v in made.items() if k != "secret"}
        assert [c["id"] for c in member.get(f"{path}?name=robot").json()["application_credentials"]] == [made["id"]]
        assert member.get(f"{path}?name=other").json()["application_credentials"] == []
        assert member.post(path, {"application_credential": {"name": "robot"}}).status_code == 409
        robot = use(cloud, made)
        assert robot.body["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
        assert robot.project_id == member.project_id
        assert member.delete(f"{path}/{made['id']}").status_code == 204
        assert robot.get(f"{V3}/auth/projects").status_code == 401
        assert member.get(f"{path}/{made['id']}").status_code == 404

    def test_fewer_roles_and_no_others(self, cloud: CloudUnderTest, member: Client) -> None:
        reader = use(cloud, new_credential(member, roles=[{"name": "reader"}]))
        assert [r["name"] for r in reader.body["roles"]] == ["reader"]
        rescoped = reader.post(TOKENS, by_token(reader.token))
        assert [r["name"] for r in rescoped.json()["token"]["roles"]] == ["reader"]
        escape = reader.post(TOKENS, by_token(reader.token, "unscoped")).json()["token"]
        assert [r["name"] for r in escape["roles"]] == ["reader"]
        refused = member.post(f"{V3}/users/{member.user_id}/application_credentials", {
            "application_credential": {"name": "x", "roles": [{"name": "admin"}]}})
        assert refused.status_code == 400

    def test_only_unrestricted_ones_make_more(self, cloud: CloudUnderTest, member: Client) -> None:
        tied = use(cloud, new_credential(member))
        path = f"{V3}/users/{member.user_id}/application_credentials"
        assert tied.post(path, {"application_credential": {"name": "x"}}).status_code == 403
        free = use(cloud, new_credential(member, name="free", unrestricted=True))
        assert free.post(path, {"application_credential": {"name": "x"}}).status_code == 201

    def test_wrong_secret_expiry_and_foreign_eyes(self, cloud: CloudUnderTest, member: Client, other: Client,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
        path = f"{V3}/users/{member.user_id}/application_credentials"
        for bad in ("2001-01-01T00:00:00Z", "tomorrow"):
            assert member.post(path, {"application_credential": {"name": "x", "expires_at": bad}}).status_code == 400
        made = new_credential(member, expires_at="2100-01-01T00:00:00Z")
        wrong = {**made, "secret": "wrong"}
        body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
            "id": wrong["id"], "secret": wrong["secret"]}}}}
        assert other.post(TOKENS, body).status_code == 401
        body["auth"]["scope"] = {"system": {"all": True}}    # type: ignore[assignment]
        assert other.post(TOKENS, body).status_code == 401
        assert other.get(path).status_code == 403
        assert other.get(f"{path}/{made['id']}").status_code == 403
        own = f"{V3}/users/{other.user_id}/application_credentials"
        assert other.get(f"{own}/{made['id']}").status_code == 403          # whose it is, not whom the path names
        assert other.delete(f"{own}/{made['id']}").status_code == 403
        assert member.get(f"{own}/{made['id']}").status_code == 200
        assert other.get(f"{own}/{'f' * 32}").status_code == 404
        assert other.get(f"{path}/{'f' * 32}").status_code == 403
        assert other.post(path, {"application_credential": {"name": "x"}}).status_code == 403
        use(cloud, made)
        monkeypatch.setattr(clock, "wall", lambda: 4_102_444_801.0)
        body["auth"].pop("scope")
        body["auth"]["identity"]["application_credential"]["secret"] = made["secret"]    # type: ignore[index]
        assert other.post(TOKENS, body).status_code == 401

    def test_taking_the_role_ends_it(self, cloud: CloudUnderTest, admin: Client, member: Client) -> None:
        robot = use(cloud, new_credential(member))
        admin.delete(f"{V3}/projects/{member.project_id}/users/{member.user_id}/roles/{role_id(admin, 'member')}")
        assert robot.get(f"{V3}/auth/projects").status_code == 401

    def test_access_rules(self, cloud: CloudUnderTest, admin: Client, member: Client) -> None:
        robot = use(cloud, new_credential(member, access_rules=[
            {"service": "identity", "method": "GET", "path": "/v3/auth/*"}]))
        assert robot.get(f"{V3}/auth/projects").status_code == 200
        assert robot.get(f"{V3}/users/{member.user_id}").status_code == 401
        headers = {"X-Subject-Token": robot.token or ""}
        assert admin.get(TOKENS, headers=headers).status_code == 404
        able = admin.get(TOKENS, headers={**headers, "OpenStack-Identity-Access-Rules": "1"})
        assert able.json()["token"]["application_credential"]["access_rules"][0]["path"] == "/v3/auth/*"
        rules = f"{V3}/users/{member.user_id}/access_rules"
        rule = member.get(rules).json()["access_rules"][0]
        assert member.get(f"{rules}/{rule['id']}").json()["access_rule"]["method"] == "GET"
        assert member.delete(f"{rules}/{rule['id']}").status_code == 403
        again = new_credential(member, name="second", access_rules=[{"id": rule["id"]}])
        assert again["access_rules"][0]["id"] == rule["id"]
        for name in ("robot", "second"):
            path = f"{V3}/users/{member.user_id}/application_credentials"
            found = member.get(f"{path}?name={name}").json()["application_credentials"][0]["id"]
            assert member.delete(f"{path}/{found}").status_code == 204
        assert member.delete(f"{rules}/{rule['id']}").status_code == 204


class TestTrusts:
    def trust(self, trustor: Client, trustee: Client, **values: Any) -> dict[str, Any]:
        answer = trustor.post(f"{V3}/OS-TRUST/trusts", {"trust": {
            "trustor_user_id": trustor.user_id, "trustee_user_id": trustee.user_id, "impersonation": True,
            "project_id": trustor.project_id, "roles": [{"name": "reader"}], **values}})
        assert answer.status_code == 201, answer.text
        return answer.json()["trust"]

    def act(self, trustee: Client, trust: dict[str, Any]) -> Any:
        return trustee.post(TOKENS, by_token(trustee.token, {"OS-TRUST:trust": {"id": trust["id"]}}))

    def test_the_trustee_acts_for_the_trustor(self, cloud: CloudUnderTest, member: Client, other: Client) -> None:
        trust = self.trust(member, other)
        answer = self.act(other, trust)
        assert answer.status_code == 201
        token = answer.json()["token"]
        assert token["user"]["id"] == member.user_id
        assert token["project"]["id"] == member.project_id
        assert [r["name"] for r in token["roles"]] == ["reader"]
        assert token["OS-TRUST:trust"]["trustee_user"]["id"] == other.user_id
        acting = cloud.client(answer.headers["X-Subject-Token"])
        assert acting.post(TOKENS, by_token(acting.token, "unscoped")).status_code == 403
        assert acting.post(f"{V3}/users/{member.user_id}/application_credentials", {
            "application_credential": {"name": "x"}}).status_code == 403
        rules = f"{V3}/users/{member.user_id}/access_rules"
        assert acting.get(rules).status_code == acting.get(f"{rules}/{'f' * 32}").status_code == 403
        assert self.act(member, trust).status_code == 403
        assert other.delete(f"{V3}/OS-TRUST/trusts/{trust['id']}").status_code == 403
        assert member.delete(f"{V3}/OS-TRUST/trusts/{trust['id']}").status_code == 204
        assert acting.get(f"{V3}/auth/projects").status_code == 401
        assert self.act(other, trust).status_code == 401

    def test_without_impersonation_and_with_counted_uses(self, member: Client, other: Client) -> None:
        trust = self.trust(member, other, impersonation=False, remaining_uses=1)
        assert self.act(other, trust).json()["token"]["user"]["id"] == other.user_id
        assert self.act(other, trust).status_code in (401, 403)

    def test_only_ones_own_roles(self, member: Client, other: Client) -> None:
        def status(client: Client, **values: Any) -> int:
            return client.post(f"{V3}/OS-TRUST/trusts", {"trust": {
                "trustor_user_id": member.user_id, "trustee_user_id": other.user_id, "impersonation": True,
                "project_id": member.project_id, "roles": [{"name": "reader"}], **values}}).status_code

        assert status(member, roles=[{"name": "admin"}]) == 404
        assert status(member, roles=[]) == 403
        assert status(other) == 403
        assert status(member, trustee_user_id="f" * 32) == 404
        assert status(member, expires_at="2001-01-01T00:00:00Z") == 400
        assert status(member, remaining_uses=0) == 400

    def test_who_sees_it(self, admin: Client, member: Client, other: Client, reader: Client) -> None:
        trust = self.trust(member, other)
        path = f"{V3}/OS-TRUST/trusts"
        for client in (admin, member, other):
            assert client.get(f"{path}/{trust['id']}").json()["trust"]["roles"][0]["name"] == "reader"
        assert reader.get(f"{path}/{trust['id']}").status_code == 403
        assert len(member.get(f"{path}?trustor_user_id={member.user_id}").json()["trusts"]) == 1
        assert len(other.get(f"{path}?trustee_user_id={other.user_id}").json()["trusts"]) == 1
        assert reader.get(f"{path}?trustor_user_id={member.user_id}").status_code == 403
        assert reader.get(path).status_code == 403
        assert len(admin.get(path).json()["trusts"]) == 1

    def test_passing_on(self, cloud: CloudUnderTest, member: Client, other: Client, reader: Client) -> None:
        trust = self.trust(member, other, allow_redelegation=True, redelegation_count=1)
        acting = cloud.client(self.act(other, trust).headers["X-Subject-Token"])
        body = {"trust": {"trustor_user_id": member.user_id, "trustee_user_id": reader.user_id, "impersonation": True,
                          "project_id": member.project_id, "roles": [{"name": "reader"}]}}
        passed = acting.post(f"{V3}/OS-TRUST/trusts", body)
        assert passed.status_code == 201
        assert passed.json()["trust"]["redelegated_trust_id"] == trust["id"]
        assert self.act(reader, passed.json()["trust"]).status_code == 201
        member.delete(f"{V3}/OS-TRUST/trusts/{trust['id']}")
        assert self.act(reader, passed.json()["trust"]).status_code == 401


class TestStoredCredentials:
    def test_life(self, admin: Client, member: Client, other: Client) -> None:
        body = {"type": "cert", "blob": "secret text", "user_id": member.user_id, "project_id": member.project_id}
        made = member.post(f"{V3}/credentials", {"credential": body})
        assert made.status_code == 201
        credential = made.json()["credential"]
        path = f"{V3}/credentials/{credential['id']}"
        assert member.get(path).json()["credential"]["blob"] == "secret text"
        assert other.get(path).status_code == 403
        assert other.get(f"{V3}/credentials").json()["credentials"] == []
        assert [c["id"] for c in admin.get(f"{V3}/credentials?type=cert").json()["credentials"]] == [credential["id"]]
        assert member.patch(path, {"credential": {"blob": "new"}}).json()["credential"]["blob"] == "new"
        assert member.patch(path, {"credential": {"user_id": other.user_id}}).status_code == 403
        assert other.post(f"{V3}/credentials", {"credential": body}).status_code == 403
        assert other.delete(path).status_code == 403
        assert member.delete(path).status_code == 204
        assert admin.get(path).status_code == 404

    def test_ec2_keys_belong_to_their_owner_whatever_the_path_says(self, cloud: CloudUnderTest, admin: Client,
                                                                   member: Client, other: Client) -> None:
        mine, theirs = (f"{V3}/users/{one.user_id}/credentials/OS-EC2" for one in (member, other))
        access = member.post(mine, {"tenant_id": member.project_id}).json()["credential"]["access"]
        elsewhere = cloud.project("elsewhere")
        admin.post(mine, {"tenant_id": elsewhere})
        assert other.get(f"{theirs}/{access}").status_code == 403
        assert other.delete(f"{theirs}/{access}").status_code == 403
        assert {key["tenant_id"] for key in member.get(mine).json()["credentials"]} == {member.project_id, elsewhere}
        robot = use(cloud, new_credential(member, unrestricted=True))
        assert [key["access"] for key in robot.get(mine).json()["credentials"]] == [access]
        assert admin.delete(f"{theirs}/{access}").status_code == 204

    def test_ec2_keys(self, member: Client, other: Client) -> None:
        path = f"{V3}/users/{member.user_id}/credentials/OS-EC2"
        made = member.post(path, {"tenant_id": member.project_id})
        assert made.status_code == 201
        key = made.json()["credential"]
        assert {"access", "secret", "tenant_id", "user_id", "trust_id", "links"} == set(key)
        assert member.get(f"{path}/{key['access']}").json()["credential"] == key
        assert len(member.get(path).json()["credentials"]) == 1
        assert other.get(path).status_code == 403
        assert other.get(f"{path}/{key['access']}").status_code == 403
        stored = member.get(f"{V3}/credentials?type=ec2").json()["credentials"][0]
        assert json.loads(stored["blob"])["access"] == key["access"]
        assert member.delete(f"{path}/{key['access']}").status_code == 204

    def test_one_time_passcodes(self, cloud: CloudUnderTest, admin: Client) -> None:
        user = new_user(admin, options={"multi_factor_auth_rules": [["password", "totp"]]})
        key = b"0123456789abcdef0123"
        admin.post(f"{V3}/credentials", {"credential": {
            "type": "totp", "blob": base64.b32encode(key).decode(), "user_id": user["id"]}})
        code = TOTP(key, 6, SHA1(), 30).generate(int(clock.wall())).decode()

        def login(passcode: str) -> Any:
            return admin.post(TOKENS, {"auth": {"identity": {
                "methods": ["password", "totp"], "password": {"user": {"id": user["id"], "password": "first"}},
                "totp": {"user": {"id": user["id"], "passcode": passcode}}}}})

        assert login(code).status_code == 201
        assert sorted(login(code).json()["token"]["methods"]) == ["password", "totp"]
        assert login("000000" if code != "000000" else "111111").status_code == 401
