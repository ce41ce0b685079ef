"""What to do where something doesn't fit: an image into a flavor, a server onto the machine's disk."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from stackling.cli.client import Client, Refused
from stackling.cli.problem import Problem
from stackling.deploy.embedded.directory import StateDirectory

GIB, MIB = 1 << 30, 1 << 20
NEEDED = 512 * MIB      # for a first server: its image twice, databases, logs
PATIENCE = 10.0         # seconds that a full disk may be a passing matter
FULL = " is full"


def require_disk(directory: StateDirectory) -> None:
    """A problem when a first server has no room."""
    free, place = _least(directory.root)
    if free < NEEDED:
        raise Problem(f"only {free // MIB} MiB are free in {place}, and a cloud with a server needs {NEEDED // MIB}: "
                      "free some space, or choose another place with --state-dir")


def flavor_that_fits(flavors: list[dict[str, Any]], wanted: str | None, image: dict[str, Any]) -> dict[str, Any]:
    """The flavor *wanted* (already found by name or id), or the smallest that the image fits in."""
    gib, mib = disk_of(image), max(image["min_ram"], 1)
    fits = [flavor for flavor in flavors
            if flavor["ram"] >= mib and (flavor["disk"] == 0 or flavor["disk"] >= gib)]
    best = min(fits, key=lambda flavor: (flavor["ram"], flavor["vcpus"], flavor["disk"]), default=None)
    needs = f"image {image['name'] or image['id']} needs {gib} GiB of disk" + (
        f" and {image['min_ram']} MiB of memory" if image["min_ram"] else "")
    make = f"make one with `openstack flavor create --disk {gib} --ram {max(mib, 512)} --vcpus 1 large-enough`"
    if wanted is None:
        if best is None:
            raise Problem(f"{needs}, more than any flavor has; {make}")
        return best
    found = next(flavor for flavor in flavors if wanted in (flavor["name"], flavor["id"]))
    if found not in fits:
        instead = f"choose --flavor {best['name']}, which has room for it" if best else make
        raise Problem(f"{needs}, and flavor {found['name']} has {found['disk']} GiB and {found['ram']} MiB; {instead}")
    return found


def disk_of(image: dict[str, Any]) -> int:
    """GiB that a disk of the image needs."""
    return max(image["min_disk"], -(-(image.get("virtual_size") or 0) // GIB))


class Watch:
    """Looks now and then why a server isn't built yet, and gives up where its host's disk stays full."""

    def __init__(self, client: Client, server: dict[str, Any], directory: StateDirectory) -> None:
        self._client, self._server, self._directory = client, server, directory
        self._full_since: float | None = None
        self._looked_at = 0.0

    def look(self) -> None:
        """Raises ``Problem``."""
        now = time.monotonic()
        if now < self._looked_at + 1.0:
            return
        self._looked_at = now
        reason = self._reason()
        if FULL not in reason:
            self._full_since = None
            return
        self._full_since = self._full_since or now
        if now - self._full_since > PATIENCE:
            free, place = _least(self._directory.root, self._directory.instances, self._directory.images)
            name, why = self._server["name"], reason.split(";")[0]
            raise Problem(f"{name} waits: {why}; {free // MIB} MiB are free in {place}: make room there and it goes on "
                          f"by itself, or delete it with `openstack server delete {name}`")

    def _reason(self) -> str:
        try:
            found = self._client.get("stackling", f"/explain/server/{self._server['id']}")["explanation"]
        except Refused:
            return ""
        return str((found["work"] or {}).get("reason") or "")


def advice(fault: str) -> str:
    """What to do about a server's *fault*, where it is for want of room; else nothing."""
    if "GiB of disk" in fault:
        return "choose a flavor with less disk, or delete servers"
    if "MiB of memory" in fault or "vCPUs" in fault:
        return "choose a smaller flavor, or delete servers"
    return ""


def _least(*places: Path) -> tuple[int, Path]:
    """The place with the least free space, and how many bytes that is."""
    there = [next(one for one in (place, *place.parents) if one.exists()) for place in places]
    return min((shutil.disk_usage(place).free, place) for place in there)
