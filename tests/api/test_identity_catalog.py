"""Regions, services, endpoints."""

from __future__ import annotations

import pytest

from tests.api.conftest import Client, CloudUnderTest

V3 = "/identity/v3"


def test_regions(admin: Client, reader: Client) -> None:
    assert [r["id"] for r in reader.get(f"{V3}/regions").json()["regions"]] == ["RegionOne"]
    made = admin.post(f"{V3}/regions", {"region": {"id": "north", "parent_region_id": "RegionOne"}})
    assert made.status_code == 201
    assert admin.post(f"{V3}/regions", {"region": {"id": "north"}}).status_code == 409
    assert admin.put(f"{V3}/regions/south", {"region": {"description": "warm"}}).status_code == 201
    assert [r["id"] for r in admin.get(f"{V3}/regions?parent_region_id=RegionOne").json()["regions"]] == ["north"]
    patch = admin.patch(f"{V3}/regions/RegionOne", {"region": {"parent_region_id": "north"}})
    assert patch.status_code == 400
    assert admin.patch(f"{V3}/regions/south", {"region": {"description": "hot"}}).json()["region"][
        "description"] == "hot"
    assert admin.delete(f"{V3}/regions/RegionOne").status_code == 403
    assert admin.delete(f"{V3}/regions/north").status_code == 204
    assert admin.get(f"{V3}/regions/north").status_code == 404


def test_services_and_endpoints_appear_in_the_catalog(cloud: CloudUnderTest, admin: Client) -> None:
    service = admin.post(f"{V3}/services", {"service": {"type": "painting", "name": "brush", "size": 3}}).json()[
        "service"]
    assert service["size"] == 3
    url = "http://paint.test/$(project_id)s"
    endpoint = admin.post(f"{V3}/endpoints", {"endpoint": {
        "service_id": service["id"], "interface": "public", "url": url, "region": "North"}})
    assert endpoint.status_code == 201
    endpoint = endpoint.json()["endpoint"]
    assert endpoint["url"] == url
    assert endpoint["region"] == endpoint["region_id"] == "North"

    def painting() -> list[str] | None:
        fresh = cloud.admin()
        found = [s for s in fresh.body["catalog"] if s["type"] == "painting"]
        return [e["url"] for e in found[0]["endpoints"]] if found else None

    assert painting() == [f"http://paint.test/{admin.project_id}"]
    path = f"{V3}/endpoints/{endpoint['id']}"
    assert admin.patch(path, {"endpoint": {"enabled": False}}).json()["endpoint"]["enabled"] is False
    assert painting() == []
    assert admin.get(f"{V3}/endpoints?service_id={service['id']}").json()["endpoints"][0]["id"] == endpoint["id"]
    assert admin.patch(f"{V3}/services/{service['id']}", {"service": {"enabled": False}}).status_code == 200
    assert painting() is None
    assert admin.delete(f"{V3}/services/{service['id']}").status_code == 204
    assert admin.get(path).status_code == 404


@pytest.mark.parametrize("values", [
    {"interface": "side"}, {"url": "nonsense"}, {"url": "http://x/$(password)s"}, {"service_id": "f" * 32},
    {"region_id": "nowhere"}, {"enabled": "no"}])
def test_bad_endpoints(admin: Client, values: dict[str, object]) -> None:
    service = admin.get(f"{V3}/services?type=image").json()["services"][0]["id"]
    answer = admin.post(f"{V3}/endpoints", {"endpoint": {
        "service_id": service, "interface": "public", "url": "http://x/", **values}})
    assert answer.status_code == 400, answer.text
