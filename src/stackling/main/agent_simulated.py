"""The agent's parts on simulated machines, any number of them in one process.

With a file of the simulated cluster, each machine runs only while it has power and a network there: without power its
guests are off and its agent is gone, without a network its guests go on and nobody hears its agent.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackling.agent.converge import Everything
from stackling.agent.host import HostAgent
from stackling.agent.ledger import Ledger
from stackling.agent.run import Run, inline
from stackling.agent.wire import Lane
from stackling.drivers.simulated.disks import SimulatedDisks
from stackling.drivers.simulated.hypervisor import DEFAULT, SimulatedHypervisor
from stackling.drivers.simulated.membership import SimulatedCluster, SimulatedMachine
from stackling.drivers.simulated.volume_copies import SimulatedVolumeCopies
from stackling.ports.document import Inventory

if TYPE_CHECKING:
    from stackling.main.agent import Wiring

log = logging.getLogger(__name__)
LOOK = 0.2              # seconds between two looks at the file


async def wire(wiring: Wiring) -> Run:
    """Put together every machine of this process; what runs blocking calls."""
    settings = wiring.settings
    _allow_files(settings.hosts * 5 + 64)
    pretended = settings.simulated
    inventory = Inventory(
        vcpus=pretended.vcpus, memory_mib=pretended.memory_mib, disk_gib=pretended.disk_gib,
        hypervisor_type=DEFAULT.hypervisor_type, hypervisor_version=DEFAULT.hypervisor_version,
        cpu_info=DEFAULT.cpu_info, storage=pretended.storage)
    cluster = None if pretended.cluster is None else SimulatedCluster(
        pretended.cluster, [machine for machine, _ in settings.names()])
    shared: SimulatedDisks | None = None
    if not pretended.storage.startswith("local"):
        shared = SimulatedDisks(settings.state_dir / "disks" if pretended.persistent else None, pretended.storage)
    irons: list[Iron] = []
    peers: dict[str, SimulatedHypervisor] = {}
    for machine, host in settings.names():
        state = settings.state_dir / "hosts" / host
        iron = Iron(wiring, machine, host, state, state if pretended.persistent else None, inventory, peers, shared)
        wiring.stack.callback(iron.close)
        if cluster is not None:
            irons.append(iron)
        elif settings.leases:
            wiring.more.append(iron.work(wiring.boot_id)())
        else:
            wiring.agents.append(iron.agent(wiring.boot_id))
    if cluster is not None:
        lives = Lives(wiring, cluster, irons)
        lives.look()
        wiring.led = True
        wiring.more.append(lives.run())
    return inline


@dataclass(slots=True)
class Iron:
    """One simulated machine: what outlives its agent."""

    wiring: Wiring
    machine: str
    host: str
    state: Path
    kept: Path | None
    inventory: Inventory
    peers: dict[str, SimulatedHypervisor]
    disks: SimulatedDisks | None = None
    hypervisor: SimulatedHypervisor | None = None
    ledger: Ledger | None = None

    def work(self, boot_id: str) -> Callable[[], Coroutine[Any, Any, None]]:
        """What its agent does from its start on, in this boot of the machine."""
        if not self.wiring.settings.leases:
            agent = self.agent(boot_id)
            self.wiring.show(self.machine, [agent])
            return agent.run

        def build(host: str, lanes: tuple[Lane, Lane], held: asyncio.Event | None, everything: Everything | None,
                  ) -> tuple[HostAgent, Path, Callable[[], None]]:
            path = self._path(host)
            ledger = Ledger(path, host, durable=False)
            return self._agent(host, ledger, lanes, boot_id, held, everything), path, ledger.close

        others = sorted(path.parent.name for path in (self.state / "hosts").glob("*/ledger"))
        known = [self.host] if self._path(self.host).exists() else []
        return self.wiring.follow_leases(self.machine, build, [*known, *others], inline, boot_id=boot_id).run

    def agent(self, boot_id: str) -> HostAgent:
        """An agent of this machine's own host alone."""
        if self.ledger is not None:
            self.ledger.close()
        self.ledger = Ledger(self._path(self.host), self.host, durable=False)
        return self._agent(self.host, self.ledger, self.wiring.lanes(), boot_id)

    def _path(self, host: str) -> Path:
        return self.state / "ledger" if host == self.host else self.state / "hosts" / host / "ledger"

    def _agent(self, host: str, ledger: Ledger, lanes: tuple[Lane, Lane], boot_id: str,
               held: asyncio.Event | None = None, everything: Everything | None = None) -> HostAgent:
        wiring = self.wiring
        self.hypervisor = self.hypervisor or SimulatedHypervisor(
            self.kept, self.inventory, name=self.machine, peers=self.peers)
        self.disks = self.disks or SimulatedDisks(self.kept, self.inventory.storage)
        return HostAgent(
            machine=self.machine, host=host, ledger=ledger, hypervisor=self.hypervisor, disks=self.disks,
            copies=SimulatedVolumeCopies(), lanes=lanes, hand_over=wiring.sender(), keys=wiring.keys(self.machine),
            boot_id=boot_id, run=inline, address=wiring.address, timing=wiring.timing,
            inventory=self.hypervisor.inventory if host == self.host else lambda: None, held=held,
            everything=everything)

    def connect(self, reachable: bool) -> None:
        """Whether guests of others can come here, and ours can go."""
        if self.hypervisor is not None:
            self.hypervisor.reachable = reachable

    def lose_power(self) -> None:
        """Whatever ran is off."""
        if self.hypervisor is not None:
            self.hypervisor.reboot_machine()

    def close(self) -> None:
        """Let go of its files."""
        if self.ledger is not None:
            self.ledger.close()
        if self.hypervisor is not None:
            self.hypervisor.close()


