"""Crash dumps: a guest that hangs is interrupted by an NMI, on which its own system writes what it will.

Nova only sends a message to the server's host and answers. Here the host's agent is asked before the caller gets the
same answer, and how it ended is in the server's actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackling.compute import hosts, rows, servers, timeline
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.store.transaction import Tx

ACTION = "trigger_crash_dump"


@dataclass(frozen=True, slots=True)
class CrashDump:
    """Whom to ask for it: the agent at *address*."""

    server_id: str
    address: str | None


def begin(tx: Tx, ctx: Context, server: ServerRow) -> CrashDump:
    """Note that somebody asks for it. Raises ``Conflict`` for a locked server, or one in another state."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, ACTION, ("active", "paused", "rescued", "resized", "error"), idle=False)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    timeline.begin(tx, ctx, server, ACTION)
    return CrashDump(server["id"], hosts.get_host(tx, server["host_id"])["address"])


def end(tx: Tx, ctx: Context, dump: CrashDump, error: str | None) -> None:
    """Note how it ended: the guest was interrupted, or *error*."""
    server = rows.get(tx, dump.server_id)
    if server is None or server["deleted"]:
        return
    timeline.end(tx, server, ctx.request_id, ACTION, error)
    if error is not None:
        tx.event(ctx, "server", server["id"], "crash_dump_failed", error, project_id=server["project_id"])
