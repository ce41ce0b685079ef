"""Volumes of the lab's cluster, and what a server has written to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lab.cloud import Cloud

BASE = "/volume/v3/volumes"
READ = "head -c 1048576 /dev/vdb | sha256sum"


def make(cloud: Cloud, name: str) -> str:
    """A volume of 1 GiB; its id."""
    made = cloud.api.must("POST", BASE, {"volume": {"name": name, "size": 1}})["volume"]["id"]
    cloud.until(lambda: show(cloud, made)["status"], lambda status: status == "available", 120)
    return made


def show(cloud: Cloud, volume: str) -> dict[str, Any]:
    """As the API does."""
    return cloud.api.get(f"{BASE}/{volume}")["volume"]


def attachments(server: str) -> str:
    """The path of a server's attachments."""
    return f"/compute/v2.1/servers/{server}/os-volume_attachments"


def body(volume: str) -> dict[str, Any]:
    """What attaches *volume*."""
    return {"volumeAttachment": {"volumeId": volume}}


def detach(cloud: Cloud, volume: str) -> None:
    """Take it from whoever has it, and wait until it is free."""
    for one in show(cloud, volume)["attachments"]:
        cloud.api.must("DELETE", f"{attachments(one['server_id'])}/{volume}")
    cloud.until(lambda: show(cloud, volume)["status"], lambda status: status == "available", 180)


@dataclass(frozen=True)
class Written:
    """A server, its volume, and the digest of what it wrote there."""

    server: str
    volume: str
    digest: str


def written(cloud: Cloud, server: str) -> Written:
    """Attach a new volume to a server that runs, and let it write to it."""
    volume = make(cloud, f"of {server}")
    cloud.api.must("POST", attachments(cloud.ids[server]), body(volume))
    cloud.until(lambda: cloud.ssh(server, "ls /dev").split(), lambda names: "vdb" in names, 120)
    digest = cloud.ssh(server, f"dd if=/dev/urandom of=/dev/vdb bs=1M count=1 conv=fsync 2>/dev/null; {READ}")
    assert len(digest.split()[0]) == 64, digest
    return Written(server, volume, digest)


def drop(cloud: Cloud, volume: str) -> None:
    """Leave nothing of it."""
    detach(cloud, volume)
    cloud.api.must("DELETE", f"{BASE}/{volume}")
