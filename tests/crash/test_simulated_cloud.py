"""A simulated cloud whose real processes are killed at random while clients work; and one whose disk is full."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stackling.cli import client as clients
from stackling.cli.client import Client, Refused
from stackling.cli.problem import Problem
from stackling.deploy.embedded.directory import StateDirectory
from tests.e2e.clouds import TestCloud, cloud

pytestmark = [pytest.mark.crash, pytest.mark.e2e, pytest.mark.slow]
SECONDS = 12.0
DEADLINE = 120.0
VICTIMS = ("control-api", "control-engine", "agent")
SERVER, NETWORK, PORT = ("compute", "servers", "server"), ("network", "networks", "network"), (
    "network", "ports", "port")


@dataclass
class Load:
    """One client that makes and deletes servers, networks and ports, and remembers what it was told.

    ``kept``: ids that the API acknowledged and that weren't asked to go; ``gone``: those whose deletion was
    acknowledged. What broke off without an answer is in neither: both outcomes are right.
    """

    cloud: TestCloud
    name: str
    random: random.Random
    network: str
    flavor: str
    image: str
    kept: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    gone: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    wrong: list[str] = field(default_factory=list[str])
    broken_off: int = 0

    def run(self, until: float) -> None:
        """Work until the monotonic time *until*."""
        client, number = clients.connect(self.cloud.directory), 0
        while time.monotonic() < until:
            number += 1
            try:
                self._step(client, f"{self.name}-{number}")
            except Refused as refused:
                if refused.status not in (404, 409):
                    self.wrong.append(f"{refused.status} {refused}")
            except Problem:
                self.broken_off += 1
                time.sleep(0.05)
                client = clients.connect(self.cloud.directory)

    def _step(self, client: Client, name: str) -> None:
        if self.kept and self.random.random() < 0.4:
            id = self.random.choice(sorted(self.kept))
            kind = self.kept.pop(id)
            client.delete(kind[0], f"/{kind[1]}/{id}")
            self.gone[id] = kind
            return
        kind = self.random.choice((SERVER, NETWORK, PORT))
        body: dict[str, Any] = {"name": name}
        if kind is SERVER:
            body |= {"imageRef": self.image, "flavorRef": self.flavor, "networks": [{"uuid": self.network}]}
        elif kind is PORT:
            body |= {"network_id": self.network}
        made = client.post(kind[0], f"/{kind[1]}", {kind[2]: body})[kind[2]]
        self.kept[made["id"]] = kind


@pytest.fixture
def unprivileged() -> Iterator[TestCloud]:
    with cloud("--simulated", "--hosts", "3") as made:
        yield made


@pytest.mark.parametrize("seed", [1, 2])
def test_random_kills_lose_nothing_that_was_answered(unprivileged: TestCloud, seed: int) -> None:
    made, chance = unprivileged, random.Random(seed)
    client = clients.connect(made.directory)
    network, image, flavor = prepare(client)
    loads = [Load(made, f"load{number}", random.Random(f"{seed} {number}"), network, flavor, image)
             for number in range(2)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=load.run, args=(until,)) for load in loads]
    for thread in threads:
        thread.start()
    kills: Counter[str] = Counter()
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.3, 1.5))
        name = chance.choice(VICTIMS)
        with contextlib.suppress(ProcessLookupError, AssertionError):
            os.kill(made.pid(name), signal.SIGKILL)
            kills[name] += 1
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert set(kills) == set(VICTIMS)
    assert [load.wrong for load in loads] == [[], []]
    assert sum(len(load.kept) + len(load.gone) for load in loads) > 5
    made.eventually(lambda: made.run("status", check=False).returncode, lambda code: code == 0, 60)
    settled(made)
    for load in loads:
        there = {kind[1]: {one["id"] for one in rows(made, kind)} for kind in (SERVER, NETWORK, PORT)}
        assert {id for id, kind in load.kept.items() if id not in there[kind[1]]} == set()
        assert {id for id, kind in load.gone.items() if id in there[kind[1]]} == set()
    counted(made)


def prepare(client: Client) -> tuple[str, str, str]:
    """A network, an image, a flavor: their ids."""
    network = client.post("network", "/networks", {"network": {"name": "net"}})["network"]["id"]
    client.post("network", "/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.7.0.0/22"}})
    image = client.post("image", "/images", {"name": "small", "disk_format": "raw", "container_format": "bare"})["id"]
    with tempfile.TemporaryFile() as data:
        data.write(bytes(1 << 16))
        data.seek(0)
        client.call("PUT", "image", f"/images/{image}/file", data, content="application/octet-stream")
    flavor = client.post("compute", "/flavors", {"flavor": {"name": "few", "ram": 1, "vcpus": 1, "disk": 0}})
    return network, image, flavor["flavor"]["id"]


def rows(made: TestCloud, kind: tuple[str, str, str]) -> list[dict[str, Any]]:
    """All of a kind."""
    path = "/servers/detail" if kind is SERVER else f"/{kind[1]}"
    return clients.connect(made.directory).get(kind[0], path)[kind[1]]


def settled(made: TestCloud) -> None:
    """Wait until nothing is on its way any more; nothing has failed either."""
    def moving() -> list[Any]:
        return [(one["id"], one["status"], one["OS-EXT-STS:task_state"]) for one in rows(made, SERVER)
                if one["OS-EXT-STS:task_state"] or one["status"] != "ACTIVE"] + [
                    (one["id"], one["status"]) for one in rows(made, NETWORK) if one["status"] != "ACTIVE"]

    made.eventually(moving, lambda left: not left, DEADLINE)


def counted(made: TestCloud) -> None:
    """Hosts and quotas count the servers that there are, ports belong to them, addresses are unique."""
    client, servers, ports = clients.connect(made.directory), rows(made, SERVER), rows(made, PORT)
    hosts = client.call("GET", "compute", "/os-hypervisors/detail", version="2.53")["hypervisors"]
    per_host = Counter(server["OS-EXT-SRV-ATTR:host"] for server in servers)
    assert {host["hypervisor_hostname"]: host["vcpus_used"] for host in hosts} == {
        host["hypervisor_hostname"]: per_host[host["hypervisor_hostname"]] for host in hosts}
    quota = client.get("compute", f"/os-quota-sets/{client.project_id}/detail")["quota_set"]
    assert quota["instances"]["in_use"] == quota["cores"]["in_use"] == len(servers)
    plugged = [port["device_id"] for port in ports if port["device_owner"].startswith("compute:")]
    assert sorted(plugged) == sorted(server["id"] for server in servers)
    addresses = [(port["network_id"], one["ip_address"]) for port in ports for one in port["fixed_ips"]]
    assert len(addresses) == len(set(addresses))
    assert len({port["mac_address"] for port in ports}) == len(ports)


@pytest.mark.root
def test_a_full_disk_under_the_image_store_refuses_an_upload_and_harms_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="stk-e2e-", dir="/var/tmp") as folder:
        directory = StateDirectory.at(Path(folder) / "state")
        directory.images.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "small", str(directory.images)], check=True,
                       timeout=10)
        made = TestCloud(directory)
        try:
            made.run("up", "--simulated")
            client = clients.connect(directory)
            before = files(directory.images)
            image = client.post("image", "/images", {"name": "i", "disk_format": "raw", "container_format": "bare"})
            with pytest.raises(Refused, match="full") as caught:
                upload(client, image["id"], 64 << 20)
            assert caught.value.status == 413
            assert client.get("image", f"/images/{image['id']}")["status"] == "queued"
            assert client.get("compute", "/servers")["servers"] == []
            assert files(directory.images) == before
            upload(client, image["id"], 1 << 20)
            assert client.get("image", f"/images/{image['id']}")["status"] == "active"
            assert "Traceback" not in directory.log_file("control-api").read_text()
        finally:
            made.run("down", check=False)
            subprocess.run(["umount", str(directory.images)], check=True, timeout=10)
            made.run("purge")
        assert made.processes() == []


def files(folder: Path) -> set[Path]:
    """Every file below *folder*."""
    return {path for path in folder.rglob("*") if path.is_file()}


def upload(client: Client, image: str, size: int) -> None:
    with tempfile.TemporaryFile() as data:
        data.write(bytes(size))
        data.seek(0)
        client.call("PUT", "image", f"/images/{image}/file", data, content="application/octet-stream")
