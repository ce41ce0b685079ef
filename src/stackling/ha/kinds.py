"""The kinds "machine" and "evacuation" of the engine.

A machine's turn looks (membership, heartbeat, fencer), judges (``rules``) and writes down what follows. The only thing
that it does to the world is to ask the fencer, and only for a loss that stands in the database already. An
evacuation's turn moves one server; its backend is the compute service's own state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stackling.core import clock
from stackling.engine.kinds import Blocked, Fence, Key, Kind, Outcome, Retryable
from stackling.ha import evacuations, machines, plan, rows, rules
from stackling.ha.evacuations import Full
from stackling.ha.model import (
    AdmitStorage,
    AskFencer,
    Behind,
    BlockStorage,
    Evacuation,
    Look,
    Move,
    Record,
    Sense,
    Settings,
    Starting,
    State,
    Step,
    Strength,
    SwitchOn,
    Verdict,
)
from stackling.ha.watch import Transactions, Watch
from stackling.ports.membership import Fence as Fencer
from stackling.ports.membership import MembershipUnknown
from stackling.ports.storage_fence import StorageFence, StorageFenceError
from stackling.store.transaction import Tx

Answering = Callable[[str], str | None]
SHUT_OUT = 3600.0
"""Seconds for which a machine is shut out of the shared storage; renewed by each of its turns."""
SLOW, SPARED = 2.0, 10.0
"""Seconds after which a power device that hasn't said anything counts as hanging, and for which it is spared then."""


@dataclass(frozen=True, slots=True)
class DesiredMachine:
    """A machine and what is concluded of the others."""

    generation: int
    record: Record
    others: dict[str, Record]


class MachineKind:
    """``engine.kinds.Kind`` for machines. *fencer* None: there is no fencing. *answering*: at which address a machine
    of this name answers, if any."""

    name = rows.MACHINE

    def __init__(self, watch: Watch, fencer: Fencer | None, settings: Settings,
                 storage: SharedStorage | None = None, answering: Answering | None = None) -> None:
        self._answering = answering
        self._watch, self._fencer, self._settings, self._storage = watch, fencer, settings, storage
        self._shut_out: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._hung: dict[str, float] = {}

    def load(self, tx: Tx, id: str) -> DesiredMachine | None:
        """The machine's record."""
        record = machines.record_of(tx, id)
        return None if record is None else DesiredMachine(record.generation, record, machines.records(tx))

    def generation(self, tx: Tx, id: str) -> int | None:
        """The row's generation now."""
        return rows.generation(tx, id)

    def observe(self, desired: DesiredMachine) -> Sense:
        """All that can be seen of the machine; asks the fencer only where that matters."""
        record, now = desired.record, clock.wall()
        beat, age = self._watch.heartbeats.beat(record.id, clock.monotonic())
        member_at, member_boot = self._watch.member_at(record.name)
        try:
            standings, unknown = self._watch.standings(), None
        except MembershipUnknown as error:
            standings, unknown = {}, str(error)
        standing = standings.get(record.name)
        if standing is None and unknown is None:
            unknown = "the cluster's membership doesn't know this machine; nothing is concluded"
        sense = Sense(
            now, standing, rules.crowd(desired.others, standings, now), beat, age, member_at, member_boot, unknown,
            fencing=self._fencer is not None, asked_at=self._asked.get(record.id),
            standings={name: found.value for name, found in standings.items()})
        if self._fencer is not None:
            sense = self._ask_history(self._fencer, record, sense)
        return self._ask_storage(record, sense)

    def plan(self, desired: DesiredMachine, observed: Sense) -> Sequence[Step]:
        """What the rules say."""
        return self._judge(desired, observed).steps

    def apply(self, fence: Fence, desired: DesiredMachine, step: Step) -> None:
        """Ask the fencer, or wait."""
        record = desired.record
        if isinstance(step, AskFencer):
            assert self._fencer is not None
            try:
                self._fencer.off(record.name, self._settings.fence_timeout)
                self._problems.pop(record.id, None)
            except MembershipUnknown as error:
                self._problems[record.id] = str(error)
            self._asked[record.id] = clock.wall()
        elif isinstance(step, SwitchOn):
            assert self._fencer is not None
            with contextlib.suppress(MembershipUnknown):
                self._fencer.on(record.name, self._settings.fence_timeout)
        elif isinstance(step, BlockStorage | AdmitStorage):
            self._change_storage(record, isinstance(step, BlockStorage))
        else:
            raise Blocked(Key("fence", record.id), step.reason)

    def settle(self, tx: Tx, desired: DesiredMachine, observed: Sense | None, outcome: Outcome) -> None:
        """Write the conclusion down."""
        if observed is not None:
            machines.conclude(tx, desired.record, observed, self._judge(desired, observed), self._settings)

    # -- how

    def _judge(self, desired: DesiredMachine, sense: Sense) -> Verdict:
        return rules.judge(desired.record, sense, self._settings)

    def _ask_history(self, fencer: Fencer, record: Record, sense: Sense) -> Sense:
        if rules.needs_history(record, sense):
            problem = self._problems.get(record.id)
            try:
                history = tuple(fencer.history(record.name))
            except MembershipUnknown as error:
                return replace(sense, fencer_problem=f"the fencer can't be asked: {error}")
            since = (record.lost_at or sense.member_at or 0.0) - self._settings.clock_margin
            if not rules.success(history, since):
                return replace(sense, history=history, fencer_problem=problem)
            off = self._is_off(fencer, record)
            sense = replace(sense, history=history, power_off=off, fencer_problem=problem)
            if off is False or self._answering is None:
                return sense
            at = self._answering(record.name)
            return replace(sense, answers_at=at, silent=at is None)
        if rules.may_return(record, sense.now, self._settings):
            with contextlib.suppress(MembershipUnknown):
                sense = replace(sense, history=tuple(fencer.history(record.name)))
            return replace(sense, power_off=self._is_off(fencer, record))
        if record.state is State.FENCED and record.strength is Strength.POWER:
            return replace(sense, power_off=self._is_off(fencer, record))
        return sense

    def _is_off(self, fencer: Fencer, record: Record) -> bool | None:
        """What the power device reads. One that hangs is waited for once in a turn, which has to end while it may."""
        began = clock.monotonic()
        if began - self._hung.get(record.id, -SPARED) < SPARED:
            return None
        off: bool | None = None
        with contextlib.suppress(MembershipUnknown):
            off = fencer.is_off(record.name)
        if off is None and clock.monotonic() - began > SLOW:
            self._hung[record.id] = clock.monotonic()
        return off

    def _ask_storage(self, record: Record, sense: Sense) -> Sense:
        """Since when this process knows it to be shut out without a gap."""
        gone = record.state in (State.LOST, State.FENCED, State.RETURNING) or sense.history is not None
        if self._storage is None or not gone:
            return sense
        address = self._storage.addresses.get(record.name)
        try:
            until = self._storage.fence.shut_out_until().get(address or "")
        except StorageFenceError:
            return replace(sense, storage_silent=True)
        if until is None or until <= sense.now:
            self._shut_out.pop(record.id, None)
            return replace(sense, storage=True)
        return replace(sense, storage=True, blocked_since=self._shut_out.setdefault(record.id, sense.now))

    def _change_storage(self, record: Record, shut_out: bool) -> None:
        if self._storage is None or (address := self._storage.addresses.get(record.name)) is None:
            return
        try:
            if shut_out:
                self._storage.fence.shut_out(address, SHUT_OUT)
            else:
                self._storage.fence.let_in(address)
        except StorageFenceError as error:
            raise Retryable(f"the shared storage: {error}") from None


