"""Volumes of a directory while a server has them: its host makes snapshots, backups, images, clones, and extends."""

from __future__ import annotations

from typing import Any

import pytest

from stackling.drivers.local.volume_copies import LocalVolumeCopies
from stackling.ports.document import ServerDesired
from tests.api.compute_world import V as COMPUTE
from tests.api.compute_world import world as world
from tests.api.test_volume_backups import Backups
from tests.api.test_volume_backups import backups as backups
from tests.api.volume_world import NEWEST, V

COPIES = LocalVolumeCopies()


class Host:
    """A server with a volume, and its host, which copies volumes when it is told to."""

    def __init__(self, found: Backups) -> None:
        self.found, self.client, self.agent = found, found.client, found.world.agents[0]
        self.volume = found.available()
        self.server: str = found.world.active(self.client)["id"]
        self.failing: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self.attach()

    def attach(self) -> None:
        answer = self.client.post(f"{COMPUTE}/servers/{self.server}/os-volume_attachments",
                                  {"volumeAttachment": {"volumeId": self.volume}})
        assert answer.status_code == 200, answer.text
        self.work()
        assert self.status == "in-use"

    @property
    def status(self) -> str:
        return self.found.show(self.volume)["status"]

    @property
    def wanted(self) -> ServerDesired:
        self.agent.fetch()
        return self.agent.wanted[self.server]

    @property
    def asked(self) -> list[str]:
        """The snapshots that the host is to make."""
        return [id for volume in self.wanted.volumes for id in volume.snapshots]

    def work(self) -> None:
        """The host does all that it is asked to, and the engine what follows."""
        for _ in range(3):
            self.engine()
            for disk in self.wanted.volumes:
                for id in disk.snapshots:
                    if id not in self.ended:
                        self.ended[id] = self.failing.get(disk.volume_id, "")
                        if not self.ended[id]:
                            COPIES.copy(disk, id)
            self.report(volume_snapshots=self.ended)
        self.engine()

    def report(self, **values: Any) -> None:
        assert self.agent.report(self.agent.done(self.wanted, **values)).accepted

    def engine(self) -> None:
        for _ in range(20):
            self.found.world.engine.step(10)
            if not self.found.engine.step(10):
                return

    def snapshot(self, *, accepted: bool = True, **values: Any) -> str:
        answer = self.client.post(f"{V}/snapshots", {"snapshot": {"volume_id": self.volume, "force": True, **values}})
        assert (answer.status_code == 202) is accepted, answer.text
        return answer.json()["snapshot"]["id"] if accepted else ""

    def shown(self, id: str) -> Any:
        return self.client.get(f"{V}/snapshots/{id}", headers=NEWEST).json().get("snapshot")

    def files(self) -> list[str]:
        return sorted(path.name for path in self.found.directory.iterdir() if path.name != f"{self.volume}.qcow2")


@pytest.fixture
def host(backups: Backups) -> Host:
    return Host(backups)


def test_the_host_makes_the_snapshot(host: Host) -> None:
    host.found.guest(host.volume, "write -P 1 0 1M")
    assert host.client.post(f"{V}/snapshots", {"snapshot": {"volume_id": host.volume}}).status_code == 400
    id = host.snapshot(name="before")
    host.engine()
    assert host.shown(id)["status"] == "creating"
    assert host.files() == []
    assert host.asked == [id]
    host.work()
    assert (host.shown(id)["status"], host.status) == ("available", "in-use")
    assert host.files() == [f"{host.volume}.qcow2.{id}"]
    host.found.guest(host.volume, "write -P 2 0 1M")
    clone = host.found.available(snapshot_id=id)
    host.found.guest(clone, "read -P 1 0 1M")
    assert host.client.delete(f"{V}/snapshots/{id}").status_code == 202
    host.engine()
    assert host.shown(id) is None
    assert host.files() == [f"{clone}.qcow2"]


def test_one_that_the_host_cant_make_is_in_error_and_says_why(host: Host) -> None:
    host.failing[host.volume] = "No space left on device"
    id = host.snapshot()
    host.work()
    assert host.shown(id)["status"] == "error"
    found = host.client.get(f"{V}/messages", headers=NEWEST).json()["messages"]
    assert "No space left" in found[0]["user_message"]
    server = host.found.world.show(host.client, host.server)
    assert (server["status"], host.status) == ("ACTIVE", "in-use")
    assert host.client.delete(f"{V}/snapshots/{id}").status_code == 202
    host.engine()
    assert host.shown(id) is None


def test_what_a_host_says_that_control_cant_see_is_no_snapshot(host: Host) -> None:
    id = host.snapshot()
    host.engine()
    assert host.asked == [id]
    host.report(volume_snapshots={id: ""})
    host.engine()
    assert host.shown(id)["status"] == "error"


def test_nothing_of_one_is_removed_while_the_host_may_still_make_it(host: Host) -> None:
    admin = host.found.world.admin
    id = host.snapshot()
    disk, = host.wanted.volumes
    COPIES.prepare(disk, id)
    assert host.client.delete(f"{V}/snapshots/{id}").status_code == 400         # Cinder's: it is being made
    force = admin.post(f"{V}/snapshots/{id}/action", {"os-force_delete": {}})
    assert force.status_code == 202, force.text
    host.engine()
    assert (host.shown(id)["status"], host.asked) == ("deleting", [])
    assert len(host.files()) == 1
    host.report()
    host.engine()
    assert host.shown(id) is None
    assert host.files() == []


