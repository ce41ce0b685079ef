"""Live migration: a running server goes to another host.

Theory of operation. The server stays its host's until it has left: only the hosts' words move it on. Room on the new
host is claimed with the request. Both documents name the move: the new host makes ready and says where it takes the
guest (``preparing``); only then is the present host told to begin (``running``), once for each migration's number. It
ends in one of two ways. Either the new host says that the guest has arrived, or the present one that it has left:
then, in one transaction, the server is the new host's, its ports are bound there, and the former host lets go
(``departures``). Or the present host says that it failed: then the new host lets go (``call_off``). The hypervisors see
to it that the guest runs on one of the two only; nothing here starts it anywhere before one of them has let it go or is
fenced.

Before the present host was told to begin, the move can be called off at once; after that only by its word. A present
host whose guest is off (its machine has booted, say) can't know whether the guest had arrived: then the new host is
asked, by another generation, and the move is called off only when it has looked and has no guest. A host that
falls silent is left to whoever fences it, and the server is then evacuated, to the new host if that can take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.engine import Row

from stackling.compute import (
    changes,
    cold_migration,
    departures,
    hosts,
    migrations,
    moving,
    servers,
    shares,
    timeline,
)
from stackling.compute.call_off import ACTION, call_off
from stackling.compute.migrations import Status, Type
from stackling.compute.model import Host, ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid
from stackling.ports.document import GuestReport, LiveMove, MoveState, Power
from stackling.store.tables.compute import migrations as table
from stackling.store.transaction import Tx

DEADLINE_PER_GIB = 800.0
"""Seconds for each GiB of memory, and at least one, after which a live migration is given up (as Nova has it)."""
OFF = "the guest is off"
_WRITE = update(table).where(table.c.id == bindparam("id_")).values(
    request=bindparam("new_request"), host_generation=bindparam("new_generation"), updated_at=bindparam("now"))


@dataclass(frozen=True, slots=True)
class Live:
    """What is asked for. ``block``: whether disks are copied (None: as they need it); ``forced``: the scheduler isn't
    asked about ``host``."""

    host: str | None = None
    block: bool | None = None
    forced: bool = False


def request(tx: Tx, ctx: Context, server: ServerRow, how: Live) -> ServerRow:
    """Begin. Raises ``Conflict`` (state) or ``Invalid`` (its host is down, disks, no host can take it)."""
    check(tx, ctx, server, how)
    source = hosts.get_host(tx, server["host_id"])
    dest = _place(tx, server, source, how)
    own = departures.is_local(source["storage"]) and shares.has_local_disk(server)
    number = migrations.add(tx, ctx, server, Type.LIVE, Status.PREPARING, source, dest, request={"own_disks": own})
    timeline.begin(tx, ctx, server, ACTION, f"from {source['name']} to {dest.name}")
    departures.withdraw(tx, server["id"], dest.id)
    _tell_target(tx, number, dest.id, {"own_disks": own})
    after = changes.apply(tx, server, {**changes.NO_FAULT, "move": Type.LIVE.value, "migration_id": number})
    tx.nudge(changes.KIND, server["id"], deadline=DEADLINE_PER_GIB * max(1.0, server["memory_mib"] / 1024))
    return after


def check(tx: Tx, ctx: Context, server: ServerRow, how: Live) -> None:
    """What is refused at once, at any microversion. Raises as ``request``."""
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, "os-migrateLive", ("active", "paused"))
    cold_migration.check_host(tx, server, how.host)
    source = hosts.get_host(tx, server["host_id"])
    if not hosts.is_up(source, tx.time):
        raise Invalid(f"Compute service of {source['name']} is unavailable at this time.")


def record_refusal(tx: Tx, ctx: Context, server: ServerRow, reason: str) -> None:
    """Nobody could take it; from 2.34 on that is told by the migration and the action."""
    source = hosts.get_host(tx, server["host_id"])
    migrations.add(tx, ctx, server, Type.LIVE, Status.ERROR, source, None, reason=reason)
    timeline.add(tx, [timeline.entry(tx, ctx, server, ACTION, error=reason, details=reason)])
    tx.event(ctx, "server", server["id"], "no_valid_host", reason, source="scheduler",
             project_id=server["project_id"])


def _place(tx: Tx, server: ServerRow, source: Mapping[str, Any], how: Live) -> Host:
    local = departures.is_local(source["storage"])
    own = local and shares.has_local_disk(server)
    if how.block is True and not local:
        raise Invalid(f"{source['name']} is not on local storage: Block migration can not be used with shared storage.")
    if how.block is False and own:
        raise Invalid(f"{source['name']} is not on shared storage: Shared storage live-migration requires either "
                      "shared storage or boot-from-volume with no local disks.")
    need = replace(moving.need_elsewhere(tx, server, source), host=how.host, storage=source["storage"])
    need = replace(need, avoid=need.avoid | hosts.neighbours(tx, source["id"]))
    dest = hosts.force(tx, need) if how.forced and how.host else hosts.place(tx, need)
    if dest is None:
        raise Invalid(f"No valid host was found. {hosts.why_not(tx, need)[0]}.", type="NoValidHost")
    return dest


# -- documents

def move_of(row: Row[Any] | None, *, target: bool) -> LiveMove | None:
    """What a host's document says of the migration *row*, as its target or its source."""
    if row is None:
        return None
    asked = _asked(row)
    return LiveMove(number=row.id, target=target, own_disks=bool(asked.get("own_disks")),
                    peer="" if target else asked.get("peer", ""), abort=bool(asked.get("abort")),
                    hurry=bool(asked.get("hurry")))


def _asked(row: Row[Any]) -> Mapping[str, Any]:
    return row.request or {}


