"""What may be done to a server: each action as data, with the states that allow it and the columns that it changes.

Everything here only writes down what shall be; the agent does it and the next report shows it. The states in which an
action is allowed are Nova's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackling.compute import changes, servers, timeline
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.ports.document import Power
from stackling.store.transaction import Tx

REBOOTABLE: tuple[str | None, ...] = (
    None, "rebooting", "reboot_pending", "reboot_started", "resuming", "rebooting_hard", "unpausing", "pausing",
    "suspending")


@dataclass(frozen=True, slots=True)
class Action:
    """A change of what a server shall be. ``columns`` gives the new values from the row."""

    name: str
    event: str
    vm_states: tuple[str, ...]
    columns: Callable[[ServerRow], Mapping[str, Any]]
    tasks: tuple[str | None, ...] = (None,)
    deadline: float = changes.DEADLINE


def _power(power: Power) -> Callable[[ServerRow], Mapping[str, Any]]:
    return lambda server: {"power": power.value, "power_generation": server["generation"] + 1, **changes.NO_FAULT}


START = Action("start", "start", ("stopped",), _power(Power.RUNNING))
STOP = Action("stop", "stop", ("active", "error"), _power(Power.STOPPED), deadline=changes.DEADLINES["stop"])
PAUSE = Action("pause", "pause", ("active",), _power(Power.PAUSED))
UNPAUSE = Action("unpause", "unpause", ("paused",), _power(Power.RUNNING))
SUSPEND = Action("suspend", "suspend", ("active",), _power(Power.SUSPENDED))
RESUME = Action("resume", "resume", ("suspended",), _power(Power.RUNNING))
SOFT_REBOOT = Action("reboot", "reboot", ("active",),
                     lambda server: {"soft_reboots": server["soft_reboots"] + 1}, deadline=changes.DEADLINES["stop"])
HARD_REBOOT = Action("reboot", "reboot", ("active", "stopped", "paused", "suspended", "error"),
                     lambda server: {"hard_reboots": server["hard_reboots"] + 1, **_power(Power.RUNNING)(server)},
                     tasks=REBOOTABLE)


def perform(tx: Tx, ctx: Context, server: ServerRow, action: Action) -> ServerRow:
    """Ask for *action*. Raises ``Conflict`` when the server is locked or in no state for it."""
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, action.name, action.vm_states, tasks=action.tasks)
    timeline.begin(tx, ctx, server, action.event)
    return changes.apply(tx, server, action.columns(server), desired=True, deadline=action.deadline)


def lock(tx: Tx, ctx: Context, server: ServerRow, reason: str | None) -> None:
    """Refuse every change until it is unlocked; an administrator's lock only administrators undo."""
    by = "owner" if server["project_id"] == ctx.project_id else "admin"
    timeline.begin(tx, ctx, server, "lock", reason, done=True)
    changes.apply(tx, server, {"locked": 1, "locked_by": by, "locked_reason": reason})


def unlock(tx: Tx, ctx: Context, server: ServerRow) -> None:
    """Undo ``lock``."""
    timeline.begin(tx, ctx, server, "unlock", done=True)
    changes.apply(tx, server, {"locked": 0, "locked_by": None, "locked_reason": None})


def reset_state(tx: Tx, ctx: Context, server: ServerRow, state: str) -> None:
    """Show the server as in ERROR, or forget its error and show what was seen of it."""
    tx.event(ctx, "server", server["id"], "reset_state", state, project_id=server["project_id"])
    values = {"forced_error": 1} if state == "error" else dict(changes.NO_FAULT)
    changes.apply(tx, server, values)