def test_one_that_is_there_isnt_removed_before_the_host_has_done_with_it(host: Host) -> None:
    """Its agent was killed before it could say that it has made it, and would make it again."""
    id = host.snapshot()
    COPIES.copy(host.wanted.volumes[0], id)
    host.found.world.cloud.database.write(lambda tx: tx.nudge("volume_snapshot", id))
    host.engine()
    assert host.shown(id)["status"] == "available"
    assert host.client.delete(f"{V}/snapshots/{id}").status_code == 202
    host.engine()
    assert (host.shown(id)["status"], host.asked) == ("deleting", [])
    host.report()
    host.engine()
    assert (host.shown(id), host.files()) == (None, [])


def test_a_detach_meanwhile_hands_it_to_control(host: Host) -> None:
    host.found.guest(host.volume, "write -P 1 0 1M")
    id = host.snapshot()
    path = f"{COMPUTE}/servers/{host.server}/os-volume_attachments/{host.volume}"
    assert host.client.delete(path).status_code == 202
    host.engine()
    assert host.shown(id)["status"] == "creating"
    host.report()
    host.found.settle()
    assert (host.shown(id)["status"], host.status) == ("available", "available")


def test_a_server_deleted_meanwhile_hands_it_to_control(host: Host) -> None:
    id = host.snapshot()
    assert host.client.delete(f"{COMPUTE}/servers/{host.server}").status_code == 204
    host.found.settle()
    assert (host.shown(id)["status"], host.status) == ("available", "available")


def test_a_backup_of_a_volume_in_use(host: Host) -> None:
    host.found.guest(host.volume, "write -P 1 0 1M")
    assert host.found.try_back_up(host.volume).status_code == 400
    answer = host.found.try_back_up(host.volume, force=True)
    assert answer.status_code == 202, answer.text
    id = answer.json()["backup"]["id"]
    host.work()
    assert (host.found.backup(id)["status"], host.status) == ("available", "in-use")
    assert host.files() == []           # its snapshot has gone
    host.found.guest(host.volume, "write -P 2 0 1M")
    host.found.guest(host.found.restored(id), "read -P 1 0 1M")
    assert host.client.get(f"{V}/snapshots").json()["snapshots"] == []


def test_an_image_of_a_volume_in_use(host: Host) -> None:
    def upload(**values: Any) -> Any:
        return host.client.post(f"{V}/volumes/{host.volume}/action", {"os-volume_upload_image": {
            "image_name": "saved", "disk_format": "raw", "container_format": "bare", **values}})

    host.found.guest(host.volume, "write -P 1 0 1M")
    assert upload().status_code == 400
    answer = upload(force=True)
    assert answer.status_code == 202, answer.text
    assert host.status == "uploading"
    host.work()
    assert host.status == "in-use"
    image = host.client.get(f"/image/v2/images/{answer.json()['os-volume_upload_image']['image_id']}").json()
    assert (image["status"], image["size"]) == ("active", 1 << 30)
    assert host.files() == []


def test_an_image_that_cant_be_made_leaves_the_volume_as_it_was(host: Host) -> None:
    host.failing[host.volume] = "No space left on device"
    answer = host.client.post(f"{V}/volumes/{host.volume}/action", {"os-volume_upload_image": {
        "image_name": "saved", "disk_format": "raw", "container_format": "bare", "force": True}})
    host.work()
    assert host.status == "in-use"
    assert host.client.get(f"{V}/messages", headers=NEWEST).json()["messages"] != []
    image = answer.json()["os-volume_upload_image"]["image_id"]
    assert host.client.get(f"/image/v2/images/{image}").json().get("status") != "active"
    assert host.files() == []


def test_a_clone_of_a_volume_in_use(host: Host) -> None:
    host.found.guest(host.volume, "write -P 1 0 1M")
    clone = host.found.create(source_volid=host.volume)["id"]
    host.engine()
    assert host.found.show(clone)["status"] == "creating"
    host.work()
    assert host.found.show(clone)["status"] == "available"
    assert host.found.show(clone)["source_volid"] == host.volume
    assert host.found.show(clone)["snapshot_id"] is None
    host.found.guest(clone, "read -P 1 0 1M")
    assert host.files() == [f"{clone}.qcow2"]
    host.failing[host.volume] = "No space left on device"
    lost = host.found.create(source_volid=host.volume)["id"]
    host.work()
    assert host.found.show(lost)["status"] == "error"
    assert host.client.delete(f"{V}/volumes/{lost}").status_code == 202
    host.engine()
    assert host.files() == [f"{clone}.qcow2"]


def test_a_volume_grows_beneath_its_guest(host: Host) -> None:
    answer = host.client.post(f"{V}/volumes/{host.volume}/action", {"os-extend": {"new_size": 2}},
                              headers={"OpenStack-API-Version": "volume 3.42"})
    assert answer.status_code == 202, answer.text
    assert host.wanted.volumes[0].size_gib == 2
    host.work()                         # the guest is off: control does it
    assert (host.status, host.found.show(host.volume)["size"]) == ("in-use", 2)


def test_a_report_that_comes_late_ends_no_other_snapshot(host: Host) -> None:
    first = host.snapshot()
    host.work()
    second = host.snapshot()
    host.report(volume_snapshots={first: "", "no-such-snapshot": "what"})
    host.engine()
    assert (host.shown(first)["status"], host.shown(second)["status"]) == ("available", "creating")
    assert host.asked == [second]


def test_quotas_count_it_once(host: Host) -> None:
    def used() -> int:
        found = host.client.get(f"{V}/os-quota-sets/{host.client.project_id}?usage=true").json()["quota_set"]
        return found["gigabytes"]["in_use"]

    assert used() == 1
    id = host.snapshot()
    assert used() == 2
    host.failing[host.volume] = "broken"
    host.work()
    assert (used(), host.shown(id)["status"]) == (2, "error")
    host.client.delete(f"{V}/snapshots/{id}")
    host.engine()
    assert used() == 1


