"""Random schedules of servers that move between hosts, live, off and evacuated, while agents die between any two of
their steps, reports are lost or late, migrations break off, and machines lose their power, are fenced and come back.

Whatever happens, no guest runs on two machines, no two documents ask for it to run, and in the end every server is
where its row says, as it was asked for, and is counted once.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from stackling.agent import plan as p
from stackling.compute import (
    actions,
    boot_volumes,
    cold_migration,
    create,
    flavors,
    hosts,
    live_migration,
    migrations,
    moving,
    quotas,
    reports,
    resize,
    rows,
    servers,
)
from stackling.compute import documents as host_documents
from stackling.compute.kinds import ServerKind
from stackling.compute.live_migration import Live
from stackling.compute.model import Flavor, NewServers, ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.drivers.simulated.disks import SimulatedDisks
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.engine.worker import Worker
from stackling.image.facade import BootImage
from stackling.ports.document import GuestReport, Inventory, Power, Report, ServerDesired
from stackling.store.database import Database
from stackling.store.transaction import Tx
from stackling.store.work import SqlWorkQueue

CTX = Context("req-1", user_id="u", project_id="p", roles=frozenset({"admin", "member", "reader"}))
IMAGE = BootImage("5d1f7a3e-0000-4000-8000-000000000001", "tiny", "raw", 1024, 1024, "00", 0, 0, {}, "active")
NAMES = ("h1", "h2", "h3")


class Host:
    """One machine: its hypervisor and disks outlive its agent, whose steps come one at a time."""

    def __init__(self, database: Database, name: str, peers: dict[str, SimulatedHypervisor],
                 shared: SimulatedDisks | None) -> None:
        self.database, self.name = database, name
        self.machine, self.id = database.write(hosts.register_machine, name, "hash")
        self.hypervisor = SimulatedHypervisor(name=name, peers=peers)
        self.hypervisor.hold_migrations = True
        self.disks = shared or SimulatedDisks(storage="local:copied")
        self.sequence = self.generation = 0
        self.boot, self.on, self.fresh = 1, True, True
        self.wanted: dict[str, ServerDesired] = {}
        self.done: dict[str, p.Done] = {}
        self.late: list[Report] = []
        self.say()

    # -- the agent

    def fetch(self) -> None:
        if not self.on:
            return
        found = self.database.read(host_documents.documents, self.machine, self.name,
                                   self.generation if self.fresh else 0, 1)
        if found is None:
            return
        self.generation, self.fresh = found.generation, True
        gone = set(self.wanted) - {server.id for server in found.servers} if found.complete else set[str]()
        for id in gone:
            del self.wanted[id]
            self.done.pop(id, None)
        for server in found.servers:
            self.wanted[server.id] = server
            self.done.setdefault(server.id, p.first_done(server))

    def plan(self, id: str) -> tuple[p.Step, ...]:
        wanted = self.wanted[id]
        return p.plan(wanted, self.seen(wanted), self.done[id], f"boot-{self.boot}", p.Asked(99.0, 99.0))

    def seen(self, wanted: ServerDesired) -> p.Observed:
        leaves = wanted.live is not None and not wanted.live.target
        return p.Observed(self.hypervisor.guest(wanted.id), self.disks.find(wanted.id),
                          self.hypervisor.migration(wanted.id) if leaves else None)

    def step(self, id: str, most: int = 99) -> bool:
        """Take the next steps, *most* of them before the agent dies; whether there were any."""
        if not (self.on and self.fresh) or id not in self.wanted:
            return False
        steps = self.plan(id)[:most]
        for at, step in enumerate(steps):
            if isinstance(step, p.Hold | p.Wait):
                return at > 0
            self.apply(self.wanted[id], step)
        return bool(steps)

    def apply(self, wanted: ServerDesired, step: p.Step) -> None:
        id, hypervisor, disks = wanted.id, self.hypervisor, self.disks
        match step:
            case p.Note(done):
                self.done[id] = done
            case p.MakeDisks():
                disks.make(wanted, lambda words: None)
            case p.FetchDisks(source):
                disks.fetch(wanted, source, lambda words: None)
            case p.Expect(own):
                disks.expect(wanted, own, lambda words: None)
            case p.ResizeDisks():
                disks.resize(wanted)
            case p.Define():
                hypervisor.define(wanted, disks.paths(wanted))
            case p.Migrate(peer, own):
                hypervisor.migrate(id, peer, own)
            case p.Wipe():
                disks.remove(id, 1, wanted.generation)
            case p.Refuse(reason):
                raise AssertionError(reason)
            case _:
                {p.Start: hypervisor.start, p.SwitchOff: hypervisor.destroy, p.Forget: hypervisor.undefine,
                 p.AskShutdown: hypervisor.shutdown, p.Pause: hypervisor.pause, p.Unpause: hypervisor.unpause,
                 p.AbortMigration: hypervisor.abort_migration, p.HurryMigration: hypervisor.hurry_migration,
                 p.ForgetKept: lambda id: None}[type(step)](id)

    def report(self, id: str) -> Report | None:
        wanted = self.wanted.get(id)
        if wanted is None or not (self.on and self.fresh):
            return None
        seen, done = self.seen(wanted), self.done[id]
        guest = seen.guest
        return self._report(GuestReport(
            id=id, generation=wanted.generation, power=guest.power if guest else Power.ABSENT,
            converged=not self.plan(id), soft_reboots=done.soft_reboots, hard_reboots=done.hard_reboots,
            rebuilds=done.disks or 0, resizes=done.resizes,
            move=p.move_report(wanted, seen, done, self.hypervisor.migration_peer)))

    def _report(self, *guests: GuestReport) -> Report:
        self.sequence += 1
        return Report(machine=self.name, boot_id=f"boot-{self.boot}", sequence=self.sequence, host=self.name, epoch=1,
                      document_generation=self.generation, guests=guests,
                      inventory=Inventory(vcpus=8, memory_mib=1024, disk_gib=100, storage=self.disks.storage))

    def say(self, id: str | None = None) -> None:
        """Report one server (None: just that the machine lives)."""
        report = self._report() if id is None else self.report(id)
        if report is not None and self.on:
            self.send(report)

    def send(self, report: Report) -> None:
        """A report arrives."""
        answer = self.database.write(reports.accept_report, self.machine, report)
        for guest in report.guests if answer.accepted else ():
            wanted = self.wanted.get(guest.id)
            if (wanted is not None and not wanted.present and wanted.generation == guest.generation
                    and guest.converged and guest.power is Power.ABSENT):
                del self.wanted[guest.id]
                self.done.pop(guest.id, None)

    # -- the machine

    def lose_power(self) -> None:
        self.on = False
        for peer, other in self.hypervisor._peers.items():       # guests that were on their way here or from here
            for id, (to, found) in list(other._migrations.items()):
                if found.running and self.name in (peer, to):
                    other.end_migration(id, "power loss")
        self.hypervisor.reboot_machine()
        self.hypervisor.reachable = False
        self.late.clear()

    def return_(self) -> None:
        self.on, self.fresh, self.boot = True, False, self.boot + 1
        self.hypervisor.reachable = True

    def running(self) -> list[str]:
        return [id for id, guest in self.hypervisor.guests().items() if guest.power is Power.RUNNING
                and not guest.incoming]


class Cloud:
    """Three hosts, an engine, and everything that may happen to them."""

    def __init__(self, database: Database, seed: int, local: bool) -> None:
        self.database, self.random = database, random.Random(seed)
        database.write(flavors.bootstrap, [Flavor("f", "f", 1, 200, 1), Flavor("g", "g", 1, 300, 1)])
        database.write(quotas.set_limits, "p", {"instances": -1, "cores": -1, "ram": -1})
        peers: dict[str, SimulatedHypervisor] = {}
        shared = None if local else SimulatedDisks(storage="rbd:pool")
        self.hosts = [Host(database, name, peers, shared) for name in NAMES]
        self.workers = [Worker(SqlWorkQueue(database), [ServerKind()], lease=lease) for lease in (60.0, 0.0)]
        self.ids: list[str] = []
        self.lost: set[str] = set()
        self.happened: Counter[str] = Counter()

    def step(self) -> None:
        usual: list[Callable[[], None]] = [self.agent] * 12 + [self.turn] * 3
        rare: list[Callable[[], None]] = [
            self.create, self.live, self.live, self.live, self.cold, self.cold, self.decide, self.decide, self.abort,
            self.end, self.end, self.end, self.evacuate, self.evacuate, self.power, self.delete, self.act]
        chosen = self.random.choice(usual + rare)
        chosen()
        self.happened[chosen.__name__] += 1

    def agent(self) -> None:
        host = self.random.choice(self.hosts)
        if not host.on:
            return
        id = self.random.choice(sorted(host.wanted)) if host.wanted else None
        what = self.random.randrange(10)
        if what < 3 or id is None:
            host.fetch()
        elif what < 7:
            host.step(id, self.random.choice((1, 2, 99, 99)))
        elif what == 7:
            host.say(id)
        elif what == 8 and (report := host.report(id)) is not None:
            host.late.append(report)
        elif host.late:
            host.send(host.late.pop(self.random.randrange(len(host.late))))

    def turn(self) -> None:
        self.random.choice(self.workers).step()

    # -- what people ask for

    def ask(self, use: Callable[[Tx, ServerRow], Any]) -> bool:
        def write(tx: Tx, id: str) -> None:
            use(tx, servers.get_server(tx, CTX, id))

        if not self.ids:
            return False
        with contextlib.suppress(Conflict, Invalid, NotFound):
            self.database.write(write, self.random.choice(self.ids))
            return True
        return False

    def create(self) -> None:
        if len(self.ids) < 4:
            id = new_id()
            self.database.write(create.create_servers, CTX, NewServers(
                (id,), "r", "vm", "f", IMAGE.id, requested="none"))
            self.ids.append(id)

    def live(self) -> None:
        self.happened["live begun"] += self.ask(lambda tx, server: live_migration.request(tx, CTX, server, Live()))

    def cold(self) -> None:
        self.happened["cold begun"] += self.ask(lambda tx, server: cold_migration.migrate_server(tx, CTX, server))

    def decide(self) -> None:
        decision = self.random.choice((resize.confirm_resize, resize.revert_resize))
        self.happened["decided"] += self.ask(lambda tx, server: decision(tx, CTX, server))

    def abort(self) -> None:
        def use(tx: Tx, server: ServerRow) -> None:
            row = migrations.get(tx, server["migration_id"])
            if row is not None:
                live_migration.abort(tx, CTX, server, row, early=True)

        self.ask(use)

    def act(self) -> None:
        action = self.random.choice((actions.STOP, actions.START, actions.HARD_REBOOT))
        self.ask(lambda tx, server: actions.perform(tx, CTX, server, action))

    def delete(self) -> None:
        if self.random.random() < 0.3:
            self.ask(lambda tx, server: servers.delete_server(tx, CTX, server["id"]))

    # -- what happens by itself

    def end(self) -> None:
        """A migration under way ends, well or not."""
        for host in self.hosts:
            for id, (_, found) in list(host.hypervisor._migrations.items()):
                if found.running and host.on:
                    host.hypervisor.end_migration(id, "broke off" if self.random.random() < 0.3 else None)
                    self.happened["ended"] += 1
                    return

    def power(self) -> None:
        """A machine loses its power and is fenced, or comes back."""
        host = self.random.choice(self.hosts)
        if host.on and not self.lost:
            host.lose_power()
            self.database.write(moving.host_lost, host.id, "power read off")
            self.lost.add(host.name)
        elif not host.on:
            host.return_()

    def evacuate(self) -> None:
        """What high availability does: move servers off a fenced host, trust one again that has given all up."""
        for host in self.hosts:
            if host.name not in self.lost:
                continue
            if host.on:
                if host.fresh and not self.database.read(moving.to_give_up, host.id):
                    self.database.write(moving.host_back, host.id)
                    self.lost.discard(host.name)
                continue
            found = self.database.read(moving.servers_to_move, host.id)
            if found:
                chosen = self.random.choice(found).id
                self.happened["evacuated"] += self.database.write(
                    lambda tx, id=chosen: moving.evacuate(tx, id, reason="lost")) is None

    # -- what must be true

    def check(self) -> None:
        running = Counter(id for host in self.hosts if host.on for id in host.running())
        assert not [id for id, times in running.items() if times > 1], "a guest runs twice"
        asked: Counter[str] = Counter()
        for host in self.hosts:
            found = self.database.read(host_documents.documents, host.machine, host.name, 0, 1)
            for server in found.servers if found else ():
                held = server.arrival is not None and server.arrival.hold
                if server.present and not held and not (server.live and server.live.target):
                    asked[server.id] += 1
        assert not [id for id, times in asked.items() if times > 1], "two documents ask for a guest"

    def settle(self) -> None:
        """Everybody works until nothing changes."""
        for host in self.hosts:
            host.late.clear()
            if not host.on:
                host.return_()
        for _ in range(30):
            for host in self.hosts:
                host.hypervisor.hold_migrations = False
                for id, (_, found) in list(host.hypervisor._migrations.items()):
                    if found.running:
                        host.hypervisor.end_migration(id)
                host.fetch()
                for id in sorted(host.wanted):
                    for _ in range(20):
                        if not host.step(id):
                            break
                    self.check()
                    host.say(id)
            self.evacuate()
            while self.workers[0].step(10):
                pass
        self.ended()

    def ended(self) -> None:
        assert not self.lost
        alive = [row for id in self.ids if (row := self.database.read(rows.get, id)) is not None and not row["deleted"]]
        for row in alive:
            assert not row["deleting"], row["id"]
            assert row["task_state"] is None, (row["task_state"], row["status"], row["observed_error"], row["held"])
            assert not row["held"]
            assert row["move"] is None
            if row["host"] is not None:
                there = [host.name for host in self.hosts if host.hypervisor.guest(row["id"]) is not None]
                assert there == [row["host"]]
        for host in self.database.read(hosts.list_hosts):
            here = [row for row in alive if row["host"] == host["name"]]
            waiting = [row for row in alive if row["migration_id"] is not None and self._other(row) == host["id"]]
            assert host["servers"] == len(here) + len(waiting), (host["name"], host["servers"])
            assert host["memory_mib_used"] == 200 * host["servers"]
        if not self.hosts[0].disks.storage.startswith("local"):
            return
        for host in self.hosts:             # copies stay only where a resize may go back to
            kept = {row["id"] for row in alive if row["migration_id"] is not None and self._other(row) == host.id}
            here = {row["id"] for row in alive if row["host"] == host.name}
            assert set(host.disks._made) <= here | kept

    def _other(self, row: ServerRow) -> str:
        found = self.database.read(migrations.get, row["migration_id"])
        assert found is not None
        return str(found.source_id if row["host_id"] == found.dest_id else found.dest_id)


@pytest.mark.parametrize("local", [False, True], ids=["shared", "local"])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_runs_twice_and_everything_ends(sqlite: Database, seed: int, local: bool,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    for look in ("image_described", "image_for_boot", "image_for_server"):
        monkeypatch.setattr(boot_volumes.images, look, lambda tx, ctx, id: IMAGE)
    cloud = Cloud(sqlite, seed, local)
    for _ in range(2):
        cloud.create()
    for _ in range(250):
        cloud.step()
        cloud.check()
    cloud.settle()
