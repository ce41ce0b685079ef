"""Random schedules of clients, agents and engine workers over servers: whatever is lost, doubled or late, everything
ends where it was asked to be, and nothing is counted twice.

A played agent keeps its guests like a real one: it may work from an old document, its reports may be lost on the way
(then it says the same again with a new number), or be accepted with the answer lost, or arrive late (then an older
number is refused). Engine turns may be taken over by another worker after their lease.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from stackling.compute import actions, boot_volumes, create, flavors, hosts, quotas, reports, rows, servers
from stackling.compute import documents as host_documents
from stackling.compute.kinds import ServerKind
from stackling.compute.model import Flavor, NewServers
from stackling.core.context import Context
from stackling.core.errors import Conflict, NotFound
from stackling.core.ids import new_id
from stackling.engine.kinds import Fence, Outcome
from stackling.engine.worker import Worker
from stackling.image.facade import BootImage
from stackling.ports.document import GuestReport, Inventory, Power, Report, ServerDesired
from stackling.store.database import Database
from stackling.store.work import SqlWorkQueue

CTX = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member", "reader"}))
IMAGE = BootImage("5d1f7a3e-0000-4000-8000-000000000001", "tiny", "raw", 1024, 1024, "00", 0, 0, {}, "active")
ACTIONS = (actions.STOP, actions.START, actions.PAUSE, actions.UNPAUSE, actions.HARD_REBOOT, actions.SOFT_REBOOT)


@dataclass
class Agent:
    """One host's agent. ``late`` are reports that are still on their way."""

    database: Database
    host: str
    machine: str
    sequence: int = 0
    generation: int = 0
    wanted: dict[str, ServerDesired] = field(default_factory=dict[str, ServerDesired])
    guests: dict[str, Power] = field(default_factory=dict[str, Power])
    late: list[Report] = field(default_factory=list[Report])

    def fetch(self) -> None:
        found = self.database.read(host_documents.documents, self.machine, self.host, self.generation, 1)
        if found is not None:
            self.generation = found.generation
            self.wanted.update({server.id: server for server in found.servers})

    def act(self, id: str) -> None:
        wanted = self.wanted[id]
        if wanted.present:
            self.guests[id] = wanted.power
        else:
            self.guests.pop(id, None)

    def say(self, id: str) -> Report:
        wanted, power = self.wanted[id], self.guests.get(id, Power.ABSENT)
        there = power is (wanted.power if wanted.present else Power.ABSENT)
        self.sequence += 1
        return Report(machine=self.host, boot_id="b", sequence=self.sequence, host=self.host, epoch=1,
                      document_generation=self.generation, guests=(GuestReport(
                          id=id, generation=wanted.generation, power=power, converged=there,
                          soft_reboots=wanted.soft_reboots, hard_reboots=wanted.hard_reboots),))

    def send(self, report: Report) -> bool:
        return self.database.write(reports.accept_report, self.machine, report).accepted


