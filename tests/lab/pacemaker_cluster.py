"""A lab's machines made into a cluster of Corosync and Pacemaker with the generated configuration; our services are
stand-ins."""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stackling.deploy.cluster import corosync, description, pki, secrets
from stackling.deploy.cluster.apply import apply
from stackling.deploy.cluster.description import Cluster, Fencing
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.pacemaker import files
from stackling.drivers.pacemaker.fencing import PacemakerFence
from stackling.drivers.pacemaker.membership import PacemakerMembership
from stackling.drivers.pacemaker.programs import Result
from stackling.drivers.pacemaker.status import Status, status
from stackling.lab import Lab, LabError, Machine
from stackling.ports.membership import MembershipUnknown

SERVICES = ("database", "rabbitmq", "ovn-nb", "ovn-sb", "northd", "api", "engine", "ovs-db", "ovs-switch",
            "ovn-controller", "agent")
STARTED_BY_SYSTEMD = ("database", "ovs-db", "ovs-switch", "ovn-controller", "agent")


def describe(lab: Lab, *, take_over: Literal["evacuate", "identity"] = "evacuate", fence: bool = True) -> Cluster:
    """The cluster of all machines of *lab*."""
    machines = tuple(description.Machine(name=one.name, address=one.address(), control=one.member.control,
                                         fence={"port": one.name}) for one in lab.machines)
    return Cluster(name=lab.name, virtual_ip=lab.topology.virtual_ip, machines=machines, take_over=take_over,
                   fencing=Fencing(agent="fence_lab" if fence else ""))


def unit(service: str) -> bytes:
    """The unit of a stand-in."""
    return (f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart=/usr/bin/python3 -I "
            f"/var/lib/stackling/stand_in.py {service}\n[Install]\nWantedBy=multi-user.target\n").encode()


def machine_files(cluster: Cluster) -> dict[str, list[ConfigFile]]:
    """What each machine needs, below ``/``."""
    known, authority, paths = secrets.make(cluster), pki.make_authority(cluster.name), Paths()
    script = ConfigFile(paths.state / "stand_in.py", Path(__file__).with_name("stand_in.py").read_bytes())
    found: dict[str, list[ConfigFile]] = {}
    for machine in cluster.machines:
        key = known[machine.name]
        found[machine.name] = [
            ConfigFile(paths.cluster, description.write(cluster).encode()),
            ConfigFile(paths.etc / "machine", f"{machine.name}\n".encode()),
            *secrets.files(key, paths), *pki.files(pki.for_machine(authority, cluster, machine), paths),
            *files.files(paths), script,
            *(ConfigFile(Path(f"/etc/systemd/system/stackling-{one}.service"), unit(one)) for one in SERVICES),
            *corosync.files(cluster, machine.name, key, paths),
        ]
    return found


def until(what: str, ask: Callable[[], Any], limit: float = 60.0) -> Any:
    """What *ask* says once that is something."""
    end = time.monotonic() + limit
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(0.05)


