"""Users of a cluster who make servers and volumes, do this and that with them, and delete them, without pause."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import httpx

from stackling.lab import storage
from tests.ceph import POOLS, RealCeph
from tests.lab import volumes
from tests.lab.api import Api
from tests.lab.cloud import FLAVOR, NETWORK, Cloud
from tests.lab.observers import guests

SERVERS, NAME = "/compute/v2.1/servers", "passing"
REST = 3.0
PATIENCE = 60.0         # seconds that a user waits for something before giving it up
ACTIONS: dict[str, dict[str, Any]] = {
    "stop": {"os-stop": None}, "reboot": {"reboot": {"type": "HARD"}}, "pause": {"pause": None},
    "migrate live": {"os-migrateLive": {"host": None, "block_migration": "auto"}}, "migrate": {"migrate": None},
    "shelve": {"shelve": None}, "rebuild": {"rebuild": {"imageRef": ""}}, "nothing": {}}
SETTLED = ("ACTIVE", "ERROR", "SHUTOFF", "PAUSED", "VERIFY_RESIZE", "SHELVED", "SHELVED_OFFLOADED")


class Users:
    """*number* of them, who rest between two lives, since guests that start keep processors busy. What they leave is
    theirs to delete in the end, whatever state it is in."""

    def __init__(self, cloud: Cloud, seed: int, number: int = 1) -> None:
        self._cloud, self._stop = cloud, threading.Event()
        self._network = cloud.api.get(f"/network/v2.0/networks?name={NETWORK}")["networks"][0]["id"]
        self._image = cloud.api.get("/image/v2/images?name=tiny")["images"][0]["id"]
        self.errors = self.lives = 0
        self._threads = [threading.Thread(target=self._work, args=(cloud.client(), random.Random(seed * 10 + each)),
                                          daemon=True) for each in range(number)]
        for thread in self._threads:
            thread.start()

    def _work(self, api: Api, chance: random.Random) -> None:
        while not self._stop.wait(REST):
            try:
                self._live(api, chance)
                self.lives += 1
            except (httpx.HTTPError, OSError, KeyError, ValueError):    # no answer, or not what was asked for
                self.errors += 1
                self._stop.wait(1.0)

    def _live(self, api: Api, chance: random.Random) -> None:
        """One server's life, and a volume's; what is left of lives that broke off is deleted first."""
        for left in api.call("GET", f"{SERVERS}/detail?name=^{NAME}$").json()["servers"]:
            if left["OS-EXT-STS:task_state"] != "deleting":
                api.call("DELETE", f"{SERVERS}/{left['id']}")
        server = api.call("POST", SERVERS, {"server": {
            "name": NAME, "imageRef": self._image, "flavorRef": FLAVOR["id"],
            "networks": [{"uuid": self._network}]}}).json()["server"]["id"]
        volume = ""
        if chance.random() < 0.5:
            volume = api.call("POST", volumes.BASE, {"volume": {"name": NAME, "size": 1}}).json()["volume"]["id"]
        self._settled(api, server)
        if volume:
            api.call("POST", volumes.attachments(server), volumes.body(volume))
        action = chance.choice(sorted(ACTIONS))
        if body := ACTIONS[action]:
            body = {"rebuild": {"imageRef": self._image}} if action == "rebuild" else body
            if api.call("POST", f"{SERVERS}/{server}/action", body).is_success and chance.random() < 0.8:
                self._settled(api, server)
        if volume and chance.random() < 0.5:
            api.call("DELETE", f"{volumes.attachments(server)}/{volume}")
        api.call("DELETE", f"{SERVERS}/{server}")
        if volume:
            self._until(lambda: api.call("GET", f"{volumes.BASE}/{volume}").json()["volume"]["status"]
                        in ("available", "error"))
            api.call("DELETE", f"{volumes.BASE}/{volume}")

    def _settled(self, api: Api, server: str) -> None:
        def settled() -> bool:
            shown = api.call("GET", f"{SERVERS}/{server}").json()["server"]
            return shown["status"] in SETTLED and not shown["OS-EXT-STS:task_state"]
        self._until(settled)

    def _until(self, well: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not self._stop.is_set() and time.monotonic() < end and not well():
            self._stop.wait(0.5)

    def stop(self) -> None:
        """Let them do no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def clear(self, within: float) -> None:
        """Delete all that they left. Nothing may refuse that, nor stay."""
        api = self._cloud.api
        for server in self._servers():
            api.must("DELETE", f"{SERVERS}/{server['id']}", gone=True)
        self._cloud.until(lambda: [(one["id"], one["status"], one["OS-EXT-STS:task_state"]) for one in self._servers()],
                          lambda left: not left, within)
        self._cloud.until(lambda: [(one["id"], one["status"]) for one in self._volumes()],
                          lambda left: all(status in ("available", "error", "deleting") for _, status in left), within)
        for volume in self._volumes():
            if volume["status"] != "deleting":
                api.must("DELETE", f"{volumes.BASE}/{volume['id']}", gone=True)
        for left in (self._volumes, self._ports, lambda: strangers(self._cloud), lambda: disks(self._cloud)):
            self._cloud.until(left, lambda found: not found, within)

    def _servers(self) -> list[dict[str, Any]]:
        return self._cloud.api.get(f"{SERVERS}/detail?name=^{NAME}$")["servers"]

    def _volumes(self) -> list[dict[str, Any]]:
        return self._cloud.api.get(f"{volumes.BASE}/detail?name={NAME}")["volumes"]

    def _ports(self) -> list[str]:
        """Ports of servers that aren't."""
        there = {one["id"] for one in self._cloud.servers()}
        return [one["id"] for one in self._cloud.api.get("/network/v2.0/ports?device_owner=compute:nova")["ports"]
                if one["device_id"] not in there]


def strangers(cloud: Cloud) -> list[str]:
    """Guests that run and are nobody's."""
    known = {one["id"] for one in cloud.servers()}
    return sorted(f"{guest} on {machine.name}" for machine in cloud.lab.machines for guest in guests(machine) - known)


def disks(cloud: Cloud) -> list[str]:
    """What lies in the pools of disks and volumes and is nobody's; copies of images are everybody's."""
    ceph = RealCeph(storage.ceph(cloud.lab))
    known = {one["id"] for one in (*cloud.servers(), *cloud.api.get(volumes.BASE)["volumes"])}
    return [f"{pool}/{name}" for pool in (POOLS.disks, POOLS.volumes) for name in ceph.rbd("ls", pool).split()
            if not name.startswith("base.") and not any(id in name for id in known)]
