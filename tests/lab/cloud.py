"""A cluster of three machines in a lab, with servers that answer on floating IPs and keep a record of their lives."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from stackling.deploy.cluster import description
from stackling.lab import Lab, Machine, facts
from tests.lab.api import Api
from tests.lab.inside import Inside

T = TypeVar("T")
NETWORK, ROUTER, KEY = "lab", "lab", "lab"
FLAVOR = {"name": "lab", "ram": 128, "vcpus": 1, "disk": 0, "id": "lab"}
# Each life of the guest has an id; who writes after another life began was running twice.
DIARY = """#!/bin/sh
life=$(cat /proc/sys/kernel/random/uuid)
n=0
while :; do
  n=$((n + 1))
  echo "$life $n" >> /var/diary
  sync
  sleep 0.5
done &
"""


class Cloud:
    """The lab's cluster as its administrator and its users see it."""

    def __init__(self, lab: Lab, key: Path) -> None:
        self.lab, self.key = lab, key
        self.inside = Inside(lab.client.namespace)
        first = self._first_control()
        self.clouds = first.run(["cat", "/etc/stackling/clouds.yaml"]).stdout
        self.ca = first.run(["cat", "/etc/stackling/pki/ca.crt"]).stdout
        self.api = self.client()
        self.addresses: dict[str, str] = {}     # server's name → floating IP
        self.ids: dict[str, str] = {}

    def _first_control(self) -> Machine:
        return next(machine for machine in self.lab.machines if machine.member.control and machine.life())

    def client(self, host: str | None = None, inside: Inside | None = None) -> Api:
        """A client with connections of its own, of the virtual IP or of one machine."""
        return Api(inside or self.inside, self.clouds, self.ca, host)

    # -- servers

    def furnish(self, image: Path, names: list[str]) -> None:
        """An image, a network with a router, a flavor, and servers with floating IPs, wherever they aren't there."""
        image_id = self._image(image)
        network = self._network()
        if not [one for one in self.api.get("/compute/v2.1/flavors")["flavors"] if one["name"] == FLAVOR["name"]]:
            self.api.must("POST", "/compute/v2.1/flavors", {"flavor": FLAVOR})
        self._keypair()
        there = {server["name"]: server for server in self.servers()}
        for name in names:
            if name not in there:
                self.api.must("POST", "/compute/v2.1/servers", {"server": {
                    "name": name, "imageRef": image_id, "flavorRef": FLAVOR["id"], "key_name": KEY,
                    "networks": [{"uuid": network}], "user_data": base64.b64encode(DIARY.encode()).decode()}})
        self.until(lambda: {server["name"]: server["status"] for server in self.servers()},
                   lambda found: all(found.get(name) == "ACTIVE" for name in names), 240)
        for server in self.servers():
            if server["name"] in names:
                self.ids[server["name"]] = server["id"]
                self.addresses[server["name"]] = self._floating_ip(server["id"])

    def _image(self, image: Path) -> str:
        found = self.api.get("/image/v2/images?name=tiny")["images"]
        if found and found[0]["status"] == "active":
            return found[0]["id"]
        made = self.api.must("POST", "/image/v2/images", {
            "name": "tiny", "disk_format": "qcow2", "container_format": "bare", "visibility": "public"})
        token = self.api.token()
        origin = self.api.origin
        done = self.lab.client.run([
            "curl", "-sS", "-f", "--cacert", str(self._ca_file()), "-X", "PUT", "-H", f"X-Auth-Token: {token}", "-H",
            "Content-Type: application/octet-stream", "--data-binary", f"@{image}",
            f"{origin}/image/v2/images/{made['id']}/file"], timeout=120)
        assert done.returncode == 0
        self.until(lambda: self.api.get(f"/image/v2/images/{made['id']}")["status"], lambda text: text == "active", 120)
        return made["id"]

    def _ca_file(self) -> Path:
        path = self.key.with_name("ca.crt")
        path.write_text(self.ca)
        return path

    def _network(self) -> str:
        base = "/network/v2.0"
        for one in self.api.get(f"{base}/networks?name={NETWORK}")["networks"]:
            return one["id"]
        external = self.api.get(f"{base}/networks?router:external=true")["networks"][0]["id"]
        network = self.api.must("POST", f"{base}/networks", {"network": {"name": NETWORK}})["network"]["id"]
        subnet = self.api.must("POST", f"{base}/subnets", {"subnet": {
            "network_id": network, "ip_version": 4, "cidr": "192.168.50.0/24"}})["subnet"]["id"]
        router = self.api.must("POST", f"{base}/routers", {"router": {
            "name": ROUTER, "external_gateway_info": {"network_id": external}}})["router"]["id"]
        self.api.must("PUT", f"{base}/routers/{router}/add_router_interface", {"subnet_id": subnet})
        group = self.api.get(f"{base}/security-groups?name=default&project_id={self._project()}")["security_groups"][0]
        for protocol in ("tcp", "icmp"):
            self.api.must("POST", f"{base}/security-group-rules", {"security_group_rule": {
                "security_group_id": group["id"], "direction": "ingress", "protocol": protocol}})
        return network

    def _project(self) -> str:
        return next(one["id"] for one in self.api.get("/identity/v3/auth/projects")["projects"]
                    if one["name"] == "admin")

    def _keypair(self) -> None:
        found = [one["keypair"]["name"] for one in self.api.get("/compute/v2.1/os-keypairs")["keypairs"]]
        if KEY in found:
            return
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.api.must("POST", "/compute/v2.1/os-keypairs", {"keypair": {
            "name": KEY, "type": "ssh", "public_key": self.key.with_suffix(".pub").read_text().strip()}})

    def _floating_ip(self, server: str) -> str:
        base = "/network/v2.0"
        port = self.api.get(f"{base}/ports?device_id={server}")["ports"][0]["id"]
        for one in self.api.get(f"{base}/floatingips?port_id={port}")["floatingips"]:
            return one["floating_ip_address"]
        external = self.api.get(f"{base}/networks?router:external=true")["networks"][0]["id"]
        return self.api.must("POST", f"{base}/floatingips", {"floatingip": {
            "floating_network_id": external, "port_id": port}})["floatingip"]["floating_ip_address"]

    def servers(self) -> list[dict[str, Any]]:
        """All of the administrator's project, as the API shows them."""
        return self.api.get("/compute/v2.1/servers/detail")["servers"]

    def on(self, machine: str) -> list[str]:
        """Names of the servers that the API places on *machine*."""
        return sorted(server["name"] for server in self.servers()
                      if server["OS-EXT-SRV-ATTR:host"] == machine and server["name"] in self.addresses)

    def ssh(self, name: str, command: str, timeout: float = 30) -> str:
        """Run *command* as root in the server; "" when it doesn't let us in."""
        options = ("BatchMode=yes", "ConnectTimeout=3", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                   "IdentitiesOnly=yes", "LogLevel=ERROR")
        words = ["ssh", *(word for option in options for word in ("-o", option)), "-i", str(self.key),
                 f"root@{self.addresses[name]}", command]
        return self.lab.client.run(words, check=False, timeout=timeout).stdout.strip()

    def diary(self, name: str) -> list[str]:
        """The lives of a server, in order. Raises ``AssertionError`` when two of them overlap."""
        lines = self.until(lambda: self.ssh(name, "cat /var/diary"), bool, 60).splitlines()
        lives: list[str] = []
        for line in lines:
            life = line.split(" ")[0]
            if not lives or lives[-1] != life:
                assert life not in lives, f"{name}: life {life} writes on after another one began"
                lives.append(life)
        return lives

    def spread(self) -> None:
        """Where one machine has come to run all servers, give each other machine one of them, by live migrations."""
        if sum(bool(self.on(machine.name)) for machine in self.lab.machines) > 1:
            return
        for machine in self.lab.machines:
            most = max((self.on(other.name) for other in self.lab.machines), key=len)
            if self.on(machine.name):
                continue
            self.api.must("POST", f"/compute/v2.1/servers/{self.ids[most[0]]}/action", {"os-migrateLive": {
                "host": machine.name, "block_migration": "auto"}})
            self.until(lambda name=most[0]: next(
                (one["OS-EXT-SRV-ATTR:host"], one["status"], one["OS-EXT-STS:task_state"]) for one in self.servers()
                if one["name"] == name), lambda found, to=machine.name: found == (to, "ACTIVE", None), 240)

    # -- machines

    def holder(self) -> str:
        """The machine with the virtual IP; "" when none has it."""
        address = self.lab.topology.virtual_ip.partition("/")[0]
        for machine in self.lab.machines:
            if machine.life() and not machine.hanging:
                shown = machine.run(["ip", "-4", "-o", "address", "show", "dev", "mgmt0"], check=False).stdout
                if f" {address}/" in shown:
                    return machine.name
        return ""

    def machines(self) -> dict[str, Any]:
        """What the cluster says of its machines, by name."""
        return {one["name"]: one for one in self.api.get("/stackling/v1/machines")["machines"]}

    def service(self, host: str) -> dict[str, Any]:
        """``nova-compute`` of *host*."""
        return next(one for one in self.api.get("/compute/v2.1/os-services?binary=nova-compute")["services"]
                    if one["host"] == host)

    def identity(self, host: str) -> str:
        """The machine that holds *host*; "" when none does."""
        return next((name for name, one in self.machines().items() if host in {held["name"] for held in one["hosts"]}),
                    "")

    def describe(self, take_over: Literal["evacuate", "identity"]) -> float:
        """Change the cluster's description, and Pacemaker accordingly; the seconds until every machine followed it."""
        first = self._first_control()
        old = description.read(first.path("/etc/stackling/cluster.toml"))
        first.path("/run/lab/new.toml").write_text(
            description.write(msgspec.structs.replace(old, take_over=take_over)))
        began = time.monotonic()
        done = first.run(["stackling", "cluster", "update", "/run/lab/new.toml"], timeout=200)
        took = time.monotonic() - began
        assert "have not followed" not in done.stdout
        first.run(["stackling", "ha", "apply"], timeout=120)
        wanted = {machine.name for machine in self.lab.machines} if take_over == "identity" else set[str]()
        self.until(self._pacemakers_hosts, lambda found: found == wanted, 120)
        return took

    def _pacemakers_hosts(self) -> set[str] | None:
        """The hosts whose identities Pacemaker keeps where they belong."""
        seen = facts.gather(self.lab).pacemaker
        return None if seen is None else {one.node for one in seen.instances if one.state == "started"
                                          and one.resource == f"stackling-host-{one.node}"}

    def until(self, look: Callable[[], T], well: Callable[[T], bool], seconds: float) -> T:
        """Look again and again until it is well; the last look. Fails with it after *seconds*."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if well(found):
                return found
            assert time.monotonic() < deadline, f"after {seconds:g} s: {found}"
            time.sleep(0.3)

    def answer(self, names: list[str], seconds: float) -> None:
        """Wait until these servers greet on their floating IPs."""
        for name in names:
            self.until(lambda name=name: self.ssh(name, "echo well", timeout=60), lambda text: text == "well", seconds)

    def close(self) -> None:
        """End our thread."""
        self.inside.close()
