"""Who starts the database: the rules by themselves, and the start programs under thousands of random schedules.

The schedules run the start program's own code (``Node``) with a stand-in for MariaDB that behaves as Galera does:
a component keeps going while it has more than half of the last one, leavers not counted; a node that meets a primary
component takes over its data. Machines lose power, are cut off, stop in good order, and pause anywhere (other nodes'
turns run in the middle of theirs). Checked at every acknowledged write: it is made on top of all others.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from stackling.deploy.cluster.galera import rules
from stackling.deploy.cluster.galera.layout import Layout
from stackling.deploy.cluster.galera.peers import Answer, Question
from stackling.deploy.cluster.galera.rules import Bootstrap, Join, Report, State, Wait
from stackling.deploy.cluster.galera.server import Position, Status
from stackling.deploy.cluster.galera.start import Node
from stackling.deploy.cluster.paths import Paths

NOBODY = Position("00000000-0000-0000-0000-000000000000", -1)


def waiting(name: str, accepted: int = 1, seqno: int = 10, **more: object) -> Report:
    return Report(name=name, state=State.WAITING, accepted=accepted, promised=accepted, seqno=seqno,
                  has_data=seqno >= 0, **more)     # type: ignore[arg-type]


def running(name: str, epoch: int = 1, **more: object) -> Report:
    return Report(name=name, state=State.RUNNING, accepted=epoch, promised=epoch, running=epoch, primary=True,
                  synced=True, seqno=10, has_data=True, **more)     # type: ignore[arg-type]


# -- single decisions

def test_without_a_token_a_new_machine_waits() -> None:
    new = Report(name="m1", state=State.WAITING)
    assert isinstance(rules.decide(new, [], 1, 99), Wait)
    assert isinstance(rules.decide(new, [Report(name="m2", state=State.WAITING)], 3, 99), Wait)


def test_the_token_begins_alone() -> None:
    assert rules.decide(Report(name="m1", state=State.WAITING, token=True), [], 3, 0) == Bootstrap(1, (), alone=True)


def test_a_primary_is_joined_also_by_the_holder_of_the_token() -> None:
    new = Report(name="m1", state=State.WAITING, token=True)
    assert rules.decide(new, [running("m2", open=True)], 3, 0) == Join("m2", 1, True)


def test_all_back_the_newest_goes_first_at_once() -> None:
    others = [waiting("m2", seqno=12), waiting("m3", seqno=11)]
    assert isinstance(rules.decide(waiting("m1", seqno=10), others, 3, 0), Wait)
    decision = rules.decide(waiting("m2", seqno=12), [waiting("m1"), waiting("m3", seqno=11)], 3, 0)
    assert isinstance(decision, Bootstrap)
    assert decision.epoch == 2


def test_a_majority_waits_for_the_last_one_a_little_and_then_goes() -> None:
    own, other = waiting("m1", seqno=12), waiting("m2", seqno=11)
    assert isinstance(rules.decide(own, [other], 3, rules.PATIENCE - 1), Wait)
    assert isinstance(rules.decide(own, [other], 3, rules.PATIENCE + 1), Bootstrap)


def test_a_newer_epoch_beats_a_higher_position() -> None:
    own = waiting("m1", accepted=2, seqno=5)
    assert isinstance(rules.decide(own, [waiting("m2", seqno=500)], 3, 99), Bootstrap)
    assert isinstance(rules.decide(waiting("m2", seqno=500), [own], 3, 99), Wait)


def test_what_was_emptied_votes_but_does_not_lead_nor_lose() -> None:
    emptied = Report(name="m2", state=State.WAITING, accepted=1, promised=1, seqno=10)
    assert isinstance(rules.decide(waiting("m1", seqno=10), [emptied], 3, 99), Bootstrap)
    decision = rules.decide(waiting("m1", seqno=9), [emptied], 3, 99)
    assert isinstance(decision, Wait)
    assert "m2" in decision.why


@pytest.mark.parametrize("machines", [2, 3])
def test_one_alone_waits_however_long(machines: int) -> None:
    assert isinstance(rules.decide(waiting("m1"), [], machines, 1e9), Wait)


def test_a_single_machine_goes_by_itself() -> None:
    assert isinstance(rules.decide(waiting("m1"), [], 1, 0), Bootstrap)


def test_an_old_beginning_is_not_joined() -> None:
    decision = rules.decide(waiting("m1", accepted=3), [running("m2", epoch=2)], 3, 0)
    assert isinstance(decision, Wait)
    assert rules.decide(waiting("m1", accepted=3), [running("m2", epoch=3, open=True)], 3, 0) == Join("m2", 3, True)


REPORTS = [Report(name="", state=state, accepted=accepted, promised=promised, seqno=seqno, has_data=data,
                  joining=joining, running=epoch, primary=primary, synced=primary, open=primary and accepted == epoch)
           for accepted, promised, seqno, data, joining in itertools.product(
               (0, 1, 2), (0, 2, 3), (-1, 5, 6), (False, True), (False, True))
           if promised >= accepted
           for state, epoch, primary in ((State.WAITING, 0, False), (State.RUNNING, 2, False), (State.RUNNING, 2, True))
           ]


def named(report: Report, name: str) -> Report:
    return Report(**{field: getattr(report, field) for field in Report.__struct_fields__ if field != "name"}, name=name)


def test_no_two_disjoint_views_ever_both_bootstrap() -> None:
    """Whatever anybody reports: whoever bootstraps without the token has a majority of waiting voters with it, none of
    which knows better, and asks for an epoch above everything that it heard."""
    own_reports = [report for report in REPORTS if report.state is State.WAITING]
    for own, peer in itertools.product(own_reports, REPORTS):
        me, other = named(own, "m1"), named(peer, "m2")
        for peers, machines in (([other], 3), ([other], 2), ([], 3), ([other, named(peer, "m3")], 3)):
            decision = rules.decide(me, peers, machines, 99)
            if not isinstance(decision, Bootstrap):
                continue
            voters = [report for report in (me, *peers) if report.name in (*decision.voters, "m1")]
            assert len(voters) >= rules.majority(machines)
            assert all(report.state is State.WAITING and report.accepted for report in voters)
            assert all(report.voter for report in voters) or len(voters) == machines
            assert me.has_data
            assert max((report.accepted, report.seqno) for report in voters) == (me.accepted, me.seqno)
            assert decision.epoch > max(max(r.promised, r.accepted, r.running) for r in (me, *peers))
            assert not any(report.primary for report in peers)


# -- schedules

class Galera:
    """All the servers of one world."""

    def __init__(self, rng: random.Random, names: list[str]) -> None:
        self.rng, self.names = rng, names
        self.links = {frozenset(pair) for pair in itertools.combinations(names, 2)}
        self.servers: dict[str, Stand] = {}
        self.seqno = itertools.count(1)

    def connected(self, one: str, other: str) -> bool:
        return one == other or frozenset((one, other)) in self.links

    def settle(self) -> None:
        """What group communication does in a few seconds."""
        alive = [server for server in self.servers.values() if server.alive]
        for server in alive:
            view = server.view
            if view is None or not server.primary:
                continue
            left = [name for name in view if name in server.left]
            there = {other.name for other in alive if other.view is view and self.connected(server.name, other.name)}
            if len(there) == len(view):
                continue
            members = [self.servers[name] for name in there]
            goes_on = 2 * len(there) > len(view) - len(left)
            new = frozenset(there)
            for member in members:
                member.view, member.primary, member.left = new, goes_on, set()
                if goes_on:
                    member.count = max(member.count, next(self.seqno))
        for server in alive:
            if server.primary:
                continue
            hosts = [other for other in alive if other.primary and other.synced
                     and all(self.connected(server.name, name) for name in other.view or ())]
            if hosts:
                self._admit(server, hosts[0])

    def _admit(self, server: Stand, host: Stand) -> None:
        assert host.view is not None
        new, count = host.view | {server.name}, next(self.seqno)
        for name in host.view:
            self.servers[name].view, self.servers[name].count = new, count
        server.view, server.primary, server.synced, server.donor = new, True, False, host
        if self.rng.random() < 0.3:
            server.data, server.count = None, -1        # a whole copy begins by removing what was there

    def transfer(self) -> None:
        for server in self.servers.values():
            if server.alive and server.primary and not server.synced and self.rng.random() < 0.6:
                donors = [self.servers[name] for name in server.view or () if self.servers[name].synced]
                if donors:
                    server.data, server.count, server.synced = set(donors[0].data or ()), donors[0].count, True


class Stand:
    """A stand-in for the server of one machine; its disk outlives it."""

    def __init__(self, world: Galera, name: str) -> None:
        self.world, self.name = world, name
        self.data: set[int] | None = None
        self.count = -1
        self.alive = self.primary = self.synced = self.opened = False
        self.view: frozenset[str] | None = None
        self.left: set[str] = set()
        self.donor: Stand | None = None
        world.servers[name] = self

    def prepare(self) -> None:
        self.stop(0)

    def create(self) -> None:
        if self.data is None:
            self.data = set()

    def position(self) -> Position:
        return NOBODY if self.data is None or self.count < 0 else Position("u", self.count)

    def launch(self, position: Position, *, bootstrap: bool) -> None:
        self.alive, self.primary, self.synced, self.view = True, bootstrap, bootstrap, None
        if bootstrap:
            assert self.data is not None
            self.view, self.count = frozenset({self.name}), max(self.count, 0) + 1

    def status(self) -> Status | None:
        if not self.alive or (not self.synced and self.view is None):
            return None
        return Status(self.primary, self.synced and self.primary, len(self.view or ()), 0)

    def accounts(self, password: str) -> None:
        pass

    def open(self) -> None:
        self.opened = True

    def stop(self, patience: float) -> None:
        if self.alive and patience and self.primary:
            for name in (self.view or frozenset()) - {self.name}:
                self.world.servers[name].left.add(self.name)
        self.alive = self.primary = self.synced = self.opened = False
        self.view = None


class World:
    """Machines with start programs, a network, a clock, and clients."""

    def __init__(self, directory: Path, seed: int, machines: int = 3) -> None:
        self.rng = random.Random(seed)
        self.directory, self.now, self.busy, self.calm = directory, 0.0, set[str](), False
        self.names = [f"m{number}" for number in range(1, machines + 1)]
        self.galera = Galera(self.rng, self.names)
        self.stands = {name: Stand(self.galera, name) for name in self.names}
        self.nodes: dict[str, Node] = {}
        self.written: set[int] = set()
        self.numbers = itertools.count()
        for name in self.names:
            at = self.at(name)
            at.ledger.parent.mkdir(parents=True)
        self.at("m1").token.touch()

    def at(self, name: str) -> Layout:
        return Layout(Paths(self.directory / name))

    # -- what happens

    def power_on(self, name: str) -> None:
        if name not in self.nodes:
            node = Node(name, len(self.names), self.at(name), self.stands[name], Wire(self, name),
                        clock=lambda: self.now)
            self.nodes[name] = node
            node.begin()

    def power_off(self, name: str) -> None:
        self.nodes.pop(name, None)
        self.stands[name].stop(0)

    def shut_down(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is not None and name not in self.busy:
            node.stop()
            with suppress(Lost):
                node.end()
            self.power_off(name)

    def cut(self, name: str) -> None:
        self.galera.links -= {link for link in self.galera.links if name in link}

    def heal(self) -> None:
        self.galera.links = {frozenset(pair) for pair in itertools.combinations(self.names, 2)}

    def turn(self, name: str) -> None:
        if name in self.nodes and name not in self.busy:
            self.busy.add(name)
            with suppress(Lost):
                self.nodes[name].turn()
            self.busy.discard(name)
        self.now += 0.3

    def groups(self) -> None:
        self.galera.settle()
        self.galera.transfer()
        self.now += 1.0

    def write(self, name: str) -> None:
        """A client's commit. It needs the whole present component, so one that is falling apart acknowledges nothing.
        """
        stand = self.stands[name]
        if not (stand.alive and stand.opened and stand.primary and stand.synced):
            return
        assert stand.view is not None
        mates = [self.stands[mate] for mate in stand.view]
        if not all(mate.alive and mate.view is stand.view and self.galera.connected(name, mate.name) for mate in mates):
            return
        number = next(self.numbers)
        assert stand.data is not None
        assert self.written <= stand.data, f"{name} acknowledges without {self.written - stand.data}"
        self.written.add(number)
        at = next(self.galera.seqno)
        for mate in mates:
            if mate.synced and mate.data is not None:
                mate.data.add(number)
                mate.count = max(mate.count, at)

    def anything(self, steps: int, faults: float) -> None:
        """Random events."""
        bad = [self.power_off, self.power_on, self.power_on, self.shut_down, self.cut, self._heal, self._heal]
        good = [self.turn, self.turn, self.write, self._groups]
        for _ in range(steps):
            what = self.rng.choice(bad if self.rng.random() < faults else good)
            what(self.rng.choice(self.names))

    def _heal(self, _name: str) -> None:
        self.heal()

    def _groups(self, _name: str) -> None:
        self.groups()

    def quiet(self, rounds: int = 400) -> bool:
        """No more faults; whether everything that has power opens."""
        self.calm = True
        self.heal()
        for _ in range(rounds):
            for name in self.names:
                self.turn(name)
            self.groups()
            if all(self.stands[name].opened and self.stands[name].synced for name in self.nodes):
                return True
        return False


class Lost(Exception):
    """The machine lost its power in the middle of a turn."""


class Wire:
    """What asks the others; while an answer is on its way, anything may happen."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def ask(self, what: object, epoch: int = 0, whom: tuple[str, ...] | None = None) -> list[Answer]:
        world, node = self.world, self.world.nodes.get(self.name)
        answers = [world.nodes[name].answer(Question(self.name, what, epoch))   # type: ignore[arg-type]
                   for name in world.names
                   if name != self.name and name in world.nodes and world.galera.connected(self.name, name)
                   and (whom is None or name in whom)]
        if not world.calm and world.rng.random() < 0.1 and len(world.busy) < 3:
            world.now += world.rng.choice([0.0, 1.0, 30.0])
            world.anything(world.rng.randint(1, 8), 0.25)
        if world.nodes.get(self.name) is not node:
            raise Lost
        return answers


