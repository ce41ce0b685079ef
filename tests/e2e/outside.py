"""What people and programs outside of a cloud see of it: SSH into servers, the wire, and what is left."""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.deploy.embedded import network, ovn
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.engines import libvirt_paths
from stackling.deploy.embedded.libvirt import guest_processes
from stackling.deploy.embedded.namespaces import NAMED
from tests.e2e.clouds import TestCloud

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)"
LISTEN = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    connection, peer = listener.accept()
    connection.sendall(peer[0].encode() + b"\\n")
    connection.close()
    print(peer[0], flush=True)
"""
OTHERS = re.compile(r"\bstk-|/run/stackling/")


@dataclass(frozen=True)
class Login:
    """SSH as root to *address* with the private key *key*, from the namespace *netns* (None: the test's own)."""

    address: str
    key: Path
    netns: str | None

    def try_(self, command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run *command* once, whatever comes of it; exit code 255 when nobody lets us in."""
        options = ("BatchMode=yes", "ConnectTimeout=3", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                   "IdentitiesOnly=yes", "LogLevel=ERROR")
        words = [*_enter(self.netns), "ssh", *(word for option in options for word in ("-o", option)),
                 "-i", str(self.key), f"root@{self.address}", command]
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL)

    def __call__(self, command: str) -> str:
        """What *command* prints; it must work."""
        done = self.try_(command)
        assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout.strip()

    @property
    def answers(self) -> bool:
        """Whether it lets us in."""
        return self.try_("true").returncode == 0


def opens(netns: str, address: str, port: int) -> bool:
    """Whether a TCP connection from the namespace comes about."""
    return _python(netns, CONNECT, address, str(port)).returncode == 0


@contextmanager
def callers(netns: str, address: str, port: int) -> Iterator[Callable[[str], bool]]:
    """Listen in the namespace; yields a function that waits until a given address has called, up to 30 s."""
    program = subprocess.Popen([*_enter(netns), sys.executable, "-c", LISTEN, address, str(port)],
                               stdout=subprocess.PIPE, text=True, bufsize=1)
    assert program.stdout
    lines = program.stdout

    def called(by: str) -> bool:
        deadline = time.monotonic() + 30
        while select.select([lines], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if lines.readline().strip() == by:
                return True
        return False

    try:
        assert called("ready")
        yield called
    finally:
        program.kill()
        program.communicate()


def _python(netns: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_enter(netns), sys.executable, "-c", program, *arguments], capture_output=True, text=True,
                          timeout=20, check=False)


def _enter(netns: str | None) -> tuple[str, ...]:
    return ("nsenter", f"--net=/run/netns/{netns}", "--") if netns else ()


# -- what a cloud has outside of its database


def servers_left(cloud: TestCloud) -> dict[str, Any]:
    """Everything that stands for a server or its network: domains, QEMU processes, disks, namespaces, OVN's rows."""
    directory = cloud.directory
    paths = libvirt_paths(directory)
    return {
        "domains": sorted(run("virsh", "--connect", paths.uri, "list", "--all", "--name").split()),
        "guests": sorted(guest.name for guest in guest_processes(paths)),
        "disks": sorted(str(path.relative_to(directory.instances)) for path in directory.instances.rglob("*")),
        "consoles": sorted(path.name for path in paths.consoles.iterdir()),
        "namespaces": sorted(path.name for path in NAMED.glob(f"{directory.instance}*")),
        "interfaces": sorted(ovn.vsctl(network.paths(directory), "list-ports", "br-int").split()),
        "rows": _northbound(cloud),
    }


def _northbound(cloud: TestCloud) -> dict[str, list[str]]:
    """The rows of each table. ``Copp`` is left out: it holds the fences of what was removed, for an hour."""
    socket = network.paths(cloud.directory).northbound
    names = json.loads(run("ovsdb-client", "--format=json", "list-tables", socket, "OVN_Northbound"))["data"]
    tables = sorted(name for (name,) in names if name not in ("Copp", "NB_Global", "Connection", "SSL"))
    query = ["OVN_Northbound", *({"op": "select", "table": name, "where": [], "columns": ["_uuid"]} for name in tables)]
    answers = json.loads(run("ovsdb-client", "transact", socket, json.dumps(query)))
    return {name: sorted(row["_uuid"][1] for row in answer["rows"])
            for name, answer in zip(tables, answers, strict=True)}


# -- what a machine has


def machine(*mine: str) -> dict[str, list[str]]:
    """Namespaces, mounts, interfaces, addresses, routes, rules, packet filters, forwarding and run directories.

    What carries the name of a cloud or a test is left out, unless one of *mine* is in it: others come and go.
    """
    def seen(lines: Iterable[str]) -> list[str]:
        return sorted(line for line in lines if any(name in line for name in mine) or not OTHERS.search(line))

    def shown(*command: str) -> list[str]:
        return seen(run(*command).splitlines())

    return {
        "namespaces": seen(path.name for path in NAMED.glob("*")),
        "mounts": seen(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "interfaces": seen(line.split(": ")[1] for line in run("ip", "-o", "link", "show").splitlines()),
        "addresses": seen(" ".join(line.split()[1:4]) for line in run("ip", "-o", "address", "show").splitlines()),
        "routes": [line for version in ("-4", "-6") for line in shown("ip", version, "route", "show", "table", "all")],
        "rules": shown("ip", "rule", "show"),
        "tables": shown("nft", "list", "tables"),
        "forwarding": shown("sysctl", "-n", "net.ipv4.ip_forward"),
        "run": [path.name for path in Path("/run/stackling").glob("*") if path.name in mine],
    }
