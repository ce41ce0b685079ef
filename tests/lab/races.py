"""Two clients at two control machines that want the last one of something, at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.lab import volumes
from tests.lab.api import Api
from tests.lab.cloud import FLAVOR, NETWORK, Cloud

TIMES = 20


def at_once(*calls: Callable[[], httpx.Response]) -> list[int]:
    """The status of each call; 0: no answer."""
    barrier = threading.Barrier(len(calls))
    statuses = [0] * len(calls)

    def work(number: int) -> None:
        barrier.wait(30)
        try:
            statuses[number] = calls[number]().status_code
        except httpx.HTTPError:
            statuses[number] = 0

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return statuses


def last_address(cloud: Cloud, apis: list[Api]) -> list[list[int]]:
    """A subnet with one address left."""
    base = "/network/v2.0"
    network = cloud.api.must("POST", f"{base}/networks", {"network": {"name": "narrow"}})["network"]["id"]
    cloud.api.must("POST", f"{base}/subnets", {"subnet": {
        "network_id": network, "ip_version": 4, "cidr": "10.99.0.0/29", "enable_dhcp": False,
        "allocation_pools": [{"start": "10.99.0.3", "end": "10.99.0.3"}]}})
    body = {"port": {"network_id": network, "name": "racer"}}

    def ports() -> list[Any]:
        return cloud.api.get(f"{base}/ports?network_id={network}&name=racer")["ports"]

    rounds: list[list[int]] = []
    for _ in range(TIMES):
        rounds.append(at_once(*(lambda api=api: api.call("POST", f"{base}/ports", body) for api in apis)))
        held = ports()
        assert len(held) == rounds[-1].count(201), (rounds[-1], held)
        for port in held:
            cloud.api.must("DELETE", f"{base}/ports/{port['id']}")
    cloud.api.must("DELETE", f"{base}/networks/{network}")
    return rounds


def last_quota_unit(cloud: Cloud, apis: list[Api]) -> list[list[int]]:
    """A project that may have one network more."""
    base = "/network/v2.0"
    project = cloud.api.must("POST", "/identity/v3/projects", {"project": {"name": "racers"}})["project"]["id"]
    cloud.api.must("PUT", f"{base}/quotas/{project}", {"quota": {"network": 1}})
    body = {"network": {"name": "racer", "project_id": project}}
    rounds: list[list[int]] = []
    for _ in range(TIMES):
        rounds.append(at_once(*(lambda api=api: api.call("POST", f"{base}/networks", body) for api in apis)))
        held = cloud.api.get(f"{base}/networks?project_id={project}")["networks"]
        assert len(held) == rounds[-1].count(201), (rounds[-1], held)
        for network in held:
            cloud.api.must("DELETE", f"{base}/networks/{network['id']}")
    cloud.api.must("DELETE", f"{base}/quotas/{project}")
    cloud.api.must("DELETE", f"/identity/v3/projects/{project}")
    return rounds


def last_memory(cloud: Cloud, apis: list[Api]) -> list[list[int]]:
    """A host with room for one more server of a flavor that is as large as what it has left; the loser is ERROR."""
    shown = cloud.api.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
    chosen = shown[0]["hypervisor_hostname"]
    usages = cloud.api.get(f"/placement/resource_providers/{shown[0]['id']}/usages")["usages"]
    inventory = cloud.api.get(f"/placement/resource_providers/{shown[0]['id']}/inventories")["inventories"]["MEMORY_MB"]
    free = int(inventory["total"] * inventory["allocation_ratio"]) - inventory.get("reserved", 0) - usages["MEMORY_MB"]
    flavor = cloud.api.must("POST", "/compute/v2.1/flavors", {"flavor": {
        **FLAVOR, "name": "racer", "id": "racer", "ram": free, "disk": 0}})["flavor"]["id"]
    network = cloud.api.get(f"/network/v2.0/networks?name={NETWORK}")["networks"][0]["id"]
    image = cloud.api.get("/image/v2/images?name=tiny")["images"][0]["id"]
    body = {"server": {"name": "racer", "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": network}],
                       "host": chosen}}
    rounds: list[list[int]] = []
    for _ in range(3):
        rounds.append(at_once(*(lambda api=api: api.call("POST", "/compute/v2.1/servers", body) for api in apis)))
        racers = [one for one in cloud.servers() if one["name"] == "racer"]
        assert len(racers) == rounds[-1].count(202)
        placed = [one["id"] for one in racers if one["OS-EXT-SRV-ATTR:host"]]
        rounds[-1] = [201] * len(placed) + [409] * (len(racers) - len(placed))
        for one in racers:
            cloud.api.must("DELETE", f"/compute/v2.1/servers/{one['id']}")
        cloud.until(lambda: [one for one in cloud.servers() if one["name"] == "racer"], lambda left: not left, 120)
    cloud.api.must("DELETE", f"/compute/v2.1/flavors/{flavor}")
    return rounds


def free_volume(cloud: Cloud, apis: list[Api]) -> list[list[int]]:
    """One volume, and two servers that want it."""
    volume = volumes.make(cloud, "racer")
    takers = [cloud.ids[name] for name in sorted(cloud.ids)][:len(apis)]
    rounds: list[list[int]] = []
    for _ in range(5):
        answers = at_once(*(lambda api=api, taker=taker: api.call("POST", volumes.attachments(taker),
                                                                  volumes.body(volume))
                            for api, taker in zip(apis, takers, strict=True)))
        rounds.append([{200: 201, 400: 409}.get(status, status) for status in answers])
        cloud.until(lambda: volumes.show(cloud, volume)["status"], lambda status: status == "in-use", 120)
        held = [one["server_id"] for one in volumes.show(cloud, volume)["attachments"]]
        assert held == [taker for taker, status in zip(takers, answers, strict=True) if status == 200], answers
        assert [len(cloud.api.get(volumes.attachments(taker))["volumeAttachments"]) for taker in takers] == [
            int(taker in held) for taker in takers]
        volumes.detach(cloud, volume)
    volumes.drop(cloud, volume)
    return rounds


RACES = {"address": last_address, "quota unit": last_quota_unit, "memory": last_memory, "free volume": free_volume}