@pytest.fixture
def worlds(tmp_path: Path) -> Callable[[int, int], World]:
    return lambda seed, machines: World(tmp_path / str(seed), seed, machines)


@pytest.mark.parametrize("machines", [1, 2, 3])
@pytest.mark.parametrize("block", range(2))
def test_nothing_acknowledged_is_lost_and_everything_comes_back(worlds: Callable[[int, int], World], block: int,
                                                                machines: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        world = worlds(seed, machines)
        for name in world.names:
            world.power_on(name)
        world.anything(200, 0.12)
        for name in world.names:
            world.power_on(name)
        assert world.quiet(), f"seed {seed}: {[world.stands[name].opened for name in world.names]}"
        for name in world.names:
            world.write(name)
        assert all(world.written == world.stands[name].data for name in world.names), f"seed {seed}"


@pytest.mark.parametrize("lost", ["m1", "m2", "m3"])
def test_all_dead_and_any_two_are_enough(worlds: Callable[[int, int], World], lost: str) -> None:
    for seed in range(25):
        world = worlds(seed, 3)
        for name in world.names:
            world.power_on(name)
        assert world.quiet()
        world.write("m2")
        world.calm = False
        for name in world.rng.sample(world.names, 3):
            world.power_off(name)
        for name in set(world.names) - {lost}:
            world.power_on(name)
        assert world.quiet(), f"seed {seed}"
        world.write(next(iter(world.nodes)))
        assert len(world.written) == 2
