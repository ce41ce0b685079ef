"""What the tests of Compute share: a cloud with an image, a network and hosts whose agents a test plays itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.api.compute.service import service as compute_service
from stackling.api.identity.service import service as identity_service
from stackling.api.image.service import service as image_service
from stackling.api.internal.service import CREDENTIAL, Wakeups
from stackling.api.internal.service import service as internal_service
from stackling.api.network.service import service as network_service
from stackling.compute import facade as compute
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.worker import Worker
from stackling.network import facade as network_facade
from stackling.network.attachment import External
from stackling.ports.document import Documents, GuestReport, Inventory, Power, Report, ReportAnswer, ServerDesired
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest

V = "/compute/v2.1"
LATEST = {"OpenStack-API-Version": "compute 2.104"}


def version(minor: int) -> dict[str, str]:
    return {"OpenStack-API-Version": f"compute 2.{minor}"}


@dataclass
class FakeAgent:
    """An agent without a machine: every request is fulfilled when ``work`` is called."""

    cloud: CloudUnderTest
    name: str
    credential: str
    inventory: Inventory = field(default_factory=lambda: Inventory(vcpus=4, memory_mib=8192, disk_gib=200))
    boot_id: str = "boot-1"
    sequence: int = 0
    epoch: int = 1
    generation: int = 0
    guests: dict[str, GuestReport] = field(default_factory=dict[str, GuestReport])
    wanted: dict[str, ServerDesired] = field(default_factory=dict[str, ServerDesired])

    def documents(self, wait: int = 0) -> Any:
        return self.cloud.send(
            "GET", f"/internal/machines/{self.name}/documents", headers={CREDENTIAL: self.credential},
            params={"host": self.name, "since": self.generation, "epoch": self.epoch, "wait": wait})

    def fetch(self) -> list[ServerDesired]:
        answer = self.documents()
        if answer.status_code == 204:
            return []
        assert answer.status_code == 200, answer.text
        found = msgspec.json.decode(answer.content, type=Documents).documents[0]
        self.generation, self.epoch = found.generation, found.epoch
        self.wanted.update({server.id: server for server in found.servers})
        return list(found.servers)

    def report(self, *guests: GuestReport, **values: Any) -> ReportAnswer:
        self.sequence += 1
        report = Report(**{"machine": self.name, "boot_id": self.boot_id, "sequence": self.sequence, "host": self.name,
                           "epoch": self.epoch, "document_generation": self.generation, "guests": guests, **values})
        answer = self.cloud.send("POST", f"/internal/machines/{self.name}/report",
                                 headers={CREDENTIAL: self.credential}, content=msgspec.json.encode(report))
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=ReportAnswer)

    def done(self, server: ServerDesired, **values: Any) -> GuestReport:
        """The report that the server is as it shall be."""
        return GuestReport(**{
            "id": server.id, "generation": server.generation, "converged": True,
            "power": server.power if server.present else Power.ABSENT, "soft_reboots": server.soft_reboots,
            "hard_reboots": server.hard_reboots, "rebuilds": server.rebuilds, "resizes": server.resizes,
            "snapshot": server.snapshot,
            **values})

    def work(self) -> None:
        """Do all that is asked for, and say so."""
        found = self.fetch()
        if found:
            assert self.report(*(self.done(server) for server in found)).accepted


class World:
    """The cloud, its first host ``h1``, an image and the demo project's network."""

    def __init__(self, cloud: CloudUnderTest, store: LocalImageStore) -> None:
        self.cloud = cloud
        cloud.cloud.image_store = store
        wakeups = Wakeups()
        cloud.database.on_nudge = wakeups.woken
        self.services = [identity_service(cloud.identity), image_service(), network_service(), compute_service(),
                         internal_service(wakeups)]
        cloud.start(self.services)
        cloud.database.write(compute.bootstrap)
        self.admin = cloud.admin()
        self.engine = Worker(SqlWorkQueue(cloud.database), compute.kinds())
        self.agents: list[FakeAgent] = []
        self.image = self.make_image()
        cloud.database.write(network_facade.bootstrap, self.admin.project_id, external=External(
            "203.0.113.0/24", "203.0.113.1", ("203.0.113.10", "203.0.113.60"), "public"))

    def add_host(self, name: str, **inventory: Any) -> FakeAgent:
        credential = f"secret of {name}"
        self.cloud.database.write(compute.register_machine, name, compute.credential_hash(credential))
        agent = FakeAgent(self.cloud, name, credential)
        if inventory:
            agent.inventory = Inventory(**{"vcpus": 4, "memory_mib": 8192, "disk_gib": 200, **inventory})
        agent.report(inventory=agent.inventory, complete=True)
        self.agents.append(agent)
        return agent

    def make_image(self, name: str = "tiny", **attributes: Any) -> str:
        image = self.admin.post("/image/v2/images", {
            "name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public",
            **attributes}).json()
        done = self.admin.put(f"/image/v2/images/{image['id']}/file", content=b"\0" * 1024 * 1024,
                              headers={"Content-Type": "application/octet-stream"})
        assert done.status_code == 204, done.text
        return image["id"]

    def settle(self) -> None:
        """Let agents and engine work until nothing is left to do now."""
        for _ in range(20):
            for agent in self.agents:
                agent.work()
            if not self.engine.step(10):
                return
        raise AssertionError("the engine finds no end")

    def create(self, client: Client, *, headers: dict[str, str] | None = None, **values: Any) -> dict[str, Any]:
        """Make a server and give what POST answered."""
        answer = self.try_create(client, headers=headers, **values)
        assert answer.status_code == 202, answer.text
        return answer.json()["server"]

    def try_create(self, client: Client, *, headers: dict[str, str] | None = None, hints: Any = None,
                   **values: Any) -> Any:
        body: dict[str, Any] = {"server": {
            "name": "vm", "imageRef": self.image, "flavorRef": "42", "networks": "none", **values}}
        if hints is not None:
            body["os:scheduler_hints"] = hints
        return client.post(f"{V}/servers", body, headers=headers or version(37))

    def active(self, client: Client, **values: Any) -> dict[str, Any]:
        """An ACTIVE server, as GET shows it in the newest version."""
        server = self.create(client, **values)
        self.settle()
        shown = self.show(client, server["id"])
        assert shown["status"] == "ACTIVE", shown
        return shown

    def show(self, client: Client, id: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        answer = client.get(f"{V}/servers/{id}", headers=headers or LATEST)
        assert answer.status_code == 200, answer.text
        return answer.json()["server"]

    def act(self, client: Client, id: str, action: str, value: Any = None, *,
            headers: dict[str, str] | None = None) -> Any:
        return client.post(f"{V}/servers/{id}/action", {action: value}, headers=headers or version(37))


@pytest.fixture
def world(cloud: CloudUnderTest, tmp_path: Path) -> Iterator[World]:
    store = LocalImageStore(tmp_path / "glance", reserve=0)
    found = World(cloud, store)
    found.add_host("h1")
    yield found
    store.close()
