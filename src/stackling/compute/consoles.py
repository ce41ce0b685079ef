"""Tokens for servers' consoles: who has one may see a server's screen for ten minutes, and needs nothing else.

Nova's tokens open any number of consoles, so that a page can be loaded again. Whoever asks for it gets one that opens
a single console: what remains of it in a history or a log is worth nothing.

The database keeps only their hashes. A token names the server, not a host: where it leads to is found when it is used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select

from stackling.compute import hosts, servers
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, NotFound
from stackling.ports.hypervisor import ConsoleKind
from stackling.store.tables.compute import console_tokens
from stackling.store.tables.compute import servers as table
from stackling.store.tables.fleet import hosts as hosts_table
from stackling.store.tables.fleet import machines
from stackling.store.transaction import Tx

SECONDS = 600.0
"""For how long a token opens consoles; Nova's ``token_ttl``."""
_t = console_tokens
_ADD = insert(_t)
_PRUNE = delete(_t).where(_t.c.expires_at < bindparam("now"))
_USE = delete(_t).where(_t.c.token_hash == bindparam("hash"), _t.c.expires_at >= bindparam("now"))
_FIND = select(_t.c.server_id, _t.c.kind, _t.c.once, table.c.host, machines.c.address).select_from(
    _t.join(table, table.c.id == _t.c.server_id).join(hosts_table, hosts_table.c.id == table.c.host_id).join(
        machines, machines.c.id == hosts_table.c.machine_id)).where(
    _t.c.token_hash == bindparam("hash"), _t.c.expires_at >= bindparam("now"), table.c.deleted == 0)


@dataclass(frozen=True, slots=True)
class Console:
    """Where a token leads to: the agent at *address* knows the way to the server's console."""

    server_id: str
    kind: ConsoleKind
    host: str
    address: str | None
    once: bool


def issue(tx: Tx, ctx: Context, server: ServerRow, kind: ConsoleKind, token: str, once: bool) -> None:
    """Let *token* open the server's console, a single time where *once* says so. Raises ``Conflict`` when there is
    nothing to be seen."""
    servers.check_not_deleting(server, "get_console")
    if server["host_id"] is None or server["launched_at"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    if not hosts.is_up(hosts.get_host(tx, server["host_id"]), tx.time):
        raise Conflict("The server's host is down: nobody can reach its console.")
    tx.changed(_PRUNE, now=tx.time)
    tx.execute(_ADD, {"token_hash": _hash(token), "server_id": server["id"], "kind": kind.value,
                      "user_id": ctx.user_id, "expires_at": tx.time + SECONDS, "once": once})


def find(tx: Tx, token: str) -> Console:
    """Raises ``NotFound`` for a token that is unknown, too old, or of a server that is gone."""
    row = tx.one(_FIND, hash=_hash(token), now=tx.time)
    if row is None:
        raise NotFound("Token not found")
    return Console(row.server_id, ConsoleKind(row.kind), row.host, row.address, bool(row.once))


def use(tx: Tx, token: str) -> None:
    """A console is opened with a token for one: from now on nobody knows it. Raises ``NotFound`` where somebody was
    quicker."""
    if not tx.changed(_USE, hash=_hash(token), now=tx.time):
        raise NotFound("Token not found")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
