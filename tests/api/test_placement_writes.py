"""What administrators write into Placement: providers of their own, what hosts keep and have, and who takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stackling.api.placement.service import service
from stackling.core.ids import new_id
from tests.api.compute_world import LATEST, World, world
from tests.api.compute_world import V as COMPUTE
from tests.api.conftest import Client

__all__ = ["world"]
P = "/placement"


class Placement:
    """An administrator's calls at the newest microversion, or at another."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: Any = None, *, at: int = 39, status: int | None = None) -> Any:
        answer = self.client.request(method, P + path, headers={"OpenStack-API-Version": f"placement 1.{at}"},
                                     **({} if body is None else {"json": body}))
        if status is not None:
            assert answer.status_code == status, answer.text
            return answer.json() if answer.content else None
        return answer

    def provider(self, name: str, parent: str | None = None, **inventories: Any) -> str:
        id = self("POST", "/resource_providers", {"name": name, "parent_provider_uuid": parent}, status=200)["uuid"]
        if inventories:
            self.give(id, **inventories)
        return id

    def generation(self, id: str) -> int:
        return self("GET", f"/resource_providers/{id}", status=200)["generation"]

    def give(self, id: str, **inventories: Any) -> None:
        """Set exactly these inventories: a total, or all that is to be said."""
        self("PUT", f"/resource_providers/{id}/inventories", {
            "resource_provider_generation": self.generation(id),
            "inventories": {name: {"total": found} if isinstance(found, int) else found
                            for name, found in inventories.items()}}, status=200)

    def label(self, id: str, *traits: str) -> None:
        for trait in traits:
            if trait.startswith("CUSTOM_"):
                self("PUT", f"/traits/{trait}")
        self("PUT", f"/resource_providers/{id}/traits", {
            "resource_provider_generation": self.generation(id), "traits": list(traits)}, status=200)

    def join(self, id: str, *aggregates: str) -> None:
        self("PUT", f"/resource_providers/{id}/aggregates", {
            "resource_provider_generation": self.generation(id), "aggregates": list(aggregates)}, status=200)

    def take(self, consumer: str, amounts: Any, generation: int | None = None, status: int = 204) -> Any:
        return self("PUT", f"/allocations/{consumer}", {
            "allocations": {id: {"resources": some} for id, some in amounts.items()}, "project_id": "p", "user_id": "u",
            "consumer_generation": generation, "consumer_type": "TEST"}, status=status)

    def used(self, id: str) -> dict[str, int]:
        return self("GET", f"/resource_providers/{id}/usages", status=200)["usages"]

    def candidates(self, query: str) -> list[dict[str, Any]]:
        found = self("GET", f"/allocation_candidates?{query}", status=200)["allocation_requests"]
        return [{id: one["resources"] for id, one in request["allocations"].items()} for request in found]


@pytest.fixture
def placement(world: World) -> Placement:
    world.cloud.start([*world.services, service()])
    return Placement(world.admin)


@pytest.fixture
def host(placement: Placement) -> str:
    return placement("GET", "/resource_providers", status=200)["resource_providers"][0]["uuid"]


def code(answer: Any) -> str:
    return answer.json()["errors"][0]["code"]


