"""Random lives of machines: power, cables, hanging agents, fence devices that fail in every way, control that is away,
engines that start anew, requests that arrive late. Whatever happens, no server runs on two machines, nothing stays past
its deadline without a reason, and when everything is well again every server runs exactly once.

The only thing that isn't played is a fence device that lies and can't be found out: it is beyond what can be proven.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackling.compute import boot_volumes, create, flavors, hosts, quotas, reports, rows, servers
from stackling.compute import documents as host_documents
from stackling.compute.kinds import ServerKind
from stackling.compute.model import Flavor, NewServers
from stackling.core.context import Context
from stackling.core.errors import StacklingError
from stackling.core.ids import new_id
from stackling.drivers.simulated.membership import Device, SimulatedCluster
from stackling.engine.worker import Worker
from stackling.ha import facade as ha
from stackling.ha import rows as ha_rows
from stackling.ha.facade import Settings, Watch
from stackling.image.facade import BootImage
from stackling.ports.document import GuestReport, Inventory, Power, Report, ServerDesired
from stackling.store.database import Database
from stackling.store.tables import metadata
from stackling.store.work import SqlWorkQueue
from tests.ha_world import Clock

CTX = Context("req-1", user_id="u", project_id="p", roles=frozenset({"admin", "member", "reader"}))
IMAGE = BootImage("5d1f7a3e-0000-4000-8000-000000000001", "tiny", "raw", 1024, 1024, "00", 0, 0, {}, "active")
SETTINGS = Settings(grace=12.0, left_grace=20.0, fence_timeout=8.0, deadline=40.0, at_once=2)
MACHINES = ("m1", "m2", "m3", "m4", "m5")
DEVICES = (Device.OK, Device.ABSENT, Device.HANG, Device.FAIL, Device.LIE, Device.BLIND)


@dataclass
class Machine:
    """One machine with an agent that keeps its ledger and its guests as a real one does."""

    world: World
    name: str
    id: str
    boot_id: str
    sequence: int = 0
    generation: int = 0
    fresh: bool = False                 # a whole document has come in this life of the agent
    epoch: int = 1
    silent: bool = False
    ledger: dict[str, ServerDesired] = field(default_factory=dict[str, ServerDesired])
    running: set[str] = field(default_factory=set[str])
    late: list[Report] = field(default_factory=list[Report])

    def live(self) -> None:
        iron = self.world.cluster.machine(self.name)
        if not iron.power:
            self.running.clear()
            return
        if iron.boot_id != self.boot_id:
            self.boot_id, self.fresh = iron.boot_id, False
            self.running.clear()
        if iron.network and not self.silent and self.world.control_up and self.world.clock.at % 2 == 0:
            self.poll()
            if self.fresh:
                self.send(self.report())

    def poll(self) -> None:
        database = self.world.database
        if database.read(ha.is_fenced, self.id):
            database.write(ha.heard_of, self.id)
        since = self.generation if self.fresh else 0
        found = database.read(host_documents.documents, self.id, self.name, since, self.epoch)
        if found is None:
            return
        self.generation, self.epoch = found.generation, found.epoch
        if found.complete:
            self.ledger.clear()
            self.fresh = True
        self.ledger |= {server.id: server for server in found.servers}
        for id in list(self.running):
            if id not in self.ledger or not self.ledger[id].present:
                self.running.discard(id)
        self.running |= {id for id, server in self.ledger.items()
                         if server.present and server.power is Power.RUNNING and not _held(server)}

    def report(self) -> Report:
        self.sequence += 1
        guests = tuple(GuestReport(
            id=id, generation=server.generation, converged=True, rebuilds=server.rebuilds,
            power=Power.RUNNING if id in self.running else Power.ABSENT)
            for id, server in self.ledger.items() if not _held(server))
        return Report(machine=self.name, boot_id=self.boot_id, sequence=self.sequence, host=self.name,
                      epoch=self.epoch, document_generation=self.generation, guests=guests, complete=True,
                      inventory=INVENTORY)

    def send(self, report: Report) -> None:
        def take(tx: Any) -> Any:
            ha.heard_of(tx, self.id)
            return reports.accept_report(tx, self.id, report)

        if self.world.database.write(take).accepted:
            self.ledger = {id: server for id, server in self.ledger.items() if server.present}


INVENTORY = Inventory(vcpus=64, memory_mib=900, disk_gib=1000, storage="rbd:pool")


def _held(server: ServerDesired) -> bool:
    return server.arrival is not None and server.arrival.hold


class World:
    """Five machines, ten servers, two engines."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.clock, self.control_up = clock, True
        self.database = Database(f"sqlite:///{directory / 'stackling.db'}", durable=False)
        metadata.create_all(self.database.engine)
        self.database.write(flavors.bootstrap, [Flavor("f", "f", 1, 256, 0)])
        self.database.write(quotas.set_limits, "p", {"instances": -1, "cores": -1})
        self.cluster = SimulatedCluster(directory / "cluster.json", MACHINES, wait=self.hang)
        self.queue = SqlWorkQueue(self.database)
        self.machines: dict[str, Machine] = {}
        for name in MACHINES:
            id, _ = self.database.write(hosts.register_machine, name, "hash")
            self.machines[name] = machine = Machine(self, name, id, self.cluster.machine(name).boot_id)
            machine.fresh = True
            machine.send(machine.report())
            machine.fresh = False
        self.servers_engine = Worker(self.queue, [ServerKind()])
        self.watches: list[Watch] = []
        self.workers: list[Worker] = []
        for _ in range(2):
            self.start_engine()
        self.spend(14)
        self.ids: list[str] = []
        for _ in range(10):
            self.build()
        self.spend(4)

    def start_engine(self) -> None:
        watch = Watch(self.database, self.cluster, SETTINGS)
        self.watches = [*self.watches[-1:], watch]
        worker = Worker(self.queue, ha.kinds(self.database, watch, self.cluster, SETTINGS), owner=new_id())
        self.workers = [*self.workers[-1:], worker]

    def close(self) -> None:
        self.database.close()

    # -- time

    def hang(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.tick()

    def tick(self) -> None:
        self.clock.at += 1.0
        for machine in self.machines.values():
            machine.live()
        self.nothing_runs_twice()
        if self.control_up:
            for watch in self.watches:
                watch.view()
                watch.listen()

    def spend(self, seconds: int) -> None:
        for _ in range(seconds):
            self.tick()
            if not self.control_up:
                continue
            self.queue.sweep(["machine", "evacuation"], 15.0, 500)
            for _ in range(100):
                if not sum(worker.step(10) for worker in self.workers) and not self.servers_engine.step(10):
                    break
            else:
                raise AssertionError("the engine finds no end")
            self.everything_has_a_reason()

    # -- what happens

    def build(self) -> None:
        id = new_id()
        self.database.write(create.create_servers, CTX, NewServers((id,), "r", "vm", "f", IMAGE.id, requested="none"))
        self.ids.append(id)

    def happen(self, what: str, name: str, number: int) -> None:
        machine = self.machines[name]
        match what:
            case "power off":
                self.cluster.lose_power(name)
            case "power on":
                self.cluster.give_power(name)
            case "cut" | "heal" | "leave" | "join":
                getattr(self.cluster, what)(name)
            case "device":
                self.cluster.set_device(name, DEVICES[number % len(DEVICES)])
            case "silence":
                machine.silent = not machine.silent
            case "restart agent":
                machine.fresh = False
            case "quorum":
                self.cluster.set_quorate(number % 2 == 0)
            case "control":
                self.control_up = not self.control_up
            case "new engine":
                self.start_engine()
            case "plan":
                self.database.write(_ignore(ha.plan_stop), CTX, name, 30.0, None)
            case "resume":
                self.database.write(_ignore(ha.resume), CTX, name)
            case "build":
                self.build()
            case "delete":
                self.database.write(_ignore(servers.delete_server), CTX, self.ids[number % len(self.ids)])
            case "delay report":
                if machine.fresh and self.cluster.machine(name).power:
                    machine.late.append(machine.report())
            case "late report":
                if machine.late:
                    machine.send(machine.late.pop(0))
            case _:
                raise AssertionError(what)

    def recover(self) -> None:
        """Everything is well again."""
        self.control_up = True
        self.cluster.set_quorate(True)
        for name, machine in self.machines.items():
            machine.silent = False
            machine.late.clear()
            self.cluster.set_device(name, Device.OK)
            for act in (self.cluster.give_power, self.cluster.heal, self.cluster.join):
                act(name)
        self.spend(120)

    # -- what must be true

    def nothing_runs_twice(self) -> None:
        where: dict[str, str] = {}
        for name, machine in self.machines.items():
            for id in machine.running:
                assert id not in where, f"server {id} runs on {where[id]} and on {name}"
                where[id] = name

    def everything_has_a_reason(self) -> None:
        for shown in self.database.read(ha.list_machines):
            assert shown["state"] in ("up", "fenced") or shown["reason"], shown
        for machine in self.machines.values():
            for move in self.database.read(ha_rows.evacuations, machine.id):
                if move.state in ("queued", "waiting", "held", "moving") and self.clock.at > move.deadline_at + 10:
                    assert move.reason, move

    def all_is_well(self) -> None:
        shown = self.database.read(ha.list_machines)
        assert {one["name"]: one["state"] for one in shown} == dict.fromkeys(MACHINES, "up"), shown
        found = [self.database.read(rows.get, id) for id in self.ids]
        alive = [row for row in found if row is not None and not row["deleted"]]
        assert not [dict(row) for row in alive if row["deleting"] or row["task_state"]]
        placed = [row for row in alive if row["host"] is not None]
        assert {row["id"]: row["host"] for row in placed if row["power"] == "running"} == {
            id: name for name, machine in self.machines.items() for id in machine.running}
        for host in self.database.read(hosts.list_hosts):
            here = [row for row in placed if row["host"] == host["name"]]
            assert (host["servers"], host["memory_mib_used"]) == (len(here), 256 * len(here))


def _ignore(use_case: Callable[..., Any]) -> Callable[..., Any]:
    def run(tx: Any, *args: Any) -> None:
        with suppress(StacklingError):
            use_case(tx, *args)

    return run


@contextmanager
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for look in ("image_described", "image_for_boot", "image_for_server"):
            patch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)
        made = World(Path(folder), Clock.install(patch))
        try:
            yield made
        finally:
            made.close()


