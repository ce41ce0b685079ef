"""What systemd runs as ``stackling-database.service``: asks the other control machines, does what ``rules`` decide,
and watches over the server for as long as it lives. ``--wait SECONDS`` only waits until this node is open.

SIGTERM stops the server: politely where the others can go on without a pause, else as a power loss would (``rules``).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from stackling.deploy.cluster import description, secrets
from stackling.deploy.cluster.galera import ledger as ledgers
from stackling.deploy.cluster.galera import rules
from stackling.deploy.cluster.galera.layout import Layout
from stackling.deploy.cluster.galera.peers import Answer, Listener, Peers, Question
from stackling.deploy.cluster.galera.rules import Bootstrap, Join, Report, State, Wait
from stackling.deploy.cluster.galera.server import NOTHING, Position, Server, Status
from stackling.deploy.cluster.paths import Paths

log = logging.getLogger("stackling.database")
SOON, LATER = 0.3, 2.0          # seconds between two looks: while there is something to decide, and when all is well
GRANT = 10.0                    # seconds for which a node stays after it said so
POLITE = 30.0                   # seconds that a polite stop may take
ASKED = 10                      # times that others are asked to stay, SOON apart: longer than LATER


@dataclass(slots=True)
class _Life:
    """One server's life, from launch to end."""

    epoch: int
    began: bool = False
    asked_accounts: bool = False
    status: Status | None = None
    open: bool = False
    stranded_since: float | None = None


class Others(Protocol):
    """``peers.Peers``, or a stand-in."""

    def ask(self, what: Literal["report", "promise", "leave"], epoch: int = 0,
            whom: tuple[str, ...] | None = None) -> list[Answer]: ...


class Child(Protocol):
    """``server.Server``, or a stand-in."""

    @property
    def alive(self) -> bool: ...
    def prepare(self) -> None: ...
    def create(self) -> None: ...
    def position(self) -> Position: ...
    def launch(self, position: Position, *, bootstrap: bool) -> None: ...
    def status(self) -> Status | None: ...
    def accounts(self, password: str) -> None: ...
    def open(self) -> None: ...
    def stop(self, patience: float) -> None: ...


