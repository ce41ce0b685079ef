"""Servers brought to what their document says, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stackling.agent.converge import Converger
from stackling.agent.ledger import Ledger
from stackling.agent.run import inline
from stackling.core.ids import new_id
from stackling.drivers.simulated.disks import SimulatedDisks
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.drivers.simulated.volume_copies import SimulatedVolumeCopies
from stackling.ports.document import GuestReport, HostDocument, Power, RootDisk, ServerDesired

T = TypeVar("T")
ROOT = RootDisk(image_id="i", image_format="qcow2", image_size=1, image_checksum="0" * 128)


class Reports:
    """What was said last, as ``report.Reporter`` keeps it."""

    def __init__(self) -> None:
        self.said: dict[str, GuestReport] = {}

    def note(self, report: GuestReport) -> None:
        self.said[report.id] = report

    def last(self, server_id: str) -> GuestReport | None:
        return self.said.get(server_id)


class Machine:
    """A converger on simulated drivers; a look at all guests is answered when ``let_go`` is set."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "ledger", "h1", durable=False)
        self.hypervisor, self.disks, self.reports = SimulatedHypervisor(), SimulatedDisks(), Reports()
        self.copies = SimulatedVolumeCopies()
        self.let_go, self.looked = asyncio.Event(), asyncio.Event()
        self.let_go.set()
        self.converger = self.agent()

    def agent(self) -> Converger:
        """An agent that has just started."""
        return Converger(self.ledger, self.hypervisor, self.disks, self.copies, self.reports, "boot-1", run=self._run,
                         hand_over=lambda image_id, path: None)

    async def told(self, server: ServerDesired) -> None:
        await self.ledger.merge(HostDocument(host="h1", era=1, epoch=1, generation=server.generation, complete=True,
                                             servers=(server,)))

    async def reported(self, server: ServerDesired, power: Power) -> None:
        async with asyncio.timeout(10):
            while (last := self.reports.last(server.id)) is None or not last.converged or last.power is not power:
                await asyncio.sleep(0)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        found = await inline(call, *args)
        if call == self.hypervisor.guests:
            self.looked.set()
            await self.let_go.wait()
        return found


async def removed_half(machine: Machine) -> ServerDesired:
    """A server whose agent died after it had removed the guest and before it deleted the disks."""
    made = ServerDesired(id=new_id(), generation=2, root=ROOT)
    await machine.told(made)
    machine.converger.open()
    await machine.reported(made, Power.RUNNING)
    await machine.converger.stop()
    gone = msgspec.structs.replace(made, generation=3, present=False)
    await machine.told(gone)
    machine.hypervisor.undefine(made.id)
    machine.reports.said.clear()
    return gone


def test_a_first_look_that_comes_late_takes_nothing_back(tmp_path: Path) -> None:
    async def story() -> GuestReport | None:
        machine = Machine(tmp_path)
        gone = await removed_half(machine)
        machine.let_go.clear()
        agent = machine.agent()
        first = asyncio.create_task(agent.adopt())
        await machine.looked.wait()
        agent.open()                                        # a document came while the hypervisor was slow
        await machine.reported(gone, Power.ABSENT)
        machine.let_go.set()
        await first
        await agent.stop()
        return machine.reports.last(gone.id)

    last = asyncio.run(story())
    assert last is not None
    assert last.converged


def test_a_sweep_finds_what_has_not_come_to_rest(tmp_path: Path) -> None:
    async def story() -> None:
        machine = Machine(tmp_path)
        gone = await removed_half(machine)
        agent = machine.agent()
        agent.open()
        await machine.reported(gone, Power.ABSENT)
        last = machine.reports.said[gone.id]
        machine.reports.note(msgspec.structs.replace(last, converged=False))
        await agent.sweep()
        await machine.reported(gone, Power.ABSENT)
        await agent.stop()

    asyncio.run(story())


def test_that_nothing_is_left_is_not_said_before_the_disks_were_looked_at(tmp_path: Path) -> None:
    """Disks that an agent made without living to note them are there all the same."""
    async def story() -> GuestReport | None:
        machine = Machine(tmp_path)
        made = ServerDesired(id=new_id(), generation=2, root=ROOT)
        await machine.told(made)
        machine.disks.make(made, lambda words: None)
        gone = msgspec.structs.replace(made, generation=3, present=False)
        await machine.told(gone)
        agent = machine.agent()
        await agent.adopt()
        early = machine.reports.last(made.id)
        agent.open()
        await machine.reported(gone, Power.ABSENT)
        assert machine.disks.find(made.id) is None
        await agent.stop()
        return early

    early = asyncio.run(story())
    assert early is not None
    assert not early.converged
