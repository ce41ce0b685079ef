"""Flavors and servers (on simulated hypervisors: what the control plane costs)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from bench.client import Client, Refused
from bench.measure import Bench

SERVERS = 500
POLL = 0.2


async def flavors(client: Client, bench: Bench) -> None:
    """List flavors."""
    for concurrency in bench.concurrencies:
        await bench.drive("flavor_list", concurrency, lambda _: _read(client, "/flavors"))


async def _read(client: Client, path: str) -> None:
    await client.raw("compute", "GET", path)


class Watcher:
    """Tells when servers leave a list; one request an interval for all of them."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self.path = client, path
        self._waiting: dict[str, asyncio.Future[float]] = {}

    async def run(self) -> None:
        while True:
            waiting = dict(self._waiting)
            if waiting:
                listed = {s["id"] for s in (await self._client.call("compute", "GET", self.path))["servers"]}
                for id in waiting.keys() - listed:
                    self._waiting.pop(id).set_result(time.perf_counter())
            await asyncio.sleep(POLL)

    async def left(self, id: str) -> float:
        self._waiting[id] = asyncio.get_running_loop().create_future()
        return await asyncio.wait_for(self._waiting[id], 300)


async def servers(client: Client, bench: Bench) -> None:
    """Create until ACTIVE, show, list 500 with details, delete until gone."""
    boot, network = await _prepare(client)
    made: list[str] = []
    watcher = Watcher(client, "/servers?status=BUILD&limit=1000")
    watching = asyncio.create_task(watcher.run())

    async def create(n: int) -> float:
        start = time.perf_counter()
        server = await boot(f"bench-{n}")
        made.append(server)
        end = await watcher.left(server)
        status = (await client.call("compute", "GET", f"/servers/{server}"))["server"]["status"]
        if status != "ACTIVE":
            raise Refused(f"server is {status}")
        return end - start

    try:
        await bench.drive("server_create_to_active", 1, create, ops=10, warmup=2)
        await bench.drive("server_create_to_active", 8, create, ops=50, warmup=0)
        await asyncio.gather(*[_fill(create, SERVERS - len(made))])
        for concurrency in bench.concurrencies:
            await bench.drive("server_get", concurrency, lambda _: _read(client, f"/servers/{random.choice(made)}"))
        for concurrency in bench.concurrencies:
            await bench.drive("server_list_detail", concurrency,
                              lambda _: _read(client, f"/servers/detail?limit={SERVERS}"), ops=bench.list_ops, warmup=1)
        watcher.path = "/servers?limit=1000"

        async def delete(server: str) -> float:
            start = time.perf_counter()
            await client.drop("compute", f"/servers/{server}")
            return await watcher.left(server) - start

        await bench.drive("server_delete_to_gone", 8, delete, items=made)
    finally:
        watching.cancel()
    await client.drop("network", f"/networks/{network}")


async def _fill(create: Callable[[int], Awaitable[float]], count: int) -> None:
    for start in range(0, count, 25):
        await asyncio.gather(*(create(1000 + n) for n in range(start, min(count, start + 25))))


async def _prepare(client: Client) -> tuple[Callable[[str], Awaitable[str]], str]:
    flavor = min((await client.call("compute", "GET", "/flavors/detail"))["flavors"], key=lambda f: f["ram"])["id"]
    image = (await client.call("image", "GET", "/images?status=active"))["images"][0]["id"]
    network = (await client.make("network", "/networks", {"network": {"name": "bench"}}))["id"]
    body = {"network_id": network, "ip_version": 4, "cidr": "10.60.0.0/20"}
    await client.call("network", "POST", "/subnets", {"subnet": body})

    async def boot(name: str) -> str:
        server = {"name": name, "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": network}]}
        return (await client.make("compute", "/servers", {"server": server}))["id"]

    return boot, network
