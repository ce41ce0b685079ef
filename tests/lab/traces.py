"""What a lab may leave on the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from stackling.lab import cgroups
from stackling.lab.record import RUN, base


def of(name: str) -> dict[str, list[str]]:
    """Everything that carries the lab's name, by kind."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout.splitlines()
    netns = Path("/run/netns")
    found = {
        "processes": _processes(name),
        "namespaces": [path.name for path in netns.glob(f"{name}-*")] if netns.exists() else [],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"lab/{name}" in line],
        "groups": [path.name for path in cgroups.mount_point().glob(f"stackling-lab-{name}-*")],
        "interfaces": [line for line in links if f"lab-{name}" in line],
        "routes": [line for line in routes if f"lab-{name}" in line],
        "files": [str(path) for path in (base() / name,) if path.exists()],
    }
    return {kind: what for kind, what in found.items() if what}


def run_directories() -> set[str]:
    """The labs' run directories."""
    return {path.name for path in RUN.iterdir()} if RUN.exists() else set()


def _processes(name: str) -> list[str]:
    found: list[str] = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if ") Z " in Path(entry.path, "stat").read_text():
                continue        # ended; process 1 of the outer machine hasn't collected it yet
            group = Path(entry.path, "cgroup").read_text()
            command = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/stackling-lab-{name}-" in group:
            found.append(f"{entry.name} {command}")
    return found
