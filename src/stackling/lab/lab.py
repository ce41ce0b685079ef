"""A lab as a whole: made, found again, taken away.

Theory of operation. ``up`` and ``down`` work from the record and from what is really there, under a lock; each step
looks before it acts, so that either can be repeated after being cut short anywhere. Nothing but the record and the
control group is needed to end everything: whatever runs, runs in that group.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stackling.deploy.embedded.command import CommandFailed
from stackling.lab import disk, host_access, networks, place, record
from stackling.lab.disk import Disk
from stackling.lab.machine import Client, Machine
from stackling.lab.problem import LabError
from stackling.lab.record import LabDirectory, Member, Record
from stackling.lab.topology import MACHINES, Topology

PROGRAMS = ("/lib/systemd/systemd", "dbus-daemon", "ip", "ethtool", "nsenter", "sysctl", "pgrep")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lab:
    """An existing lab; ``Lab.open`` finds it, ``up`` makes it. Methods raise ``LabError``."""

    directory: LabDirectory

    @classmethod
    def open(cls, name: str = "lab") -> Lab:
        """The lab of this name. Raises ``LabError`` when there is none."""
        directory = LabDirectory.of(name)
        directory.read()
        return cls(directory)

    @property
    def record(self) -> Record:
        return self.directory.read()

    @property
    def name(self) -> str:
        return self.directory.root.name

    @property
    def topology(self) -> Topology:
        """Its addresses."""
        return record.topology(self.record)

    @property
    def machines(self) -> list[Machine]:
        """All of them, by number."""
        found = self.record
        return [self._machine(found, member) for member in found.machines]

    def machine(self, name: str) -> Machine:
        """The machine of this name."""
        found = self.record
        return self._machine(found, found.member(name))

    def _machine(self, found: Record, member: Member) -> Machine:
        return Machine(self.directory, member, record.topology(found), record.group(found, member.name))

    @property
    def client(self) -> Client:
        """Where the machines' users are."""
        return Client(self.topology.client)

    def power_switch_runs(self) -> bool:
        """Whether fence agents get answers."""
        return bool(_power_switch(self.directory, self.record))

    def down(self, progress: Progress = lambda _: None) -> None:
        """Leave nothing of it: see ``down``."""
        down(self.name, progress)


def up(name: str = "lab", *, machines: int = 3, compute_only: int = 0, in_memory: bool = False,
       access: bool = False, power: bool = True, progress: Progress = lambda _: None) -> Lab:
    """Make the lab, or what is missing of it, and switch on what is off; all are running when it returns.

    *machines* counts all; the last *compute_only* of them are no control machines. *in_memory* keeps the disks in
    memory. *access*: this machine reaches the lab's addresses. With *power* unset nothing is switched on.
    """
    _check(machines, compute_only)
    directory = LabDirectory.of(name)
    directory.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.make()
    try:
        with record.lock(directory.root):
            _make(directory, machines, compute_only, in_memory, access, progress)
        lab = Lab(directory)
        if power:
            _switch_on(lab.machines, progress)
        return lab
    except CommandFailed as error:
        raise LabError(f"{error}; `stackling lab down` clears away what there is") from None


def _make(directory: LabDirectory, machines: int, compute_only: int, in_memory: bool, access: bool,
          progress: Progress) -> None:
    """Everything but power."""
    progress("networks")
    directory.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.power.mkdir(mode=0o700, exist_ok=True)
    found = directory.read()
    found = msgspec.structs.replace(found, host_access=access or found.host_access,
                                    in_memory=place.prepare(directory.machines, in_memory=in_memory or found.in_memory))
    record.group(found, "lab").make()
    networks.make(record.topology(found))
    new = _new_members(found.machines, machines, compute_only)
    found = msgspec.structs.replace(found, machines=(*found.machines, *new))
    directory.write(found)
    for member in found.machines:
        home = directory.machine(member.name)
        if not (home / "made").exists():
            progress(f"disk of {member.name}")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            Disk(home).make(found, member)
            (home / "made").touch()
    if new:
        _tell_hosts(Lab(directory))
    if found.host_access:
        host_access.open_(record.topology(found))
    _start_power_switch(directory, found)


