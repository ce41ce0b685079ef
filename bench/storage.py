"""``python -m bench.storage``: volumes and images on a real Ceph cluster with a real guest; needs root.

Starts a Ceph cluster (one OSD that keeps its data in memory, so that the disk isn't what is measured) and a cloud on
it, boots a server, and measures: images up and down against ``rbd import`` and ``rbd export`` and against a file on
the machine's disk, volumes made of an image and of nothing, plugged in and out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.client import Client, Refused

VOLUME = "block-storage"
LOOK, PATIENCE, CHUNK = 0.02, 180.0, 1 << 20


# -- inside the machine's network

async def measure(clouds: Path, ops: int, mib: int, data: Path) -> list[dict[str, Any]]:
    """The cloud's figures."""
    async with Client(clouds) as client:
        figures = await _images(client, mib, data)
        return figures + await _volumes(client, ops)


async def _images(client: Client, mib: int, data: Path) -> list[dict[str, Any]]:
    up: list[float] = []
    down: list[float] = []
    for number in range(3):
        image = await client.make("image", "/images", {
            "name": f"bench-{number}", "container_format": "bare", "disk_format": "raw"})
        with data.open("rb") as file:
            began = time.perf_counter()
            await client.raw("image", "PUT", f"/images/{image['id']}/file", data=file,
                             headers={"Content-Type": "application/octet-stream"})
            up.append(time.perf_counter() - began)
        began, size = time.perf_counter(), 0
        async with client.http.get(f"{client.url('image')}/images/{image['id']}/file",
                                   headers={"X-Auth-Token": client.token}) as answer:
            async for chunk in answer.content.iter_chunked(CHUNK):
                size += len(chunk)
        if size != mib << 20:
            raise Refused(f"short download: {size}")
        down.append(time.perf_counter() - began)
        await client.drop("image", f"/images/{image['id']}")
    return [_rate("image upload", mib, up), _rate("image download", mib, down)]


async def _volumes(client: Client, ops: int) -> list[dict[str, Any]]:
    image = next(one["id"] for one in (await client.call("image", "GET", "/images"))["images"] if one["name"] == "tiny")
    server = (await client.call("compute", "GET", "/servers"))["servers"][0]["id"]
    times: dict[str, list[float]] = {}

    async def timed(what: str, id: str, wanted: str, act: Callable[[], Awaitable[Any]]) -> None:
        began = time.perf_counter()
        await act()
        await _until(client, id, wanted)
        times.setdefault(what, []).append(time.perf_counter() - began)

    async def made(what: str, **values: Any) -> str:
        began = time.perf_counter()
        id = (await client.make(VOLUME, "/volumes", {"volume": {"size": 1, **values}}))["id"]
        await _until(client, id, "available")
        times.setdefault(what, []).append(time.perf_counter() - began)
        return id

    attachments = f"/servers/{server}/os-volume_attachments"
    for _ in range(ops):
        clone = await made("volume from image (clone)", imageRef=image)
        empty = await made("volume create")
        await timed("volume attach", empty, "in-use", lambda id=empty: client.call(
            "compute", "POST", attachments, {"volumeAttachment": {"volumeId": id}}))
        await timed("volume detach", empty, "available", lambda id=empty: client.raw(
            "compute", "DELETE", f"{attachments}/{id}"))
        for id in (clone, empty):
            await client.drop(VOLUME, f"/volumes/{id}")
    return [_spread(what, found) for what, found in times.items()]


async def _until(client: Client, id: str, wanted: str) -> None:
    deadline = time.perf_counter() + PATIENCE
    while (found := (await client.call(VOLUME, "GET", f"/volumes/{id}"))["volume"]["status"]) != wanted:
        if found.startswith("error") or time.perf_counter() > deadline:
            raise Refused(f"volume {id} is {found}, not {wanted}")
        await asyncio.sleep(LOOK)


def _rate(case: str, mib: int, times: list[float]) -> dict[str, Any]:
    return {"case": case, "MB/s": round((mib << 20) / 1e6 / min(times), 1), "runs": len(times)}


def _spread(case: str, times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)

    def at(part: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000, 1)

    return {"case": case, "p50 ms": at(0.5), "p99 ms": at(0.99), "runs": len(ordered)}


# -- the machine and its Ceph

@contextmanager
def world(folder: Path) -> Iterator[tuple[Any, Any]]:
    """A cloud on Ceph with a server that answers, and the Ceph cluster."""
    from tests.e2e import beside_ceph, reachable

    with beside_ceph.running() as (made, ceph):
        reachable.web(made, folder)
        yield made, ceph
        made.openstack("server", "delete", "--wait", "web")


def rivals(ceph: Any, data: Path, mib: int) -> list[dict[str, Any]]:
    """The same data by Ceph's own tools, and to a file and back past the page cache."""
    copy = data.with_name("copy")
    found: dict[str, list[float]] = {}

    def timed(case: str, act: Callable[[], Any]) -> None:
        began = time.perf_counter()
        act()
        found.setdefault(case, []).append(time.perf_counter() - began)

    for _ in range(3):
        timed("rbd import", lambda: ceph.rbd("import", "--no-progress", str(data), "stackling-images/bench"))
        timed("rbd export", lambda: ceph.rbd("export", "--no-progress", "stackling-images/bench", str(copy)))
        copy.unlink()
        ceph.rbd("rm", "--no-progress", "stackling-images/bench")
        timed("file write and fsync", lambda: _dd(f"if={data}", f"of={copy}", "conv=fsync"))
        timed("file read, direct", lambda: _dd(f"if={copy}", "of=/dev/null", "iflag=direct"))
        copy.unlink()
    return [_rate(case, mib, times) for case, times in found.items()]


def _dd(*words: str) -> None:
    subprocess.run(["dd", "bs=4M", "status=none", *words], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--ops", type=int, default=20, help="volumes a case (default 20)")
    parser.add_argument("--mib", type=int, default=256, help="size of the image (default 256)")
    parser.add_argument("--inside", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(asyncio.run(measure(options.inside[0], options.ops, options.mib, options.inside[1]))))
        return 0
    with tempfile.TemporaryDirectory(prefix="stk-bench-", dir="/var/tmp") as folder:
        data = Path(folder) / "data"
        with data.open("wb") as file:
            for _ in range(options.mib):
                file.write(os.urandom(CHUNK))
        with world(Path(folder)) as (made, ceph):
            done = subprocess.run(
                ["nsenter", f"--net=/run/netns/{made.netns}", "--", sys.executable, "-m", "bench.storage", "--ops",
                 str(options.ops), "--mib", str(options.mib), "--inside", made.directory.clouds_yaml, data],
                check=True, stdout=subprocess.PIPE, text=True)
            figures = json.loads(done.stdout) + rivals(ceph, data, options.mib)
    for figure in figures:
        print("  ".join(f"{value}" if name == "case" else f"{name} {value}" for name, value in figure.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
