"""Three control nodes over three databases: begun at once, racing each other, losing a database and a machine."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackling.deploy.cluster import apply, bundle, services
from stackling.deploy.cluster.description import PUBLIC_PORT
from tests.cluster.bench import Bench, eventually, machines
from tests.cluster.test_database import Databases

pytestmark = [pytest.mark.root, pytest.mark.crash, pytest.mark.slow, pytest.mark.engines]
LIMIT = 20.0


class Refused(Exception):
    """An API said no; ``status``."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body[:200])
        self.status = status


class Node:
    """The APIs of one machine, asked from within its namespace."""

    def __init__(self, control: Control, name: str) -> None:
        self.address = control.bench.cluster.machine(name).address
        self._inside = ThreadPoolExecutor(1, initializer=_enter, initargs=(control.bench.netns(name),))
        self._context = ssl.create_default_context(cadata=control.bench.authority.certificate.decode())
        self._password = control.bench.secrets[name].admin_password
        self._token: str | None = None

    def call(self, method: str, path: str, body: Any = None, *, timeout: float = LIMIT) -> Any:
        """The decoded body; raises ``Refused`` and ``OSError``."""
        status, data, _ = self._send(method, path, body, {"X-Auth-Token": self.token()}, timeout)
        if status >= 400:
            raise Refused(status, data)
        return json.loads(data) if data else None

    def healthy(self) -> bool:
        try:
            return self._send("GET", "/healthz", None, {}, LIMIT)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def token(self) -> str:
        if self._token is None:
            status, data, headers = self._send("POST", "/identity/v3/auth/tokens", {"auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": "admin", "domain": {"name": "Default"}, "password": self._password}}},
                "scope": {"project": {"name": "admin", "domain": {"name": "Default"}}}}}, {}, LIMIT)
            if status != 201:
                raise Refused(status, data)
            self._token = headers["X-Subject-Token"]
        return self._token

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str], timeout: float
              ) -> tuple[int, bytes, Any]:
        plain = self._inside.submit(socket.create_connection, (self.address, PUBLIC_PORT), timeout).result()
        connection = http.client.HTTPSConnection(self.address, PUBLIC_PORT, timeout=timeout)
        try:
            connection.sock = self._context.wrap_socket(plain, server_hostname=self.address)
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()
            plain.close()


def _enter(netns: str) -> None:
    """This thread lives in *netns* from now on."""
    with Path("/run/netns", netns).open() as there:
        assert ctypes.CDLL(None).setns(there.fileno(), 0) == 0


class Control:
    """The databases, and the processes over them; no real servers, networks or cluster members."""

    def __init__(self, bench: Bench) -> None:
        bench.cluster = msgspec.structs.replace(bench.cluster, driver="simulated")
        self.bench = bench
        self.databases = Databases(bench)
        for name in bench.names:
            machine, paths = bench.cluster.machine(name), bench.paths(name)
            apply.apply([*bundle.files(bundle.bundle(bench.cluster, name, bench.secrets[name], bench.authority), paths),
                         *services.files(bench.cluster, machine, bench.secrets[name], paths)])
        self.nodes = {name: Node(self, name) for name in bench.names}

    def start(self, name: str, *roles: str) -> None:
        for role in roles or ("api", "engine,stream"):
            self.bench.start(f"{role}-{name}", name, sys.executable, "-m", "stackling.main.control", "--cluster",
                             "--root", str(self.bench.paths(name).root), "--role", role)

    def start_agent(self, name: str) -> None:
        self.bench.start(f"agent-{name}", name, sys.executable, "-m", "stackling.main.agent", "--config",
                         str(self.bench.paths(name).etc / "agent.toml"))

    def runs(self, key: str, name: str) -> bool:
        return self.bench.processes[f"{key}-{name}"].poll() is None


@pytest.fixture(scope="module")
def control() -> Iterator[Control]:
    with machines(3) as bench:
        found = Control(bench)
        try:
            for name in bench.names:            # before there is a database
                found.start(name)
            found.databases.start()
            for node in found.nodes.values():
                eventually(node.healthy)
            yield found
        finally:
            for name in bench.names:
                for role in ("api", "engine,stream", "agent"):
                    with contextlib.suppress(FileNotFoundError):
                        print(f"--- {role} of {name}\n{bench.log(f'{role}-{name}', name)[-3000:]}")


