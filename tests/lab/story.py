"""What a scenario remembers: the cluster, its watchers, who was struck and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from stackling.lab import Machine, facts
from stackling.lab.power import Mode, set_mode
from tests.lab.cloud import Cloud
from tests.lab.observers import ApiWatch, SshWatch, TwiceWatch

SERVERS = ("guest-1", "guest-2", "guest-3", "guest-4")
MANY = 600.0        # seconds after which nothing comes any more
EVERYWHERE = ("ovs", "agent")
OF_CONTROL = ("database", "rabbitmq", "ovn-nb", "ovn-sb", "ovn-northd", "api", "engine")
UNFINISHED = ("BUILD", "REBUILD", "RESIZE", "MIGRATING", "HARD_REBOOT", "REBOOT")


class Writers:
    """Clients that create and delete ports without pause, and remember what was acknowledged."""

    def __init__(self, cloud: Cloud, number: int = 2) -> None:
        self._cloud, self._stop = cloud, threading.Event()
        self.created: set[str] = set()
        self.deleted: set[str] = set()
        self.unknown: set[str] = set()      # deletions that got no answer
        self.errors = 0
        self._apis = [cloud.client() for _ in range(number)]
        self.network = cloud.api.must("POST", "/network/v2.0/networks", {"network": {"name": "load"}})["network"]["id"]
        cloud.api.must("POST", "/network/v2.0/subnets", {"subnet": {
            "network_id": self.network, "ip_version": 4, "cidr": "10.200.0.0/16"}})
        self._threads = [threading.Thread(target=self._work, args=(api,), daemon=True) for api in self._apis]
        for thread in self._threads:
            thread.start()

    def _work(self, api: Any) -> None:
        while not self._stop.wait(0.05):
            try:
                made = api.call("POST", "/network/v2.0/ports", {"port": {"network_id": self.network}}, fresh=True)
                if made.status_code != 201:
                    self.errors += 1
                    continue
                port = made.json()["port"]["id"]
                self.created.add(port)
                if len(self.created) % 2:
                    self.unknown.add(port)
                    if api.call("DELETE", f"/network/v2.0/ports/{port}").status_code == 204:
                        self.deleted.add(port)
                        self.unknown.discard(port)
            except (httpx.HTTPError, OSError):
                self.errors += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def lost(self) -> tuple[set[str], set[str]]:
        """(acknowledged and not there, deleted and still there)."""
        path = f"/network/v2.0/ports?network_id={self.network}&fields=id"
        there = {port["id"] for port in self._cloud.api.get(path)["ports"]}
        return self.created - self.deleted - self.unknown - there, self.deleted & there

    def clear(self) -> None:
        """Leave nothing of it."""
        path = f"/network/v2.0/ports?network_id={self.network}&fields=id&fields=device_owner"
        for port in self._cloud.api.get(path)["ports"]:
            if not port.get("device_owner"):
                self._cloud.api.must("DELETE", f"/network/v2.0/ports/{port['id']}")
        self._cloud.api.must("DELETE", f"/network/v2.0/networks/{self.network}")


@dataclass
class Story:
    """One scenario's."""

    cloud: Cloud
    api: ApiWatch
    ssh: SshWatch
    twice: TwiceWatch
    struck: list[str] = field(default_factory=list)         # machines, in order
    at: float = 0.0                                         # when the last stroke fell, by the monotonic clock
    when: float = 0.0                                       # the same by the wall clock
    moved: dict[str, str] = field(default_factory=dict)     # server → the host that it had
    lives: dict[str, list[str]] = field(default_factory=dict)
    writers: Writers | None = None
    ports: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    at_the_end: list[Callable[[], object]] = field(default_factory=list)

    def machine(self, name: str) -> Machine:
        """Of the lab."""
        return self.cloud.lab.machine(name)

    def strike(self, *names: str) -> None:
        """The next moments are because of these."""
        self.struck += names
        self.at, self.when = time.monotonic(), time.time()

    def tell(self, what: str, seconds: float) -> None:
        """For the figures."""
        self.told.append(f"{what}: {seconds:.1f} s")
        print(f"[seconds] {what}: {seconds:.1f}")

    def tell_started(self, names: list[str]) -> None:
        """When the processes of these servers began to run where they are."""
        for name in names:
            at = max((when for (guest, _), when in self.twice.births.items() if guest == self.cloud.ids[name]),
                     default=self.at)
            self.tell(f"{name} runs elsewhere", at - self.at)

    def victims(self) -> list[str]:
        """Servers that were on what was struck."""
        return [name for name, host in self.moved.items() if host in self.struck]

    def note_places(self) -> None:
        """Where each server is now."""
        self.moved = {server["name"]: server["OS-EXT-SRV-ATTR:host"] for server in self.cloud.servers()
                      if server["name"] in self.cloud.addresses}

    def end(self) -> None:
        """What holds after every scenario."""
        for watch in (self.api, self.ssh, self.twice):
            watch.stop()
        for restore in self.at_the_end:
            restore()
        assert self.twice.looks > 0
        assert not self.twice.twice, f"ran twice: {sorted(set(self.twice.twice))}"