def _tell_target(tx: Tx, number: int, host_id: str, asked: Mapping[str, Any]) -> None:
    tx.changed(_WRITE, id_=number, new_request=dict(asked), new_generation=hosts.bump(tx, host_id), now=tx.now)
    tx.nudged.append(("host", host_id))


def _tell_source(tx: Tx, server: ServerRow, row: Row[Any], **asked: Any) -> None:
    tx.changed(_WRITE, id_=row.id, new_request={**_asked(row), **asked}, new_generation=row.host_generation,
               now=tx.now)
    changes.apply(tx, server, {}, desired=True)


# -- the hosts' words

def heard_from_target(tx: Tx, server: ServerRow, host_id: str, guest: GuestReport) -> None:
    """The host that shall get the server reports."""
    row = migrations.get(tx, server["migration_id"])
    if row is None or row.dest_id != host_id or guest.move is None:
        return
    if guest.move.state is MoveState.ARRIVED and row.status == Status.RUNNING:
        _complete(tx, server, row, guest.power.value)
    elif row.status == Status.PREPARING and guest.terminal:
        call_off(tx, server, row, Status.ERROR, guest.error or "the new host can't take it")
    elif (row.status == Status.RUNNING and _asked(row).get("off") and guest.power is Power.ABSENT
            and guest.generation >= server["generation"]):
        call_off(tx, server, row, Status.ERROR, OFF)
    elif row.status == Status.PREPARING and guest.move.state is MoveState.READY:
        migrations.change(tx, row.id, Status.RUNNING)
        _tell_source(tx, server, row, peer=guest.move.peer)


def heard_from_source(tx: Tx, server: ServerRow, guest: GuestReport) -> bool:
    """The host that has the server reports; whether there is nothing more to take from the report."""
    row = migrations.get(tx, server["migration_id"])
    if row is None or guest.move is None or guest.move.number != row.id or row.status != Status.RUNNING:
        return False
    if guest.move.state is MoveState.LEFT:
        _complete(tx, server, row, server["observed_power"])
        return True
    if guest.move.state is MoveState.FAILED and guest.power not in (Power.RUNNING, Power.PAUSED) and not hosts.get(
            tx, row.dest_id).fenced:
        if not _asked(row).get("off"):
            _tell_target(tx, row.id, row.dest_id, {**_asked(row), "off": True})
            changes.apply(tx, server, {}, desired=True)
        return True
    if guest.move.state is MoveState.FAILED:
        aborted = bool(_asked(row).get("abort"))
        call_off(tx, server, row, Status.CANCELLED if aborted else Status.ERROR, guest.move.error or "it broke off")
        return True
    if guest.move.progress and guest.move.progress != row.progress:
        migrations.progress(tx, row.id, guest.move.progress)
    return True


def _complete(tx: Tx, server: ServerRow, row: Row[Any], power: str | None) -> None:
    shares.release_here(tx, server)
    migrations.change(tx, row.id, Status.COMPLETED)
    departures.add(tx, server, row.source_id, server["generation"] + 1, row.storage, awaited=False)
    tx.event(None, "server", server["id"], "migrated", f"from {row.source} to {row.dest}", source="agent",
             project_id=server["project_id"])
    moving.settle_at(tx, server, hosts.get(tx, row.dest_id), {"move": None, "migration_id": None}, power=power)


# -- what administrators ask of one under way

def abort(tx: Tx, ctx: Context, server: ServerRow, row: Row[Any], *, early: bool) -> None:
    """Let the server stay. *early*: also before it has begun. Raises ``Invalid`` for a state that doesn't allow it."""
    servers.check_unlocked(ctx, server)
    allowed = (Status.RUNNING, Status.PREPARING) if early else (Status.RUNNING,)
    _check(server, row, allowed, "abort live migration")
    timeline.begin(tx, ctx, server, "live_migration_cancel", done=True)
    if row.status == Status.PREPARING:
        call_off(tx, server, row, Status.CANCELLED, "aborted")
    else:
        _tell_source(tx, server, row, abort=True)


def force_complete(tx: Tx, ctx: Context, server: ServerRow, row: Row[Any]) -> None:
    """Let it end, at the price of a pause. Raises ``Invalid`` unless it is running."""
    servers.check_unlocked(ctx, server)
    _check(server, row, (Status.RUNNING,), "force_complete")
    timeline.begin(tx, ctx, server, "live_migration_force_complete", done=True)
    _tell_source(tx, server, row, hurry=True)


def _check(server: ServerRow, row: Row[Any], allowed: tuple[Status, ...], what: str) -> None:
    if row.type != Type.LIVE or row.id != server["migration_id"] or row.status not in allowed:
        raise Invalid(f"Migration {row.id} state of instance {server['id']} is {row.status}. Cannot {what} while the "
                      "migration is in this state.")


# -- what goes wrong around it

def recheck(tx: Tx, server: ServerRow, overdue: bool) -> None:
    """Don't wait for ever: for a new host that is silent before it begins, or beyond the deadline."""
    row = migrations.get(tx, server["migration_id"])
    if row is None:
        return
    if row.status == Status.PREPARING and (overdue or not hosts.is_up(hosts.get_host(tx, row.dest_id), tx.time)):
        call_off(tx, server, row, Status.ERROR, f"host {row.dest} doesn't make ready")
    elif row.status == Status.RUNNING and _asked(row).get("off"):
        if hosts.get(tx, row.dest_id).fenced:
            call_off(tx, server, row, Status.ERROR, OFF)
    elif row.status == Status.RUNNING and overdue and not _asked(row).get("abort"):
        tx.event(None, "server", server["id"], "overdue", "the live migration doesn't end in time; it is aborted",
                 source="engine", project_id=server["project_id"])
        _tell_source(tx, server, row, abort=True)

