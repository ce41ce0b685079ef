"""Many clients at once want the last of something, over HTTP from a simulated cloud with real processes.

Exactly as many win as there is; everybody else gets the refusal that one alone would get; the counts are right after.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.clouds import TestCloud, cloud

pytestmark = pytest.mark.e2e
CLIENTS = 8


class Api:
    """The cloud's HTTP API as its administrator."""

    def __init__(self, made: TestCloud) -> None:
        self.cloud = made
        auth = yaml.safe_load(made.directory.clouds_yaml.read_text())["clouds"]["stackling"]["auth"]
        self.identity = auth["auth_url"].removesuffix("/v3").rstrip("/")
        self.base = self.identity.removesuffix("/identity")
        answer = httpx.post(
            f"{self.identity}/v3/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {
                            "user": {
                                "name": auth["username"],
                                "password": auth["password"],
                                "domain": {"name": "Default"},
                            }
                        },
                    },
                    "scope": {"project": {"name": auth["project_name"], "domain": {"name": "Default"}}},
                }
            },
        )
        assert answer.status_code == 201, answer.text
        self.headers = {"X-Auth-Token": answer.headers["X-Subject-Token"], "OpenStack-API-Version": "compute 2.90"}
        self.project = answer.json()["token"]["project"]["id"]

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        with httpx.Client(timeout=60) as client:
            return client.request(method, f"{self.base}{path}", json=body, headers=self.headers)

    def make(self, path: str, body: Any) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code in (200, 201, 202), answer.text
        return next(iter(answer.json().values()))

    def race(self, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
        """All requests at once, each by a client and a connection of its own."""
        answers: list[httpx.Response | Exception | None] = [None] * len(requests)
        ready = threading.Barrier(len(requests))

        def run(index: int) -> None:
            try:
                with httpx.Client(timeout=60) as client:
                    client.get(f"{self.base}/identity/v3")  # connected before the start
                    ready.wait(30)
                    method, path, body = requests[index]
                    answers[index] = client.request(method, f"{self.base}{path}", json=body, headers=self.headers)
            except Exception as error:
                answers[index] = error

        threads = [threading.Thread(target=run, args=(index,)) for index in range(len(requests))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        assert all(isinstance(one, httpx.Response) for one in answers), answers
        return [one for one in answers if isinstance(one, httpx.Response)]


def results(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(one.status_code for one in answers)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with cloud("--simulated", "--hosts", "1") as made:
        image = made.directory.root / "image.raw"
        image.write_bytes(bytes(1 << 20))
        made.openstack("image", "create", "--file", str(image), "--disk-format", "raw", "--public", "small")
        yield Api(made)


N, V = "/network/v2.0", "/compute/v2.1"


def network(api: Api, cidr: str, pool: tuple[str, str] | None = None, **values: Any) -> tuple[str, str]:
    net = api.make(f"{N}/networks", {"network": {"name": "race", **values}})["id"]
    more = {} if pool is None else {"allocation_pools": [{"start": pool[0], "end": pool[1]}]}
    subnet = api.make(f"{N}/subnets", {"subnet": {"network_id": net, "cidr": cidr, "ip_version": 4, **more}})["id"]
    return net, subnet


def test_the_last_addresses(api: Api) -> None:
    net, _ = network(api, "10.20.0.0/24", ("10.20.0.10", "10.20.0.12"))
    answers = api.race(*[("POST", f"{N}/ports", {"port": {"network_id": net}})] * CLIENTS)
    assert results(answers) == {201: 3, 409: CLIENTS - 3}
    assert {one.json()["NeutronError"]["type"] for one in answers if one.status_code == 409} == {
        "IpAddressGenerationFailure"
    }
    ports = api.ask("GET", f"{N}/ports?network_id={net}&device_owner=").json()["ports"]
    assert sorted(one["fixed_ips"][0]["ip_address"] for one in ports) == ["10.20.0.10", "10.20.0.11", "10.20.0.12"]


def test_the_same_address(api: Api) -> None:
    net, _ = network(api, "10.21.0.0/24")
    body = {"port": {"network_id": net, "fixed_ips": [{"ip_address": "10.21.0.77"}]}}
    assert results(api.race(*[("POST", f"{N}/ports", body)] * CLIENTS)) == {201: 1, 409: CLIENTS - 1}


def test_overlapping_subnets(api: Api) -> None:
    net = api.make(f"{N}/networks", {"network": {"name": "race"}})["id"]
    bodies = [
        {"subnet": {"network_id": net, "ip_version": 4, "cidr": cidr}}
        for cidr in ("10.22.0.0/16", "10.22.5.0/24", "10.22.5.128/25", "10.0.0.0/8")
    ]
    assert results(api.race(*[("POST", f"{N}/subnets", body) for body in bodies * 2])) == {201: 1, 400: 7}
    assert len(api.ask("GET", f"{N}/networks/{net}").json()["network"]["subnets"]) == 1


def test_a_quota_of_the_network(api: Api) -> None:
    project = api.make("/identity/v3/projects", {"project": {"name": "narrow"}})["id"]
    done = api.ask("PUT", f"{N}/quotas/{project}", {"quota": {"network": 2}})
    assert done.status_code == 200, done.text
    body = {"network": {"name": "n", "project_id": project}}
    answers = api.race(*[("POST", f"{N}/networks", body)] * CLIENTS)
    assert results(answers) == {201: 2, 409: CLIENTS - 2}
    assert {one.json()["NeutronError"]["type"] for one in answers if one.status_code == 409} == {"OverQuota"}


def test_the_last_floating_ip_and_the_same_port(api: Api) -> None:
    external, _ = network(api, "198.51.100.0/24", ("198.51.100.20", "198.51.100.23"), **{"router:external": True})
    net, subnet = network(api, "10.23.0.0/24")
    gateway = {"network_id": external}
    router = api.make(f"{N}/routers", {"router": {"name": "r", "external_gateway_info": gateway}})["id"]
    assert api.ask("PUT", f"{N}/routers/{router}/add_router_interface", {"subnet_id": subnet}).status_code == 200
    answers = api.race(*[("POST", f"{N}/floatingips", {"floatingip": {"floating_network_id": external}})] * CLIENTS)
    assert results(answers) == {201: 3, 409: CLIENTS - 3}  # the router has the fourth address
    port = api.make(f"{N}/ports", {"port": {"network_id": net}})["id"]
    ids = [one.json()["floatingip"]["id"] for one in answers if one.status_code == 201]
    bodies = [("PUT", f"{N}/floatingips/{id}", {"floatingip": {"port_id": port}}) for id in ids]
    assert results(api.race(*bodies)) == {200: 1, 409: 2}
    held = api.ask("GET", f"{N}/floatingips?port_id={port}").json()["floatingips"]
    assert len(held) == 1


def test_one_router_leg_a_subnet(api: Api) -> None:
    _, subnet = network(api, "10.24.0.0/24")
    router = api.make(f"{N}/routers", {"router": {"name": "r"}})["id"]
    path = f"{N}/routers/{router}/add_router_interface"
    assert results(api.race(*[("PUT", path, {"subnet_id": subnet})] * CLIENTS)) == {200: 1, 400: CLIENTS - 1}


def _server(api: Api, **values: Any) -> dict[str, Any]:
    image = api.ask("GET", "/image/v2/images?name=small").json()["images"][0]["id"]
    return {"server": {"name": "racer", "imageRef": image, "flavorRef": "42", "networks": "none", **values}}


def test_the_same_port_for_many_servers(api: Api) -> None:
    net, _ = network(api, "10.25.0.0/24")
    port = api.make(f"{N}/ports", {"port": {"network_id": net}})["id"]
    answers = api.race(*[("POST", f"{V}/servers", _server(api, networks=[{"port": port}]))] * CLIENTS)
    assert results(answers) == {202: 1, 409: CLIENTS - 1}
    won = next(one.json()["server"]["id"] for one in answers if one.status_code == 202)
    assert api.ask("GET", f"{N}/ports/{port}").json()["port"]["device_id"] == won


def test_a_quota_of_compute(api: Api) -> None:
    before = api.ask("GET", f"{V}/os-quota-sets/{api.project}/detail").json()["quota_set"]["instances"]["in_use"]
    done = api.ask("PUT", f"{V}/os-quota-sets/{api.project}", {"quota_set": {"instances": before + 2}})
    assert done.status_code == 200, done.text
    try:
        answers = api.race(*[("POST", f"{V}/servers", _server(api))] * CLIENTS)
        assert results(answers) == {202: 2, 403: CLIENTS - 2}
        used = api.ask("GET", f"{V}/os-quota-sets/{api.project}/detail").json()["quota_set"]["instances"]["in_use"]
        assert used == before + 2
    finally:
        api.ask("PUT", f"{V}/os-quota-sets/{api.project}", {"quota_set": {"instances": -1, "cores": -1, "ram": -1}})


def test_the_last_memory(api: Api) -> None:
    api.ask("PUT", f"{V}/os-quota-sets/{api.project}", {"quota_set": {"instances": -1, "cores": -1, "ram": -1}})
    headers = {**api.headers, "OpenStack-API-Version": "compute 2.87"}
    host = httpx.get(f"{api.base}{V}/os-hypervisors/detail", headers=headers).json()["hypervisors"][0]
    free = host["memory_mb"] - host["memory_mb_used"]
    flavor = api.make(f"{V}/flavors", {"flavor": {"name": "half", "ram": free // 2 - 600, "vcpus": 1, "disk": 0}})["id"]
    answers = api.race(*[("POST", f"{V}/servers", _server(api, flavorRef=flavor, name="big"))] * CLIENTS)
    assert results(answers) == {202: CLIENTS}  # as in Nova: who finds no host is told by the server
    servers = api.cloud.eventually(
        lambda: api.ask("GET", f"{V}/servers/detail?name=big").json()["servers"],
        lambda found: all(one["status"] in ("ACTIVE", "ERROR") for one in found),
    )
    states = Counter(one["status"] for one in servers)
    assert states == {"ACTIVE": 2, "ERROR": CLIENTS - 2}
    failed = next(one for one in servers if one["status"] == "ERROR")
    assert "No valid host was found" in failed["fault"]["message"]
    for one in servers:
        api.ask("DELETE", f"{V}/servers/{one['id']}")
    api.cloud.eventually(
        lambda: httpx.get(f"{api.base}{V}/os-hypervisors/detail", headers=headers).json()["hypervisors"][0][
            "memory_mb_used"
        ],
        lambda used: used <= host["memory_mb_used"],
    )


def test_no_conflict_of_the_database_reached_anybody(api: Api) -> None:
    for path in (api.cloud.directory.root / "logs").iterdir():
        text = path.read_text()
        assert "unexpected error" not in text, text[text.index("unexpected error") :][:800]
        assert "Traceback" not in text, text[text.index("Traceback") :][:800]