def test_three_first_starts_at_once_make_one_cloud(control: Control) -> None:
    for name, node in control.nodes.items():
        assert [user["name"] for user in node.call("GET", "/identity/v3/users")["users"]].count("admin") == 1
        flavors = [flavor["name"] for flavor in node.call("GET", "/compute/v2.1/flavors")["flavors"]]
        assert len(flavors) == len(set(flavors)) > 0
        assert len(node.call("GET", "/network/v2.0/networks")["networks"]) == 1
        assert control.runs("api", name)
        assert control.runs("engine,stream", name)


def test_a_token_of_one_node_is_good_at_all(control: Control) -> None:
    one, other = control.nodes["m1"], control.nodes["m2"]
    assert other._send("GET", "/compute/v2.1/flavors", None, {"X-Auth-Token": one.token()}, LIMIT)[0] == 200


def test_what_one_node_has_answered_every_node_knows(control: Control) -> None:
    names = list(control.nodes)
    for number in range(12):
        writer, reader = (control.nodes[names[(number + step) % 3]] for step in (0, 1))
        made = writer.call("POST", "/network/v2.0/security-groups", {"security_group": {"name": f"seen-{number}"}})
        found = reader.call("GET", f"/network/v2.0/security-groups/{made['security_group']['id']}")
        assert found["security_group"]["name"] == f"seen-{number}"


def test_the_last_unit_of_a_quota_goes_to_one(control: Control) -> None:
    project = control.nodes["m1"].call("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    used = len(control.nodes["m1"].call("GET", "/network/v2.0/security-groups")["security_groups"])
    for room in (1, 2, 1):
        used += room
        control.nodes["m2"].call("PUT", f"/network/v2.0/quotas/{project}", {"quota": {"security_group": used}})

        def take(name: str) -> int:
            try:
                control.nodes[name].call("POST", "/network/v2.0/security-groups", {"security_group": {"name": "last"}})
            except Refused as refused:
                return refused.status
            return 201

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(take, [*control.nodes] * 2))
        assert sorted(answers) == [201] * room + [409] * (6 - room)
    assert len(control.nodes["m3"].call("GET", "/network/v2.0/security-groups")["security_groups"]) == used
    control.nodes["m1"].call("PUT", f"/network/v2.0/quotas/{project}", {"quota": {"security_group": -1}})


def test_no_answered_write_is_lost_with_a_database(control: Control) -> None:
    answered: list[str] = []
    stopped = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            group = {"name": f"written-{name}-{number}"}
            try:
                made = control.nodes[name].call("POST", "/network/v2.0/security-groups", {"security_group": group},
                                                timeout=40)
                answered.append(made["security_group"]["id"])
            except Refused as refused:
                if refused.status != 503:
                    raise
            except (OSError, http.client.HTTPException):
                pass

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, name) for name in control.nodes]

        def more(than: int) -> bool:
            for writer in writers:
                if writer.done():
                    writer.result()
            return len(answered) > than

        try:
            eventually(lambda: more(10))
            control.databases.kill("m1")
            at = len(answered)
            eventually(lambda: more(at + 10))
            assert not control.nodes["m1"].healthy()
            assert control.nodes["m2"].healthy()
            control.databases.start("m1")
            eventually(control.nodes["m1"].healthy)
        finally:
            stopped.set()
        for writer in writers:
            writer.result(60)
    for name in control.nodes:
        found = control.nodes[name].call("GET", "/network/v2.0/security-groups")["security_groups"]
        known = {group["id"] for group in found}
        assert not [id for id in answered if id not in known]
        written = [group["name"] for group in found if group["name"].startswith("written-")]
        assert len(written) == len(set(written))        # no request was carried out twice


def test_an_agent_leaves_a_control_node_that_is_cut_off(control: Control) -> None:
    """Its connections are half open: nothing tells it that they are dead."""
    control.start_agent("m3")

    def asked() -> str:
        listed = control.bench.run("m3", "ss", "-Htn", "state", "established", "dport", "=", ":8701")
        return " ".join(sorted({line.split()[3] for line in listed.splitlines()}))

    address = {name: f"{control.bench.cluster.machine(name).address}:8701" for name in control.nodes}
    eventually(lambda: asked() == address["m3"])        # the nearest
    control.bench.kill("engine,stream-m3")
    eventually(lambda: asked() in (address["m1"], address["m2"]), timeout=10)
    lost = "m1" if asked() == address["m1"] else "m2"
    kept = "m2" if lost == "m1" else "m1"
    control.bench.cut(lost)
    try:
        eventually(lambda: asked() == address[kept], timeout=10)
    finally:
        control.bench.heal(lost)
        control.start("m3", "engine,stream")
        eventually(control.nodes[lost].healthy)
