"""When a database node starts, joins or bootstraps. Pure: reports in, decision out.

Theory of operation
-------------------
Galera decides who may write while it runs: a component that lost its majority without a word stops. It can't decide
who goes first when nobody runs, and its own memory of the last component (``pc.recovery``) needs every last member.
So that a machine that never returns doesn't block the others, and two halves never both begin, the start programs of
the control machines (1 to 3) agree among themselves, over mutual TLS:

* **Nothing is acknowledged before a majority has it.** A server listens on a private socket; the public one appears
  (the node *opens*) when a majority of the control machines are synced members of one *epoch* and have each recorded
  on disk that they *accepted* it. From then on Galera keeps the majority: with at most three nodes, of which one at
  a time leaves politely and only with the others' leave (``may_leave``), a component of less than a majority of the
  control machines is never primary. So whatever was acknowledged in an epoch was so by a majority that accepted it.
* **A bootstrap is a new epoch, under promises of a majority.** The candidate's number is higher than any that a
  majority has accepted or promised; each of them records the promise before it answers, and accepts no lower epoch
  ever after. Two candidates may both start a server, after a pause of any length; at most one of them is ever joined
  by a majority, so at most one opens. (This is Paxos with the database as its value.)
* **Who bootstraps**: among a majority of the *voters*, the one with the newest epoch and, within it, the highest
  position. Any majority shares a member with the one that accepted the newest open epoch. Missing machines are waited
  for a little, since the last writes of a power cut may be on one disk alone.
* **Who is a voter**: whoever accepted an epoch and has what it had then. A node that was taking over data of an open
  epoch is none until it is synced (``joining``): a component may have counted it without its having the data.
  When every machine answers, such a one votes, too: nobody else can know better.
  A node that is taking part in an epoch that isn't open yet still stands for what it had before (``floor``), also when
  a copy has begun to overwrite it: the epoch was begun by one who had at least that.
* **The first time** there is no majority: the machine with the token of ``cluster init`` bootstraps alone and opens
  alone, until a majority has accepted its epoch; the others remember (``first``) that nothing goes without it until
  it says that the token is gone.

What this doesn't give: Galera acknowledges when a majority has a write in memory and one has it on disk. When all lose
power at once and the one never returns, its last milliseconds are lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

MOST_NODES = 3
PATIENCE = 10.0             # seconds that a missing machine is waited for, once a majority is there
STRANDED = 5.0              # seconds without a primary anywhere, after which a running node starts over
ASTRAY = 60.0               # seconds likewise for one that joins and isn't ready: whom it joined is gone
NOWHERE = -1


class State(StrEnum):
    """What a node's start program is doing."""

    STARTING = "starting"       # it doesn't know its position yet
    WAITING = "waiting"         # no server runs
    RUNNING = "running"         # a server runs, or is starting
    STOPPING = "stopping"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells the others. Numbers of epochs begin at 1; 0 is none.

    ``seqno``: the position of its data, with which it votes (``NOWHERE``: it has none). ``running``: the epoch in which
    its server takes part. ``synced``, ``primary`` and ``size`` are what the server says.
    """

    name: str
    state: State
    promised: int = 0
    accepted: int = 0
    seqno: int = NOWHERE
    has_data: bool = False
    joining: bool = False
    first: str = ""
    token: bool = False
    running: int = 0
    primary: bool = False
    synced: bool = False
    open: bool = False

    @property
    def voter(self) -> bool:
        """Whether its word counts when nobody runs."""
        return self.accepted > 0 and not self.joining and self.seqno != NOWHERE


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again; *why* is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Join:
    """Start and join the epoch that *peer* runs; *is_open*: others write in it already."""

    peer: str
    epoch: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Ask *voters* to promise *epoch*; when a majority of all (oneself included) has, bootstrap in it.

    *alone*: by the token; no promise is needed.
    """

    epoch: int
    voters: tuple[str, ...]
    alone: bool = False


Decision = Wait | Join | Bootstrap


def majority(machines: int) -> int:
    """How many of *machines* are more than half."""
    return machines // 2 + 1


def decide(own: Report, peers: Collection[Report], machines: int, waited: float) -> Decision:
    """What the node *own*, which waits, does; *peers* are the others that answered just now.

    *machines* is how many control machines there are; *waited* for how many seconds a majority has been answering.
    """
    running = [peer for peer in peers if peer.primary and peer.state is State.RUNNING]
    if running:
        return _join(own, running)
    if own.token and own.accepted == 0:
        return Bootstrap(_next(own, peers), (), alone=True)
    peers = [peer for peer in peers if peer.state is not State.STARTING]
    heard = {report.name: report for report in (own, *peers)}
    busy = sorted(peer.name for peer in peers if peer.state is not State.WAITING)
    if busy:
        return Wait(f"{', '.join(busy)} runs without being part of a primary component")
    needed = {report.first for report in heard.values() if report.first} - set(heard)
    if needed:
        return Wait(f"{', '.join(sorted(needed))} made this database and is needed until a majority has it")
    everybody = len(heard) == machines
    voters = sorted((report for report in heard.values() if report.voter or (everybody and report.accepted)), key=_rank)
    if own.token:
        if not voters or voters[-1].name == own.name or len(voters) < majority(machines):
            return Bootstrap(_next(own, peers), (), alone=True)
    elif len(voters) < majority(machines):
        return Wait(_too_few(heard, voters, machines))
    elif len(heard) < machines and waited < PATIENCE:
        return Wait(f"{machines - len(heard)} of {machines} control machines don't answer yet")
    return _elect(own, peers, voters)


