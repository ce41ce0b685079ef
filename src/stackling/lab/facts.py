"""How a lab stands: its machines as seen from outside, and what its cluster says of itself where there is one.

What is seen from outside is true whatever the cluster believes; showing both beside each other is the point.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from stackling.deploy.embedded.command import CommandFailed
from stackling.deploy.embedded.namespaces import ip_json
from stackling.drivers.pacemaker.programs import Result
from stackling.drivers.pacemaker.status import Status, status
from stackling.lab import power
from stackling.lab.lab import Lab
from stackling.lab.machine import Machine
from stackling.lab.problem import LabError
from stackling.lab.topology import Network
from stackling.ports.membership import MembershipUnknown


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """A machine, from outside. *state* is systemd's, *uptime* in seconds, *memory* in bytes; *virtual_ip*: the
    address is on its interface, whoever thinks what; *switch* is how the power switch treats it."""

    name: str
    address: str
    control: bool
    power: str
    state: str = ""
    uptime: float = 0
    boots: int = 0
    memory: int = 0
    processes: int = 0
    cut: tuple[str, ...] = ()
    hanging: bool = False
    virtual_ip: bool = False
    switch: str = "ok"


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. *pacemaker* and *api* are None where nobody answers; *api* is what ``ask`` printed."""

    name: str
    virtual_ip: str
    power_switch: bool
    machines: tuple[MachineFacts, ...]
    pacemaker: Status | None = None
    api: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def gather(lab: Lab, api: dict[str, Any] | None = None) -> Facts:
    """Look at everything, at all machines at once."""
    places, machines = lab.topology, lab.machines
    address = places.virtual_ip.partition("/")[0]
    modes = power.modes(lab.directory)
    with ThreadPoolExecutor(max(2, len(machines) + 1)) as pool:
        cluster = pool.submit(_pacemaker, machines)
        seen = tuple(pool.map(lambda one: _machine(one, address, modes), machines))
        return Facts(lab.name, address, lab.power_switch_runs(), seen, cluster.result(), api)


def _machine(machine: Machine, virtual_ip: str, modes: dict[str, power.Mode]) -> MachineFacts:
    mode = modes.get(machine.name, modes.get(power.ALL, power.Mode.OK))
    cut = tuple(network.value for network in Network if network in machine.cut_networks)
    life = machine.life()
    known = {"name": machine.name, "address": machine.address(), "control": machine.member.control, "cut": cut,
             "switch": mode.value}
    if life is None:
        return MachineFacts(power="booting" if machine.is_on() else "off", **known)
    hanging = machine.hanging
    return MachineFacts(
        power="on", state="hanging" if hanging else machine.system_state(), uptime=time.time() - life.since,
        boots=life.boots, memory=machine.memory(), processes=len(machine.processes()), hanging=hanging,
        virtual_ip=virtual_ip in _addresses(machine), **known)


def _addresses(machine: Machine) -> set[str]:
    try:
        shown = ip_json(machine.places.namespace(machine.name), "-4", "address", "show", "dev", Network.MGMT.device)
    except CommandFailed:
        return set()
    return {info.get("local", "") for link in shown for info in link.get("addr_info", ())}


def _pacemaker(machines: Sequence[Machine]) -> Status | None:
    """What a machine in a quorate partition says, or else anybody."""
    found: Status | None = None
    for machine in machines:
        if not machine.life() or machine.hanging or not machine.path("/etc/corosync/corosync.conf").exists():
            continue
        try:
            seen = status(_runner(machine))
        except (MembershipUnknown, LabError, OSError):
            continue
        if seen.quorum:
            return seen
        found = found or seen
    return found


def _runner(machine: Machine) -> Any:
    def run(command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
        try:
            done = machine.run(command, check=False, timeout=min(deadline, 4.0), input=given)
        except LabError as error:
            raise MembershipUnknown(str(error)) from None
        return Result(done.returncode, done.stdout, done.stderr)
    return run


@dataclass
class Asking:
    """Asks the cluster's API again and again, from the client, and holds the last answer."""

    lab: Lab
    every: float = 2.0
    answer: dict[str, Any] | None = None
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def once(self, timeout: float = 5) -> dict[str, Any] | None:
        """One answer; None where there is no cluster, or nobody answers."""
        if command := self._command("--once"):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                                      input=self._credentials())
            except subprocess.TimeoutExpired:
                return None
            return json.loads(done.stdout) if done.stdout.strip() else None
        return None

    def begin(self) -> None:
        """Ask on until ``end``; nothing happens where there is no cluster."""
        command = self._command("--every", f"{self.every:g}")
        if command is None or self._process is not None:
            return
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None
        self._process.stdin.write(self._credentials())
        self._process.stdin.close()
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.answer = json.loads(line)
        self.answer = None

    def _command(self, *arguments: str) -> list[str] | None:
        if not self._credentials():
            return None
        return self.lab.client.command([sys.executable, "-I", "-m", "stackling.lab.ask", *arguments])

    def _credentials(self) -> str:
        """The administrator's, with the cluster's certificate; "" where there is no cluster."""
        for machine in self.lab.machines:
            if machine.life():
                etc = machine.path("/etc/stackling")
                clouds, authority = etc / "clouds.yaml", etc / "pki/ca.crt"
                if clouds.exists() and authority.exists():
                    return json.dumps({"clouds": clouds.read_text(), "ca": authority.read_text()})
        return ""
