"""Tokens: issue, check, revoke, scopes."""

from __future__ import annotations

from tests.api.conftest import Client


def test_a_service_user_checks_a_token(admin: Client, member: Client) -> None:
    answer = admin.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": member.token or ""})
    assert answer.status_code == 200
    token = answer.json()["token"]
    assert token["user"]["id"] == member.user_id
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert {service["type"] for service in token["catalog"]} >= {"identity", "compute", "network", "image"}
