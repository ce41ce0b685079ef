"""The host identities of one machine, coming and going while the agent runs.

Theory of operation. Each host has a keeper, which brings it to one of four modes. ``unsure``, after a start: guests
that run are adopted and shown, but no document is asked for before control has said which hosts this machine holds.
``held``: the host's agent runs. ``releasing``: control asks for the host, so its agent stops first (nothing that
happens to its guests from here on is the guests' own doing), then its guests, politely, then control is told.
``gone``: another machine holds it; whatever still runs of it here is killed at once, because it may be running there
already, and the ledger is thrown away. Disks are never touched.

Only an answer of control makes a host ``gone`` or ``releasing``; while control is away everything stays as it is.
After a fencing there is nothing to kill: the machine was off, and starts nothing but what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stackling.agent.host import HostAgent
from stackling.agent.leases import Leases
from stackling.agent.report import HEARTBEAT
from stackling.agent.run import Run
from stackling.core import clock
from stackling.ports.document import HeldHosts, Power, ServerDesired
from stackling.ports.hypervisor import HypervisorError

log = logging.getLogger(__name__)
PAUSE = 0.5                 # seconds between two looks at guests that are being stopped
LOOK_AGAIN = 0.02           # the same when all have been removed
RETRY = 2.0
MOST_PATIENCE = 180.0       # seconds that the guests of a host that is released get to shut down at most


class Mode(StrEnum):
    """What becomes of a host here."""

    UNSURE = "unsure"
    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Identity:
    """One host on this machine. ``close`` lets go of its files and connections; ``ledger`` is where its document is
    kept."""

    agent: HostAgent
    ledger: Path
    close: Callable[[], Awaitable[None]]


Make = Callable[[str, asyncio.Event], Identity]
"""(host, set once control has said that it is held) → the host on this machine."""


class Identities:
    """All hosts of this machine. *known*: those that have a ledger here; *shown* is told the agents that run, *gone* a
    host of which nothing is left here."""

    def __init__(self, make: Make, known: Iterable[str], run: Run, shown: Callable[[list[HostAgent]], None],
                 gone: Callable[[str], None] = lambda host: None, *, heartbeat: float = HEARTBEAT) -> None:
        self._heartbeat = heartbeat
        self._make, self._run, self._shown, self.gone = make, run, shown, gone
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._agents: dict[str, HostAgent] = {}
        self._ended = asyncio.Event()
        self.leases: Leases | None = None
        self._known = tuple(known)

    def modes(self) -> dict[str, str]:
        """Every host of which something is here, and what becomes of it."""
        return {host: keeper.mode.value for host, keeper in self._keepers.items() if not keeper.over}

    def everything(self) -> dict[str, ServerDesired]:
        """What all hosts know of servers; of two that know one, the one that has it."""
        found: dict[str, ServerDesired] = {}
        for agent in self._agents.values():
            found |= {id: server for id, server in agent.ledger.servers.items() if server.present or id not in found}
        return found

    async def run(self) -> None:
        """Keep them until cancelled."""
        assert self.leases is not None
        for host in self._known:
            self._keep(host, Mode.UNSURE, 0)
        always = [asyncio.create_task(self.leases.run()), asyncio.create_task(self._beat(self.leases))]
        try:
            while True:
                ended = asyncio.create_task(self._ended.wait())
                done, _ = await asyncio.wait([*always, ended, *self._tasks.values()],
                                             return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                self._ended.clear()
                for task in done - {ended}:
                    task.result()
                self._tasks = {host: task for host, task in self._tasks.items() if not task.done()}
        finally:
            for task in (*always, *self._tasks.values()):
                task.cancel()
            await asyncio.gather(*always, *self._tasks.values(), return_exceptions=True)

    async def _beat(self, leases: Leases) -> None:
        """Hosts report for their machine; without any, it has to say itself that it lives."""
        while True:
            await asyncio.sleep(self._heartbeat)
            if not self._agents:
                await leases.beat()

    def follow(self, held: HeldHosts) -> None:
        """Control has said what this machine holds."""
        wanted = {one.host: (Mode.RELEASING if one.releasing else Mode.HELD, one.epoch) for one in held.hosts}
        for host in (*wanted, *(host for host in self._keepers if host not in wanted)):
            self._keep(host, *wanted.get(host, (Mode.GONE, 0)))

    # -- how

    def _keep(self, host: str, mode: Mode, epoch: int) -> None:
        keeper = self._keepers.get(host)
        if keeper is None or keeper.over:
            if mode is Mode.GONE:
                return
            keeper = self._keepers[host] = Keeper(host, mode, epoch, self)
            self._tasks[host] = asyncio.create_task(keeper.run())
            self._ended.set()
        else:
            keeper.want(mode, epoch)

    def make(self, host: str, held: asyncio.Event) -> Identity:
        """A host's parts."""
        return self._make(host, held)

    def show(self, host: str, agent: HostAgent | None) -> None:
        """This agent runs, or none does any more."""
        if agent is None:
            self._agents.pop(host, None)
        else:
            self._agents[host] = agent
        self._shown(list(self._agents.values()))

    async def stop_guests(self, host: str, agent: HostAgent, politely: Callable[[], bool]) -> None:
        """Switch off and forget every guest of the host, keeping disks; returns when none is left."""
        patience = max((server.stop_timeout for server in agent.ledger.servers.values()), default=0)
        deadline = clock.monotonic() + min(patience, MOST_PATIENCE)
        asked = False
        while True:
            patient = politely() and clock.monotonic() < deadline
            try:
                found, waiting = await self._run(_stop, agent, self._elsewhere(host), patient, asked)
                if not found:
                    return
                asked = True
                pause = PAUSE if waiting else LOOK_AGAIN        # only a look that finds nothing counts
            except HypervisorError as error:
                log.warning("guests of %s can't be stopped yet: %s", host, error)
                pause = PAUSE
            await asyncio.sleep(pause)

    def _elsewhere(self, host: str) -> set[str]:
        """Servers that another host of this machine runs."""
        return {id for other, agent in self._agents.items() if other != host
                for id, server in agent.ledger.servers.items() if server.present}