@dataclass(frozen=True, slots=True)
class SharedStorage:
    """What shuts machines out of the shared storage, and their addresses there, by name."""

    fence: StorageFence
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DesiredMove:
    """The row as it was when the turn began."""

    generation: int
    server_id: str


class EvacuationKind:
    """``engine.kinds.Kind`` for evacuations; the id is the server's."""

    name = rows.EVACUATION

    def __init__(self, database: Transactions, settings: Settings) -> None:
        self._database, self._settings = database, settings

    def load(self, tx: Tx, id: str) -> DesiredMove | None:
        """The row."""
        row = rows.evacuation(tx, id)
        return None if row is None else DesiredMove(row.generation, id)

    def generation(self, tx: Tx, id: str) -> int | None:
        """The row's generation now."""
        row = rows.evacuation(tx, id)
        return None if row is None else int(row.generation)

    def observe(self, desired: DesiredMove) -> Look | None:
        """How it stands now."""
        return self._database.read(evacuations.look, desired.server_id)

    def plan(self, desired: DesiredMove, observed: Look | None) -> Sequence[plan.Step]:
        """At most one step."""
        return () if observed is None else plan.steps(observed)

    def apply(self, fence: Fence, desired: DesiredMove, step: plan.Step) -> None:
        """Move it, or wait for what must happen first."""
        id = desired.server_id
        match step:
            case Move():
                try:
                    refusal = self._database.write(evacuations.move, id, desired.generation, self._settings)
                except Full as full:
                    raise Blocked(Key("room", "host"), str(full)) from None
                if refusal is not None:
                    raise Blocked(Key("room", "host"), refusal)
            case Behind(other):
                raise Blocked(Key(rows.EVACUATION, other), "servers of higher priority go first")
            case Starting(reason):
                raise Blocked(Key("server", id), reason)

    def settle(self, tx: Tx, desired: DesiredMove, observed: Look | None, outcome: Outcome) -> None:
        """Write down how it stands; who waits for a start to end may go on."""
        before = rows.evacuation(tx, desired.server_id)
        evacuations.conclude(tx, desired.server_id, outcome.error, overdue=outcome.overdue)
        after = rows.evacuation(tx, desired.server_id)
        if before is not None and after is not None and after.state == Evacuation.DONE != before.state:
            tx.wake_blocked("room", "host")


def kinds(database: Transactions, watch: Watch, fencer: Fencer | None, settings: Settings,
          storage: SharedStorage | None = None, answering: Answering | None = None) -> list[Kind]:
    """What the engine must know of high availability. Raises ``ValueError`` for settings that can't work."""
    settings.check()
    return [MachineKind(watch, fencer, settings, storage, answering), EvacuationKind(database, settings)]

