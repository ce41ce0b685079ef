"""A real cloud to break, and what must be true of it again afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackling.cli import client as clients
from stackling.cli.client import Client
from stackling.cli.problem import Problem
from stackling.deploy.embedded import engines, libvirt, network, processes
from stackling.lab import units
from tests.e2e.clouds import TestCloud
from tests.e2e.outside import Login

KEPT, OFF = "first", "off"
DEADLINE = 120.0


@dataclass
class Broken:
    """The cloud with a server that runs (``first``) and one that is stopped (``off``)."""

    cloud: TestCloud
    made: list[str] = field(default_factory=list[str])

    # -- asking

    @property
    def client(self) -> Client:
        """A new client: no connection of before."""
        return clients.connect(self.cloud.directory)

    def server(self, name_or_id: str) -> dict[str, Any]:
        """The server as the API shows it."""
        return next(server for server in self.servers() if name_or_id in (server["name"], server["id"]))

    def servers(self) -> list[dict[str, Any]]:
        """All of them."""
        return self.client.get("compute", "/servers/detail")["servers"]

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return bool(self.client.get("compute", "/servers", limit=1))
        except Problem:
            return False

    def login(self, name: str = KEPT) -> Login:
        """How to get into the server by its floating IP."""
        found = next(address["addr"] for listed in self.server(name)["addresses"].values() for address in listed
                     if address["OS-EXT-IPS:type"] == "floating")
        return Login(found, self.cloud.directory.root / "keys" / "stackling",
                     f"{self.cloud.directory.instance}-outside")

    def life(self) -> tuple[str, int]:
        """The running server's boot, and the QEMU that it runs in."""
        return self.login()("cat /proc/sys/kernel/random/boot_id"), self.qemu(self.server(KEPT)["id"])

    def qemu(self, server_id: str) -> int:
        """The pid of its QEMU."""
        return next(pid for pid, id in self.qemus().items() if id == server_id)

    def qemus(self) -> dict[int, str]:
        """Every QEMU, and whose server it is."""
        found = libvirt.guest_processes(engines.libvirt_paths(self.cloud.directory))
        return {guest.pid: guest.server_id for guest in found}

    def build(self, name: str) -> str:
        """Ask for a server on the first one's network; its id."""
        client, kept = self.client, self.server(KEPT)
        port = client.get("network", "/ports", device_id=kept["id"])["ports"][0]
        flavors = client.get("compute", "/flavors/detail")["flavors"]
        made = client.post("compute", "/servers", {"server": {
            "name": name, "imageRef": kept["image"]["id"], "networks": [{"uuid": port["network_id"]}],
            "flavorRef": min((one for one in flavors if one["ram"] >= 192), key=lambda one: one["ram"])["id"]}})
        self.made.append(made["server"]["id"])
        return made["server"]["id"]

    def act(self, name: str, action: str) -> None:
        """An action without arguments."""
        self.client.post("compute", f"/servers/{self.server(name)['id']}/action", {action: None})

    # -- breaking

    def kill(self, name: str) -> int:
        """SIGKILL to a process of the cloud; the pid that it had."""
        pid = self.cloud.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def back(self, name: str, before: int) -> None:
        """Wait until the supervisor has started it again and everything is ready."""
        file = self.cloud.directory.pid_file(name)
        self.cloud.eventually(lambda: processes.read_pid(file), lambda pid: pid not in (None, before))
        self.ready()

    def ready(self) -> None:
        """Wait until every process is ready."""
        self.cloud.eventually(lambda: self.cloud.run("status", check=False).returncode, lambda code: code == 0, 60)

    @contextlib.contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        pids = [self.cloud.pid(name) for name in names]
        for pid in pids:
            units.halt(pid)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill_everything(self) -> None:
        """Every process of the cloud and every guest, the supervisor first: what a power cut leaves."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.cloud.pid("supervisor"), signal.SIGKILL)
        for pid in [*(pid for pid, _ in self.cloud.processes()), *self.qemus()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.cloud.eventually(lambda: [*self.cloud.processes(), *self.qemus()], lambda left: not left)

    # -- what must be true

    def is_whole(self) -> None:
        """Nothing is under way for ever, everything is counted once, nothing is left over, traffic flows."""
        self.ready()
        self.cloud.eventually(self.unsettled, lambda left: not left, DEADLINE)
        for id in self.made:
            with contextlib.suppress(Problem):
                self.client.delete("compute", f"/servers/{id}")
        self.made.clear()
        self.cloud.eventually(lambda: sorted(server["name"] for server in self.servers()),
                              lambda names: names == [KEPT, OFF], DEADLINE)
        self.cloud.eventually(self.unsettled, lambda left: not left, DEADLINE)
        assert self.server(KEPT)["status"] == "ACTIVE"
        assert self.server(OFF)["status"] == "SHUTOFF"
        self.cloud.eventually(lambda: self.login().answers, bool, DEADLINE)
        self.counted()

    def unsettled(self) -> list[tuple[str, str, Any]]:
        """Servers on their way, and ports, networks, routers and floating IPs that aren't as they should be."""
        on_their_way = [(server["name"], server["status"], server["OS-EXT-STS:task_state"])
                        for server in self.servers()
                        if server["OS-EXT-STS:task_state"] or server["status"] not in ("ACTIVE", "SHUTOFF")]
        get = self.client.get
        down = [("port", port["id"], port["status"]) for port in get("network", "/ports")["ports"]
                if port["status"] != "ACTIVE" and port["device_owner"] == "network:router_interface"]
        for plural in ("networks", "routers"):
            down += [(plural, one["id"], one["status"]) for one in get("network", f"/{plural}")[plural]
                     if one["status"] != "ACTIVE"]
        return on_their_way + down

    def counted(self) -> None:
        """Host, quotas and ports agree with the servers that there are."""
        client, servers = self.client, self.servers()
        flavors = {one["name"]: one for one in client.get("compute", "/flavors/detail")["flavors"]}
        own = [flavors[server["flavor"]["original_name"]] for server in servers]
        cores, memory = sum(one["vcpus"] for one in own), sum(one["ram"] for one in own)
        host = client.call("GET", "compute", "/os-hypervisors/detail", version="2.53")["hypervisors"][0]
        assert (host["vcpus_used"], host["memory_mb_used"]) == (cores, memory)
        quota = client.get("compute", f"/os-quota-sets/{client.project_id}/detail")["quota_set"]
        assert [quota[name]["in_use"] for name in ("instances", "cores", "ram")] == [len(servers), cores, memory]
        ports = client.get("network", "/ports")["ports"]
        plugged = [port["device_id"] for port in ports if port["device_owner"].startswith("compute:")]
        assert sorted(plugged) == sorted(server["id"] for server in servers)
        addresses = [(port["network_id"], one["ip_address"]) for port in ports for one in port["fixed_ips"]]
        assert len(addresses) == len(set(addresses))
        assert set(self.qemus().values()) == {self.server(KEPT)["id"]}

    # -- OVN

    def ovn(self, program: str, *words: str) -> str:
        """A command line tool of OVN on this cloud's databases."""
        paths = network.paths(self.cloud.directory)
        database = paths.socket("sb" if program == "ovn-sbctl" else "nb")
        done = subprocess.run([program, f"--db=unix:{database}", "--timeout=10", *words], capture_output=True,
                              text=True, timeout=15, check=True)
        return done.stdout

    def generations(self) -> dict[str, dict[str, str]]:
        """Our marks on each row of the northbound database, by UUID."""
        found: dict[str, dict[str, str]] = {}
        for table in ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "NAT", "Port_Group", "Copp"):
            text = self.ovn("ovn-nbctl", "--format=json", "--columns=_uuid,external_ids", "list", table)
            for uuid, marks in json.loads(text)["data"] if text.strip() else []:
                found[f"{table} {uuid[1]}"] = dict(marks[1])
        return found


def boot_id(cloud: TestCloud) -> str:
    """The cloud's."""
    return (cloud.directory.run / "boot-id").read_text().strip()


def until(path: Path, words: str, timeout: float = 30) -> None:
    """Wait until a file contains *words*."""
    deadline = time.monotonic() + timeout
    while words not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"{path} has no {words!r}"
        time.sleep(0.05)
