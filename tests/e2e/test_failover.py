"""Fail-over in a simulated cloud: real processes, machines that lose their power by a command."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from stackling.deploy.embedded import credentials
from tests.e2e.clouds import TestCloud, cloud

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def simulated() -> Iterator[TestCloud]:
    with cloud("--simulated", "--hosts", "3") as made:
        image = made.directory.root / "image.raw"
        image.write_bytes(bytes(1 << 20))
        made.openstack("image", "create", "--file", str(image), "--disk-format", "raw", "--public", "small")
        made.openstack("network", "create", "net")
        made.openstack("subnet", "create", "--network", "net", "--subnet-range", "10.7.0.0/24", "sub")
        made.eventually(lambda: states(made), lambda found: set(found.values()) == {"up"})
        yield made


def states(made: TestCloud) -> dict[str, str]:
    return {one["name"]: one["state"] for one in made.stackling("ha", "machines")}


def on(made: TestCloud, machine: str, *names: str) -> None:
    for name in names:
        made.openstack("server", "create", "--image", "small", "--flavor", "m1.tiny", "--network", "net",
                       "--availability-zone", f"nova:{machine}", name)
    for name in names:
        made.eventually(lambda name=name: made.openstack("server", "show", name),
                        lambda found: found["status"] == "ACTIVE")


def where(made: TestCloud) -> dict[str, tuple[str, str]]:
    """(status, host) of every server, by name."""
    return {one["Name"]: (one["Status"], one["Host"])
            for one in made.openstack("server", "list", "--all-projects", "--long", "-c", "Name", "-c", "Status",
                                      "-c", "Host")}


class _Unix(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask(made: TestCloud, name: str, method: str, path: str) -> tuple[int, Any]:
    """The internal API, or the agent's own socket, as this machine's resource agent asks it."""
    connection = _Unix(str(made.directory.run / name))
    connection.request(method, path, headers={"X-Machine-Credential": credentials.read(made.directory).machine})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def modes(made: TestCloud) -> dict[str, str]:
    return ask(made, "agent.sock", "GET", "/hosts")[1]["hosts"]


def test_servers_of_a_machine_without_power_run_elsewhere_and_it_comes_back(simulated: TestCloud) -> None:
    on(simulated, "host-2", "a", "b")
    simulated.run("ha", "simulate", "off", "host-2")
    simulated.eventually(lambda: where(simulated), lambda found: all(
        found[name][0] == "ACTIVE" and found[name][1] != "host-2" for name in ("a", "b")), 60)
    machine = simulated.stackling("ha", "machines", "host-2")
    assert machine["state"] == "fenced"
    assert machine["proof"]["strength"] == "power-read"
    told = simulated.run("explain", "host-2").stdout
    assert "switched off" in told
    simulated.run("ha", "simulate", "on", "host-2")
    simulated.eventually(lambda: states(simulated)["host-2"], lambda state: state == "up", 60)
    on(simulated, "host-2", "c")


def test_without_a_fence_device_servers_stay_and_explain_says_why(simulated: TestCloud) -> None:
    on(simulated, "host-3", "d")
    simulated.run("ha", "simulate", "device", "host-3", "absent")
    simulated.run("ha", "simulate", "cut", "host-3")
    simulated.eventually(lambda: simulated.run("explain", "d").stdout, lambda told: "no fence device" in told, 60)
    assert "machine host-3 is lost since" in simulated.run("explain", "host-3").stdout
    assert where(simulated)["d"][1] == "host-3"
    assert simulated.run("ha", "confirm-off", "host-3", check=False).returncode == 2
    simulated.run("ha", "simulate", "heal", "host-3")
    simulated.run("ha", "simulate", "device", "host-3", "ok")
    simulated.eventually(lambda: states(simulated)["host-3"], lambda state: state == "up", 60)
    assert where(simulated)["d"] == ("ACTIVE", "host-3")


def test_a_host_moves_to_another_machine_with_its_servers(simulated: TestCloud) -> None:
    on(simulated, "host-1", "e")
    assert modes(simulated) == dict.fromkeys(("host-1", "host-2", "host-3"), "held")
    take = "/internal/machines/host-2/hosts/host-1/take"
    status, refused = ask(simulated, "internal.sock", "POST", take)
    assert status == 409
    assert "neither let go" in refused["error"]["message"]
    release = "/internal/machines/host-1/hosts/host-1/release"
    simulated.eventually(lambda: ask(simulated, "internal.sock", "POST", release)[1]["released"], bool, 90)
    assert ask(simulated, "internal.sock", "POST", take) == (200, {"host": "host-1", "epoch": 2})
    simulated.eventually(lambda: ask(simulated, "internal.sock", "GET", "/internal/machines/host-2/hosts")[1]["hosts"],
                         lambda hosts: [one["host"] for one in hosts] == ["host-1", "host-2"])
    simulated.eventually(lambda: guests(simulated, "host-2"), lambda found: uuid(simulated, "e") in found)
    assert uuid(simulated, "e") not in guests(simulated, "host-1")
    simulated.eventually(lambda: where(simulated)["e"], lambda found: found == ("ACTIVE", "host-1"))
    simulated.eventually(lambda: states(simulated)["host-1"], lambda state: state == "up")
    on(simulated, "host-1", "f")            # it is a host like before, on another machine
    assert uuid(simulated, "f") in guests(simulated, "host-2")


def uuid(made: TestCloud, name: str) -> str:
    return made.openstack("server", "show", name)["id"]


def guests(made: TestCloud, machine: str) -> set[str]:
    """What runs on a simulated machine, by its own journal."""
    found: dict[str, bool] = {}
    journal = made.directory.root / "agent" / "hosts" / machine / "guests.journal"
    for line in journal.read_bytes().splitlines():
        record = json.loads(line[9:])
        found[record["id"]] = record["power"] == "running" and not record.get("gone", False)
    return {id for id, runs in found.items() if runs}
