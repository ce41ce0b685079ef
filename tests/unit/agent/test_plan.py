"""The agent's plan against the simulated machine: every transition, interrupted at every step, each step done twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from stackling.agent import plan as p
from stackling.agent.plan import Asked, Done, Observed, plan
from stackling.core.ids import new_id
from stackling.drivers.simulated.disks import SimulatedDisks
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.drivers.simulated.volume_copies import SimulatedVolumeCopies
from stackling.ports.document import Nic, Power, RescueDisk, RootDisk, ServerDesired, VolumeDisk

NICS = tuple(Nic(port_id=f"port-{n}", mac=f"fa:16:3e:00:00:0{n}", network_id="n") for n in range(3))
POWERS = (Power.RUNNING, Power.STOPPED, Power.PAUSED, Power.SUSPENDED)


class Crash(Exception):
    """The agent is killed here."""


class Machine:
    """Applies plans as the converger does; can be killed before the n-th step from now."""

    def __init__(self, *, twice: bool = False) -> None:
        self.hypervisor, self.disks = SimulatedHypervisor(), SimulatedDisks()
        self.copies = SimulatedVolumeCopies()
        self.done: Done | None = None
        self.boot, self.twice = "boot-1", twice
        self.steps_left: int | None = None
        self.asked: Asked | None = None

    def observe(self, desired: ServerDesired) -> Observed:
        copying = self.hypervisor.copying(desired.id) if self.done is not None and self.done.copying else None
        return Observed(self.hypervisor.guest(desired.id), self.disks.find(desired.id), copying=copying)

    def converge(self, desired: ServerDesired) -> None:
        """Until nothing is left to do; raises ``Crash``."""
        if self.done is None:
            self.done = p.first_done(desired)
        for _ in range(12):
            steps = plan(desired, self.observe(desired), self.done, self.boot, self.asked)
            if not steps or isinstance(steps[0], p.Watch):
                self.asked = None
                return
            for step in steps:
                for _ in range(2 if self.twice else 1):
                    self.apply(desired, step)
        raise AssertionError(f"doesn't come to rest: {steps}")

    def may_die(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise Crash
            self.steps_left -= 1

    def apply(self, desired: ServerDesired, step: p.Step) -> None:
        self.may_die()
        id, hypervisor = desired.id, self.hypervisor
        match step:
            case p.Note(done):
                self.done = done
            case p.MakeDisks():
                self.disks.make(desired, lambda _: None)
            case p.Define():
                hypervisor.define(desired, self.disks.paths(desired))
            case p.Start():
                hypervisor.start(id)
            case p.AskShutdown():
                hypervisor.shutdown(id)
                self.asked = Asked(self.asked.first if self.asked else 0.0, 0.0)
            case p.Wait(seconds):
                assert self.asked
                self.asked = Asked(self.asked.first + seconds, self.asked.last + seconds)
            case p.SwitchOff():
                hypervisor.destroy(id)
            case p.Pause():
                hypervisor.pause(id)
            case p.Unpause():
                hypervisor.unpause(id)
            case p.Suspend():
                hypervisor.suspend(id)
            case p.Plug(nic):
                hypervisor.attach(desired, nic)
            case p.Unplug(port_id):
                hypervisor.detach(id, port_id)
            case p.PlugVolume(volume):
                hypervisor.attach_volume(desired, volume)
            case p.UnplugVolume(attachment_id):
                hypervisor.detach_volume(id, attachment_id)
            case p.ExtendVolume(volume):
                hypervisor.extend_volume(id, volume)
            case p.CopyVolume(volume, snapshot):
                assert self.power(desired) not in (Power.RUNNING, Power.PAUSED)
                self.copies.copy(volume, snapshot)
                self.copied(snapshot)
            case p.KeepVolumes(wanted):
                self.keep(desired, wanted)
            case p.BeginCopy(volume, snapshot):
                hypervisor.begin_copy(desired, volume.id, self.copies.prepare(volume, snapshot))
            case p.FinishCopy(volume, snapshot):
                self.copies.finish(volume, snapshot)
                self.copied(snapshot)
            case p.DropCopy(volume, snapshot, reason):
                self.copies.drop(volume, snapshot)
                self.copied(snapshot, reason)
            case p.AbortCopy():
                hypervisor.abort_copy(id)
            case p.Forget():
                hypervisor.undefine(id)
            case p.Wipe():
                self.disks.remove(id)
            case p.MakeRescue():
                assert self.power(desired) in (Power.STOPPED, Power.ABSENT)
                self.disks.make_rescue(desired, lambda _: None)
            case p.DropRescue():
                assert self.power(desired) in (Power.STOPPED, Power.ABSENT)
                self.disks.drop_rescue(desired)
            case p.Refuse(reason):
                raise AssertionError(reason)

    def keep(self, desired: ServerDesired, wanted: Sequence[tuple[VolumeDisk, str]]) -> None:
        guest = self.hypervisor.guest(desired.id)
        if guest is not None and guest.on:
            self.hypervisor.rest(desired, pause=len(wanted) > 1)
        for volume, snapshot in wanted:
            self.may_die()
            self.copies.keep(volume, snapshot)
        self.may_die()
        self.hypervisor.rouse(desired.id)
        for _, snapshot in wanted:
            self.copied(snapshot)

    def copied(self, snapshot: str, why: str = "") -> None:
        assert self.done is not None
        known = {**self.done.volume_snapshots, snapshot: why}
        self.done = msgspec.structs.replace(self.done, copying="", volume_snapshots=known)

    def power(self, desired: ServerDesired) -> Power:
        guest = self.hypervisor.guest(desired.id)
        return guest.power if guest else Power.ABSENT


def server(**values: Any) -> ServerDesired:
    return ServerDesired(**{"id": new_id(), "generation": 1, "nics": NICS[:1], **values})


def changed(desired: ServerDesired, **values: Any) -> ServerDesired:
    return msgspec.structs.replace(desired, generation=desired.generation + 1, **values)


def as_asked(machine: Machine, desired: ServerDesired) -> None:
    if not desired.present:
        assert machine.observe(desired) == Observed(None, None)
        return
    seen = machine.observe(desired)
    assert seen.guest is not None
    assert machine.done is not None
    power = seen.guest.power
    assert power is desired.power or (desired.power is Power.SUSPENDED and power is Power.STOPPED)
    assert seen.disks == desired.rebuilds
    rescue = desired.rescue.number if desired.rescue else 0
    assert (machine.done.rescue, machine.disks.rescues.get(desired.id, 0)) == (rescue, rescue)
    assert (machine.done.soft_reboots, machine.done.hard_reboots) == (desired.soft_reboots, desired.hard_reboots)
    if power is not Power.SUSPENDED:
        assert set(seen.guest.nics) == {nic.port_id for nic in desired.nics}


RESCUE = RescueDisk(number=1, root=RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum=""))
CHANGES: list[dict[str, Any]] = [
    *({"power": power} for power in POWERS), {"soft_reboots": 1, "power": Power.RUNNING},
    {"hard_reboots": 1, "power": Power.RUNNING}, {"rebuilds": 1}, {"nics": NICS}, {"nics": ()}, {"nics": NICS[1:]},
    {"rescue": RESCUE}, {"rescue": RESCUE, "nics": NICS},
    {"rebuilds": 2, "nics": NICS[1:], "hard_reboots": 2, "power": Power.PAUSED}, {"present": False}, {"name": "x"},
]


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(("first", "change"), list(itertools.product(POWERS, CHANGES)))
def test_every_change_interrupted_at_every_step(first: Power, change: dict[str, Any], twice: bool) -> None:
    for steps in range(40):
        machine = Machine(twice=twice)
        one = server()
        machine.converge(one)
        if first is not Power.RUNNING:
            one = changed(one, power=first)
            machine.converge(one)
        two = changed(one, **change)
        machine.steps_left = steps
        try:
            machine.converge(two)
        except Crash:
            machine.steps_left = machine.asked = None
            machine.converge(two)
            as_asked(machine, two)
            continue
        as_asked(machine, two)
        return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("steps", range(8))
def test_a_creation_interrupted_at_every_step_starts_the_guest_once(steps: int) -> None:
    machine, one = Machine(), server()
    machine.steps_left = steps
    try:
        machine.converge(one)
    except Crash:
        machine.steps_left = None
        machine.converge(one)
    as_asked(machine, one)
    assert machine.hypervisor.started[one.id] == 1


def test_a_converged_server_needs_nothing() -> None:
    machine, one = Machine(), server()
    machine.converge(one)
    assert machine.done
    assert plan(one, machine.observe(one), machine.done, machine.boot) == ()


def test_a_change_of_words_never_touches_the_guest() -> None:
    machine, one = Machine(), server()
    machine.converge(one)
    machine.converge(changed(one, name="another", power_generation=1))
    assert machine.hypervisor.started[one.id] == 1


def test_a_guest_that_goes_off_by_itself_stays_off_until_asked_anew() -> None:
    machine, one = Machine(), server(power_generation=1)
    machine.converge(one)
    machine.hypervisor.power_off(one.id)
    machine.converge(one)
    two = changed(one, name="x")
    machine.converge(two)
    assert machine.power(two) is Power.STOPPED
    machine.converge(changed(two, power_generation=3))
    assert machine.power(two) is Power.RUNNING


@pytest.mark.parametrize(("resume", "then"), [(True, Power.RUNNING), (False, Power.STOPPED)])
def test_after_the_machine_booted(resume: bool, then: Power) -> None:
    machine, one = Machine(), server(resume_on_boot=resume)
    machine.converge(one)
    machine.hypervisor.reboot_machine()
    machine.boot = "boot-2"
    machine.converge(one)
    assert machine.power(one) is then
    machine.hypervisor.power_off(one.id)
    machine.converge(one)
    assert machine.power(one) is Power.STOPPED      # the boot counts once


def test_a_stubborn_guest_is_asked_again_and_switched_off_in_the_end() -> None:
    machine, one = Machine(), server(stop_timeout=25)
    machine.converge(one)
    machine.hypervisor.stubborn.add(one.id)
    two = changed(one, power=Power.STOPPED)
    assert machine.done
    seen = machine.observe(two)
    assert plan(two, seen, machine.done, "boot-1") == (p.AskShutdown(),)
    assert plan(two, seen, machine.done, "boot-1", Asked(4.0, 4.0)) == (p.Wait(6.0),)
    assert plan(two, seen, machine.done, "boot-1", Asked(10.0, 10.0)) == (p.AskShutdown(),)
    assert plan(two, seen, machine.done, "boot-1", Asked(20.0, 9.0)) == (p.Wait(1.0),)
    assert plan(two, seen, machine.done, "boot-1", Asked(25.0, 5.0)) == (p.SwitchOff(),)
    machine.converge(two)
    assert machine.power(two) is Power.STOPPED


def test_a_missing_disk_is_refused_and_a_rebuild_makes_it() -> None:
    machine, one = Machine(), server()
    machine.converge(one)
    machine.hypervisor.destroy(one.id)
    machine.disks.lose(one.id)
    two = changed(one)
    assert machine.done
    step, = plan(two, machine.observe(two), machine.done, machine.boot)
    assert isinstance(step, p.Refuse)
    machine.converge(changed(two, rebuilds=1))
    assert machine.power(two) is Power.RUNNING


def test_old_requests_of_a_server_that_is_new_here_are_not_repeated() -> None:
    machine, one = Machine(), server(hard_reboots=3, soft_reboots=2)
    machine.converge(one)
    assert machine.hypervisor.started[one.id] == 1


def test_a_running_guest_is_shown_that_its_volume_is_larger() -> None:
    machine = Machine()
    volumes = tuple(VolumeDisk(id=id, volume_id=id, location=f"rbd://p/{id}", size_gib=1, device="/dev/vdb")
                    for id in ("a", "b"))
    desired = server(volumes=volumes[:1])
    machine.converge(desired)
    larger = changed(desired, volumes=(msgspec.structs.replace(volumes[0], size_gib=3), volumes[1]))
    machine.converge(larger)
    guest = machine.hypervisor.guest(desired.id)
    assert guest is not None
    assert guest.volume_gib == {"a": 3, "b": 1}
    machine.converge(changed(larger, volumes=volumes[1:]))
    guest = machine.hypervisor.guest(desired.id)
    assert guest is not None
    assert guest.volume_gib == {"b": 1}
