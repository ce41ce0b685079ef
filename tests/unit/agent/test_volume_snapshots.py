"""Snapshots of volumes that a host makes: what the agent plans, interrupted at every step, each step done twice."""

from __future__ import annotations

import msgspec
import pytest

from stackling.agent import plan as p
from stackling.ports.document import Power, ServerDesired, VolumeDisk
from tests.unit.agent.test_plan import Crash, Machine, changed, server

VOLUMES = tuple(VolumeDisk(id=f"{id}-attached", volume_id=id, location=f"file:///{id}.qcow2?format=qcow2", size_gib=1,
                           device="/dev/vdb") for id in ("a", "b"))
IN_CEPH = tuple(msgspec.structs.replace(one, location=f"rbd://volumes/{one.volume_id}") for one in VOLUMES)


def asking(desired: ServerDesired, *snapshots: str) -> ServerDesired:
    """The same with snapshots of volume ``a``."""
    return changed(desired, volumes=(msgspec.structs.replace(desired.volumes[0], snapshots=snapshots),
                                     *desired.volumes[1:]))


def with_volumes(machine: Machine, power: Power, volumes: tuple[VolumeDisk, ...] = VOLUMES) -> ServerDesired:
    one = server(volumes=volumes)
    machine.converge(one)
    if power is not Power.RUNNING:
        one = changed(one, power=power)
        machine.converge(one)
    return one


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("power", [Power.RUNNING, Power.PAUSED, Power.STOPPED, Power.SUSPENDED])
def test_one_is_made_interrupted_at_every_step(power: Power, twice: bool) -> None:
    for steps in range(20):
        machine = Machine(twice=twice)
        two = asking(with_volumes(machine, power), "s", "t")
        machine.steps_left = steps
        try:
            machine.converge(two)
        except Crash:
            machine.steps_left = None
            machine.converge(two)
        else:
            assert steps > 1
        assert machine.copies.made == {("a", "s"), ("a", "t")}
        assert machine.copies.begun == set()
        assert machine.done is not None
        assert (machine.done.volume_snapshots, machine.done.copying) == ({"s": "", "t": ""}, "")
        assert machine.power(two) is power
    machine.converge(asking(two))
    assert machine.done.volume_snapshots == {}


def test_everything_else_goes_on_while_a_guest_is_copied() -> None:
    machine = Machine()
    one = with_volumes(machine, Power.RUNNING)
    machine.hypervisor.hold_copies = True
    two = asking(one, "s")
    machine.converge(two)
    assert machine.done is not None
    assert plan_of(machine, two) == (p.Watch(p.LOOK_AGAIN),)
    assert machine.done.power_generation == two.generation      # it is as it shall be
    more = changed(two, volumes=(*two.volumes, msgspec.structs.replace(VOLUMES[1], id="c-attached", volume_id="c",
                                                                       snapshots=("u",))))
    machine.converge(more)
    guest = machine.hypervisor.guest(one.id)
    assert guest is not None
    assert "c-attached" in guest.volumes
    machine.hypervisor.hold_copies = False
    machine.hypervisor.end_copy(one.id)
    machine.converge(more)
    assert machine.copies.made == {("a", "s"), ("c", "u")}


def test_a_guest_that_goes_off_meanwhile_is_copied_as_it_lies() -> None:
    machine = Machine()
    machine.hypervisor.hold_copies = True
    one = asking(with_volumes(machine, Power.RUNNING), "s")
    machine.converge(one)
    machine.hypervisor.power_off(one.id)
    machine.converge(one)
    assert machine.copies.made == {("a", "s")}


@pytest.mark.parametrize("detached", [False, True])
def test_one_that_is_called_off_is_left_alone(detached: bool) -> None:
    machine = Machine()
    machine.hypervisor.hold_copies = True
    one = asking(with_volumes(machine, Power.RUNNING), "s")
    machine.converge(one)
    two = changed(one, volumes=one.volumes[1:]) if detached else asking(one)
    machine.converge(two)
    assert machine.hypervisor.copying(one.id) is None
    assert machine.copies.made == set()
    assert machine.done is not None
    assert (machine.done.copying, machine.done.volume_snapshots) == ("", {})


def test_one_that_fails_is_the_snapshots_trouble() -> None:
    machine = Machine()
    machine.hypervisor.hold_copies = True
    one = asking(with_volumes(machine, Power.RUNNING), "s")
    machine.converge(one)
    machine.hypervisor.end_copy(one.id, "No space left on device")
    machine.converge(one)
    assert machine.done is not None
    assert machine.done.volume_snapshots == {"s": "No space left on device"}
    assert machine.copies.begun == set()
    assert plan_of(machine, one) == ()


@pytest.mark.parametrize("power", [Power.RUNNING, Power.STOPPED])
def test_storage_that_makes_them_makes_all_while_the_guest_rests(power: Power) -> None:
    for steps in range(20):
        machine = Machine()
        one = with_volumes(machine, power, IN_CEPH)
        two = changed(one, volumes=tuple(msgspec.structs.replace(volume, snapshots=(f"s-{volume.volume_id}",))
                                         for volume in one.volumes))
        machine.steps_left = steps
        try:
            machine.converge(two)
        except Crash:
            machine.steps_left = None
            machine.converge(two)
        else:
            assert steps > 3
        assert machine.copies.made == {("a", "s-a"), ("b", "s-b")}
        assert machine.hypervisor.resting == {}
        assert machine.done is not None
        assert (machine.done.volume_snapshots, machine.done.copying) == ({"s-a": "", "s-b": ""}, "")
        assert machine.power(two) is power


def test_a_guest_that_was_left_at_rest_is_woken_when_nobody_wants_the_snapshot() -> None:
    machine = Machine()
    one = with_volumes(machine, Power.RUNNING, IN_CEPH)
    machine.steps_left = 2                  # noted, and put to rest
    with pytest.raises(Crash):
        machine.converge(asking(one, "s"))
    assert machine.hypervisor.resting == {one.id: False}
    machine.steps_left = None
    machine.converge(asking(one))
    assert machine.hypervisor.resting == {}
    assert machine.copies.made == set()


def plan_of(machine: Machine, desired: ServerDesired) -> tuple[p.Step, ...]:
    assert machine.done is not None
    return p.plan(desired, machine.observe(desired), machine.done, machine.boot)
