"""A network's namespace for the metadata service: made, plugged into Open vSwitch, listened in, removed. Blocking.

The interface ``md0`` carries the metadata port's MAC and addresses and the well-known ones; its other end is a port of
br-int whose ``iface-id`` is the metadata port, which OVN binds on every machine (a *localport*).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stackling.ports.document import MetadataNetwork

NAMED = Path("/run/netns")
ADDRESS, ADDRESS6 = "169.254.169.254/32", "fe80::a9fe:a9fe/64"
INSIDE = "md0"
PORT, BACKLOG = 80, 64
TIMEOUT = 15.0
_CLONE_NEWNET = 0x40000000
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class WiringFailed(Exception):
    """A tool failed; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Plant:
    """Where networks are plugged in. ``netns``: the cloud's namespace, "" for the machine's own."""

    instance: str
    netns: str
    bridge: str
    ovs_socket: str

    def namespace(self, network_id: str) -> str:
        """The name of a network's namespace."""
        return f"{self.instance}-md-{network_id[:8]}"

    def device(self, network_id: str) -> str:
        """The name of the end that is plugged into the bridge."""
        return f"md-{network_id[:11]}"

    def present(self) -> list[str]:
        """Every namespace of ours that exists."""
        prefix = f"{self.instance}-md-"
        return sorted(path.name for path in NAMED.glob(f"{prefix}*")) if NAMED.exists() else []

    def make(self, network: MetadataNetwork) -> None:
        """Bring the namespace about; idempotent. Raises ``WiringFailed``."""
        name, device = self.namespace(network.network_id), self.device(network.network_id)
        if not (NAMED / name).exists():
            _run("ip", "netns", "add", name)
        if not _there(name, INSIDE) or not _there(self.netns, device):
            _quietly(*self._ip(), "link", "delete", device)
            _run(*self._ip(), "link", "add", device, "type", "veth", "peer", "name", INSIDE, "netns", name)
        _batch(name, [f"link set {INSIDE} address {network.mac} mtu {network.mtu}", "link set lo up"])
        _run("nsenter", f"--net={NAMED / name}", "ethtool", "-K", INSIDE, "tx", "off")
        wanted = {*network.addresses, ADDRESS, ADDRESS6}
        there = _addresses(name)
        gone = [f"addr del {each} dev {INSIDE}" for each in sorted(there - wanted)]
        new = [f"addr add {each} dev {INSIDE}{' nodad' if ':' in each else ''}" for each in sorted(wanted - there)]
        _batch(name, [*gone, *new, f"link set {INSIDE} up"])
        _run(*self._ip(), "link", "set", device, "mtu", str(network.mtu), "up")
        _run(*self._vsctl(), "--may-exist", "add-port", self.bridge, device, "--", "set", "Interface", device,
             f"external_ids:iface-id={network.port_id}", f'external_ids:attached-mac="{network.mac}"')

    def remove(self, name: str, network_id: str | None = None) -> None:
        """Remove a namespace and what is plugged in for it; idempotent."""
        if network_id is not None:
            _quietly(*self._vsctl(), "--if-exists", "del-port", self.bridge, self.device(network_id))
            _quietly(*self._ip(), "link", "delete", self.device(network_id))
        if (NAMED / name).exists():
            _quietly("ip", "netns", "delete", name)

    def listen(self, network_id: str) -> list[socket.socket]:
        """Listening sockets in a network's namespace, for IPv4 and IPv6. Raises ``OSError``."""
        return listen_in(NAMED / self.namespace(network_id))

    def _ip(self) -> tuple[str, ...]:
        return ("ip", "-n", self.netns) if self.netns else ("ip",)

    def _vsctl(self) -> tuple[str, ...]:
        return ("ovs-vsctl", f"--db=unix:{self.ovs_socket}", "--timeout=10", "--no-wait")


def listen_in(namespace: Path, port: int = PORT) -> list[socket.socket]:
    """Sockets made in *namespace* by a thread that enters it and ends; they work from anywhere after that."""
    sockets: list[socket.socket] = []
    problems: list[OSError] = []

    def work() -> None:
        try:
            enter(namespace)
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                sockets.append(_listening(family, address, port))
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=work, name="listen-in")
    thread.start()
    thread.join()
    if problems:
        for each in sockets:
            each.close()
        raise problems[0]
    return sockets


def enter(namespace: Path) -> None:
    """Move the calling thread into a network namespace, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(file, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(file)


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _there(netns: str, device: str) -> bool:
    where = ("ip", "-n", netns) if netns else ("ip",)
    return subprocess.run([*where, "link", "show", "dev", device], capture_output=True, timeout=TIMEOUT, check=False,
                          env=_ENVIRONMENT).returncode == 0


def _addresses(namespace: str) -> set[str]:
    shown = json.loads(_run("ip", "-n", namespace, "-json", "addr", "show", "dev", INSIDE) or "[]")
    return {f"{each['local']}/{each['prefixlen']}" for device in shown for each in device.get("addr_info", ())}


def _batch(namespace: str, commands: Sequence[str]) -> None:
    _run("ip", "-n", namespace, "-batch", "-", input="\n".join(commands) + "\n")


def _run(*command: str, input: str | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, input=input, timeout=TIMEOUT, check=False,
                              env=_ENVIRONMENT)
    except FileNotFoundError:
        raise WiringFailed(f"{command[0]} isn't installed: run ./setup") from None
    except subprocess.TimeoutExpired:
        raise WiringFailed(f"{' '.join(command)} took longer than {TIMEOUT:g} s") from None
    if done.returncode:
        raise WiringFailed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _quietly(*command: str) -> None:
    with contextlib.suppress(WiringFailed):
        _run(*command)
