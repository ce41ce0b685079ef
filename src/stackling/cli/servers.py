"""Servers as commands meet them: by name, with what a login needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackling.cli import room
from stackling.cli.client import Client, escaped
from stackling.cli.problem import FAILED, NOT_FOUND, Problem
from stackling.deploy.embedded.directory import StateDirectory

if TYPE_CHECKING:
    from stackling.deploy.embedded.configuration import Configuration

KEY = "stackling"
"""The key pair that commands make where none is named."""
LONGEST = 255       # characters of a server's name


def find(client: Client, name_or_id: str) -> dict[str, Any] | None:
    """The server of this name or id, or None; several of one name are a problem."""
    if len(name_or_id) > LONGEST:
        return None
    named = client.get("compute", "/servers/detail", name=f"^{_literal(name_or_id)}$")["servers"]
    if len(named) > 1:
        ids = ", ".join(server["id"] for server in named)
        raise Problem(f"{len(named)} servers are called {name_or_id}; use an id: {ids}")
    if named:
        return named[0]
    try:
        return client.get("compute", f"/servers/{escaped(name_or_id)}")["server"]
    except Problem as problem:
        if problem.code == NOT_FOUND:
            return None
        raise


def get(client: Client, name_or_id: str) -> dict[str, Any]:
    """The server; a problem when there is none."""
    found = find(client, name_or_id)
    if found is None:
        raise Problem(f"there is no server {name_or_id}; `stackling launch {name_or_id}` makes one", NOT_FOUND)
    return found


def addresses(server: dict[str, Any], kind: str) -> list[str]:
    """Its ``fixed`` or ``floating`` IPv4 addresses."""
    return [address["addr"] for listed in server["addresses"].values() for address in listed
            if address["OS-EXT-IPS:type"] == kind and address["version"] == 4]


def shown(server: dict[str, Any]) -> dict[str, Any]:
    """What a person wants to know of it."""
    fault = server.get("fault") or {}
    return {"name": server["name"], "id": server["id"], "status": server["status"],
            "floating_ip": ", ".join(addresses(server, "floating")) or None,
            "fixed_ip": ", ".join(addresses(server, "fixed")) or None, "key": server.get("key_name"),
            **({"fault": fault["message"]} if fault else {})}


def require_no_fault(server: dict[str, Any]) -> None:
    """A server in ERROR is a problem with its reason."""
    if server["status"] == "ERROR":
        why = (server.get("fault") or {}).get("message", "no reason is known")
        todo = room.advice(why)
        raise Problem(f"{server['name']} has failed: {why}{'; ' + todo if todo else ''} (`stackling explain "
                      f"{server['name']}` tells more)", FAILED)


@dataclass(frozen=True, slots=True)
class Door:
    """How to log in to *target* (``user@address``). ``outside``: the namespace to do it from (None: this one)."""

    target: str
    identity: Path | None
    known_as: str
    known_hosts: Path
    outside: str | None

    @property
    def command(self) -> tuple[str, ...]:
        """For ``stackling ssh``: remembers a server's key by the server's id, since addresses are used again."""
        known = ("-o", f"HostKeyAlias={self.known_as}", "-o", f"UserKnownHostsFile={self.known_hosts}",
                 "-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR")
        return self._ssh(*known)

    @property
    def quiet(self) -> tuple[str, ...]:
        """For trying whether it works: never asks, gives up soon."""
        return (*self.command[:-1], "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", self.target)

    @property
    def plain(self) -> tuple[str, ...]:
        """For people who want to type it themselves."""
        return self._ssh()

    def _ssh(self, *options: str) -> tuple[str, ...]:
        enter = ("ip", "netns", "exec", self.outside) if self.outside else ()
        key = ("-i", str(self.identity), "-o", "IdentitiesOnly=yes") if self.identity else ()
        return (*enter, "ssh", *options, *key, self.target)


def door(client: Client, directory: StateDirectory, server: dict[str, Any], user: str | None = None,
         key: str | None = None) -> Door:
    """How to log in to *server*; a problem when it has no floating IP."""
    floating = addresses(server, "floating")
    if not floating:
        raise Problem(f"{server['name']} has no floating IP; `stackling ip attach {server['name']}` gives it one")
    if are_simulated(directory):
        raise Problem("the servers of this cloud are simulated: there is nothing to log in to")
    identity = Path(key) if key else directory.root / "keys" / (server.get("key_name") or KEY)
    return Door(f"{user or login_name(client, server)}@{floating[0]}", identity if identity.exists() else None,
                server["id"], directory.root / "keys" / "known_hosts", _outside(directory))


def login_name(client: Client, server: dict[str, Any]) -> str:
    """The account of the image: its property ``os_admin_user``, else that of the distribution, else ``root``."""
    image = server.get("image") or {}
    if not image:
        return "root"
    try:
        found = client.get("image", f"/images/{image['id']}")
    except Problem:
        return "root"
    known = {"debian": "debian", "ubuntu": "ubuntu", "fedora": "fedora", "centos": "cloud-user", "arch": "arch",
             "rocky": "rocky", "almalinux": "almalinux", "alpine": "alpine", "cirros": "cirros"}
    distribution = found.get("os_distro") or next((name for name in known if name in found["name"].lower()), "")
    return found.get("os_admin_user") or known.get(distribution, "root")


def are_simulated(directory: StateDirectory) -> bool:
    """Whether nothing answers at the addresses of servers."""
    found = _configuration(directory)
    return found is not None and found.simulated


def _outside(directory: StateDirectory) -> str | None:
    found = _configuration(directory)
    return f"{directory.instance}-outside" if found and found.access == "isolated" and not found.simulated else None


def _configuration(directory: StateDirectory) -> Configuration | None:
    """That of the cloud on this machine; None where commands speak to another one."""
    from stackling.deploy.embedded import configuration

    if os.environ.get("OS_AUTH_URL"):
        return None
    try:
        return configuration.read(directory.configuration)
    except (OSError, configuration.ConfigurationError):
        return None


def _literal(text: str) -> str:
    import re

    return re.escape(text)