class Node:
    """This machine's part. Questions of others are answered in other threads, under the lock."""

    def __init__(self, name: str, machines: int, at: Layout, server: Child, peers: Others, password: str = "",
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._at, self._name, self._machines = at, name, machines
        self._server, self._peers, self._password, self._clock = server, peers, password, clock
        self._lock = threading.Lock()
        self._ledger = ledgers.read(at.ledger)
        self._position: Position | None = None          # unknown yet
        self._life: _Life | None = None
        self._stopping = threading.Event()
        self._granted = ("", 0.0)
        self._majority_since: float | None = None
        self._said = ""

    def run(self) -> None:
        """Until ``stop``."""
        try:
            self.begin()
            while not self._stopping.is_set():
                self._stopping.wait(self.turn())
            self.end()
        finally:
            self._server.stop(0)

    def begin(self) -> None:
        """Find out where the data stand."""
        self._server.prepare()
        self._locate()

    def stop(self) -> None:
        """Ask for the end."""
        self._stopping.set()

    # -- what others ask

    def answer(self, question: Question) -> Answer:
        """The answer to one question."""
        with self._lock:
            granted = False
            if question.ask == "promise" and rules.may_promise(self._report(), question.epoch):
                self._keep(promised=question.epoch)
                granted = True
            elif question.ask == "leave":
                granted = self._may_stay(question.name)
            return Answer(self._report(), granted)

    def _may_stay(self, name: str) -> bool:
        report = self._report()
        whom, until = self._granted
        stays = report.open and report.primary and report.synced and report.state is State.RUNNING
        if not stays or (whom != name and self._clock() < until):
            return False
        self._granted = (name, self._clock() + GRANT)
        return True

    def _report(self) -> Report:
        life, ledger = self._life, self._ledger
        position = self._position or NOTHING
        state = (State.STOPPING if self._stopping.is_set() else State.RUNNING if life
                 else State.WAITING if self._position else State.STARTING)
        status = life.status if life else None
        return Report(
            name=self._name, state=state, promised=ledger.promised, accepted=ledger.accepted,
            seqno=position.seqno if ledger.floor is None else ledger.floor, has_data=position.has_data,
            joining=ledger.joining, first=ledger.first, token=self._at.token.exists(),
            running=life.epoch if life else 0, primary=bool(status and status.primary),
            synced=bool(status and status.synced), open=bool(life and life.open))

    def _keep(self, **changes: object) -> None:
        changed = msgspec.structs.replace(self._ledger, **changes)
        if changed != self._ledger:
            ledgers.write(self._at.ledger, changed)
            self._ledger = changed

    # -- one look at the world

    def turn(self) -> float:
        """Look at the world once and act; in how many seconds to look again."""
        peers = [answer.report for answer in self._peers.ask("report")]
        if self._life is None:
            self._decide(peers)
            return SOON
        if not self._server.alive:
            self._over("the server ended by itself")
            return SOON
        self._watch(self._life, peers)
        calm = self._life is not None and self._life.open and not self._ledger.first and not self._at.token.exists()
        return LATER if calm else SOON

    def _decide(self, peers: list[Report]) -> None:
        now = self._clock()
        if 1 + len(peers) < rules.majority(self._machines):
            self._majority_since = None
        elif self._majority_since is None:
            self._majority_since = now
        with self._lock:
            own = self._report()
        decision = rules.decide(own, peers, self._machines, now - (self._majority_since or now))
        if isinstance(decision, Wait):
            self._say(f"waits: {decision.why}")
        elif isinstance(decision, Join):
            self._join(decision)
        elif self._promised(decision):
            self._bootstrap(decision)

    def _promised(self, wish: Bootstrap) -> bool:
        """Whether a majority, this node first, promises the epoch."""
        with self._lock:
            if not rules.may_promise(self._report(), wish.epoch):
                return False
            self._keep(promised=wish.epoch)
        if wish.alone:
            return True
        granted = sum(answer.granted for answer in self._peers.ask("promise", wish.epoch, wish.voters))
        if 1 + granted < rules.majority(self._machines):
            self._say(f"waits: {1 + granted} of {self._machines} promise epoch {wish.epoch}")
            return False
        return True

    def _join(self, decision: Join) -> None:
        assert self._position is not None
        self._say(f"joins {decision.peer} in epoch {decision.epoch}")
        with self._lock:
            if decision.is_open:
                self._keep(joining=self._ledger.accepted > 0)
            elif self._ledger.accepted and self._ledger.floor is None and self._ledger.accepted < decision.epoch:
                self._keep(floor=self._position.seqno)
            self._life = _Life(decision.epoch)
        self._server.launch(self._position, bootstrap=False)

    def _bootstrap(self, decision: Bootstrap) -> None:
        assert self._position is not None
        self._say(f"bootstraps epoch {decision.epoch} from position {self._position.seqno}"
                  + (", alone" if decision.alone else ""))
        if not self._position.has_data:
            self._server.create()
        with self._lock:
            if self._ledger.promised != decision.epoch:         # a higher one meanwhile
                return
            if self._ledger.accepted and self._ledger.floor is None:
                self._keep(floor=self._position.seqno)
            self._life = _Life(decision.epoch, began=True)
        self._server.launch(self._position, bootstrap=True)

    # -- while a server runs

    def _watch(self, life: _Life, peers: list[Report]) -> None:
        status = self._server.status()
        with self._lock:
            life.status = status
            own = self._report()
        if rules.is_superseded(own, peers):
            self._over(f"epoch {life.epoch} is superseded", 0)
            return
        starts = status is None and life.began
        if not starts and rules.is_stranded(own, peers, self._machines):
            self._stranded(life, status)
            return
        life.stranded_since = None
        if own.primary and own.synced:
            self._advance(life, own, peers)

    def _stranded(self, life: _Life, status: Status | None) -> None:
        """Start over after a while, but not before what was received is applied."""
        now = self._clock()
        since = life.stranded_since = life.stranded_since or now
        if now - since > (rules.ASTRAY if status is None else rules.STRANDED) and not (status and status.queue):
            self._over("no machine of the majority that answers is part of a primary component", POLITE)

    def _advance(self, life: _Life, own: Report, peers: list[Report]) -> None:
        """Accept the epoch when its time has come, open, and put the token away."""
        mates = [peer for peer in peers if peer.running == life.epoch and peer.primary]
        if not life.asked_accounts and not any(mate.open for mate in mates):
            self._server.accounts(self._password)
        life.asked_accounts = True
        with self._lock:
            ledger = self._ledger
            new = ledger.accepted != life.epoch or ledger.joining or ledger.floor is not None
            if new and rules.may_accept(own, mates, self._machines, life.began):
                first = next((mate.name for mate in mates if mate.token), "")
                self._keep(promised=life.epoch, accepted=life.epoch, floor=None,
                           joining=False, first=first)
            elif ledger.first and any(mate.name == ledger.first and not mate.token for mate in mates):
                self._keep(first="")
            own = self._report()
        if not life.open and rules.may_open(own, mates, self._machines):
            self._server.open()
            with self._lock:
                life.open = True
            self._say(f"is open in epoch {life.epoch}")
        if own.token and rules.accepted_by(life.epoch, own, mates) >= rules.majority(self._machines):
            ledgers.remove(self._at.token)

    def _over(self, why: str, patience: float = 0) -> None:
        self._say(f"starts over: {why}")
        self._server.stop(patience)
        with self._lock:
            self._life = self._position = None
        self._locate()

    def _locate(self) -> None:
        found = self._server.position()
        with self._lock:
            self._position = found

    def end(self) -> None:
        """Stop the server, politely where that is safe; ``stop`` has been called."""
        with self._lock:
            whom, until = self._granted
            own = self._report()
        free = own.primary and self._machines > 1 and (not whom or self._clock() > until)
        polite = rules.may_leave(own, self._grants(own) if free else 0, self._machines)
        self._say("stops politely" if polite else "stops at once: too few would be left")
        self._server.stop(POLITE if polite else 0)

    def _grants(self, own: Report) -> int:
        """How many others stay while this node leaves. One that runs may know of its own state only in a moment."""
        grants = 0
        for _ in range(ASKED):
            answers = self._peers.ask("leave")
            grants = sum(answer.granted for answer in answers)
            may_come = any(answer.report.state is State.RUNNING and not answer.granted for answer in answers)
            if rules.may_leave(own, grants, self._machines) or not may_come:
                break
            time.sleep(SOON)
        return grants

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            log.info("%s %s", self._name, what)
            _notify(f"STATUS={what}")


def _notify(state: str) -> None:
    """sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def wait_until_open(at: Layout, seconds: float) -> bool:
    """Whether this machine's database is open, at the latest after *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(str(at.socket))
                return True
            except OSError:
                pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="stackling-database", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help="where etc, var and run are")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="only wait until this node is open")
    options = parser.parse_args()
    paths = Paths(options.root)
    if options.wait is not None:
        return 0 if wait_until_open(Layout(paths), options.wait) else 1
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    cluster, name, at = description.read(paths.cluster), paths.name, Layout(paths)
    others = {one.name: one.address for one in cluster.control if one.name != name}
    node = Node(name, len(cluster.control), at, Server(at), Peers(name, others, at.identity),
                secrets.read(paths).database_password)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.stop())
    listener = Listener(cluster.machine(name).address, at.identity, node.answer)    # nobody else is this node
    _notify("READY=1")
    try:
        node.run()
    finally:
        listener.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
