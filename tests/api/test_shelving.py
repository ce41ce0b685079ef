"""Shelving a server: saved, off its host, back again on any host; what is refused meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.api.internal.service import CREDENTIAL
from stackling.compute import facade as compute
from stackling.core import clock
from stackling.drivers.simulated.disks import empty_qcow2
from stackling.store.transaction import Tx
from tests.api.compute_world import LATEST, FakeAgent, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]


def states(world: World, client: Client, id: str) -> tuple[str, str, Any]:
    shown = world.show(client, id)
    return shown["status"], shown["OS-EXT-STS:vm_state"], shown["OS-EXT-STS:task_state"]


def agent_of(world: World, id: str) -> FakeAgent:
    name = world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"]
    return next(agent for agent in world.agents if agent.name == name)


def images(client: Client, name: str = "vm-shelved") -> list[Any]:
    return client.get(f"/image/v2/images?name={name}").json()["images"]


def send(world: World, agent: FakeAgent, image: str) -> None:
    answer = world.cloud.send("PUT", f"/internal/images/{image}/file", content=empty_qcow2(1 << 30), headers={
        CREDENTIAL: agent.credential, "Content-Type": "application/octet-stream"})
    assert answer.status_code == 204, answer.text


def saved(world: World, client: Client, id: str) -> FakeAgent:
    """Shelve a server and hand its disk over; its agent."""
    agent = agent_of(world, id)
    agent.fetch()
    answer = world.act(client, id, "shelve")
    assert answer.status_code == 202, answer.text
    [wanted] = agent.fetch()
    assert wanted.power == "stopped"
    send(world, agent, str(wanted.snapshot))
    agent.report(agent.done(wanted))
    return agent


def offloaded(world: World, client: Client, id: str) -> None:
    saved(world, client, id)
    world.settle()
    assert states(world, client, id) == ("SHELVED_OFFLOADED", "shelved_offloaded", None)


def stay(world: World, seconds: float) -> None:
    world.cloud.database.write(Tx.set_setting, compute.OFFLOAD_AFTER, seconds)


def used(world: World) -> dict[str, tuple[int, int]]:
    found = world.admin.get(f"{V}/os-hypervisors/detail").json()["hypervisors"]
    return {one["hypervisor_hostname"]: (one["running_vms"], one["memory_mb_used"]) for one in found}


def last_action(client: Client, id: str) -> Any:
    first = client.get(f"{V}/servers/{id}/os-instance-actions", headers=LATEST).json()["instanceActions"][0]
    return client.get(f"{V}/servers/{id}/os-instance-actions/{first['request_id']}",
                      headers=LATEST).json()["instanceAction"]


def test_a_shelved_server_leaves_its_host_and_comes_back(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    quota = member.get(f"{V}/limits").json()["limits"]["absolute"]
    assert world.act(member, id, "shelve").status_code == 202
    assert states(world, member, id) == ("ACTIVE", "active", "shelving")
    agent = world.agents[0]
    [wanted] = agent.fetch()
    agent.report(agent.done(wanted, converged=False, snapshot=None))
    assert states(world, member, id)[2] == "shelving_image_uploading"
    send(world, agent, str(wanted.snapshot))
    agent.report(agent.done(wanted))
    assert states(world, member, id) == ("SHELVED", "shelved", "shelving_offloading")
    [image] = images(member)
    assert (image["status"], image["image_type"], image["instance_uuid"]) == ("active", "snapshot", id)
    [gone] = agent.fetch()
    assert not gone.present
    assert not gone.keep_disks
    agent.report(agent.done(gone))
    assert states(world, member, id) == ("SHELVED_OFFLOADED", "shelved_offloaded", None)
    shown = world.show(world.admin, id)
    assert (shown["OS-EXT-SRV-ATTR:host"], shown["hostId"], shown["OS-EXT-STS:power_state"]) == (None, "", 4)
    assert shown["image"]["id"] == world.image
    assert used(world) == {"h1": (0, 0)}
    assert member.get(f"{V}/limits").json()["limits"]["absolute"] == quota
    assert last_action(member, id)["action"] == "shelve"
    assert last_action(member, id)["events"][0]["result"] == "Success"

    assert world.act(member, id, "unshelve").status_code == 202
    assert states(world, member, id) == ("SHELVED_OFFLOADED", "shelved_offloaded", "spawning")
    [back] = agent.fetch()
    assert back.root is not None
    assert (back.present, back.root.image_id, back.root.flat) == (True, image["id"], True)
    assert back.rebuilds > wanted.rebuilds
    data = world.cloud.send("GET", f"/internal/images/{image['id']}/file", headers={CREDENTIAL: agent.credential})
    assert data.status_code == 200
    agent.report(agent.done(back))
    assert states(world, member, id) == ("ACTIVE", "active", None)
    assert images(member) == []
    assert used(world) == {"h1": (1, 192)}
    world.act(member, id, "os-stop")
    [later] = agent.fetch()
    assert later.root is not None
    assert (later.root.image_id, later.root.flat, later.rebuilds) == (world.image, True, back.rebuilds)


@pytest.mark.parametrize("before", ["pause", "suspend", "os-stop"])
def test_from_any_state(world: World, member: Client, before: str) -> None:
    id = world.active(member)["id"]
    world.act(member, id, before)
    world.settle()
    offloaded(world, member, id)
    world.act(member, id, "unshelve")
    world.settle()
    assert states(world, member, id)[0] == "ACTIVE"


def test_a_shelved_server_may_stay_on_its_host(world: World, member: Client) -> None:
    stay(world, -1)
    id = world.active(member)["id"]
    assert world.act(world.admin, id, "shelveOffload").status_code == 409
    agent = saved(world, member, id)
    world.settle()
    assert states(world, member, id) == ("SHELVED", "shelved", None)
    assert used(world) == {"h1": (1, 192)}
    for body in ({"availability_zone": "nova"}, {"host": "h1"}):
        assert world.act(world.admin, id, "unshelve", body, headers=LATEST).status_code == 409
    assert world.act(member, id, "unshelve").status_code == 202
    assert states(world, member, id) == ("SHELVED", "shelved", "powering-on")
    assert images(member) == []
    [back] = agent.fetch()
    assert back.power == "running"
    assert back.root is not None
    assert back.root.image_id == world.image
    agent.report(agent.done(back))
    assert states(world, member, id) == ("ACTIVE", "active", None)
    saved(world, member, id)
    assert world.act(member, id, "shelveOffload").status_code == 403
    assert world.act(world.admin, id, "shelveOffload").status_code == 202
    world.settle()
    assert states(world, member, id)[0] == "SHELVED_OFFLOADED"


def test_it_leaves_after_a_while(world: World, member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    stay(world, 30)
    id = world.active(member)["id"]
    saved(world, member, id)
    world.settle()
    assert states(world, member, id)[0] == "SHELVED"
    later = clock.wall() + 31
    monkeypatch.setattr(clock, "wall", lambda: later)
    world.cloud.database.write(Tx.nudge, "server", id)
    world.settle()
    assert states(world, member, id)[0] == "SHELVED_OFFLOADED"


def test_what_a_shelved_server_refuses(world: World, member: Client, other: Client) -> None:
    id = world.active(member)["id"]
    offloaded(world, member, id)
    for action, value in (("shelve", None), ("os-start", None), ("os-stop", None),
                          ("reboot", {"type": "HARD"}), ("pause", None), ("suspend", None), ("resume", None),
                          ("rebuild", {"imageRef": world.image}), ("resize", {"flavorRef": "1"}),
                          ("createImage", {"name": "x"}), ("os-getConsoleOutput", {})):
        assert world.act(member, id, action, value).status_code == 409, action
    for action in ("migrate", "shelveOffload"):
        assert world.act(world.admin, id, action).status_code == 409, action
    assert member.post(f"{V}/servers/{id}/os-interface", {}).status_code == 409
    assert world.act(other, id, "unshelve").status_code == 404
    assert world.act(member, id, "lock").status_code == 202
    assert world.act(member, id, "unshelve").status_code == 409


def test_deleting_takes_the_image_along(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    offloaded(world, member, id)
    assert member.delete(f"{V}/servers/{id}").status_code == 204
    assert images(member) == []
    assert member.get(f"{V}/servers/{id}").status_code == 404
    id = world.active(member)["id"]
    world.act(member, id, "shelve")
    member.delete(f"{V}/servers/{id}")
    world.settle()
    assert images(member) == []
    assert used(world) == {"h1": (0, 0)}


def test_an_image_deleted_meanwhile(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    world.act(member, id, "shelve")
    member.delete(f"/image/v2/images/{images(member)[0]['id']}")
    world.settle()
    assert states(world, member, id) == ("SHUTOFF", "stopped", None)
    assert last_action(member, id)["events"][0]["result"] == "Error"
    world.act(member, id, "os-start")
    world.settle()
    offloaded(world, member, id)
    member.delete(f"/image/v2/images/{images(member)[0]['id']}")
    assert world.act(member, id, "unshelve").status_code == 202
    shown = world.show(member, id)
    assert shown["status"] == "ERROR"
    assert "cannot be found" in shown["fault"]["message"]


def test_where_it_comes_back(world: World, member: Client) -> None:
    world.add_host("h2")
    id = world.active(member)["id"]
    offloaded(world, member, id)
    denied = world.act(member, id, "unshelve", {"host": "h2"}, headers=LATEST)
    assert denied.status_code == 403
    assert world.act(world.admin, id, "unshelve", {"host": "h2"}, headers=version(90)).status_code == 400
    assert world.act(world.admin, id, "unshelve", {"host": "h9"}, headers=LATEST).status_code == 400
    assert world.act(member, id, "unshelve", {"availability_zone": "moon"}, headers=version(77)).status_code == 400
    assert world.act(member, id, "unshelve", {}, headers=version(77)).status_code == 400
    for host in ("h2", "h1"):
        assert world.act(world.admin, id, "unshelve", {"host": host}, headers=LATEST).status_code == 202
        world.settle()
        assert world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"] == host
        offloaded(world, member, id)
    assert world.act(member, id, "unshelve", {"availability_zone": "nova"}, headers=LATEST).status_code == 202
    world.settle()
    assert world.show(member, id)["pinned_availability_zone"] == "nova"
    offloaded(world, member, id)
    assert world.act(member, id, "unshelve", {"availability_zone": None}, headers=LATEST).status_code == 202
    world.settle()
    assert world.show(member, id)["pinned_availability_zone"] is None


def test_no_room_leaves_it_shelved(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    offloaded(world, member, id)
    world.admin.put(f"{V}/os-services/disable", {"host": "h1", "binary": "nova-compute"}, headers=version(37))
    assert world.act(member, id, "unshelve").status_code == 202
    assert states(world, member, id) == ("SHELVED_OFFLOADED", "shelved_offloaded", None)
    assert "No valid host" in last_action(member, id)["events"][0]["details"]


def test_ports_and_addresses_stay(world: World, member: Client) -> None:
    network = member.post("/network/v2.0/networks", {"network": {"name": "n"}}).json()["network"]["id"]
    member.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}})
    server = world.active(member, networks=[{"uuid": network}])
    [before] = world.admin.get(f"/network/v2.0/ports?device_id={server['id']}").json()["ports"]
    offloaded(world, member, server["id"])
    [port] = world.admin.get(f"/network/v2.0/ports?device_id={server['id']}").json()["ports"]
    assert (port["id"], port["binding:host_id"], port["fixed_ips"]) == (before["id"], "", before["fixed_ips"])
    assert world.show(member, server["id"])["addresses"] == server["addresses"]
    world.act(member, server["id"], "unshelve")
    world.settle()
    [port] = world.admin.get(f"/network/v2.0/ports?device_id={server['id']}").json()["ports"]
    assert (port["binding:host_id"], port["fixed_ips"]) == ("h1", before["fixed_ips"])


def test_a_lost_host_is_no_loss_once_it_is_saved(world: World, member: Client) -> None:
    stay(world, -1)
    id = world.active(member)["id"]
    saved(world, member, id)

    def lose(tx: Tx) -> None:
        compute.host_lost(tx, host_id, "test")
        assert compute.evacuate(tx, id, reason="test") is None

    host_id = world.cloud.database.read(compute.host_id, "h1")
    world.cloud.database.write(lose)
    assert states(world, member, id) == ("SHELVED_OFFLOADED", "shelved_offloaded", None)
    world.add_host("h2")
    world.act(member, id, "unshelve")
    world.settle()
    assert world.show(world.admin, id)["OS-EXT-SRV-ATTR:host"] == "h2"
