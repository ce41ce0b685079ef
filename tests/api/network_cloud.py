"""A cloud for the network's tests: an external network, a simulated fabric, and an engine that is stepped."""

from __future__ import annotations

import time
from typing import Any

import httpx

from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.engine.worker import Worker
from stackling.network import facade
from stackling.network.kinds import kinds
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest

N = "/network/v2.0"


class Engine:
    """The network's kinds over a simulated fabric, run by ``settle``."""

    def __init__(self, cloud: CloudUnderTest) -> None:
        self.fabric = SimulatedFabric()
        self.queue = SqlWorkQueue(cloud.database)
        self.worker = Worker(self.queue, kinds(self.fabric))
        self.kinds = [kind.name for kind in kinds(self.fabric)]

    def settle(self, limit: float = 10.0) -> None:
        """Run every due turn until nothing of the network is due (at most *limit* seconds)."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            if self.worker.step(50):
                continue
            due = self.queue.next_due(self.kinds)
            if due is None:
                return
            time.sleep(min(due, 0.2))
        raise AssertionError("the engine doesn't converge")

    def holds(self) -> dict[str, set[str]]:
        """What the fabric holds, by kind."""
        from stackling.ports.fabric import FabricKind

        return {kind.value: set(self.fabric.inventory(kind)) for kind in FabricKind}


def first_start(cloud: CloudUnderTest, project_id: str) -> str:
    """Make the external network; its id."""
    external = facade.External("203.0.113.0/24", "203.0.113.1", ("203.0.113.10", "203.0.113.20"), "external")
    found = cloud.database.write(facade.bootstrap, project_id, external=external)
    assert found is not None
    return found


class Neutron:
    """Short calls for one client: each returns the resource, or fails with the answer."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create(self, path: str, resource: str, /, **body: Any) -> dict[str, Any]:
        return ok(self.client.post(f"{N}/{path}", {resource: body}), 201).json()[resource]

    def network(self, **body: Any) -> dict[str, Any]:
        return self.create("networks", "network", **body)

    def subnet(self, network: dict[str, Any], cidr: str = "10.0.0.0/24", **body: Any) -> dict[str, Any]:
        return self.create("subnets", "subnet", network_id=network["id"], cidr=cidr,
                           **{"ip_version": 6 if ":" in cidr else 4, **body})

    def port(self, network: dict[str, Any], **body: Any) -> dict[str, Any]:
        return self.create("ports", "port", network_id=network["id"], **body)

    def router(self, **body: Any) -> dict[str, Any]:
        return self.create("routers", "router", **body)

    def floating_ip(self, external: str, **body: Any) -> dict[str, Any]:
        return self.create("floatingips", "floatingip", floating_network_id=external, **body)

    def group(self, name: str = "g", **body: Any) -> dict[str, Any]:
        return self.create("security-groups", "security_group", name=name, **body)

    def rule(self, group: dict[str, Any], **body: Any) -> dict[str, Any]:
        return self.create("security-group-rules", "security_group_rule", security_group_id=group["id"],
                           **{"direction": "ingress", **body})

    def show(self, path: str, id: str) -> dict[str, Any]:
        return next(iter(ok(self.client.get(f"{N}/{path}/{id}"), 200).json().values()))

    def list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        body = ok(self.client.get(f"{N}/{path}", params=query), 200).json()
        return next(value for key, value in body.items() if not key.endswith("_links"))

    def update(self, path: str, resource: str, id: str, /, **body: Any) -> dict[str, Any]:
        return ok(self.client.put(f"{N}/{path}/{id}", {resource: body}), 200).json()[resource]

    def delete(self, path: str, id: str) -> None:
        ok(self.client.delete(f"{N}/{path}/{id}"), 204)

    def add_interface(self, router: dict[str, Any], **body: Any) -> dict[str, Any]:
        return ok(self.client.put(f"{N}/routers/{router['id']}/add_router_interface", body), 200).json()

    def remove_interface(self, router: dict[str, Any], **body: Any) -> dict[str, Any]:
        return ok(self.client.put(f"{N}/routers/{router['id']}/remove_router_interface", body), 200).json()


def ok(answer: httpx.Response, status: int) -> httpx.Response:
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    return answer


def refused(answer: httpx.Response, status: int, type_: str) -> str:
    """The message of an expected refusal."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    error = answer.json()["NeutronError"]
    assert error["type"] == type_, error
    assert set(error) == {"type", "message", "detail"}
    return error["message"]
