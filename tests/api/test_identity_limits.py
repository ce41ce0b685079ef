"""Unified limits."""

from __future__ import annotations

from tests.api.conftest import Client

V3 = "/identity/v3"


def test_registered_limits_and_limits(admin: Client, member: Client, other: Client) -> None:
    service = admin.get(f"{V3}/services?type=compute").json()["services"][0]["id"]
    new = {"service_id": service, "resource_name": "cores", "default_limit": 10}
    made = admin.post(f"{V3}/registered_limits", {"registered_limits": [new]})
    assert made.status_code == 201
    registered = made.json()["registered_limits"][0]
    assert admin.post(f"{V3}/registered_limits", {"registered_limits": [new]}).status_code == 409
    assert [one["id"] for one in member.get(f"{V3}/registered_limits").json()["registered_limits"]] == [
        registered["id"]]
    limit = {"service_id": service, "resource_name": "cores", "resource_limit": 5, "project_id": member.project_id}
    assert admin.post(f"{V3}/limits", {"limits": [{**limit, "resource_name": "ram"}]}).status_code == 403
    assert "Expecting to find project_id in limit." in admin.post(
        f"{V3}/limits", {"limits": [{**limit, "project_id": "0" * 32}]}).json()["error"]["message"]
    assert member.post(f"{V3}/limits", {"limits": [limit]}).status_code == 403
    own = admin.post(f"{V3}/limits", {"limits": [limit]}).json()["limits"][0]
    assert admin.post(f"{V3}/limits", {"limits": [limit]}).status_code == 409
    path = f"{V3}/limits/{own['id']}"
    assert member.get(path).json()["limit"]["resource_limit"] == 5
    assert other.get(path).status_code == 403
    assert [one["id"] for one in member.get(f"{V3}/limits").json()["limits"]] == [own["id"]]
    assert other.get(f"{V3}/limits").json()["limits"] == []
    assert len(admin.get(f"{V3}/limits?resource_name=cores&project_id={member.project_id}").json()["limits"]) == 1
    assert admin.patch(path, {"limit": {"resource_limit": 7}}).json()["limit"]["resource_limit"] == 7
    assert admin.patch(path, {"limit": {"resource_limit": "x"}}).status_code == 400
    assert member.get(f"{V3}/limits/model").json()["model"]["name"] == "flat"
    registered_path = f"{V3}/registered_limits/{registered['id']}"
    assert admin.delete(registered_path).status_code == 403
    assert admin.patch(registered_path, {"registered_limit": {"default_limit": 20}}).status_code == 403
    assert admin.delete(path).status_code == 204
    assert admin.patch(registered_path, {"registered_limit": {"default_limit": 20}}).status_code == 200
    assert admin.patch(registered_path, {"registered_limit": {"resource_name": "cores"}}).status_code == 409
    assert admin.delete(registered_path).status_code == 204