class Lives:
    """Starts and ends the agents of machines as the file says."""

    def __init__(self, wiring: Wiring, cluster: SimulatedCluster, irons: list[Iron]) -> None:
        self._wiring, self._cluster, self._irons = wiring, cluster, irons
        self._works: dict[str, tuple[Callable[[], Coroutine[Any, Any, None]], str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stamp: tuple[int, int] | None = None

    def look(self) -> list[str]:
        """Compare with the file; the machines that changed."""
        stat = self._cluster.path.stat()
        if self._stamp == (stat.st_mtime_ns, stat.st_ino):
            return []
        self._stamp = (stat.st_mtime_ns, stat.st_ino)
        changed: list[str] = []
        for iron in self._irons:
            machine = self._cluster.machine(iron.machine)
            running = self._works.get(iron.machine)
            if running is not None and not (_answers(machine) and running[1] == machine.boot_id):
                del self._works[iron.machine]
                self._wiring.show(iron.machine, [])
                changed.append(iron.machine)
            iron.connect(_answers(machine))
            if not machine.power or (running is not None and running[1] != machine.boot_id):
                iron.lose_power()
            if _answers(machine) and iron.machine not in self._works:
                self._works[iron.machine] = iron.work(machine.boot_id), machine.boot_id
                changed.append(iron.machine)
        return changed

    async def run(self) -> None:
        """Follow the file until cancelled."""
        changed = [iron.machine for iron in self._irons]
        try:
            while True:
                for name in dict.fromkeys(changed):
                    await self._end(name)
                    if work := self._works.get(name):
                        self._tasks[name] = asyncio.create_task(work[0]())
                for task in self._tasks.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(LOOK)
                changed = self.look()
                if changed:
                    log.info("the lives of these machines have changed: %s", ", ".join(sorted(set(changed))))
        finally:
            for name in list(self._tasks):
                await self._end(name)

    async def _end(self, name: str) -> None:
        if task := self._tasks.pop(name, None):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _answers(machine: SimulatedMachine) -> bool:
    return machine.power and machine.network


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        limit = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
