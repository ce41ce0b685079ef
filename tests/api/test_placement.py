"""Placement shows what hosts have and what is used of it."""

from __future__ import annotations

from stackling.api.placement.service import service
from tests.api.compute_world import World, world
from tests.api.conftest import Client

__all__ = ["world"]
V = {"OpenStack-API-Version": "placement 1.39"}


def at(minor: int) -> dict[str, str]:
    return {"OpenStack-API-Version": f"placement 1.{minor}"}


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
    taken = {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 1}
    assert member.get(query, headers=at(37)).json()["usages"] == taken
    for wanted, type in (("", "INSTANCE"), ("&consumer_type=all", "all"), ("&consumer_type=INSTANCE", "INSTANCE")):
        assert member.get(query + wanted, headers=V).json()["usages"] == {type: {**taken, "consumer_count": 1}}
    for wanted in ("&consumer_type=unknown", "&consumer_type=OTHER", f"&user_id={admin.user_id}"):
        assert member.get(query + wanted, headers=V).json()["usages"] == {}, wanted
    assert member.get(query + "&consumer_type=x", headers=V).status_code == 400
    for resources, found in (("VCPU:1", 1), ("MEMORY_MB:9000", 0), ("VGPU:1", 0)):
        answer = admin.get(f"/placement/resource_providers?resources={resources}", headers=V)
        assert len(answer.json()["resource_providers"]) == found
    assert admin.get("/placement/resource_providers?resources=x", headers=V).status_code == 400
    assert admin.get("/placement/resource_providers?uuid=x", headers=V).status_code == 400
    missing = admin.get(f"{path[:-4]}0000", headers=V)
    assert missing.status_code == 404
    assert missing.json()["errors"][0]["status"] == 404
    assert member.get("/placement/resource_providers", headers=V).status_code == 403
    assert admin.get("/placement/traits").status_code == 404


def test_what_servers_take_and_who_could_take_more(world: World, member: Client) -> None:
    server = world.active(member)
    world.cloud.start([*world.services, service()])
    admin, p = world.admin, "/placement"
    host = admin.get(f"{p}/resource_providers", headers=V).json()["resource_providers"][0]["uuid"]
    taken = {"VCPU": 1, "MEMORY_MB": 192, "DISK_GB": 1}
    found = admin.get(f"{p}/resource_providers/{host}/allocations", headers=V).json()
    assert found["allocations"] == {server["id"]: {"resources": taken, "consumer_generation": 1}}
    mine = admin.get(f"{p}/allocations/{server['id']}", headers=V).json()
    assert mine["allocations"][host]["resources"] == taken
    assert (mine["project_id"], mine["user_id"], mine["consumer_type"]) == (
        member.project_id, member.user_id, "INSTANCE")
    assert admin.get(f"{p}/allocations/{host}", headers=V).json() == {"allocations": {}}
    assert member.get(f"{p}/allocations/{server['id']}", headers=V).status_code == 403

    def ask(query: str, version: str = "1.39") -> tuple[int, dict[str, object]]:
        answer = admin.get(f"{p}/allocation_candidates?{query}", headers={
            "OpenStack-API-Version": f"placement {version}"})
        return answer.status_code, answer.json()

    status, one = ask("resources=VCPU:2,MEMORY_MB:512&required=COMPUTE_NODE,!COMPUTE_STATUS_DISABLED")
    assert (status, one["allocation_requests"]) == (200, [
        {"allocations": {host: {"resources": {"VCPU": 2, "MEMORY_MB": 512}}}, "mappings": {"": [host]}}])
    assert one["provider_summaries"][host]["resources"]["VCPU"] == {"capacity": 64, "used": 1}    # type: ignore[index]
    assert ask("resources=VCPU:1", "1.10")[1]["allocation_requests"] == [
        {"allocations": [{"resource_provider": {"uuid": host}, "resources": {"VCPU": 1}}]}]
    for query in ("resources=MEMORY_MB:8001", "resources=VCPU:5", "resources=VGPU:1",
                  "resources=VCPU:1&required=HW_CPU_X86_VMX", f"resources=VCPU:1&member_of={host}",
                  "resources1=VCPU:1&resources2=VCPU:1&group_policy=isolate"):
        assert ask(query)[1]["allocation_requests"] == [], query
    assert len(ask("resources1=VCPU:1&resources2=VCPU:1&group_policy=none")[1]["allocation_requests"]) == 1     # type: ignore[arg-type]
    for query in ("", "resources=x", "resources=CUSTOM_X:1", "resources=VCPU:1&required=CUSTOM_NONE",
                  "resources=VCPU:0", "resources=VCPU:1&limit=0", "resources=VCPU:1&x=1",
                  "resources1=VCPU:1&resources2=VCPU:1", "resources=VCPU:1&in_tree=x"):
        assert ask(query)[0] == 400, query
    assert ask("resources=VCPU:1", "1.9")[0] == 404
    assert admin.get(f"{p}/traits?associated=true", headers=V).json() == {"traits": ["COMPUTE_NODE"]}
    assert admin.get(f"{p}/traits/COMPUTE_NODE", headers=V).status_code == 204
    assert admin.get(f"{p}/traits/CUSTOM_X", headers=V).status_code == 404
    assert len(admin.get(f"{p}/resource_classes", headers=V).json()["resource_classes"]) == 21
    assert admin.get(f"{p}/resource_classes/VGPU", headers=V).json()["name"] == "VGPU"
