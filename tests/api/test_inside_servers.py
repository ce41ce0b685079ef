"""What is asked of the inside of running servers: their figures, and their users' passwords."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import select

from stackling.ports.diagnostics import CpuUse, Diagnostics, DiskUse, NicUse, Traffic
from stackling.ports.document import Power
from stackling.store.tables.compute import servers
from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]
SECRET = "a new sëcret"
USED = Diagnostics(
    memory_most=524_288, memory_used=262_144, memory={"rss": 1000, "actual": 524_288},
    cpus=(CpuUse(id=0, time=12_000_000_000), CpuUse(id=1)),
    disks=(DiskUse(device="vda", read_requests=1, read_bytes=2, write_requests=3, write_bytes=4),),
    nics=(NicUse(mac="fa:16:3e:00:00:01", name="tap1", traffic=Traffic(
        rx_octets=1, rx_packets=2, rx_errors=3, rx_drop=4, tx_octets=5, tx_packets=6, tx_errors=7, tx_drop=8)),
        NicUse(mac="fa:16:3e:00:00:02", name="tap2")))


@dataclass
class Agent:
    """What answers at the address of the host."""

    status: int = 200
    answer: Any = field(default_factory=dict[str, Any])
    asked: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])

    async def ask(self, address: str, method: str, path: str, body: bytes | None = None, *,
                  timeout: float = 0) -> tuple[int, bytes]:
        assert address == "/run/h1.sock"
        assert (timeout > 10) == (method == "POST")
        self.asked.append((method, path, None if body is None else msgspec.json.decode(body)))
        if self.status == 0:
            raise ConnectionError("nobody is there")
        return self.status, msgspec.json.encode(self.answer)


@pytest.fixture
def agent(world: World) -> Agent:
    found = Agent()
    world.cloud.cloud.ask_agent = found.ask
    world.agents[0].report(address="/run/h1.sock")
    return found


def diagnostics(world: World, id: str, minor: int) -> Any:
    return world.admin.get(f"{V}/servers/{id}/diagnostics", headers=version(minor))


def test_figures_in_the_form_that_is_the_same_everywhere(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    agent.answer = USED
    answer = diagnostics(world, id, 48)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert agent.asked == [("GET", f"/servers/{id}/diagnostics", None)]
    assert isinstance(found.pop("uptime"), int)
    unknown = {"rx_rate": None, "tx_rate": None}
    counters = ("rx_octets", "rx_packets", "rx_errors", "rx_drop", "tx_octets", "tx_packets", "tx_errors", "tx_drop")
    assert found == {
        "state": "running", "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux", "config_drive": False,
        "num_cpus": 2, "num_nics": 2, "num_disks": 1, "memory_details": {"maximum": 512, "used": 256},
        "cpu_details": [{"id": 0, "time": 12_000_000_000, "utilisation": None},
                        {"id": 1, "time": None, "utilisation": None}],
        "disk_details": [{"read_bytes": 2, "read_requests": 1, "write_bytes": 4, "write_requests": 3,
                          "errors_count": -1}],
        "nic_details": [
            {"mac_address": "fa:16:3e:00:00:01", **unknown, **dict(zip(counters, range(1, 9), strict=True))},
            {"mac_address": "fa:16:3e:00:00:02", **unknown, **dict.fromkeys(counters)}]}


def test_figures_by_libvirts_names(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    agent.answer = USED
    assert diagnostics(world, id, 47).json() == {
        "cpu0_time": 12_000_000_000, "vda_read_req": 1, "vda_read": 2, "vda_write_req": 3, "vda_write": 4,
        "vda_errors": -1, "tap1_rx": 1, "tap1_rx_packets": 2, "tap1_rx_errors": 3, "tap1_rx_drop": 4, "tap1_tx": 5,
        "tap1_tx_packets": 6, "tap1_tx_errors": 7, "tap1_tx_drop": 8, "memory": 524_288, "memory-rss": 1000,
        "memory-actual": 524_288}


def test_figures_only_of_what_runs(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    assert member.get(f"{V}/servers/{id}/diagnostics", headers=LATEST).status_code == 403
    assert world.act(member, id, "os-stop").status_code == 202
    world.settle()
    answer = diagnostics(world, id, 104)
    assert (answer.status_code, agent.asked) == (409, [])
    assert answer.json()["conflictingRequest"]["message"] == (
        f"Cannot 'get_diagnostics' instance {id} while it is in power state shutdown")
    building = world.create(member)["id"]
    assert diagnostics(world, building, 104).status_code == 409


def test_figures_need_an_agent_that_answers(world: World, member: Client, agent: Agent) -> None:
    id = world.active(member)["id"]
    for status, expected in ((0, 503), (503, 503), (404, 409)):
        agent.status = status
        assert diagnostics(world, id, 104).status_code == expected
    world.cloud.cloud.ask_agent = None
    assert diagnostics(world, id, 104).status_code == 501


# -- passwords

def with_agent(world: World, member: Client, **properties: str) -> str:
    """A server whose image says that a guest agent runs in it."""
    image = world.make_image("agent", **{"hw_qemu_guest_agent": "yes", **properties})
    return world.active(member, imageRef=image)["id"]


def change(world: World, client: Client, id: str, password: str = SECRET) -> Any:
    return world.act(client, id, "changePassword", {"adminPass": password})


def last_action(member: Client, id: str) -> Any:
    path = f"{V}/servers/{id}/os-instance-actions"
    newest = member.get(path, headers=LATEST).json()["instanceActions"][0]
    return member.get(f"{path}/{newest['request_id']}", headers=LATEST).json()["instanceAction"]


def test_a_password_goes_to_the_guest_and_nowhere_else(world: World, member: Client, agent: Agent) -> None:
    id = with_agent(world, member)
    answer = change(world, member, id)
    assert (answer.status_code, answer.content) == (202, b"")
    assert agent.asked == [("POST", f"/servers/{id}/password", {"user": "root", "password": SECRET})]
    action = last_action(member, id)
    assert (action["action"], action["message"]) == ("changePassword", None)
    assert [(e["event"], e["result"]) for e in action["events"]] == [("compute_set_admin_password", "Success")]
    assert world.show(member, id)["status"] == "ACTIVE"
    rows = world.cloud.database.read(lambda tx: tx.all(select(servers)))
    assert SECRET not in str(rows)
    assert member.get(f"{V}/servers/{id}/os-server-password").json() == {"password": ""}


def test_whose_password_the_image_says(world: World, member: Client, agent: Agent) -> None:
    for properties, user in (({"os_admin_user": "debian"}, "debian"), ({"os_type": "windows"}, "Administrator"),
                             ({"os_type": "linux"}, "root")):
        id = with_agent(world, member, **properties)
        assert change(world, member, id).status_code == 202
        assert agent.asked[-1][2]["user"] == user


def test_it_is_kept_for_the_holder_of_the_key_pair(world: World, member: Client, agent: Agent) -> None:
    from stackling.compute.keypairs import generate_ssh

    material = generate_ssh()
    assert material.private
    body = {"keypair": {"name": "k", "public_key": material.public}}
    assert member.post(f"{V}/os-keypairs", body).status_code == 200
    image = world.make_image("agent", hw_qemu_guest_agent="yes")
    id = world.active(member, imageRef=image, key_name="k")["id"]
    path = f"{V}/servers/{id}/os-server-password"
    assert member.get(path).json() == {"password": ""}
    assert change(world, member, id).status_code == 202
    kept = member.get(path).json()["password"]
    key: Any = load_pem_private_key(material.private.encode(), None)
    assert key.decrypt(base64.b64decode(kept), padding.PKCS1v15()).decode() == SECRET
    assert member.delete(path).status_code == 204
    assert member.get(path).json() == {"password": ""}


def test_without_a_guest_agent_it_cannot_be_changed(world: World, member: Client, agent: Agent) -> None:
    for id in (world.active(member)["id"], with_agent(world, member, hw_qemu_guest_agent="no")):
        answer = change(world, member, id)
        assert (answer.status_code, agent.asked) == (409, [])
        assert answer.json()["conflictingRequest"]["message"] == "QEMU guest agent is not enabled"
        action = last_action(member, id)
        assert (action["action"], action["message"]) == ("changePassword", "Error")
        assert action["events"][0]["details"] == "QEMU guest agent is not enabled"
        assert world.show(member, id)["status"] == "ACTIVE"


@pytest.mark.parametrize(("status", "expected", "words"), [
    (409, 409, "because error setting admin password"), (423, 409, "in task_state updating_password"),
    (504, 501, "its guest agent doesn't answer"), (503, 503, "full up"), (0, 503, "nobody is there"),
    (404, 409, "because error setting admin password"), (413, 409, "because error setting admin password")])
def test_what_goes_wrong_is_told_and_recorded(world: World, member: Client, agent: Agent, status: int, expected: int,
                                              words: str) -> None:
    id = with_agent(world, member)
    agent.status, agent.answer = status, {"error": "full up"}
    answer = change(world, member, id)
    assert answer.status_code == expected
    assert words in answer.text
    assert SECRET not in answer.text
    action = last_action(member, id)
    assert [(e["event"], e["result"]) for e in action["events"]] == [("compute_set_admin_password", "Error")]
    assert words in action["events"][0]["details"]
    agent.status = 200
    assert change(world, member, id).status_code == 202


def test_only_of_a_server_that_is_active_and_unlocked(world: World, member: Client, other: Client,
                                                      agent: Agent) -> None:
    id = with_agent(world, member)
    assert change(world, other, id).status_code == 404
    assert world.act(member, id, "lock").status_code == 202
    assert change(world, member, id).status_code == 409
    assert world.act(member, id, "unlock").status_code == 202
    assert world.act(member, id, "pause").status_code == 202
    world.settle()
    answer = change(world, member, id)
    assert answer.json()["conflictingRequest"]["message"] == (
        f"Cannot 'changePassword' instance {id} while it is in vm_state paused")
    assert world.act(member, id, "unpause").status_code == 202
    world.settle()
    host = world.agents[0]
    host.report(host.done(host.wanted[id], power=Power.STOPPED))
    assert change(world, member, id).status_code == 409
    assert agent.asked == []


def test_names_at_the_hypervisor_are_numbered(world: World, member: Client) -> None:
    import re

    first, second = (world.active(member)["id"] for _ in range(2))
    names = [world.show(world.admin, id)["OS-EXT-SRV-ATTR:instance_name"] for id in (first, second)]
    assert all(re.fullmatch(r"instance-[0-9a-f]{8}", name) for name in names)
    assert len(set(names)) == 2
    assert world.agents[0].wanted[first].number == int(names[0].removeprefix("instance-"), 16)
    assert member.delete(f"{V}/servers/{second}").status_code == 204
    world.settle()
    third = world.active(member)["id"]
    assert world.show(world.admin, third)["OS-EXT-SRV-ATTR:instance_name"] not in names
    many = member.post(f"{V}/servers", {"server": {
        "name": "m", "imageRef": world.image, "flavorRef": "42", "networks": "none", "min_count": 2,
        "max_count": 2}}, headers=version(37))
    assert many.status_code == 202, many.text
    shown = world.admin.get(f"{V}/servers/detail?all_tenants=1").json()["servers"]
    assert len({server["OS-EXT-SRV-ATTR:instance_name"] for server in shown}) == 4


def test_aggregates_numbers_are_given_once(world: World) -> None:
    def make(name: str) -> int:
        answer = world.admin.post(f"{V}/os-aggregates", {"aggregate": {"name": name}})
        assert answer.status_code == 200, answer.text
        return answer.json()["aggregate"]["id"]

    first = make("a")
    second = make("b")
    assert world.admin.delete(f"{V}/os-aggregates/{second}").status_code == 200
    assert make("c") not in (first, second)


@pytest.mark.parametrize(("disk", "words"), [
    ({"guest_format": "swap", "volume_size": 1}, "Swap drive requested is larger than instance type allows."),
    ({"volume_size": 1}, ("Ephemeral disks requested are larger than the instance type allows. If no size is given in "
                          "one block device mapping, flavor ephemeral size will be used."))])
def test_local_disks_beyond_the_flavor(world: World, member: Client, disk: Any, words: str) -> None:
    root = {"boot_index": 0, "source_type": "image", "destination_type": "local", "uuid": world.image,
            "delete_on_termination": True}
    more = {"boot_index": -1, "source_type": "blank", "destination_type": "local", **disk}
    answer = world.try_create(member, block_device_mapping_v2=[root, more])
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"] == words
