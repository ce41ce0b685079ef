"""systemd units as data: what stands in them, in the order in which it was given; see systemd.unit(5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stackling.deploy.cluster.paths import ConfigFile, Paths

Value = str | Sequence[str]
Section = Mapping[str, Value]

CONFINED: Section = {
    # For what needs nothing of the machine but its own directories and the network.
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "read-only", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes", "ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectHostname": "yes",
    "RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK", "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service", "UMask": "0077",
}
IN_THE_MACHINE: Section = {
    # For what makes namespaces, mounts and interfaces that the whole machine sees: no mount namespace of its own.
    "NoNewPrivileges": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET", "SystemCallArchitectures": "native",
}


def unit(paths: Paths, name: str, sections: Mapping[str, Section]) -> ConfigFile:
    """The file of the unit *name* (with its suffix). A sequence is written as one line an element."""
    parts = ["# Written by Stackling; put your own changes into a drop-in (systemctl edit)."]
    for section, entries in sections.items():
        parts.append(f"\n[{section}]")
        for key, value in entries.items():
            parts += [f"{key}={one}" for one in ([value] if isinstance(value, str) else value)]
    return ConfigFile(directory(paths) / name, ("\n".join(parts) + "\n").encode())


def directory(paths: Paths) -> Path:
    """Where units lie."""
    return paths.root / "etc/systemd/system"
