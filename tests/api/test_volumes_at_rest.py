"""Snapshots of volumes in Ceph that a server has: its host is asked where the guest shall be at rest."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.drivers.simulated.volumes import SimulatedVolumes
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import world as world
from tests.api.test_volume_groups import CG, SNAPSHOTS
from tests.api.volume_world import NEWEST, V, Volumes
from tests.api.volume_world import volumes as volumes


class Guests:
    """Servers with volumes that lie in Ceph, whose host makes snapshots when it is told to."""

    def __init__(self, found: Volumes) -> None:
        self.found, self.client, self.agent = found, found.client, found.world.agents[0]

    def server(self, *volumes: str, **properties: str) -> str:
        image = self.found.world.make_image(**properties)
        id = self.found.world.active(self.client, imageRef=image)["id"]
        for volume in volumes:
            answer = self.client.post(f"{COMPUTE}/servers/{id}/os-volume_attachments",
                                      {"volumeAttachment": {"volumeId": volume}})
            assert answer.status_code == 200, answer.text
            self.found.settle()
            assert self.found.show(volume)["status"] == "in-use"
        return id

    def asked(self, server: str) -> dict[str, str]:
        """Snapshots that the server's host is to make, with their volumes."""
        self.agent.fetch()
        return {id: disk.volume_id for disk in self.agent.wanted[server].volumes for id in disk.snapshots}

    def make(self, server: str, error: str = "") -> None:
        """The host has made what it is asked to, or can't."""
        found = self.asked(server)
        for id, volume in found.items():
            if not error:
                self.found.store.snapshot(volume, id)
        done = self.agent.done(self.agent.wanted[server], volume_snapshots=dict.fromkeys(found, error))
        assert self.agent.report(done).accepted
        self.found.settle()

    def snapshot(self, volume: str) -> str:
        answer = self.client.post(f"{V}/snapshots", {"snapshot": {"volume_id": volume, "force": True}})
        assert answer.status_code == 202, answer.text
        return answer.json()["snapshot"]["id"]

    def status(self, id: str) -> str:
        return self.client.get(f"{V}/snapshots/{id}", headers=NEWEST).json()["snapshot"]["status"]

    def group(self, count: int) -> tuple[str, list[str]]:
        kind = self.found.world.admin.get(f"{V}/types/default").json()["volume_type"]["id"]
        made = self.client.post(CG, {"consistencygroup": {"volume_types": f"{kind},"}}).json()["consistencygroup"]["id"]
        return made, [self.found.available(consistencygroup_id=made, volume_type=kind) for _ in range(count)]


@pytest.fixture
def guests(volumes: Volumes, monkeypatch: pytest.MonkeyPatch) -> Guests:
    monkeypatch.setattr(SimulatedVolumes, "location", lambda self, id: f"rbd://stackling-volumes/{id}")
    return Guests(volumes)


def test_the_host_is_asked_where_the_guest_has_an_agent(guests: Guests) -> None:
    volume = guests.found.available()
    server = guests.server(volume, hw_qemu_guest_agent="yes")
    id = guests.snapshot(volume)
    guests.found.engine.step(10)
    assert guests.status(id) == "creating"
    assert guests.asked(server) == {id: volume}
    guests.make(server)
    assert guests.status(id) == "available"


def test_one_that_demands_rest_and_gets_none_has_no_snapshot(guests: Guests) -> None:
    volume = guests.found.available()
    server = guests.server(volume, hw_qemu_guest_agent="yes", os_require_quiesce="yes")
    id = guests.snapshot(volume)
    guests.make(server, "the guest's file systems can't be put to rest")
    assert guests.status(id) == "error"
    found = guests.client.get(f"{V}/messages", headers=NEWEST).json()["messages"]
    assert "can't be put to rest" in found[0]["user_message"]
    assert guests.found.store.snapshots(volume) == ()


def test_control_makes_all_others_itself(guests: Guests) -> None:
    volume, free = guests.found.available(), guests.found.available()
    server = guests.server(volume)
    for each in (volume, free):
        id = guests.snapshot(each)
        guests.found.engine.step(10)
        assert guests.asked(server) == {}
        guests.found.settle()
        assert guests.status(id) == "available"


def test_volumes_of_a_group_on_one_server_are_asked_for_at_once(guests: Guests) -> None:
    group, members = guests.group(3)
    server = guests.server(*members[:2])
    made = guests.client.post(SNAPSHOTS, {"cgsnapshot": {"consistencygroup_id": group}}).json()["cgsnapshot"]["id"]
    guests.agent.fetch()
    assert sorted(guests.asked(server).values()) == sorted(members[:2])
    guests.found.engine.step(10)
    assert [len(guests.found.store.snapshots(id)) for id in members] == [0, 0, 1]
    guests.make(server)
    shown: dict[str, Any] = guests.client.get(f"{SNAPSHOTS}/{made}").json()["cgsnapshot"]
    assert shown["status"] == "available"


def test_a_single_volume_of_a_group_is_no_reason_to_stop_a_guest(guests: Guests) -> None:
    group, members = guests.group(2)
    server = guests.server(members[0])
    guests.client.post(SNAPSHOTS, {"cgsnapshot": {"consistencygroup_id": group}})
    assert guests.asked(server) == {}
