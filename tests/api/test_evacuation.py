"""Servers that leave a host that is lost: by the contract that high availability uses, and by the API."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.compute import facade as compute
from stackling.ports.document import Power, ServerDesired
from tests.api.compute_world import FakeAgent, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]
RBD = "rbd:pool"


@pytest.fixture
def hosts(world: World) -> list[FakeAgent]:
    """Three hosts, h1 to h3, with shared storage; h1 takes new servers first."""
    world.agents[0].report(inventory=_inventory(16384))
    return [world.agents[0], world.add_host("h2", storage=RBD), world.add_host("h3", storage=RBD, memory_mib=8000)]


def _inventory(memory: int, storage: str = RBD) -> Any:
    from stackling.ports.document import Inventory

    return Inventory(vcpus=4, memory_mib=memory, disk_gib=200, storage=storage)


def host_id(world: World, name: str) -> str:
    return world.cloud.database.read(compute.host_id, name)


def lose(world: World, name: str) -> None:
    world.cloud.database.write(compute.host_lost, host_id(world, name), "power read off")


def evacuate(world: World, id: str, **how: Any) -> str | None:
    return world.cloud.database.write(lambda tx: compute.evacuate(tx, id, reason="lost", **how))


def host_of(world: World, id: str) -> str:
    return world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"]


def used(world: World) -> dict[str, int]:
    found = world.admin.get(f"{V}/os-hypervisors/detail").json()["hypervisors"]
    return {one["hypervisor_hostname"]: one["memory_mb_used"] for one in found}


def last(agent: FakeAgent, id: str) -> ServerDesired:
    """What the host's document says of the server; the agent isn't done with it."""
    agent.generation = 0
    agent.fetch()
    agent.generation = 0
    return agent.wanted[id]


def migration(world: World, **query: Any) -> dict[str, Any]:
    return world.admin.get(f"{V}/os-migrations", params=query, headers=version(80)).json()["migrations"][0]


def test_a_server_leaves_a_fenced_host(world: World, hosts: list[FakeAgent], member: Client) -> None:
    network = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    member.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}})
    id = world.active(member, networks=[{"uuid": network}])["id"]
    assert host_of(world, id) == "h1"
    assert evacuate(world, id) == "its host h1 isn't fenced"
    lose(world, "h1")
    generation = last(hosts[0], id).generation
    assert evacuate(world, id) is None
    assert evacuate(world, id) is None
    shown = world.show(world.admin, id)
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["OS-EXT-SRV-ATTR:host"]) == (
        "REBUILD", "rebuilding", "h2")
    wanted = last(hosts[1], id)
    assert (wanted.present, wanted.power, wanted.generation) == (True, Power.RUNNING, generation + 1)
    assert wanted.arrival is not None
    assert not wanted.arrival.hold
    assert wanted.rebuilds == 0
    [port] = world.admin.get("/network/v2.0/ports", params={"device_id": id}).json()["ports"]
    assert port["binding:host_id"] == "h2"
    assert used(world)["h1"] == 0
    assert migration(world, migration_type="evacuation")["status"] == "accepted"
    hosts[1].report(hosts[1].done(wanted))
    assert world.show(member, id)["status"] == "ACTIVE"
    assert last(hosts[1], id).arrival is None or migration(world)["status"] == "done"


def test_the_former_host_lets_go_and_touches_no_disk(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    former = last(hosts[0], id)
    lose(world, "h1")
    evacuate(world, id)
    hosts[0].report(hosts[0].done(former, power=Power.STOPPED))
    assert world.show(world.admin, id)["OS-EXT-STS:power_state"] == 0
    world.settle()
    left = hosts[0].wanted[id]
    assert (left.present, left.keep_disks, left.generation > former.generation) == (False, True, True)
    assert migration(world)["status"] == "completed"
    hosts[0].generation = 0
    assert id not in {server.id for server in hosts[0].fetch()}
    assert world.cloud.database.read(compute.to_give_up, host_id(world, "h1")) == []
    world.cloud.database.write(compute.host_back, host_id(world, "h1"))
    assert world.show(member, id)["status"] == "ACTIVE"
    assert host_of(world, id) == "h2"


def test_a_stopped_server_stays_stopped(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "os-stop")
    world.settle()
    lose(world, "h1")
    assert evacuate(world, id) is None
    assert last(hosts[1], id).power is Power.STOPPED
    world.settle()
    assert world.show(member, id)["status"] == "SHUTOFF"


def test_one_in_error_runs_again(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    world.act(world.admin, id, "os-resetState", {"state": "error"})
    lose(world, "h1")
    assert evacuate(world, id) is None
    world.settle()
    assert world.show(member, id)["status"] == "ACTIVE"


def test_one_that_is_being_deleted_is_deleted(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    member.delete(f"{V}/servers/{id}")
    lose(world, "h1")
    assert evacuate(world, id) is None
    assert not last(hosts[1], id).present
    assert not last(hosts[1], id).keep_disks
    world.settle()
    assert member.get(f"{V}/servers/{id}").status_code == 404
    assert used(world) == {"h1": 0, "h2": 0, "h3": 0}


def test_local_disks_are_made_anew_and_removed_only_when_it_runs(
        world: World, member: Client) -> None:
    first, second = world.agents[0], world.add_host("h2")
    world.admin.put(f"{V}/os-services/{host_id(world, 'h2')}", {"status": "disabled"}, headers=version(53))
    id = world.active(member)["id"]
    world.admin.put(f"{V}/os-services/{host_id(world, 'h2')}", {"status": "enabled"}, headers=version(53))
    lose(world, "h1")
    [moving] = world.cloud.database.read(compute.servers_to_move, host_id(world, "h1"))
    assert (moving.id, moving.disk) == (id, "local")
    assert evacuate(world, id) is None
    assert last(second, id).rebuilds == 1
    [left] = first.fetch()
    assert (left.present, left.keep_disks) == (False, True)
    first.report(first.done(left))
    assert first.fetch() == []
    second.work()
    [gone] = first.fetch()
    assert (gone.present, gone.keep_disks, gone.generation > left.generation) == (False, False, True)
    first.report(first.done(left))
    first.generation = 0
    assert [server.id for server in first.fetch()] == [id]
    first.report(first.done(gone))
    first.generation = 0
    assert first.fetch() == []


def test_what_fits_nowhere_says_why_and_goes_when_there_is_room(
        world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    lose(world, "h1")
    for name in ("h2", "h3"):
        world.admin.put(f"{V}/os-services/{host_id(world, name)}", {"status": "disabled"}, headers=version(53))
    reason = evacuate(world, id)
    assert reason is not None
    assert "2 are disabled" in reason
    assert evacuate(world, id) == reason
    world.admin.put(f"{V}/os-services/{host_id(world, 'h3')}", {"status": "enabled"}, headers=version(53))
    assert evacuate(world, id) is None
    assert host_of(world, id) == "h3"


def test_what_is_to_be_deleted_needs_no_room(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    member.delete(f"{V}/servers/{id}")
    lose(world, "h1")
    hosts[1].report(inventory=_inventory(1))
    hosts[2].report(inventory=_inventory(2))
    assert evacuate(world, id) is None
    assert host_of(world, id) == "h3"
    world.settle()
    assert member.get(f"{V}/servers/{id}").status_code == 404
    assert used(world) == {"h1": 0, "h2": 0, "h3": 0}


def test_groups_stay_together_and_apart(world: World, hosts: list[FakeAgent], member: Client) -> None:
    def group(policy: str) -> str:
        body = {"server_group": {"name": policy, "policies": [policy]}}
        return member.post(f"{V}/os-server-groups", body).json()["server_group"]["id"]

    together, apart = group("affinity"), group("anti-affinity")
    pair = [world.active(member, hints={"group": together})["id"] for _ in range(2)]
    strangers = [world.active(member, hints={"group": apart})["id"] for _ in range(2)]
    where = [host_of(world, id) for id in strangers]
    assert len(set(where)) == 2
    lose(world, "h1")
    for id in [*pair, *strangers]:
        if host_of(world, id) == "h1":
            assert evacuate(world, id) is None
    assert host_of(world, pair[0]) == host_of(world, pair[1]) != "h1"
    assert {host_of(world, id) for id in strangers} == {"h2", "h3"}


def test_the_zone_that_was_asked_for_is_kept(world: World, hosts: list[FakeAgent], member: Client) -> None:
    made = world.admin.post(f"{V}/os-aggregates", {"aggregate": {"name": "z", "availability_zone": "zone"}}).json()
    for name in ("h1", "h3"):
        world.admin.post(f"{V}/os-aggregates/{made['aggregate']['id']}/action", {"add_host": {"host": name}})
    id = world.active(member, availability_zone="zone")["id"]
    assert host_of(world, id) == "h1"
    lose(world, "h1")
    assert evacuate(world, id) is None
    assert host_of(world, id) == "h3"
    assert world.show(member, id)["OS-EXT-AZ:availability_zone"] == "zone"


def test_priorities(world: World, hosts: list[FakeAgent], member: Client) -> None:
    body = {"flavor": {"name": "first", "ram": 64, "disk": 1, "vcpus": 1}}
    flavor = world.admin.post(f"{V}/flavors", body).json()["flavor"]["id"]
    specs = {"extra_specs": {"ha:priority": "7"}}
    assert world.admin.post(f"{V}/flavors/{flavor}/os-extra_specs", specs).status_code == 200
    usual = [world.active(member)["id"] for _ in range(2)]
    urgent = world.active(member, flavorRef=flavor)["id"]
    found = world.cloud.database.read(compute.servers_to_move, host_id(world, "h1"))
    here = [id for id in (urgent, *usual) if host_of(world, id) == "h1"]
    assert [moving.id for moving in found] == here
    assert found[0].priority == 7


def test_a_lease_that_moves_refuses_the_former_holder(world: World, hosts: list[FakeAgent], member: Client) -> None:
    world.active(member)
    database = world.cloud.database
    machine, _ = database.write(compute.register_machine, "m9", compute.credential_hash("nine"))
    assert database.write(compute.move_lease, host_id(world, "h1"), machine) == 2
    assert hosts[0].documents().status_code == 403
    assert not hosts[0].report().accepted


# -- the API

def force_down(world: World, name: str, down: bool = True) -> None:
    answer = world.admin.put(f"{V}/os-services/{host_id(world, name)}", {"forced_down": down}, headers=version(53))
    assert answer.status_code == 200
    assert answer.json()["service"]["state"] == ("down" if down else "up")


def ask(world: World, client: Client, id: str, minor: int = 80, **value: Any) -> Any:
    return world.act(client, id, "evacuate", value, headers=version(minor))


def test_an_administrator_evacuates(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    assert ask(world, member, id).status_code == 403
    answer = ask(world, world.admin, id)
    assert answer.status_code == 400
    assert "still in use" in answer.json()["badRequest"]["message"]
    force_down(world, "h1")
    for value, minor in (({"host": "nowhere"}, 80), ({"host": "h1"}, 80), ({"force": True}, 80),
                         ({"onSharedStorage": True}, 14), ({}, 13)):
        assert ask(world, world.admin, id, minor, **value).status_code == 400, value
    answer = ask(world, world.admin, id, 13, onSharedStorage=True, host="h3")
    assert answer.status_code == 200
    assert answer.json()["adminPass"]
    assert ask(world, world.admin, id).status_code == 409
    assert host_of(world, id) == "h3"
    actions = member.get(f"{V}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert actions[0]["action"] == "evacuate"


def test_a_host_that_still_talks_is_waited_for(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    force_down(world, "h1")
    assert ask(world, world.admin, id).status_code == 200
    wanted = last(hosts[1], id)
    assert wanted.arrival is not None
    assert wanted.arrival.hold
    hosts[1].report(hosts[1].done(wanted, converged=False, power=Power.ABSENT))
    assert world.show(member, id)["status"] == "REBUILD"
    left = last(hosts[0], id)
    hosts[0].report(hosts[0].done(left))
    wanted = last(hosts[1], id)
    assert wanted.arrival is not None
    assert not wanted.arrival.hold
    world.settle()
    assert world.show(member, id)["status"] == "ACTIVE"


def test_from_2_95_on_it_is_off_there(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    force_down(world, "h1")
    answer = ask(world, world.admin, id, 95)
    assert (answer.status_code, answer.content) == (200, b"")
    world.settle()
    assert world.show(member, id)["status"] == "SHUTOFF"


def test_no_host_leaves_it_in_error(world: World, hosts: list[FakeAgent], member: Client) -> None:
    id = world.active(member)["id"]
    for name in ("h1", "h2", "h3"):
        force_down(world, name)
    assert ask(world, world.admin, id).status_code == 200
    shown = world.show(member, id)
    assert shown["status"] == "ERROR"
    assert "No valid host" in shown["fault"]["message"]
    assert migration(world)["status"] == "error"
    force_down(world, "h2", False)
    assert ask(world, world.admin, id).status_code == 200
    world.settle()
    assert world.show(member, id)["status"] == "ACTIVE"
