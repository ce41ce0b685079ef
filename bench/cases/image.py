"""Images: 64 MiB up and down, and a list."""

from __future__ import annotations

import os

from bench.client import Client, Refused
from bench.measure import Bench

MIB = 64


async def images(client: Client, bench: Bench) -> None:
    """Upload, download, list."""
    data = os.urandom(1 << 20) * MIB
    made: list[str] = []

    async def upload(n: int) -> None:
        body = {"name": f"bench-{n}", "container_format": "bare", "disk_format": "raw"}
        image = await client.make("image", "/images", body)
        made.append(image["id"])
        await client.raw("image", "PUT", f"/images/{image['id']}/file", data=data,
                         headers={"Content-Type": "application/octet-stream"})

    async def download(n: int) -> None:
        url = f"{client.url('image')}/images/{made[n % len(made)]}/file"
        size = 0
        async with client.http.get(url, headers={"X-Auth-Token": client.token}) as answer:
            async for chunk in answer.content.iter_chunked(1 << 20):
                size += len(chunk)
        if size != len(data):
            raise Refused(f"short download: {size}")

    for concurrency in sorted({min(4, c) for c in bench.concurrencies}):
        await bench.drive("image_upload", concurrency, upload, ops=6, warmup=1)
        await bench.drive("image_download", concurrency, download, ops=8, warmup=1)
    for concurrency in bench.concurrencies:
        await bench.drive("image_list", concurrency, lambda _: _list(client))


async def _list(client: Client) -> None:
    await client.raw("image", "GET", "/images?limit=25")
