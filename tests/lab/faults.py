"""Faults that fall on a cluster at random: a schedule is chosen from a seed, and then carried out."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stackling.lab import LabError, Machine, units
from stackling.lab.power import Mode, set_mode
from tests.lab.cloud import Cloud

NETWORKS = ("mgmt", "storage", "tenant")
PROCESSES = ("agent", "engine", "api", "mariadbd", "libvirtd", "rabbitmq", "ovn-nb", "ovn-sb", "corosync",
             "ovs-vswitchd", "ovn-controller")
KINDS = ("power", "reboot", "freeze", *(f"cut {name}" for name in NETWORKS), *(f"hang {name}" for name in PROCESSES),
         *(f"kill {name}" for name in PROCESSES))
WEIGHTS = tuple({"power": 6.0, "reboot": 2.0, "freeze": 3.0}.get(kind, 3.0 if kind.startswith("cut") else 1.0)
                for kind in KINDS)
LONGEST = 60.0          # seconds that a fault lasts at most


@dataclass(frozen=True, slots=True)
class Fault:
    """*kind* befalls a machine *after* so many seconds, and is over at *until*."""

    after: float
    until: float
    machine: str
    kind: str

    def __str__(self) -> str:
        return f"{self.after:.1f}-{self.until:.1f} s: {self.kind} of {self.machine}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in the order of their beginnings, and how the fence device is until all are over."""

    faults: tuple[Fault, ...]
    device: Mode

    def __str__(self) -> str:
        return "; ".join((*map(str, self.faults), f"fence device {self.device.value}"))


def schedule(seed: int, machines: Sequence[str]) -> Schedule:
    """One to three faults that may overlap, each of another kind or machine."""
    chance = random.Random(seed)
    found: dict[tuple[str, str], Fault] = {}
    for _ in range(chance.choice((1, 2, 2, 3))):
        kind, = chance.choices(KINDS, WEIGHTS)
        machine, after = chance.choice(machines), chance.uniform(0.0, 15.0)
        found.setdefault((machine, kind), Fault(after, after + chance.uniform(3.0, LONGEST), machine, kind))
    device = chance.choices((Mode.OK, Mode.ABSENT, Mode.HANG), (8, 1, 1))[0]
    return Schedule(tuple(sorted(found.values(), key=lambda one: one.after)), device)


def carry_out(cloud: Cloud, wanted: Schedule) -> None:
    """Let it happen; in the end everything is on, connected, and awake again."""
    set_mode(cloud.lab.directory, wanted.device)
    began = time.monotonic()
    moments = sorted((*((one.after, one, True) for one in wanted.faults),
                      *((one.until, one, False) for one in wanted.faults)), key=lambda moment: moment[0])
    for at, fault, begins in moments:
        time.sleep(max(0.0, began + at - time.monotonic()))
        machine = cloud.lab.machine(fault.machine)
        try:
            (_begin if begins else _end)(machine, fault.kind)
        except LabError as error:       # another fault was there before it: it is off, or the process has ended
            print(f"[fault] {'' if begins else 'end of '}{fault.kind} of {fault.machine}: {error}")
    set_mode(cloud.lab.directory, Mode.OK)


def _begin(machine: Machine, kind: str) -> None:
    word, _, what = kind.partition(" ")
    if machine.hanging and word in ("hang", "kill"):
        raise LabError("all of it is stopped")
    if word == "power":
        machine.kill()
    elif word == "reboot":
        machine.reboot()
    elif word == "freeze":
        machine.hang()
    elif word == "cut":
        machine.cut(what)
    elif word == "hang":
        machine.hang(what)
    else:
        units.send(machine.run, what, signal.SIGKILL)


def _end(machine: Machine, kind: str) -> None:
    word, _, what = kind.partition(" ")
    if word == "cut":
        machine.heal(what)
    elif word == "freeze" and machine.life():
        machine.resume()
    elif word == "hang" and machine.life() and not machine.hanging:
        machine.resume(what)
    machine.on()                        # whoever was fenced meanwhile
