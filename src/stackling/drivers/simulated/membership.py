"""Membership and fencing of simulated machines: a file says which of them have power and a network.

Every process of a simulated cloud has the same file open, so that "machine 2 loses its power" is one command, and each
of them sees what it would see of iron: the membership loses the machine, its agent falls silent and its guests are off.
The fence device can be absent, hang, fail, lie, or be unable to read the power.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from stackling.core import clock
from stackling.core.ids import new_id
from stackling.ports.membership import FenceEvent, MembershipUnknown, Standing, View

T = TypeVar("T")
HISTORY = 50


class Device(StrEnum):
    """How a machine's fence device behaves."""

    OK = "ok"
    ABSENT = "absent"           # the fencer can't be asked about this machine
    HANG = "hang"               # doesn't answer within any timeout
    FAIL = "fail"
    LIE = "lie"                 # says "done" and does nothing; the power reads on
    BLIND_LIE = "blind-lie"     # the same, and the power can't be read
    BLIND = "blind"             # works, and the power can't be read


class SimulatedMachine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One machine. ``boot_id`` is a new one after every power on."""

    boot_id: str
    power: bool = True
    network: bool = True
    left: bool = False          # its cluster engine was stopped in order
    fenced: bool = False
    device: Device = Device.OK
    history: tuple[FenceEvent, ...] = ()

    @property
    def standing(self) -> Standing:
        """How the others see it."""
        if self.power and self.network and not self.left:
            return Standing.MEMBER
        return Standing.ABSENT if self.left or self.fenced else Standing.LOST


class _File(msgspec.Struct):
    machines: dict[str, SimulatedMachine]
    quorate: bool = True


class SimulatedCluster:
    """``ports.membership.Membership`` and ``Fence`` over *path*, which is made for *machines* where it is missing.

    ``wait`` is how a hanging device waits; tests give one that doesn't.
    """

    def __init__(self, path: Path, machines: Sequence[str] = (), *,
                 wait: Callable[[float], object] = time.sleep) -> None:
        self.path = path
        self._wait = wait
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._change() as file:
            for name in machines:
                file.machines.setdefault(name, SimulatedMachine(new_id()))

    # -- Membership

    def view(self) -> View:
        file = self._read()
        if not file.quorate:
            raise MembershipUnknown("this side of the cluster has no quorum")
        return View({name: machine.standing for name, machine in file.machines.items()})

    # -- Fence

    def history(self, machine: str) -> list[FenceEvent]:
        found = self._machine(machine)
        if found.device is Device.ABSENT:
            raise MembershipUnknown(f"there is no fence device for {machine}")
        return list(found.history)

    def off(self, machine: str, timeout: float) -> None:
        device = self._machine(machine).device
        if device is Device.ABSENT:
            raise MembershipUnknown(f"there is no fence device for {machine}")
        if device is Device.HANG:
            self._wait(timeout)
            self._note(machine, "failed", f"the device did not answer within {timeout:g} s")
        elif device is Device.FAIL:
            self._note(machine, "failed", "the device refused")
        else:
            if device not in (Device.LIE, Device.BLIND_LIE):
                self._alter(machine, power=False, fenced=True)
            self._note(machine, "success", "")

    def on(self, machine: str, timeout: float) -> None:
        if self._machine(machine).device in (Device.OK, Device.BLIND):
            self.give_power(machine)
            self._note(machine, "success", "", action="on")
        else:
            self._note(machine, "failed", "the device did nothing", action="on")

    def is_off(self, machine: str) -> bool | None:
        found = self._machine(machine)
        if found.device not in (Device.OK, Device.LIE, Device.FAIL):
            return None
        return not found.power

    # -- what only a simulation can do

    def machine(self, name: str) -> SimulatedMachine:
        """How it is; raises ``KeyError``."""
        return self._read().machines[name]

    def names(self) -> list[str]:
        """Every machine."""
        return list(self._read().machines)

    def lose_power(self, machine: str) -> None:
        """Pull the plug."""
        self._alter(machine, power=False)

    def give_power(self, machine: str) -> None:
        """Switch on: a new boot, with the network as it was. Nothing when it is on."""
        with self._change() as file:
            found = file.machines[machine]
            if not found.power:
                file.machines[machine] = msgspec.structs.replace(
                    found, power=True, fenced=False, left=False, boot_id=new_id())

    def cut(self, machine: str) -> None:
        """Pull the network cable."""
        self._alter(machine, network=False)

    def heal(self, machine: str) -> None:
        """Plug it in again."""
        self._alter(machine, network=True)

    def leave(self, machine: str) -> None:
        """Stop the cluster engine in order; the machine goes on."""
        self._alter(machine, left=True)

    def join(self, machine: str) -> None:
        """Start it again."""
        self._alter(machine, left=False)

    def set_device(self, machine: str, device: Device) -> None:
        """Let the fence device behave so from now on."""
        self._alter(machine, device=device)

    def set_quorate(self, quorate: bool) -> None:
        """Whether this side of the cluster may say anything."""
        with self._change() as file:
            file.quorate = quorate

    # -- how

    def _machine(self, name: str) -> SimulatedMachine:
        found = self._read().machines.get(name)
        if found is None:
            raise MembershipUnknown(f"the cluster knows no machine {name}")
        return found

    def _alter(self, name: str, **values: object) -> None:
        with self._change() as file:
            file.machines[name] = msgspec.structs.replace(file.machines[name], **values)

    def _note(self, name: str, status: str, detail: str, action: str = "off") -> None:
        event = FenceEvent(name, action, status, clock.wall(), f"fence-{name}", "simulated", detail)
        with self._change() as file:
            found = file.machines[name]
            file.machines[name] = msgspec.structs.replace(found, history=(event, *found.history[:HISTORY - 1]))

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File({})

    @contextlib.contextmanager
    def _change(self) -> Iterator[_File]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self._read()
            yield file
            fresh = self.path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(msgspec.json.encode(file))
            fresh.replace(self.path)
