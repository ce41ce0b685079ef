"""Networks, ports, security group rules and floating IPs."""

from __future__ import annotations

import random
from typing import Any

from bench.client import Client
from bench.measure import Bench

PORTS = 1000


async def networks(client: Client, bench: Bench) -> None:
    """Create networks with a subnet each, then delete them."""
    made: dict[int, list[str]] = {}

    async def create(_: int) -> None:
        found = await client.make("network", "/networks", {"network": {"name": "bench"}})
        made.setdefault(bench_at, []).append(found["id"])

    async def subnet(network: str) -> None:
        cidr = f"10.{random.randrange(64, 128)}.{random.randrange(256)}.0/24"
        await client.call("network", "POST", "/subnets", {"subnet": {
            "network_id": network, "ip_version": 4, "cidr": cidr}})

    for bench_at in bench.concurrencies:
        await bench.drive("network_create", bench_at, create)
    for concurrency in bench.concurrencies:
        await bench.drive("subnet_create", concurrency, subnet, items=made[concurrency])
    for concurrency in bench.concurrencies:
        await bench.drive("network_delete_with_subnet", concurrency,
                          lambda network: client.drop("network", f"/networks/{network}"), items=made[concurrency])


async def ports(client: Client, bench: Bench) -> None:
    """Ports of one network: create, show, list 1000, delete."""
    network = (await client.make("network", "/networks", {"network": {"name": "bench"}}))["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.40.0.0/19"}
    await client.make("network", "/subnets", {"subnet": subnet})
    made: list[str] = []

    async def create(n: int) -> None:
        made.append((await client.make("network", "/ports", {"port": {"network_id": network, "name": f"p{n}"}}))["id"])

    for concurrency in bench.concurrencies:
        await bench.drive("port_create", concurrency, create)
    while len(made) < PORTS:
        body = {"ports": [{"network_id": network} for _ in range(min(50, PORTS - len(made)))]}
        made += [port["id"] for port in (await client.call("network", "POST", "/ports", body))["ports"]]
    for concurrency in bench.concurrencies:
        await bench.drive("port_list_all", concurrency, lambda _: _read(client, "/ports"), ops=bench.list_ops, warmup=2)
    for concurrency in bench.concurrencies:
        await bench.drive("port_get", concurrency, lambda _: _read(client, f"/ports/{random.choice(made)}"))
    half = len(made) // len(bench.concurrencies)
    for k, concurrency in enumerate(bench.concurrencies):
        await bench.drive("port_delete", concurrency, lambda port: client.drop("network", f"/ports/{port}"),
                          items=made[k * half:(k + 1) * half])


async def _read(client: Client, path: str) -> None:
    await client.raw("network", "GET", path)


async def security_group_rules(client: Client, bench: Bench) -> None:
    """Add rules to a group."""
    for concurrency in bench.concurrencies:
        group = (await client.make("network", "/security-groups", {"security_group": {"name": "bench"}}))["id"]

        async def create(n: int, group: str = group) -> None:
            await client.call("network", "POST", "/security-group-rules", {"security_group_rule": {
                "security_group_id": group, "direction": "ingress", "protocol": "tcp", "ethertype": "IPv4",
                "port_range_min": 1000 + n, "port_range_max": 1000 + n, "remote_ip_prefix": "10.0.0.0/8"}})

        await bench.drive("sg_rule_create", concurrency, create)


async def floating_ips(client: Client, bench: Bench) -> None:
    """The whole life of a floating IP: create, associate, disassociate, delete."""
    found = (await client.call("network", "GET", "/networks?router:external=true"))["networks"]
    external = found[0]["id"]
    network = (await client.make("network", "/networks", {"network": {"name": "bench"}}))["id"]
    body: dict[str, Any] = {"network_id": network, "ip_version": 4, "cidr": "10.50.0.0/24"}
    subnet = (await client.make("network", "/subnets", {"subnet": body}))["id"]
    body = {"name": "bench", "external_gateway_info": {"network_id": external}}
    router = (await client.make("network", "/routers", {"router": body}))["id"]
    await client.call("network", "PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    free = [(await client.make("network", "/ports", {"port": {"network_id": network}}))["id"]
            for _ in range(max(bench.concurrencies))]

    async def cycle(_: int) -> None:
        port = free.pop()
        try:
            body = {"floatingip": {"floating_network_id": external}}
            address = (await client.make("network", "/floatingips", body))["id"]
            for port_id in (port, None):
                await client.call("network", "PUT", f"/floatingips/{address}", {"floatingip": {"port_id": port_id}})
            await client.drop("network", f"/floatingips/{address}")
        finally:
            free.append(port)

    for concurrency in bench.concurrencies:
        await bench.drive("fip_cycle", concurrency, cycle, ops=max(10, bench.ops // 2), warmup=5)
    await client.call("network", "PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": subnet})
