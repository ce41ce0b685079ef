"""Machines that live and die under a clock that tests move: real rules, engine, database and API, simulated iron."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stackling.api.internal.service import CREDENTIAL
from stackling.core import clock
from stackling.core.ids import new_id
from stackling.drivers.simulated.membership import SimulatedCluster
from stackling.engine.worker import Worker
from stackling.ha.facade import Settings, SharedStorage, Watch, kinds
from stackling.ports.document import Power, ServerDesired
from stackling.store.work import SqlWorkQueue
from tests.api.compute_world import FakeAgent, World

SETTINGS = Settings(deadline=600.0, grace=12.0)


@dataclass
class Clock:
    """Wall clock and monotonic clock of this process."""

    at: float = 1_800_000_000.0
    paused_at: float | None = None

    @classmethod
    def install(cls, patch: pytest.MonkeyPatch) -> Clock:
        found = cls()
        patch.setattr(clock, "wall", lambda: found.at)
        patch.setattr(clock, "monotonic", lambda: found.at - 1_700_000_000.0)
        return found


@dataclass
class Machine:
    """One machine: an agent while it has power and a network, guests while it has power."""

    world: HaWorld
    agent: FakeAgent
    boot_id: str
    running: dict[str, ServerDesired] = field(default_factory=dict[str, ServerDesired])
    silent: bool = False        # its agent hangs
    stuck: bool = False         # it reports and does nothing
    documents: dict[str, ServerDesired] = field(default_factory=dict[str, ServerDesired])

    @property
    def name(self) -> str:
        return self.agent.name

    def live(self) -> None:
        """One second of its life."""
        iron = self.world.cluster.machine(self.name)
        if not iron.power:
            self.running.clear()
            return
        if iron.boot_id != self.boot_id:
            self.boot_id = self.agent.boot_id = iron.boot_id
            self.running.clear()
            self.documents.clear()
            self.agent.generation = 0
        if iron.network and not self.silent and self.world.control_up and self.world.clock.at % 2 == 0:
            self._talk()

    def _talk(self) -> None:
        agent = self.agent
        answer = agent.documents()
        if answer.status_code == 200:
            agent_found = _decode(answer.content)
            agent.generation, agent.epoch = agent_found.generation, agent_found.epoch
            if agent_found.complete:
                self.documents.clear()
            self.documents |= {server.id: server for server in agent_found.servers}
        elif answer.status_code != 204:
            return
        if not self.stuck:
            self._converge()
        reports = [agent.done(server) for server in self.documents.values() if not self.stuck and not _waits(server)]
        agent.report(*reports, inventory=agent.inventory, complete=True)
        self.documents = {id: server for id, server in self.documents.items() if server.present}

    def _converge(self) -> None:
        for id in list(self.running):
            if id not in self.documents or not self.documents[id].present:
                del self.running[id]
        for id, server in self.documents.items():
            if _waits(server):
                continue
            if server.present and server.power is Power.RUNNING:
                self.running[id] = server
            elif id in self.running:
                del self.running[id]


def _waits(server: ServerDesired) -> bool:
    """For its former host to let go."""
    return server.arrival is not None and server.arrival.hold


def _decode(content: bytes) -> Any:
    import msgspec

    from stackling.ports.document import Documents

    return msgspec.json.decode(content, type=Documents).documents[0]


class HaWorld:
    """``machines`` m1, m2 … each with the host of its name; two engine processes with attentions of their own."""

    def __init__(self, world: World, cluster_file: Path, clock_: Clock, number: int = 3,
                 settings: Settings = SETTINGS, storage: str = "rbd:pool") -> None:
        self.world, self.clock, self.settings = world, clock_, settings
        names = [f"m{n}" for n in range(1, number + 1)]
        self.cluster = SimulatedCluster(cluster_file, names, wait=self._hang)
        self.control_up = True
        self.queue = SqlWorkQueue(world.cloud.database)
        self.machines = {name: self._machine(name, storage) for name in names}
        self.watches: list[Watch] = []
        self.workers: list[Worker] = []
        self.start_engine()
        self.spend(14)

    def _machine(self, name: str, storage: str) -> Machine:
        agent = self.world.add_host(name, storage=storage)
        boot = self.cluster.machine(name).boot_id
        agent.boot_id = boot
        return Machine(self, agent, boot)

    def _hang(self, seconds: float) -> None:
        """A device hangs: one thread waits, everything else goes on."""
        for _ in range(int(seconds)):
            self.clock.at += 1.0
            for machine in self.machines.values():
                machine.live()
            for watch in self.watches:
                watch.view()
                watch.listen()

    def start_engine(self, storage: SharedStorage | None = None) -> None:
        """Another engine process."""
        database = self.world.cloud.database
        watch = Watch(database, self.cluster, self.settings)
        self.watches.append(watch)
        self.workers.append(Worker(SqlWorkQueue(database), kinds(database, watch, self.cluster, self.settings, storage),
                                   lease=60.0, owner=new_id()))

    # -- time

    def spend(self, seconds: float, until: Any = None) -> float:
        """Let time pass, a second at a time; stops as soon as *until* holds. How long that took."""
        began = self.clock.at
        while self.clock.at - began < seconds:
            self.clock.at += 1.0
            for machine in self.machines.values():
                machine.live()
            if self.control_up:
                self._control()
            self.check()
            if until is not None and until():
                break
        return self.clock.at - began

    def within(self, seconds: float, until: Any) -> float:
        """As ``spend``, and it must happen."""
        took = self.spend(seconds, until)
        assert until(), self.shown()
        return took

    def _control(self) -> None:
        for watch in self.watches:
            watch.view()
            watch.listen()
        self.queue.sweep(["machine", "evacuation"], 15.0, 500)
        for _ in range(200):
            if not sum(worker.step(20) for worker in self.workers) and not self.world.engine.step(20):
                return
        raise AssertionError("the engine finds no end")

    # -- what must always be true

    def check(self) -> None:
        """No server runs on two machines."""
        where: dict[str, str] = {}
        for name, machine in self.machines.items():
            for id in machine.running if self.cluster.machine(name).power else ():
                assert id not in where, f"server {id} runs on {where[id]} and on {name}"
                where[id] = name

    # -- looking

    def get(self, name: str) -> dict[str, Any]:
        answer = self.world.admin.get(f"/stackling/v1/machines/{name}")
        assert answer.status_code == 200, answer.text
        return answer.json()["machine"]

    def state(self, name: str) -> str:
        return self.get(name)["state"]

    def shown(self) -> list[Any]:
        found = self.world.admin.get("/stackling/v1/machines").json()["machines"]
        return [(one["name"], one["state"], one["reason"], one["alarm"], one["evacuation_counts"]) for one in found]

    def act(self, name: str, action: dict[str, Any]) -> Any:
        return self.world.admin.post(f"/stackling/v1/machines/{name}/action", action)

    def host_of(self, server_id: str) -> str:
        return self.world.show(self.world.admin, server_id)["OS-EXT-SRV-ATTR:host"]

    def running(self, server_id: str) -> list[str]:
        return [name for name, machine in self.machines.items() if server_id in machine.running]

    def build(self, client: Any, **values: Any) -> str:
        """An ACTIVE server."""
        id = self.world.create(client, **values)["id"]
        self.within(10, lambda: self.world.show(client, id)["status"] == "ACTIVE")
        return id

    def ask_as(self, machine: str, method: str, path: str, **values: Any) -> Any:
        agent = self.machines[machine].agent
        return self.world.cloud.send(method, f"/internal/machines/{machine}{path}",
                                     headers={CREDENTIAL: agent.credential}, **values)