def _switch_on(machines: list[Machine], progress: Progress) -> None:
    progress("power")
    with ThreadPoolExecutor(max(1, min(4, len(machines)))) as pool:
        list(pool.map(Machine.on, machines))
    for one in machines:
        if not one.hanging:
            progress(f"waiting for {one.name}")
            one.wait_running()


def down(name: str = "lab", progress: Progress = lambda _: None) -> None:
    """Leave no process, namespace, mount, control group, interface or file of the lab behind."""
    directory = LabDirectory.of(name)
    if not directory.root.exists():
        raise LabError(f"there is no lab {name!r}")
    if not directory.exists():
        place.release(directory.machines)
        shutil.rmtree(directory.root)
        return
    try:
        with record.lock(directory.root):
            _remove(directory, progress)
    except (CommandFailed, OSError) as error:
        raise LabError(f"{error}; run `stackling lab down --name {name}` again") from None


def _remove(directory: LabDirectory, progress: Progress) -> None:
    found = directory.read()
    places = record.topology(found)
    lab = Lab(directory)
    progress("power")
    for machine in lab.machines:
        if machine.home.exists() and machine.is_on():
            with contextlib.suppress(LabError):     # what is too broken for that ends with its group
                machine.kill()
    whole = record.whole_group(found)
    whole.kill()
    whole.remove()
    progress("networks")
    host_access.close(places)
    networks.remove(places, [member.name for member in found.machines])
    progress("disks")
    place.release(directory.machines)
    shutil.rmtree(directory.run, ignore_errors=True)
    for path in directory.root.iterdir():       # the record last: whatever comes between, `down` can be repeated
        if path != directory.record_file:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(directory.root)
    for path in (record.RUN, record.base()):
        with contextlib.suppress(OSError):
            path.rmdir()


def _check(machines: int, compute_only: int) -> None:
    if os.geteuid() != 0:
        raise LabError("a lab is made of namespaces and mounts: it belongs to root; use sudo")
    if not 0 < machines <= MACHINES:
        raise LabError(f"a lab has 1 to {MACHINES} machines")
    if not 0 <= compute_only < machines:
        raise LabError("at least one of the machines must be a control machine")
    if missing := disk.missing(PROGRAMS):
        raise LabError(f"{', '.join(missing)} is not installed; run ./setup lab")


def _new_members(there: tuple[Member, ...], machines: int, compute_only: int) -> list[Member]:
    names = {member.name for member in there}
    return [Member(name=f"m{number}", number=number, control=number <= machines - compute_only)
            for number in range(1, machines + 1) if f"m{number}" not in names]


def _tell_hosts(lab: Lab) -> None:
    """Machines that are there already learn of the new ones' names."""
    text = disk.hosts(lab.record)
    for machine in lab.machines:
        if machine.life():
            machine.path("/etc/hosts").write_text(text)
        else:
            Disk(machine.home).write("/etc/hosts", text)


def _start_power_switch(directory: LabDirectory, found: Record) -> None:
    if _power_switch(directory, found):
        return
    log = directory.log("power").open("ab")
    with log:
        process = subprocess.Popen([sys.executable, "-I", "-m", "stackling.lab.power", "--directory",
                                    str(directory.root)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    (directory.root / "power.pid").write_text(str(process.pid))
    deadline = time.monotonic() + 20
    while not (directory.power / "socket").exists() or not _power_switch(directory, found):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the power switch doesn't start; see {directory.log('power')}")
        time.sleep(0.02)


def _power_switch(directory: LabDirectory, found: Record) -> int:
    """Its pid; 0: it doesn't run."""
    try:
        pid = int((directory.root / "power.pid").read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return pid if record.group(found, "lab").holds(pid) and Path(f"/proc/{pid}/exe").exists() else 0