class Schedule:
    """A small cloud under a random schedule."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database, self.random = database, random.Random(seed)
        self.ids: list[str] = []
        database.write(flavors.bootstrap, [Flavor("f", "f", 1, 256, 1)])
        database.write(quotas.set_limits, "p", {"instances": -1, "cores": -1})
        self.agents: list[Agent] = []
        for name in ("h1", "h2"):
            machine, _ = database.write(hosts.register_machine, name, "hash")
            agent = Agent(database, name, machine)
            agent.send(Report(machine=name, boot_id="b", sequence=1, host=name, epoch=1, document_generation=0,
                              inventory=Inventory(vcpus=8, memory_mib=1024, disk_gib=100)))
            agent.sequence = 1
            self.agents.append(agent)
        self.workers = [Worker(SqlWorkQueue(database), [ServerKind()], lease=lease) for lease in (60.0, 0.0)]

    def step(self) -> None:
        self.random.choice((self.create, self.act, self.act, self.delete, self.fetch, self.fetch, self.work, self.work,
                            self.work, self.lose, self.delay, self.arrive, self.turn, self.turn, self.turn))()

    def create(self) -> None:
        id = new_id()
        self.database.write(create.create_servers, CTX, NewServers(
            (id,), "r", "vm", "f", IMAGE.id, requested="none"))
        self.ids.append(id)

    def act(self) -> None:
        if self.ids:
            id, action = self.random.choice(self.ids), self.random.choice(ACTIONS)
            with contextlib.suppress(Conflict, NotFound):
                self.database.write(lambda tx: actions.perform(tx, CTX, servers.get_server(tx, CTX, id), action))

    def delete(self) -> None:
        if self.ids and self.random.random() < 0.5:
            with contextlib.suppress(NotFound):
                self.database.write(servers.delete_server, CTX, self.random.choice(self.ids))

    def _agent(self) -> tuple[Agent, str | None]:
        agent = self.random.choice(self.agents)
        return agent, self.random.choice(sorted(agent.wanted)) if agent.wanted else None

    def fetch(self) -> None:
        self.random.choice(self.agents).fetch()

    def work(self) -> None:
        agent, id = self._agent()
        if id is not None:
            agent.act(id)
            agent.send(agent.say(id))

    def lose(self) -> None:
        agent, id = self._agent()
        if id is not None:
            agent.act(id)
            agent.say(id)

    def delay(self) -> None:
        agent, id = self._agent()
        if id is not None:
            agent.late.append(agent.say(id))

    def arrive(self) -> None:
        agent = self.random.choice(self.agents)
        if agent.late:
            report = agent.late.pop(self.random.randrange(len(agent.late)))
            agent.send(report)

    def turn(self) -> None:
        self.random.choice(self.workers).step()

    def settle(self) -> None:
        """No more is asked for, nothing is lost any more: everybody works until nothing changes."""
        for agent in self.agents:
            agent.late.clear()
        for _ in range(6):
            for agent in self.agents:
                agent.fetch()
                for id in sorted(agent.wanted):
                    agent.act(id)
                    agent.send(agent.say(id))
            while self.workers[0].step(10):
                pass

    def check(self) -> None:
        found = [row for id in self.ids if (row := self.database.read(rows.get, id)) is not None]
        alive = [row for row in found if not row["deleted"]]
        assert all(row["task_state"] is None for row in alive), [dict(row) for row in alive if row["task_state"]]
        assert not any(row["deleting"] for row in alive)
        running = {id: power for agent in self.agents for id, power in agent.guests.items()}
        assert running == {row["id"]: Power(row["power"]) for row in alive if row["host_id"]}
        for host in self.database.read(hosts.list_hosts):
            here = [row for row in alive if row["host"] == host["name"]]
            assert host["servers"] == len(here)
            assert host["memory_mib_used"] == 256 * len(here)
            assert host["memory_mib_free"] == 1024 - 256 * len(here)


@pytest.mark.parametrize("seed", range(25))
def test_everything_ends_as_asked(sqlite: Database, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("image_described", "image_for_boot", "image_for_server"):
        monkeypatch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)
    schedule = Schedule(sqlite, seed)
    for _ in range(120):
        schedule.step()
    schedule.settle()
    schedule.check()


def test_a_turn_may_die_anywhere_and_run_twice(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the kind fails once, and each is done twice; the server gets where it shall be all the same."""
    for look in ("image_described", "image_for_boot", "image_for_server"):
        monkeypatch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)
    schedule = Schedule(sqlite, 1)
    for failing in ("load", "observe", "plan", "apply", "settle"):
        schedule.create()
        kind = _Failing(failing)
        worker = Worker(SqlWorkQueue(sqlite), [kind], lease=0.0)
        for _ in range(4):
            with contextlib.suppress(Died):
                worker.step()
            for agent in schedule.agents:
                agent.fetch()
                for id in sorted(agent.wanted):
                    agent.act(id)
                    agent.send(agent.say(id))
                    agent.send(agent.say(id))
        schedule.settle()
        schedule.check()
        assert kind.died


class Died(BaseException):
    """As a killed process ends a turn."""


class _Failing(ServerKind):
    """Dies once in one of its methods; settles twice otherwise."""

    def __init__(self, failing: str) -> None:
        self._failing, self.died = failing, False

    def _maybe(self, name: str) -> None:
        if name == self._failing and not self.died:
            self.died = True
            raise Died

    def load(self, tx: Any, id: str) -> Any:
        self._maybe("load")
        return super().load(tx, id)

    def observe(self, desired: Any) -> Any:
        self._maybe("observe")
        return super().observe(desired)

    def plan(self, desired: Any, observed: Any) -> Any:
        self._maybe("plan")
        return super().plan(desired, observed)

    def apply(self, fence: Fence, desired: Any, step: Any) -> None:
        self._maybe("apply")
        super().apply(fence, desired, step)

    def settle(self, tx: Any, desired: Any, observed: Any, outcome: Outcome) -> None:
        super().settle(tx, desired, observed, outcome)
        self._maybe("settle")
        super().settle(tx, desired, observed, outcome)


def test_overdue_is_shown_and_overcome(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("image_described", "image_for_boot", "image_for_server"):
        monkeypatch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)
    schedule = Schedule(sqlite, 1)
    schedule.create()
    [id] = schedule.ids
    kind = ServerKind()
    desired = sqlite.read(kind.load, id)
    assert desired is not None
    sqlite.write(kind.settle, desired, "waiting for host h1", Outcome(False, "waiting for host h1", overdue=True))
    row = sqlite.read(rows.get, id)
    assert row is not None
    assert (row["status"], row["task_state"]) == ("ERROR", None)
    assert "waiting for host h1" in row["fault_message"]
    schedule.settle()
    row = sqlite.read(rows.get, id)
    assert row is not None
    assert (row["status"], row["fault_message"]) == ("ACTIVE", None)