def test_a_provider_of_ones_own(placement: Placement) -> None:
    placement("POST", "/resource_classes", {"name": "CUSTOM_LICENSE"}, status=201)
    placement("POST", "/resource_classes", {"name": "CUSTOM_LICENSE"}, status=409)
    id = placement.provider("licenses", CUSTOM_LICENSE={"total": 10, "reserved": 2, "step_size": 2, "max_unit": 4})
    same = placement("POST", "/resource_providers", {"name": "licenses"})
    assert (same.status_code, code(same)) == (409, "placement.duplicate_name")
    placement("POST", "/resource_providers", {"name": "h1"}, status=409)
    old = placement("POST", "/resource_providers", {"name": "old"}, at=19)
    assert (old.status_code, old.content) == (201, b"")
    path = f"/resource_providers/{id}/inventories"
    stale = placement("PUT", f"{path}/CUSTOM_LICENSE", {"resource_provider_generation": 0, "total": 4})
    assert (stale.status_code, code(stale)) == (409, "placement.concurrent_update")
    for bad in ({"total": 0}, {"total": 4, "reserved": 5}, {"total": 4, "more": 1}):
        placement("POST", path, {"resource_class": "VGPU", **bad}, status=400)
    placement("POST", path, {"resource_class": "CUSTOM_NONE", "total": 1}, status=400)
    assert placement("POST", path, {"resource_class": "VGPU", "total": 1}, status=201)["max_unit"] == (1 << 31) - 1

    consumer = new_id()
    for amount in (1, 6, 10):
        placement.take(consumer, {id: {"CUSTOM_LICENSE": amount}}, status=409)
    placement.take(consumer, {new_id(): {"VGPU": 1}}, status=400)
    placement.take(consumer, {id: {"CUSTOM_NONE": 1}}, status=400)
    assert placement("GET", f"/allocations/{consumer}", status=200) == {"allocations": {}}
    placement.take(consumer, {id: {"CUSTOM_LICENSE": 4}})
    placement.take(new_id(), {id: {"CUSTOM_LICENSE": 4}})
    placement.take(new_id(), {id: {"CUSTOM_LICENSE": 2}}, status=409)
    assert placement.used(id) == {"CUSTOM_LICENSE": 8, "VGPU": 0}
    shown = placement("GET", f"/allocations/{consumer}", status=200)
    assert (shown["consumer_generation"], shown["consumer_type"], shown["project_id"]) == (1, "TEST", "p")
    assert placement("GET", "/usages?project_id=p", status=200)["usages"]["TEST"] == {
        "CUSTOM_LICENSE": 8, "consumer_count": 2}

    placement.take(consumer, {id: {"CUSTOM_LICENSE": 2}}, generation=None, status=409)
    placement.take(consumer, {id: {"CUSTOM_LICENSE": 2}}, generation=1)
    in_use = placement("PUT", path, {"resource_provider_generation": placement.generation(id), "inventories": {}})
    assert (in_use.status_code, code(in_use)) == (409, "placement.inventory.inuse")
    placement("DELETE", f"{path}/VGPU", status=204)
    placement("DELETE", f"{path}/CUSTOM_LICENSE", status=409)
    placement("DELETE", "/resource_classes/CUSTOM_LICENSE", status=409)
    assert code(placement("DELETE", f"/resource_providers/{id}")) == "placement.resource_provider.inuse"
    placement.take(consumer, {}, generation=2)
    placement("DELETE", f"/allocations/{consumer}", status=404)
    for other in placement("GET", f"/resource_providers/{id}/allocations", status=200)["allocations"]:
        placement("DELETE", f"/allocations/{other}", status=204)
    placement("DELETE", path, at=4, status=405)
    placement("DELETE", path, status=204)
    placement("DELETE", f"/resource_providers/{id}", status=204)
    placement("GET", f"/resource_providers/{id}", status=404)
    placement("DELETE", "/resource_classes/CUSTOM_LICENSE", status=204)
    placement("DELETE", "/resource_classes/VGPU", status=400)


def test_allocations_of_several_consumers_are_all_made_or_none(placement: Placement) -> None:
    id = placement.provider("pool", VGPU=2)
    one, other = new_id(), new_id()

    def claims(**amounts: int) -> dict[str, Any]:
        return {consumer: {"allocations": {id: {"resources": {"VGPU": amount}}} if amount else {}, "project_id": "p",
                           "user_id": "u", "consumer_generation": None, "consumer_type": "TEST"}
                for consumer, amount in zip((one, other), amounts.values(), strict=True)}

    placement("POST", "/allocations", claims(a=1, b=2), status=409)
    assert placement.used(id) == {"VGPU": 0}
    placement("POST", "/allocations", claims(a=1, b=1), status=204)
    assert placement.used(id) == {"VGPU": 2}
    moved = claims(a=0, b=2)
    for claim in moved.values():
        claim["consumer_generation"] = 1
    placement("POST", "/allocations", moved, status=204)
    assert placement("GET", f"/allocations/{one}", status=200) == {"allocations": {}}
    assert placement.used(id) == {"VGPU": 2}