def _join(own: Report, running: list[Report]) -> Decision:
    best = max(running, key=lambda peer: (peer.running, peer.open, peer.name))
    if not best.open and best.running < max(own.promised, own.accepted):
        return Wait(f"{best.name} begins epoch {best.running}, which is older than the promised {own.promised}")
    return Join(best.name, best.running, best.open)


def _elect(own: Report, peers: Collection[Report], voters: list[Report]) -> Decision:
    best = voters[-1]
    emptied = [voter for voter in voters if not voter.has_data]
    with_data = [voter for voter in voters if voter.has_data]
    if not with_data:
        return Wait("no machine has all the data")
    if emptied and _rank(with_data[-1])[:2] < _rank(emptied[-1])[:2]:
        return Wait(f"{emptied[-1].name} had newer data than any machine here, and has lost it")
    best = with_data[-1]
    if best.name != own.name:
        return Wait(f"{best.name} has the newest data and goes first")
    return Bootstrap(_next(own, peers), tuple(voter.name for voter in voters if voter.name != own.name))


def may_accept(own: Report, peers: Collection[Report], machines: int, began: bool) -> bool:
    """Whether *own*, a synced member of the epoch that it runs, records that it accepts it (also once more, when it was
    taking over data of it). The one that *began* an epoch does so last, when it makes up a majority by that, so that
    a beginning nobody followed leaves no trace.
    """
    epoch = own.running
    if not (epoch and own.primary and own.synced) or epoch < max(own.promised, own.accepted):
        return False
    return not began or own.token or accepted_by(epoch, own, peers) + 1 >= majority(machines)


def may_promise(own: Report, epoch: int) -> bool:
    """Whether *own* promises *epoch* to a candidate: it waits, and has promised or accepted nothing as high."""
    return own.state is State.WAITING and epoch > own.promised and epoch > own.accepted


def accepted_by(epoch: int, own: Report, peers: Collection[Report]) -> int:
    """How many nodes are synced members of *epoch* and have accepted it."""
    return sum(report.running == epoch == report.accepted and report.synced and report.primary and not report.joining
               for report in (own, *peers))


def may_open(own: Report, peers: Collection[Report], machines: int) -> bool:
    """Whether what the running node *own* acknowledges is safe: a majority has its epoch, or it holds the token. As
    long as another one may hold it, that one could begin again alone.
    """
    if not (own.running and own.running == own.accepted and own.primary and own.synced):
        return False
    return own.token or (not own.first and accepted_by(own.running, own, peers) >= majority(machines))


def may_leave(own: Report, grants: int, machines: int) -> bool:
    """Whether a stopping node may say good-bye, so that the others go on without a pause. Otherwise it stops as if it
    had lost power, and what is left counts it as lost.

    *grants*: how many others, open and not about to leave, said that they stay.
    """
    return machines == 1 or not own.primary or (own.synced and grants >= majority(machines))


def is_stranded(own: Report, peers: Collection[Report], machines: int) -> bool:
    """Whether the running node *own* is part of no primary component while a majority answers and none of it is."""
    everybody = (own, *peers)
    return (own.state is State.RUNNING and not any(report.primary for report in everybody)
            and len(everybody) >= majority(machines))


def is_superseded(own: Report, peers: Collection[Report]) -> bool:
    """Whether the running node *own* must start over, because its epoch has no future: another one is open or higher,
    or somebody whom it may need has promised a higher one.
    """
    def beats(peer: Report) -> bool:
        if own.open:
            return peer.primary and peer.open and peer.running > own.running
        return (max(peer.promised, peer.accepted) > own.running
                or (peer.primary and peer.running != own.running and (peer.open or peer.running > own.running)))

    return bool(own.running) and any(beats(peer) for peer in peers)


def _next(own: Report, peers: Collection[Report]) -> int:
    return 1 + max(max(report.promised, report.accepted, report.running) for report in (own, *peers))


def _rank(report: Report) -> tuple[int, int, bool, str]:
    return (report.accepted, report.seqno, report.has_data, report.name)


def _too_few(heard: Mapping[str, Report], voters: Collection[Report], machines: int) -> str:
    out = sorted(set(heard) - {voter.name for voter in voters})
    without = f"; {', '.join(out)} has no complete data" if out else ""
    return f"{len(voters)} of the {majority(machines)} control machines that are needed are here{without}"