@contextmanager
def told(cloud: Cloud) -> Iterator[Story]:
    """A story with its watchers, and a whole cluster before and after it."""
    make_whole(cloud)
    cloud.spread()
    story = Story(cloud, ApiWatch(cloud.client(), cloud.ids[SERVERS[0]]), SshWatch(dict(cloud.addresses)),
                  TwiceWatch(cloud.lab))
    story.note_places()
    story.lives = {name: cloud.diary(name) for name in cloud.addresses}
    story.api.start(None, "api")
    story.ssh.start(cloud.inside, "ssh")
    story.twice.start(None, "twice")
    try:
        yield story
    finally:
        story.end()
    make_whole(cloud)
    check(cloud)


def make_whole(cloud: Cloud) -> None:
    """Everything on, connected and awake; every host enabled, every server active and reached."""
    set_mode(cloud.lab.directory, Mode.OK)
    for machine in cloud.lab.machines:
        machine.heal()
        if machine.life():
            machine.resume()
        machine.on()
    cloud.until(lambda: [(one["host"], one["state"], one["status"]) for one in cloud.api.get(
        "/compute/v2.1/os-services?binary=nova-compute")["services"]],
        lambda found: all(state == ("up", "enabled") for _, *rest in found for state in [tuple(rest)]), MANY)
    cloud.until(lambda: lacking(cloud), lambda found: not found, MANY)
    for server in cloud.servers():
        if server["status"] == "SHUTOFF" and server["name"] in cloud.addresses:
            cloud.api.must("POST", f"/compute/v2.1/servers/{server['id']}/action", {"os-start": None})
    cloud.answer(list(cloud.addresses), MANY)


def lacking(cloud: Cloud) -> list[str]:
    """What doesn't run yet of what every machine runs: the next stroke is to fall on a whole cluster."""
    for machine in cloud.lab.machines:
        machine.on()
    seen = facts.gather(cloud.lab).pacemaker
    if seen is None:
        return ["Pacemaker doesn't answer"]
    up = [(one.resource.removeprefix("stackling-"), one.node) for one in seen.instances if one.state == "started"]
    return [f"{service} on {machine.name}" for machine in cloud.lab.machines
            for service in EVERYWHERE + (OF_CONTROL if machine.member.control else ())
            if (service, machine.name) not in up]


def check(cloud: Cloud) -> None:
    """Nothing is past its deadline, allocations and quotas agree with what is there, no diary overlaps."""
    servers = cloud.servers()
    late = [(one["name"], one["status"], one["OS-EXT-STS:task_state"]) for one in servers
            if one["status"] in UNFINISHED or one["OS-EXT-STS:task_state"]]
    assert not late
    hypervisors = cloud.api.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
    used = {one["hypervisor_hostname"]: one for one in hypervisors}
    projects = [one["id"] for one in cloud.api.get("/identity/v3/projects")["projects"]]
    everyone = cloud.api.get("/compute/v2.1/servers/detail?all_tenants=1")["servers"]
    for host in used:
        here = [one for one in everyone if one["OS-EXT-SRV-ATTR:host"] == host]
        shown = cloud.api.get(f"/compute/v2.1/os-hypervisors/{used[host]['id']}?with_servers=true")["hypervisor"]
        assert len(shown.get("servers") or ()) == len(here), host
    for project in projects:
        limits = cloud.api.get(f"/compute/v2.1/limits?tenant_id={project}")["limits"]["absolute"]
        assert limits["totalInstancesUsed"] == sum(one["tenant_id"] == project for one in everyone)
    for name in cloud.addresses:
        cloud.diary(name)