def test_trees_and_who_shares_with_them(placement: Placement) -> None:
    root = placement.provider("root", VCPU=8)
    left, right = (placement.provider(name, root, VGPU=2) for name in ("left", "right"))
    placement.label(left, "CUSTOM_FAST")
    disks, aggregate = placement.provider("disks", DISK_GB=100), new_id()
    placement.label(disks, "MISC_SHARES_VIA_AGGREGATE")
    assert placement.candidates("resources=VCPU:8,DISK_GB:50") == []
    for id in (root, disks):
        placement.join(id, aggregate)
    assert placement.candidates("resources=VCPU:8,DISK_GB:50") == [{root: {"VCPU": 8}, disks: {"DISK_GB": 50}}]
    assert placement.candidates("resources=VCPU:8,VGPU:1&required=CUSTOM_FAST") == [
        {root: {"VCPU": 8}, left: {"VGPU": 1}}]
    apart = "resources=VCPU:8&resources1=VGPU:1&resources2=VGPU:1&group_policy="
    assert {frozenset(one) for one in placement.candidates(apart + "isolate")} == {frozenset((root, left, right))}
    assert {root: {"VCPU": 8}, left: {"VGPU": 2}} in placement.candidates(apart + "none")
    assert placement.candidates("resources1=VGPU:1&resources2=VGPU:1&group_policy=none&same_subtree=1,2") == [
        {left: {"VGPU": 2}}, {right: {"VGPU": 2}}]
    assert placement.candidates(f"resources=VGPU:1&in_tree={disks}") == []
    assert len(placement.candidates("resources=VGPU:1&limit=1")) == 1
    assert len(placement.candidates(f"resources1=VGPU:1&member_of1={aggregate}")) == 0
    assert len(placement.candidates(f"resources=VGPU:1&member_of={aggregate}")) == 2       # by their root
    assert placement.candidates("resources=VGPU:1&root_required=CUSTOM_FAST") == []
    summaries = placement("GET", "/allocation_candidates?resources1=VGPU:2&required1=!CUSTOM_FAST", status=200)[
        "provider_summaries"]
    assert set(summaries) == {root, left, right}
    assert summaries[right]["parent_provider_uuid"] == root
    old = placement("GET", "/allocation_candidates?resources=VGPU:1", at=28, status=200)
    assert (len(old["allocation_requests"]), set(old["provider_summaries"])) == (2, {left, right})
    old = placement("GET", "/allocation_candidates?resources=VGPU:1,VCPU:1", at=28, status=200)
    assert old == {"allocation_requests": [], "provider_summaries": {}}     # more than one of a tree

    parent = placement("DELETE", f"/resource_providers/{root}")
    assert code(parent) == "placement.resource_provider.cannot_delete_parent"
    move = {"name": "left", "parent_provider_uuid": right}
    placement("PUT", f"/resource_providers/{left}", move, at=36, status=400)
    assert placement("PUT", f"/resource_providers/{left}", move, status=200)["root_provider_uuid"] == root
    placement("PUT", f"/resource_providers/{right}", {"name": "right", "parent_provider_uuid": left}, status=400)
    placement("PUT", f"/resource_providers/{right}", {"name": "right", "parent_provider_uuid": None}, status=200)
    assert placement("GET", f"/resource_providers/{left}", status=200)["root_provider_uuid"] == right


