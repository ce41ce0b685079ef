"""Changing a server: the one way by which a row of ``servers`` is written after its insertion.

Every change recomputes the cached state (``rules.state``). A change of what the agent must know (``desired=True``)
raises the server's generation and its host's, so that the next document carries it, and nudges the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackling.compute import hosts, metadata, rows, rules, timeline
from stackling.compute.model import ServerRow
from stackling.core.errors import Raced
from stackling.network import facade as network
from stackling.network.facade import ServerPort
from stackling.store.transaction import Tx

KIND = "server"
DEADLINES = {"create": 600.0, "delete": 300.0, "rebuild": 600.0, "stop": 240.0, "start": 180.0}
DEADLINE = 180.0
"""Seconds after which a change that isn't finished is shown as an error (the engine goes on trying)."""
_UNSEEN = frozenset((
    "generation", "host_generation", "observed_at", "observed_power", "observed_generation",
    "observed_converged", "observed_soft_reboots", "observed_hard_reboots", "observed_rebuilds", "observed_resizes",
    "observed_rescue", "observed_step", "observed_error", "observed_terminal", "overdue", "document", "nics"))
"""Columns that no view of a server shows: they move neither ``updated`` nor those who follow the server."""


def apply(tx: Tx, server: ServerRow, values: Mapping[str, Any], *, desired: bool = False,
          deadline: float | None = None) -> ServerRow:
    """Write *values* with the state that follows from them; returns the row as it then is.

    Raises ``Raced`` when somebody else changed the row since it was read (within a transaction that is possible
    only on databases with weaker isolation).
    """
    after: dict[str, Any] = {**server, **values}
    if desired:
        after["generation"] = server["generation"] + 1
        if after["host_id"] is not None:
            after["host_generation"] = hosts.bump(tx, after["host_id"])
    state = rules.state(after)
    after.update(status=state.status, vm_state=state.vm_state, task_state=state.task_state,
                 power_state=state.power_state)
    changed = {name: value for name, value in after.items() if value != server[name]}
    seen = not changed.keys() <= _UNSEEN
    if seen:
        changed["updated_at"] = after["updated_at"] = tx.now
    if changed and not rows.change(tx, server["id"], server["generation"], changed):
        raise Raced("The server changed at the same time; try again.")
    if seen:
        tx.tell(KIND, server["id"], server["project_id"])
    if server["task_state"] is not None and state.task_state is None:
        timeline.finish(tx, after)
    if desired:
        tx.nudge(KIND, server["id"], deadline=deadline)
        if after["host_id"] is not None:
            tx.nudged.append(("host", after["host_id"]))
    return after


def network_values(server: Mapping[str, Any], ports: Sequence[ServerPort]) -> dict[str, Any]:
    """The columns that follow from the server's ports."""
    return {
        "addresses": metadata.text(metadata.addresses(ports)),
        "security_groups": metadata.text(metadata.security_groups(ports)),
        "nics": metadata.text(metadata.nics(ports)),
        "document": metadata.text(metadata.document(server, ports)),
    }


def refresh_network(tx: Tx, server: ServerRow) -> ServerRow:
    """Look at the server's ports again; a new generation only if the guest or its metadata change by it."""
    ports = network.ports_of_servers(tx, [server["id"]])[server["id"]]
    values = network_values(server, ports)
    changed = {name: value for name, value in values.items() if value != server[name]}
    if not changed:
        return server
    return apply(tx, server, changed, desired="nics" in changed or "document" in changed)


def fault(tx: Tx, message: str, *, code: int = 500, details: str | None = None) -> dict[str, Any]:
    """The columns of a fault; *details* only administrators see."""
    return {"fault_code": code, "fault_message": message[:255], "fault_details": details or message, "fault_at": tx.now}


OBSERVED_NOTHING: Mapping[str, Any] = {
    "observed_power": None, "observed_converged": 0, "observed_step": None, "observed_error": None,
    "observed_terminal": 0, "observed_rescue": 0, "started_at": None}
"""The columns of a server of which nobody on its (new) host has said anything yet."""
NO_FAULT: dict[str, Any] = {"fault_code": None, "fault_message": None, "fault_details": None, "fault_at": None,
                            "forced_error": 0, "observed_terminal": 0, "overdue": 0}