HAPPENINGS = ("power off", "power off", "power on", "cut", "cut", "cut", "heal", "heal", "leave", "join", "device",
              "device", "device", "silence", "restart agent", "quorum", "control", "new engine", "plan", "resume",
              "build", "delete", "delay report", "late report")
VICTIMS = ("m1", "m1", "m1", "m2", "m2", "m3")
STEPS = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from(VICTIMS), st.integers(0, 11),
                           st.integers(0, 40)), min_size=1, max_size=14)


@pytest.mark.crash
@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(STEPS)
def test_no_server_runs_twice_and_everything_comes_right(steps: list[tuple[str, str, int, int]]) -> None:
    with world() as made:
        for what, name, number, pause in steps:
            made.happen(what, name, number)
            made.spend(pause)
        made.recover()
        made.all_is_well()


@pytest.mark.crash
def test_one_machine_after_the_other() -> None:
    with world() as made:
        made.happen("power off", "m1", 0)
        made.spend(3)
        made.happen("cut", "m2", 0)
        made.spend(30)
        shown = {one["name"]: one["state"] for one in made.database.read(ha.list_machines)}
        assert (shown["m1"], shown["m2"]) == ("fenced", "fenced")
        running = {id for machine in made.machines.values() for id in machine.running}
        assert len(running) == 9                # three machines are left, with room for three each; one server waits
        made.recover()
        made.all_is_well()