def test_inventories_and_allocations_move_at_once(world: World, placement: Placement) -> None:
    world.cloud.start([*world.services, service({"placement:reshaper:reshape": "role:admin"})])
    old, consumer = placement.provider("old", VGPU=4), new_id()
    new = placement.provider("new", old)
    placement.take(consumer, {old: {"VGPU": 3}})

    def body(generation: int = 0, total: int = 4) -> dict[str, Any]:
        return {
            "inventories": {
                old: {"resource_provider_generation": placement.generation(old) + generation, "inventories": {}},
                new: {"resource_provider_generation": placement.generation(new), "inventories": {
                    "VGPU": {"total": total}}}},
            "allocations": {consumer: {
                "allocations": {new: {"resources": {"VGPU": 3}}}, "project_id": "p", "user_id": "u",
                "consumer_generation": 1, "consumer_type": "TEST"}}}

    placement("POST", "/reshaper", body(), at=29, status=404)
    placement("POST", "/reshaper", body(generation=1), status=409)
    placement("POST", "/reshaper", body(total=2), status=409)
    assert placement.used(old) == {"VGPU": 3}
    stays = body()
    stays["allocations"] = {}
    assert code(placement("POST", "/reshaper", stays)) == "placement.inventory.inuse"
    placement("POST", "/reshaper", body(), status=204)
    assert (placement.used(old), placement.used(new)) == ({}, {"VGPU": 3})


# -- hosts

def flavor(world: World, id: str, specs: dict[str, str], vcpus: int = 1) -> str:
    body = {"flavor": {"id": id, "name": id, "vcpus": vcpus, "ram": 64, "disk": 1}}
    assert world.admin.post(f"{COMPUTE}/flavors", body).status_code == 200
    if specs:
        answer = world.admin.post(f"{COMPUTE}/flavors/{id}/os-extra_specs", {"extra_specs": specs})
        assert answer.status_code == 200, answer.text
    return id


@pytest.fixture
def boot(world: World, member: Client) -> Callable[..., dict[str, Any]]:
    def boot(flavor: str, count: int = 1) -> dict[str, Any]:
        made = member.post(f"{COMPUTE}/servers", {"server": {
            "name": flavor, "flavorRef": flavor, "imageRef": world.image, "networks": "none", "min_count": count,
            "max_count": count}}, headers=LATEST)
        assert made.status_code == 202, made.text
        return member.get(f"{COMPUTE}/servers/{made.json()['server']['id']}", headers=LATEST).json()["server"]

    return boot


def test_traits_of_hosts_choose_where_servers_go(world: World, placement: Placement, host: str, boot: Any) -> None:
    other = world.add_host("h2", memory_mib=1024)
    flavor(world, "fast", {"trait:CUSTOM_FAST": "required"})
    flavor(world, "slow", {"trait:CUSTOM_FAST": "forbidden"})
    failed = boot("fast")
    assert failed["status"] == "ERROR"
    assert "2 lack what is asked for (trait CUSTOM_FAST)" in failed["fault"]["message"]
    second = next(one["uuid"] for one in placement("GET", "/resource_providers", status=200)["resource_providers"]
                  if one["name"] == other.name)
    placement.label(second, "CUSTOM_FAST", "HW_CPU_X86_AVX2")
    assert placement("GET", f"/resource_providers/{second}/traits", status=200)["traits"] == [
        "COMPUTE_NODE", "CUSTOM_FAST", "HW_CPU_X86_AVX2"]
    for name, wanted in (("fast", "h2"), ("slow", "h1")):
        server = boot(name)
        shown = world.admin.get(f"{COMPUTE}/servers/{server['id']}", headers=LATEST).json()["server"]
        assert shown["OS-EXT-SRV-ATTR:host"] == wanted
    placement("DELETE", "/traits/CUSTOM_FAST", status=409)
    placement("DELETE", f"/resource_providers/{second}/traits", status=204)
    placement("DELETE", "/traits/CUSTOM_FAST", status=204)
    placement("DELETE", "/traits/COMPUTE_NODE", status=400)
    assert placement("GET", "/traits?associated=true", status=200) == {"traits": ["COMPUTE_NODE"]}


