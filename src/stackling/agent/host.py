"""One host identity on this machine: ledger, poll, convergence and reports put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from stackling.agent.converge import SWEEP, Converger, Everything
from stackling.agent.keys import Keys
from stackling.agent.keys import none as no_keys
from stackling.agent.ledger import Ledger
from stackling.agent.poll import WAIT, Poller
from stackling.agent.report import HEARTBEAT, Reporter, Sequence
from stackling.agent.run import Run
from stackling.agent.wire import Lane
from stackling.ports.disks import HandOver, InstanceDisks
from stackling.ports.document import GuestReport, HostDocument, Inventory, MetadataNetwork, Power
from stackling.ports.hypervisor import Hypervisor, HypervisorError
from stackling.ports.volume_copies import VolumeCopies

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long control may hold a poll, between reports when nothing changes, between sweeps. ``resumes``:
    whether what ran is started again after the machine's boot."""

    wait: int = WAIT
    heartbeat: float = HEARTBEAT
    sweep: float = SWEEP
    resumes: bool = True


class HostAgent:
    """Runs one host until cancelled. *networks_changed* is told the networks whose metadata is served here.

    *held* (None: it is) is set once control has said that this machine holds the host; before, no document is asked
    for. *inventory* gives None where the machine's inventory is another host's. *everything* is what all hosts of this
    machine know of servers.
    """

    def __init__(self, *, machine: str, host: str, ledger: Ledger, hypervisor: Hypervisor, disks: InstanceDisks,
                 copies: VolumeCopies, lanes: tuple[Lane, Lane], hand_over: HandOver, boot_id: str, run: Run,
                 inventory: Callable[[], Inventory | None], address: str | None = None, timing: Timing | None = None,
                 networks_changed: Callable[[tuple[MetadataNetwork, ...]], None] = lambda networks: None,
                 held: asyncio.Event | None = None, everything: Everything | None = None,
                 keys: Keys = no_keys) -> None:
        timing = timing or Timing()
        self.host, self.ledger, self.hypervisor = host, ledger, hypervisor
        self._run, self._measure, self._networks_changed = run, inventory, networks_changed
        self._held, self._again = held, timing.sweep
        self._inventory: Inventory | None = None
        self._sweeps: set[asyncio.Task[None]] = set()
        self._drops: set[asyncio.Task[None]] = set()
        self._reporter = Reporter(
            lanes[1], machine, host, boot_id, Sequence(ledger.sequence, ledger.reserve), self, lambda: self._inventory,
            address=address, accepted=self._accepted, heartbeat=timing.heartbeat)
        self.converger = Converger(ledger, hypervisor, disks, copies, self._reporter, boot_id, run=run,
                                   hand_over=hand_over, sweep=timing.sweep, everything=everything, keys=keys,
                                   resumes=timing.resumes)
        self._poller = Poller(lanes[0], machine, host, self._position, self._accept, wait=timing.wait)

    async def heard(self) -> None:
        """Wait until control has accepted a report with the inventory."""
        await self._reporter.heard.wait()

    # -- report.Source

    @property
    def epoch(self) -> int:
        """The lease's epoch in the ledger."""
        return self.ledger.head.epoch

    @property
    def generation(self) -> int:
        """Up to which the ledger is merged."""
        return self.ledger.head.generation

    async def run(self) -> None:
        """Adopt what runs, then poll, converge, report."""
        loop = asyncio.get_running_loop()
        self.hypervisor.watch(lambda server_id: _threadsafe(loop, self._changed, server_id))
        self._networks_changed(self.ledger.networks)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_first())
                tasks.create_task(self._poll())
                tasks.create_task(self._reporter.run())
                tasks.create_task(self.converger.run())
                tasks.create_task(self._measure_again())
        finally:
            await self.converger.stop()

    # -- how

    async def _poll(self) -> None:
        if self._held is not None:
            await self._held.wait()
        await self._poller.run()

    async def _look_first(self) -> None:
        """Inventory and guests; the hypervisor may come later than we do."""
        pause = 0.1
        while True:
            try:
                self._inventory = await self._run(self._measure)
                if self._inventory is None:
                    self._reporter.heard.set()
                await self.converger.adopt()
                break
            except (HypervisorError, OSError) as error:
                log.warning("the hypervisor isn't there yet: %s", error)
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)
        if self.converger.is_open:
            self._reporter.start_over()

    async def _measure_again(self) -> None:
        """What the machine has may change, as when the file system of the disks is mounted later."""
        while True:
            await asyncio.sleep(self._again)
            if self._inventory is None or not self.converger.is_open:
                continue
            try:
                found = await self._run(self._measure)
            except (HypervisorError, OSError) as error:
                log.warning("the machine can't be measured: %s", error)
                continue
            if found is not None and _room(found) != _room(self._inventory):
                self._inventory = found
                self._reporter.start_over()

    def _position(self) -> tuple[int, int]:
        return self.ledger.head.generation, self.ledger.head.epoch

    async def _accept(self, document: HostDocument) -> None:
        networks = self.ledger.networks
        changed = await self.ledger.merge(document)
        if self.ledger.networks != networks:
            self._networks_changed(self.ledger.networks)
        if not self.converger.is_open:
            self.converger.open()
            self._reporter.start_over()
            return
        for server in document.servers:
            if server.id in changed:
                self.converger.wake(server.id)
            else:
                self._reporter.repeat(server.id)

    def _changed(self, server_id: str) -> None:
        if server_id:
            self.converger.wake(server_id)
        elif not self._sweeps:
            self._keep(self._sweeps, self._sweep_now())

    async def _sweep_now(self) -> None:
        with contextlib.suppress(HypervisorError):
            await self.converger.sweep()

    def _accepted(self, report: GuestReport) -> None:
        """Control knows that this server is gone: drop it."""
        if report.power is not Power.ABSENT or not report.converged:
            return
        desired = self.ledger.servers.get(report.id)
        if desired is None:
            self._reporter.forget(report.id)
        elif not desired.present and desired.generation == report.generation:
            self._keep(self._drops, self._drop(report.id))

    def _keep(self, where: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        where.add(task)
        task.add_done_callback(where.discard)

    async def _drop(self, server_id: str) -> None:
        with contextlib.suppress(OSError):
            await self.ledger.drop((server_id,))
            self._reporter.forget(server_id)


def _room(found: Inventory) -> tuple[int, int, int, str]:
    return found.vcpus, found.memory_mib, found.disk_gib, found.storage


def _threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[str], None], server_id: str) -> None:
    with contextlib.suppress(RuntimeError):         # the loop has ended meanwhile
        loop.call_soon_threadsafe(call, server_id)