def _stop(agent: HostAgent, spared: set[str], politely: bool, asked: bool) -> tuple[int, int]:
    """How many guests were found, and how many of them are waited for. *politely*: they are asked, once, and not yet
    switched off."""
    found = waiting = 0
    guests = agent.hypervisor.guests()
    for id in agent.ledger.servers:
        guest = guests.get(id)
        if guest is None or id in spared:
            continue
        found += 1
        if politely and guest.power is Power.RUNNING:
            waiting += 1
            if not asked:
                agent.hypervisor.shutdown(id)
        else:
            agent.hypervisor.undefine(id)
    return found, waiting


class Keeper:
    """Brings one host to the mode that is wanted."""

    def __init__(self, host: str, mode: Mode, epoch: int, owner: Identities) -> None:
        self.host, self.mode, self.over = host, mode, False
        self._epoch = epoch
        self._owner = owner
        self._held = asyncio.Event()
        self._changed = asyncio.Event()

    def want(self, mode: Mode, epoch: int) -> None:
        """From now on, in a lease of *epoch*."""
        if mode is Mode.RELEASING and self.mode is Mode.RELEASED and epoch == self._epoch:
            return
        self._epoch = epoch
        if mode is not self.mode:
            log.info("host %s: %s, was %s", self.host, mode, self.mode)
            self.mode = mode
            self._changed.set()

    async def run(self) -> None:
        """Until the host is gone."""
        while not self.over:
            self._changed.clear()
            if self.mode in (Mode.UNSURE, Mode.HELD):
                await self._serve()
            else:
                await self._give_up()

    async def _serve(self) -> None:
        """Run its agent while it is held, or may be."""
        identity = self._owner.make(self.host, self._held)
        self._owner.show(self.host, identity.agent)
        work = asyncio.create_task(identity.agent.run())
        try:
            while self.mode in (Mode.UNSURE, Mode.HELD):
                if self.mode is Mode.HELD:
                    self._held.set()
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait([work, changed], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if work.done():
                    work.result()
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            self._owner.show(self.host, None)
            await identity.close()
            self._held.clear()

    async def _give_up(self) -> None:
        identity = self._owner.make(self.host, self._held)
        try:
            await self._owner.stop_guests(self.host, identity.agent, lambda: self.mode is Mode.RELEASING)
        finally:
            await identity.close()
        identity.ledger.unlink(missing_ok=True)         # whoever takes the host next starts its servers anew
        self._owner.gone(self.host)
        if self.mode is Mode.GONE:
            self.over = True
            return
        leases = self._owner.leases
        while self.mode is Mode.RELEASING and leases is not None:
            if await leases.let_go(self.host, self._epoch):
                self.mode = Mode.RELEASED
            else:
                await asyncio.sleep(RETRY)
        if self.mode is Mode.RELEASED:
            await self._changed.wait()