def test_servers_take_resources_of_custom_classes(world: World, member: Client, placement: Placement, host: str,
                                                  boot: Any) -> None:
    placement("PUT", "/resource_classes/CUSTOM_LICENSE", status=201)
    placement("PUT", "/resource_classes/CUSTOM_LICENSE", status=204)
    placement("POST", f"/resource_providers/{host}/inventories", {"resource_class": "CUSTOM_LICENSE", "total": 3},
              status=201)
    flavor(world, "licensed", {"resources:CUSTOM_LICENSE": "1"})
    server = boot("licensed")
    assert server["status"] == "BUILD"
    assert placement("GET", f"/allocations/{server['id']}", status=200)["allocations"][host]["resources"] == {
        "VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1, "CUSTOM_LICENSE": 1}
    placement.take(new_id(), {host: {"CUSTOM_LICENSE": 1}})
    boot("licensed", count=2)
    assert placement.used(host)["CUSTOM_LICENSE"] == 3
    states = [one["status"] for one in member.get(f"{COMPUTE}/servers/detail", headers=LATEST).json()["servers"]]
    assert sorted(states) == ["BUILD", "BUILD", "ERROR"]
    placement.take(new_id(), {host: {"CUSTOM_LICENSE": 1}}, status=409)
    refused = placement("DELETE", f"/allocations/{server['id']}")
    assert (refused.status_code, "Compute keeps" in refused.text) == (409, True)
    placement.take(server["id"], {host: {"VCPU": 1}}, status=409)


def test_room_of_a_host_can_be_kept_and_taken(world: World, placement: Placement, host: str, boot: Any) -> None:
    flavor(world, "wide", {}, vcpus=4)
    path = f"/resource_providers/{host}/inventories"

    def change(status: int = 200, name: str = "VCPU", **values: Any) -> None:
        placement("PUT", f"{path}/{name}", {
            "resource_provider_generation": placement.generation(host), "total": 4, **values}, status=status)

    change(allocation_ratio=1.0)
    assert boot("wide")["status"] == "BUILD"
    assert boot("wide")["status"] == "ERROR"
    change(allocation_ratio=2.0)
    change(409, total=5)
    change(409, max_unit=2)
    change(allocation_ratio=2.0, reserved=1)
    assert boot("wide")["status"] == "ERROR"
    change(allocation_ratio=2.0, reserved=0)
    consumer = new_id()
    placement.take(consumer, {host: {"VCPU": 1}})
    assert boot("wide")["status"] == "ERROR"
    world.agents[0].report(inventory=world.agents[0].inventory)         # what an administrator set stays
    assert placement("GET", f"{path}/VCPU", status=200)["allocation_ratio"] == 2.0
    placement("DELETE", f"/allocations/{consumer}", status=204)
    assert boot("wide")["status"] == "BUILD"
    change(409, name="VCPU", total=1)
    placement("DELETE", path, status=409)
    placement("PUT", f"/resource_providers/{host}", {"name": "other"}, status=409)
    placement("DELETE", f"/resource_providers/{host}", status=409)
    memory = placement("GET", path, status=200)["inventories"]["MEMORY_MB"]
    placement("PUT", f"{path}/MEMORY_MB", {**memory, "resource_provider_generation": placement.generation(host),
                                           "reserved": memory["total"] - 128}, status=200)
    assert placement.candidates("resources=MEMORY_MB:64") == []


def test_host_aggregates_are_placements_as_well(world: World, placement: Placement, host: str) -> None:
    made = world.admin.post(f"{COMPUTE}/os-aggregates", {"aggregate": {"name": "rack"}}, headers=LATEST).json()
    number, uuid = made["aggregate"]["id"], made["aggregate"]["uuid"]
    world.admin.post(f"{COMPUTE}/os-aggregates/{number}/action", {"add_host": {"host": "h1"}})
    path = f"/resource_providers/{host}/aggregates"
    assert placement("GET", path, status=200)["aggregates"] == [uuid]
    assert len(placement.candidates(f"resources=VCPU:1&member_of={uuid}")) == 1
    assert placement.candidates(f"resources=VCPU:1&member_of=!{uuid}") == []
    refused = placement("PUT", path, {"aggregates": [], "resource_provider_generation": placement.generation(host)})
    assert (refused.status_code, "rack" in refused.text) == (409, True)
    more = new_id()
    placement.join(host, uuid, more)
    assert set(placement("GET", path, status=200)["aggregates"]) == {uuid, more}
    assert placement("PUT", path, [uuid], at=18, status=200) == {"aggregates": [uuid]}