@dataclass(frozen=True)
class PacemakerCluster:
    """What tests do with it."""

    lab: Lab
    cluster: Cluster

    @classmethod
    def make(cls, lab: Lab, cluster: Cluster) -> PacemakerCluster:
        """Install on every machine, start, and apply the configuration."""
        made = cls(lab, cluster)
        wanted = machine_files(cluster)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda machine: made._install(machine, wanted[machine.name]), lab.machines))
        until("all are members", made.complete)
        made.stackling(lab.machines[0], "ha", "apply")
        made.settle()
        return made

    def _install(self, machine: Machine, wanted: Iterable[ConfigFile]) -> None:
        root = machine.path("/")
        apply([ConfigFile(root / file.path.relative_to("/"), file.content, file.mode, file.owner) for file in wanted])
        machine.run(["systemctl", "enable", "--now", "--no-block", "corosync", "pacemaker",
                     *(f"stackling-{one}" for one in STARTED_BY_SYSTEMD)])

    def run_on(self, machine: Machine) -> Callable[..., Result]:
        """Runs a driver's programs on *machine*."""
        def run(command: Sequence[str], *, deadline: float = 10.0, given: str = "") -> Result:
            try:
                done = subprocess.run(machine.command(list(command)), input=given, capture_output=True, text=True,
                                      timeout=deadline, check=False)
            except subprocess.TimeoutExpired:
                raise MembershipUnknown(f"{command[0]} didn't answer in time") from None
            return Result(done.returncode, done.stdout, done.stderr)
        return run

    def stackling(self, machine: Machine, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Our command on *machine*."""
        return machine.run(["stackling", *arguments], check=check, timeout=120)

    def alive(self) -> list[Machine]:
        return [machine for machine in self.lab.machines if machine.life()]

    def membership(self, machine: Machine) -> PacemakerMembership:
        return PacemakerMembership([one.name for one in self.cluster.machines], self.run_on(machine))

    def fence(self, machine: Machine) -> PacemakerFence:
        return PacemakerFence(self.run_on(machine))

    def status(self, machine: Machine) -> Status | None:
        try:
            return status(self.run_on(machine))
        except MembershipUnknown:
            return None

    def complete(self) -> bool:
        """Whether every control machine is a member."""
        try:
            standings = self.membership(self.lab.machines[0]).view().standings
        except (MembershipUnknown, LabError):
            return False
        return all(standings[machine.name] == "member" for machine in self.cluster.control)

    def settle(self) -> None:
        """Wait until everything runs where it should."""
        control, compute = len(self.cluster.control), len(self.cluster.compute)
        wanted = {"api": control, "engine": control, "database": control, "rabbitmq": control, "ovn-northd": control,
                  "agent": compute, "ovs": compute, "vip": 1}

        def settled() -> bool:
            asked = next((one for one in self.alive() if self.status(one) is not None), None)
            return asked is not None and len(self.serving(asked)) == control and all(
                self.instances(asked, name) == number for name, number in wanted.items())
        until("everything runs", settled, 180)

    def instances(self, asked: Machine, name: str) -> int:
        """On how many machines Pacemaker has started a resource of ours."""
        seen = self.status(asked)
        return 0 if seen is None else sum(
            one.resource == f"stackling-{name}" and one.state == "started" for one in seen.instances)

    def serving(self, asked: Machine) -> set[str]:
        """The machines of which it is known that the API answers there."""
        return {str(state.get("uname")) for state in self.cib(asked).iterfind("status/node_state")
                if state.find(".//transient_attributes//nvpair[@name='stackling-serves'][@value='1']") is not None}

    def coordinator(self, asked: Machine) -> str:
        """Pacemaker's designated controller; "" while there is none."""
        return asked.run(["crmadmin", "--quiet", "--dc_lookup"], check=False).stdout.strip()

    def holders(self) -> list[str]:
        """The machines whose interface has the virtual IP, whatever Pacemaker thinks."""
        address = self.cluster.virtual_ip.partition("/")[0]
        found: list[str] = []
        for machine in self.lab.machines:
            if life := machine.life():
                shown = subprocess.run(["nsenter", "-t", str(life.pid), "-n", "ip", "-4", "-o", "address"],
                                       capture_output=True, text=True, check=False).stdout
                if f" {address}/" in shown:
                    found.append(machine.name)
        return found

    def api_answers(self) -> bool:
        """Whether the API answers a client at the virtual IP."""
        done = subprocess.run(self.lab.client.command(
            ["curl", "-sk", "-m", "1", "-o", "/dev/null", f"{self.cluster.public_url}/healthz"]),
            capture_output=True, check=False)
        return done.returncode == 0

    def cib(self, machine: Machine) -> ET.Element:
        return ET.fromstring(machine.run(["cibadmin", "--query"]).stdout)

    def epoch(self, machine: Machine) -> int:
        return int(self.cib(machine).get("epoch", "0"))

    def return_all(self) -> None:
        """Every machine on, healed, a member, everything running, no failures remembered.

        A machine that returns before it was fenced is switched off once more; so it is switched on until it stays.
        """
        def returned() -> bool:
            for machine in self.lab.machines:
                machine.heal()
                if machine.life() and machine.hanging:
                    machine.resume()
                machine.on()
            return self.complete()
        until("all are members again", returned, 180)
        self.lab.machines[0].run(["crm_resource", "--cleanup"])
        self.settle()


def new_name() -> str:
    return f"pc{os.getpid() % 10_000}"
