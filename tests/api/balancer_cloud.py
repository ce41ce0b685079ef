"""A cloud for the load balancer's tests: the network's, with load balancers in its engine."""

from __future__ import annotations

from typing import Any

import httpx

from stackling.drivers.simulated.fabric import SimulatedFabric
from stackling.engine.worker import Worker
from stackling.loadbalancer.kinds import kinds as balancer_kinds
from stackling.network.kinds import kinds as network_kinds
from stackling.ports.fabric import FabricKind, FabricLoadBalancer
from stackling.store.work import SqlWorkQueue
from tests.api.conftest import Client, CloudUnderTest
from tests.api.network_cloud import Engine, ok

L = "/load-balancer/v2.0/lbaas"


class BalancerEngine(Engine):
    """The network's kinds and the load balancer's over a simulated fabric, run by ``settle``."""

    def __init__(self, cloud: CloudUnderTest) -> None:
        self.fabric = SimulatedFabric()
        self.queue = SqlWorkQueue(cloud.database)
        both = [*network_kinds(self.fabric), *balancer_kinds(self.fabric)]
        self.worker = Worker(self.queue, both)
        self.kinds = [kind.name for kind in both]
        self.fabric.watch(lambda keys: cloud.database.write(lambda tx: [tx.nudge(kind, id) for kind, id in keys]))

    def balancer(self, id: str) -> FabricLoadBalancer:
        """What the fabric holds of a load balancer."""
        found = self.fabric.holds(FabricKind.LOAD_BALANCER, id)
        assert isinstance(found, FabricLoadBalancer)
        return found


class Octavia:
    """Short calls for one client: each returns the resource, or fails with the answer."""

    def __init__(self, client: Client, engine: BalancerEngine) -> None:
        self.client, self.engine = client, engine

    def create(self, path: str, resource: str, /, **body: Any) -> dict[str, Any]:
        """Make it, and wait until it is there."""
        made = ok(self.client.post(f"{L}/{path}", {resource: body}), 201).json()[resource]
        assert made["provisioning_status"] == "PENDING_CREATE"
        self.engine.settle()
        found = self.show(path, made["id"])
        assert found["provisioning_status"] == "ACTIVE"
        return found

    def balancer(self, **body: Any) -> dict[str, Any]:
        return self.create("loadbalancers", "loadbalancer", **body)

    def listener(self, balancer: dict[str, Any], **body: Any) -> dict[str, Any]:
        return self.create("listeners", "listener", loadbalancer_id=balancer["id"],
                           **{"protocol": "TCP", "protocol_port": 80, **body})

    def pool(self, **body: Any) -> dict[str, Any]:
        return self.create("pools", "pool", **{"protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", **body})

    def member(self, pool: dict[str, Any], address: str, **body: Any) -> dict[str, Any]:
        return self.create(f"pools/{pool['id']}/members", "member", address=address, **{"protocol_port": 8080, **body})

    def monitor(self, pool: dict[str, Any], **body: Any) -> dict[str, Any]:
        return self.create("healthmonitors", "healthmonitor", pool_id=pool["id"], **{
            "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2, **body})

    def show(self, path: str, id: str) -> dict[str, Any]:
        return next(iter(ok(self.client.get(f"{L}/{path}/{id}"), 200).json().values()))

    def list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        body = ok(self.client.get(f"{L}/{path}", params=query), 200).json()
        return next(value for key, value in body.items() if not key.endswith("_links"))

    def update(self, path: str, resource: str, id: str, /, **body: Any) -> dict[str, Any]:
        """Change it, and wait until it is so."""
        ok(self.client.put(f"{L}/{path}/{id}", {resource: body}), 200)
        self.engine.settle()
        return self.show(path, id)

    def delete(self, path: str, id: str, **query: Any) -> None:
        """Delete it, and wait until it is gone."""
        ok(self.client.delete(f"{L}/{path}/{id}", params=query), 204)
        self.engine.settle()
        assert self.client.get(f"{L}/{path}/{id}").status_code == 404


def fault(answer: httpx.Response, status: int, *words: str) -> str:
    """The message of an expected refusal, in WSME's shape."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    error = answer.json()
    assert set(error) == {"faultcode", "faultstring", "debuginfo"}
    assert error["faultcode"] == ("Client" if status < 500 else "Server")
    for word in words:
        assert word in error["faultstring"]
    return error["faultstring"]
