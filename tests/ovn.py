"""A real OVN for tests: its processes in network namespaces of their own, and guests made of namespaces."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stackling.deploy.embedded import namespaces, ovn, uplink
from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.namespaces import ip
from stackling.deploy.embedded.process import ProcessSpec

CHASSIS = "host-1"


def eventually(check: Callable[[], object], timeout: float = 15.0, every: float = 0.05) -> None:
    """Wait until *check* is true; fail the test after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"still not true after {timeout} s"
        time.sleep(every)


class RealOvn:
    """OVN and Open vSwitch in a namespace, its outside in a second one. A context manager.

    *switch* False starts the northbound database and northd only, which is enough to look at rows.
    """

    def __init__(self, directory: Path, *, switch: bool = True, gateways: tuple[str, ...] = ()) -> None:
        self.name = f"stk-test-{secrets.token_hex(3)}"
        self.paths = ovn.OvnPaths.under(directory)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.guests: list[Guest] = []
        self._directory, self._switch, self._gateways = directory, switch, gateways
        self.specs: dict[str, ProcessSpec] = {}

    @property
    def outside(self) -> str:
        return f"{self.name}-outside"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for guest in self.guests:
            guest.close()
        uplink.take_down(self.paths, self._directory / "uplink.json")
        for name in reversed(list(self.processes)):
            self.stop(name)
        namespaces.delete(self.name)

    def _start(self) -> None:
        namespaces.make(self.name)
        datapath = ovn.datapath(self.name) if self._switch else "netdev"
        ovn.prepare(self.paths, new_boot=True)
        self.specs = {spec.name: spec for spec in ovn.ovn_processes(self.paths, self.name, datapath)}
        for name in self.specs if self._switch else ("ovn-nb", "ovn-sb"):
            self.start(name)
            if name == "ovs-db":
                ovn.configure(self.paths, CHASSIS, datapath)
        self.datapath = datapath
        if self._gateways:
            uplink.bring_up(uplink.Uplink(way=uplink.Way.ISOLATED, cloud=self.name, gateways=self._gateways,
                                          datapath=datapath), self.paths, self._directory / "uplink.json")

    def start(self, name: str) -> None:
        """Start one of the processes and wait until it is ready."""
        spec = self.specs[name]
        if spec.ready is not None:
            spec.ready.unlink(missing_ok=True)
        process = subprocess.Popen(spec.command(), env={**os.environ, **spec.env}, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes[name] = process
        if spec.ready is not None:
            eventually(lambda: spec.ready is None or spec.ready.exists() or process.poll() is not None)
        assert process.poll() is None, f"{name} ended at once"

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one of the processes."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill() if kill else process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def nbctl(self, *arguments: str, timeout: int = 15) -> str:
        return run("ovn-nbctl", f"--db=unix:{self.paths.socket('nb')}", f"--timeout={timeout}", *arguments,
                   env=self.paths.env, timeout=timeout + 3)

    def sync(self) -> None:
        """Wait until the switch has what the northbound database says."""
        self.nbctl("--wait=hv", "sync")

    def guest(self, port_id: str, mac: str, mtu: int = 1442) -> Guest:
        """A namespace whose eth0 is plugged into the logical port."""
        guest = Guest(self, port_id, mac, mtu)
        self.guests.append(guest)
        return guest


class Guest:
    """A network namespace as a virtual machine's stand-in."""

    def __init__(self, cloud: RealOvn, port_id: str, mac: str, mtu: int) -> None:
        self.cloud, self.port_id, self.mac = cloud, port_id, mac
        self.name = f"{cloud.name}-{secrets.token_hex(2)}"
        self.tap = f"tap{port_id[:8]}"
        self._children: list[subprocess.Popen[bytes]] = []
        namespaces.make(self.name)
        self.run("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_ra=2", "net.ipv6.conf.default.addr_gen_mode=0")
        ip(cloud.name, "link", "add", self.tap, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        namespaces.checksums_in_software(self.name, "eth0")
        ip(self.name, "link", "set", "eth0", "address", mac, "mtu", str(mtu), "up")
        ip(cloud.name, "link", "set", self.tap, "up")
        ovn.plug(cloud.paths, ovn.INTEGRATION, self.tap, port_id)

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.wait(5)
        ovn.unplug(self.cloud.paths, self.tap)
        namespaces.delete_device(self.cloud.name, self.tap)
        namespaces.delete(self.name)

    def run(self, *argv: str, timeout: float = 15.0) -> str:
        return run(*argv, netns=self.name, timeout=timeout)

    def spawn(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program inside; it is killed with the guest."""
        child = subprocess.Popen(("nsenter", f"--net=/run/netns/{self.name}", "--", *argv),
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._children.append(child)
        return child
