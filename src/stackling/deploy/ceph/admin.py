"""What is done to a Ceph cluster as its administrator: pools and users, each step an exact ``ceph`` command.

The steps are pure values, so that they can be printed for somebody else to do them, and every one may be repeated.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.deploy.ceph import rights
from stackling.deploy.ceph.rights import Pools, User

PATIENCE = 4.0
SLOW = 60.0             # seconds that making a pool may take
_SECTION = re.compile(r"^\s*\[client\.([^\]\s]+)\]", re.MULTILINE)


class CephRefused(Exception):
    """The cluster doesn't answer, or doesn't let us; the message says why and what to do next."""


class NoRights(CephRefused):
    """The key isn't an administrator's."""


@dataclass(frozen=True, slots=True)
class Size:
    """OSDs that are in, and how many hosts they are on."""

    osds: int
    hosts: int


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what it is for."""

    what: str
    command: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it is typed."""
        return shlex.join(self.command)


def steps(pools: Pools, users: Sequence[User], size: Size) -> list[Step]:
    """Everything that has to be done in a cluster of that size. Pure."""
    groups = str(rights.placement_groups(size.osds))
    copies, least = rights.copies(size.hosts)
    found: list[Step] = []
    for pool in pools.all:
        found.append(Step(f"pool {pool}", ("ceph", "osd", "pool", "create", pool, groups)))
        if copies < 3:
            sure = ("--yes-i-really-mean-it",) if copies == 1 else ()
            found += [Step(f"copies of {pool}", ("ceph", "osd", "pool", "set", pool, "size", str(copies), *sure)),
                      Step(f"copies of {pool}", ("ceph", "osd", "pool", "set", pool, "min_size", str(least)))]
        found += [Step(f"use of {pool}", ("ceph", "osd", "pool", "application", "enable", pool, "rbd"))]
    for user in users:
        found += [Step(f"user {user.entity}", ("ceph", "auth", "get-or-create", user.entity, *user.caps)),
                  Step(f"rights of {user.entity}", ("ceph", "auth", "caps", user.entity, *user.caps))]
    return found


class Admin:
    """A cluster, reached by *conf* as the user of *keyring*. Raises ``CephRefused`` and ``NoRights``."""

    def __init__(self, conf: Path, keyring: Path) -> None:
        for path in (conf, keyring):
            if not path.is_file():
                raise CephRefused(f"{path} isn't there")
        self.conf, self.keyring = conf, keyring
        found = _SECTION.findall(keyring.read_text())
        if not found:
            raise CephRefused(f"{keyring} is no keyring: it has no section [client.NAME]")
        self.users: list[str] = found

    @property
    def user(self) -> str:
        """Whom the keyring is for, ``admin`` where it holds several."""
        return "admin" if "admin" in self.users else self.users[0]

    def size(self) -> Size:
        """How large the cluster is; raises when nobody answers within 5 s."""
        tree = json.loads(self.run("osd", "tree", "-f", "json"))
        hosts = [node for node in tree["nodes"] if node["type"] == "host" and node.get("children")]
        osds = [node for node in tree["nodes"] if node["type"] == "osd" and node.get("reweight", 1)]
        if not osds:
            raise CephRefused("the cluster has no OSD: nothing can be stored in it")
        return Size(len(osds), max(1, len(hosts)))

    def fsid(self) -> str:
        """The cluster's id."""
        return self.run("fsid").strip()

    def do(self, step: Step) -> None:
        """Carry a step out."""
        self.run(*step.command[1:], timeout=SLOW)

    def key(self, user: User) -> str:
        """A user's key."""
        return self.run("auth", "print-key", user.entity).strip()

    def known(self) -> list[str]:
        """The names of all clients' users, without ``client.``."""
        found = json.loads(self.run("auth", "ls", "-f", "json"))["auth_dump"]
        return [each["entity"].removeprefix("client.") for each in found if each["entity"].startswith("client.")]

    def usage(self, pools: Pools) -> dict[str, Any]:
        """Health, and what the pools hold."""
        health = json.loads(self.run("health", "-f", "json"))
        stored = {each["name"]: each["stats"] for each in json.loads(self.run("df", "-f", "json"))["pools"]}
        return {"health": health["status"], "checks": sorted(health.get("checks", {})),
                "pools": {name: stored.get(name) for name in pools.all}}

    def run(self, *words: str, timeout: float = PATIENCE) -> str:
        """``ceph WORDS``; its output."""
        command = ["ceph", "-c", str(self.conf), "-n", f"client.{self.user}", "-k", str(self.keyring),
                   "--connect-timeout", str(int(PATIENCE)), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 0.5, check=False,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise CephRefused(f"the cluster doesn't answer within {timeout:g} s; is {self.conf} right, and are its "
                              "monitors up?") from None
        except FileNotFoundError:
            raise CephRefused("the program ceph isn't installed: run ./setup ceph") from None
        if done.returncode == 0:
            return done.stdout
        words_ = [line for line in done.stderr.strip().splitlines() if line.strip()]
        last = words_[-1] if words_ else f"exit status {done.returncode}"
        if "timed out" in last or "TimedOut" in last or "ObjectNotFound" in last:
            raise CephRefused(f"the cluster doesn't answer ({last})")
        if done.returncode in (1, 13) and re.search(r"EACCES|EPERM|access denied|ermission", last):
            raise NoRights(f"client.{self.user} may not do `ceph {shlex.join(words)}`: {last}")
        raise CephRefused(f"`ceph {shlex.join(words)}` failed: {last}")
