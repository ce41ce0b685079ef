"""Placement shows what hosts have and what is used of it."""

from __future__ import annotations

from stackling.api.placement.service import service
from tests.api.compute_world import World, world
from tests.api.conftest import Client

__all__ = ["world"]
V = {"OpenStack-API-Version": "placement 1.39"}


def test_providers_inventories_and_usages(world: World, member: Client) -> None:
    world.active(member)
    world.cloud.start([*world.services, service()])
    admin = world.admin
    assert admin.get("/placement/").json()["versions"][0]["max_version"] == "1.39"
    [provider] = admin.get("/placement/resource_providers", headers=V).json()["resource_providers"]
    assert (provider["name"], provider["root_provider_uuid"]) == ("h1", provider["uuid"])
    path = f"/placement/resource_providers/{provider['uuid']}"
    assert admin.get(path, headers=V).json()["uuid"] == provider["uuid"]
    inventories = admin.get(f"{path}/inventories", headers=V).json()["inventories"]
    assert inventories["VCPU"]["total"] == 4
    assert inventories["VCPU"]["allocation_ratio"] == 16.0
    assert admin.get(f"{path}/inventories/DISK_GB", headers=V).json()["total"] == 200
    assert admin.get(f"{path}/usages", headers=V).json()["usages"] == {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 1}
    query = f"/placement/usages?project_id={member.project_id}"
    assert member.get(query, headers=V).json()["usages"] == {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 1}
    for resources, found in (("VCPU:1", 1), ("MEMORY_MB:9000", 0), ("CUSTOM_X:1", 0)):
        answer = admin.get(f"/placement/resource_providers?resources={resources}", headers=V)
        assert len(answer.json()["resource_providers"]) == found
    assert admin.get("/placement/resource_providers?resources=x", headers=V).status_code == 400
    assert admin.get("/placement/resource_providers?uuid=x", headers=V).status_code == 400
    missing = admin.get(f"{path[:-4]}0000", headers=V)
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["status"] == 404
    assert member.get("/placement/resource_providers", headers=V).status_code == 403
    assert admin.get("/placement/traits").status_code == 404
