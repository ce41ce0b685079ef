"""The kind "server" of the engine. Its backend is what the agent reported: the turn looks, waits, explains.

The agent does the work; reports move the state at once. What is left for the engine: to look again at the network's
view of the server, to finish a deletion whose report was taken in by a crashed transaction's successor, and to say so
when something takes longer than it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stackling.compute import boot_volumes, changes, departures, live_migration, moving, rows, rules, servers, shelving
from stackling.compute.migrations import Type
from stackling.compute.model import Awaits, ServerRow, awaits
from stackling.engine.kinds import Blocked, Fence, Key, Kind, Outcome, Terminal
from stackling.ports.document import Power
from stackling.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class Desired:
    """The row as it was when the turn began."""

    generation: int
    row: ServerRow


@dataclass(frozen=True, slots=True)
class Wait:
    """The host isn't there yet."""

    reason: str
    terminal: bool = False


class ServerKind:
    """``engine.kinds.Kind`` for servers."""

    name = changes.KIND

    def load(self, tx: Any, id: str) -> Desired | None:
        row = rows.get(tx, id)
        return None if row is None or row["deleted"] else Desired(row["generation"], row)

    def generation(self, tx: Any, id: str) -> int | None:
        row = rows.get(tx, id)
        return None if row is None or row["deleted"] else int(row["generation"])

    def observe(self, desired: Desired) -> str | None:
        return rules.pending(desired.row)

    def plan(self, desired: Desired, observed: str | None) -> Sequence[Wait]:
        return [] if observed is None else [Wait(observed, bool(desired.row["observed_terminal"]))]

    def apply(self, fence: Fence, desired: Desired, step: Wait) -> None:
        if step.terminal:
            raise Terminal(step.reason)
        raise Blocked(Key("host", desired.row["host_id"] or ""), step.reason)

    def settle(self, tx: Tx, desired: Desired, observed: str | None, outcome: Outcome) -> None:
        row = rows.get(tx, desired.row["id"])
        if row is None or row["deleted"]:
            return
        if not row["deleting"] and awaits(row) in (Awaits.MADE, Awaits.IMAGE):
            after = boot_volumes.recheck(tx, row, overdue=outcome.overdue)
            if after is not row or awaits(row) is Awaits.MADE:
                return
        if row["move"] == Type.LIVE and not row["deleting"]:
            live_migration.recheck(tx, row, outcome.overdue)
            return
        if row["held"]:
            moving.recheck(tx, row)
            return
        if row["deleting"]:
            if row["host_id"] is None or gone(row):
                servers.finish_deletion(tx, row)
                return
        else:
            row = shelving.offload_when_due(tx, changes.refresh_network(tx, row))
            if outcome.converged and row["migration_id"] is None:
                departures.settled(tx, row["id"])
        if outcome.overdue and not row["overdue"]:
            _overdue(tx, row, outcome.error or observed or "")
        elif outcome.converged and row["overdue"]:
            changes.apply(tx, row, changes.NO_FAULT)


def gone(row: ServerRow) -> bool:
    """Whether the agent has reported that nothing of a server that is being deleted is left."""
    return (row["observed_power"] == Power.ABSENT and bool(row["observed_converged"]) and not row["held"]
            and row["observed_generation"] >= row["generation"])


def _overdue(tx: Tx, row: ServerRow, reason: str) -> None:
    task = row["task_state"] or "change"
    message = f"The {task} takes longer than it may: {reason}"
    tx.event(None, "server", row["id"], "overdue", message, source="engine", project_id=row["project_id"])
    changes.apply(tx, row, {"overdue": 1, **changes.fault(tx, message)})


def kinds() -> list[Kind]:
    """What the engine must know of compute."""
    return [ServerKind()]
