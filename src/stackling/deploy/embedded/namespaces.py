"""Named network namespaces, and network interfaces in them (``None`` is the namespace that we run in)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stackling.deploy.embedded.command import CommandFailed, run, succeeds

NAMED = Path("/run/netns")


def exists(name: str) -> bool:
    """Whether there is a network namespace of this name."""
    return (NAMED / name).exists()


def make(name: str) -> bool:
    """Make the namespace with its loopback up; whether it is new."""
    new = not exists(name)
    if new:
        run("ip", "netns", "add", name)
    ip(name, "link", "set", "lo", "up")
    return new


def delete(name: str) -> None:
    """Remove the namespace; nothing happens when there is none. Processes in it are the caller's."""
    if exists(name):
        run("ip", "netns", "delete", name)


def mounted() -> bool:
    """Whether ``/run/netns`` is a mount point: iproute2 makes it one with the first namespace, and never undoes it."""
    return any(line.split()[4] == str(NAMED) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def note_mount(record: Path) -> None:
    """Remember in *record* that there was no such mount before us. Before the first ``make``."""
    if not mounted():
        record.touch()


def undo_mount(record: Path) -> None:
    """Take the mount away if we brought it and nobody else has a namespace there. (Whoever makes one this very moment
    keeps it busy.) After the last ``delete``."""
    if record.exists() and mounted() and not any(NAMED.iterdir()):
        succeeds("umount", str(NAMED))
    record.unlink(missing_ok=True)


def ip(netns: str | None, *arguments: str) -> str:
    """``ip`` in a namespace."""
    return run("ip", *(("-n", netns) if netns is not None else ()), *arguments)


def ip_json(netns: str | None, *arguments: str) -> list[dict[str, Any]]:
    """What ``ip -json`` shows."""
    text = run("ip", *(("-n", netns) if netns is not None else ()), "-json", *arguments)
    return json.loads(text) if text.strip() else []


def has_device(netns: str | None, device: str) -> bool:
    """Whether the interface is in the namespace."""
    return succeeds("ip", *(("-n", netns) if netns is not None else ()), "link", "show", "dev", device)


def delete_device(netns: str | None, device: str) -> None:
    """Remove an interface (of a pair: both ends); nothing happens when it is gone, or goes meanwhile."""
    if has_device(netns, device):
        try:
            ip(netns, "link", "delete", device)
        except CommandFailed:
            if has_device(netns, device):
                raise


def checksums_in_software(netns: str | None, device: str) -> None:
    """Let the kernel finish checksums itself: the userspace datapath reads raw frames and drops unfinished ones."""
    run("ethtool", "-K", device, "tx", "off", netns=netns)


def sysctl(netns: str | None, name: str) -> str:
    """The value of a kernel setting in the namespace, e.g. ``net.ipv4.ip_forward``."""
    return run("sysctl", "-n", name, netns=netns).strip()


def set_sysctl(netns: str | None, name: str, value: str) -> None:
    """Change a kernel setting in the namespace."""
    run("sysctl", "-q", "-w", f"{name}={value}", netns=netns)


__all__ = ["CommandFailed", "checksums_in_software", "delete", "delete_device", "exists", "has_device", "ip",
           "ip_json", "make", "mounted", "note_mount", "set_sysctl", "sysctl", "undo_mount"]
