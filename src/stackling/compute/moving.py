"""Moving servers off a host that is lost, and what the hosts' own standing has to do with it.

Theory of operation. A move is one transaction: the new host's room is claimed and the old one's given back, the
server's generation rises, its row names the new host, its ports are bound there, and a departure tells the old host to
let go (``departures``). From then on only reports of the new host count. A fenced host can't act, so the new one begins
at once; otherwise it is held until the old one has reported the server absent.

A server in shared storage keeps its disks. One whose disks are the lost host's own is made anew from its image
elsewhere (as Nova does without shared storage), which only an administrator may ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select, update

from stackling.compute import (
    changes,
    create,
    departures,
    groups,
    hosts,
    migrations,
    requirements,
    rows,
    servers,
    shares,
    shelving,
    timeline,
    volumes,
)
from stackling.compute.migrations import Status, Type
from stackling.compute.model import Host, Need, ServerRow
from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid
from stackling.core.ids import new_request_id
from stackling.image import facade as images
from stackling.network import facade as network
from stackling.ports.document import Power
from stackling.store.tables.compute import servers as table
from stackling.store.tables.fleet import hosts as hosts_table
from stackling.store.transaction import Tx

PRIORITY = "ha:priority"
"""Extra spec of flavors: who is moved first, -100 to 100 (0). Administrators write it, so no tenant jumps the queue."""
DEADLINE = changes.DEADLINES["rebuild"]
_ON = select(table).where(table.c.host_id == bindparam("host"), table.c.deleted == 0).order_by(
    table.c.created_at, table.c.id)
_LEASE = update(hosts_table).where(hosts_table.c.id == bindparam("host")).values(
    machine_id=bindparam("machine"), lease_epoch=hosts_table.c.lease_epoch + 1, report_sequence=0,
    generation=hosts_table.c.generation + 1)
_EPOCH = select(hosts_table.c.lease_epoch).where(hosts_table.c.id == bindparam("host"))


@dataclass(frozen=True, slots=True)
class Moving:
    """A server that has to leave its host. ``disk``: ``local``, ``shared`` or ``rbd``; ``group`` its server group."""

    id: str
    priority: int
    disk: str
    group: str | None
    need: Need


# -- hosts' standing

def host_lost(tx: Tx, host_id: str, proof: str) -> None:
    """The host's machine is fenced, with its *proof*: it gets no servers, and nobody waits for its word."""
    hosts.update_host(tx, host_id, fenced=True, fence_proof=proof)
    for server_id in departures.fenced(tx, host_id):
        let_go(tx, server_id)
    for server_id in migrations.not_begun(tx, host_id):
        tx.nudge(changes.KIND, server_id)


def host_back(tx: Tx, host_id: str) -> None:
    """The machine has returned and given up what isn't its own: ends ``host_lost``. What an operator said of the host
    (disabled, forced down) stays."""
    hosts.update_host(tx, host_id, fenced=False, fence_proof=None)


def move_lease(tx: Tx, host_id: str, machine_id: str) -> int:
    """Let *machine_id* hold the host from now on; the lease's new epoch, by which documents to and reports from the
    former holder are refused. Whether that may be is the caller's to know."""
    tx.changed(_LEASE, host=host_id, machine=machine_id)
    return int(tx.scalar(_EPOCH, host=host_id))


def to_give_up(tx: Tx, host_id: str) -> list[str]:
    """The servers that have moved away and that the host's machine hasn't reported absent yet."""
    return departures.outstanding(tx, host_id)


def let_go(tx: Tx, server_id: str) -> None:
    """A former host that was awaited has let go of the server (or is fenced): its new host begins."""
    server = rows.get(tx, server_id)
    if server is None or server["deleted"] or not server["held"] or departures.is_held(tx, server_id):
        return
    if server["move"] in (Type.MIGRATION, Type.RESIZE) and not server["restored_resize"]:
        migrations.change(tx, server["migration_id"], Status.POST_MIGRATING)
    changes.apply(tx, server, {"held": 0}, desired=True, deadline=DEADLINE)


def recheck(tx: Tx, server: ServerRow) -> None:
    """A server is held. Nobody waits for a host that fell silent, after an administrator had called it down, or where
    all that is left is to be deleted. One to which the server was migrating live may have it running all the same."""
    if server["move"] == Type.EVACUATION or server["deleting"]:
        row = migrations.get(tx, server["migration_id"])
        for host_id in departures.awaited_of(tx, server["id"]):
            host = hosts.get_host(tx, host_id)
            down = server["deleting"] or host["forced_down"] or (row is not None and row.source_id == host_id)
            if down and not hosts.talks(host, tx.time):
                departures.waive(tx, server["id"], host_id)
    let_go(tx, server["id"])


# -- servers to be moved

def servers_to_move(tx: Tx, host_id: str) -> list[Moving]:
    """Everything on the host, in the order in which it should leave: by ``PRIORITY``, the older first."""
    host = hosts.get_host(tx, host_id)
    storage = str(host["storage"])
    found = [Moving(server["id"], _priority(server["flavor"]), _disk(server, storage), server["server_group_id"],
                    _need(server, storage))
             for server in map(rows.mapping, tx.all(_ON, host=host_id))]
    return sorted(found, key=lambda moving: -moving.priority)


def _disk(server: ServerRow, storage: str) -> str:
    """Where what the server writes lies: of its own disks and its volumes that for which the most proof is needed."""
    found = {str(storage).partition(":")[0]} if shares.has_local_disk(server) else set[str]()
    found |= {"rbd" if disk.location.startswith("rbd:") else "shared" for disk in volumes.disks(server["volumes"])}
    return next((kind for kind in ("local", "shared") if kind in found), "rbd")


def _priority(flavor: Mapping[str, Any]) -> int:
    text = str(flavor["extra_specs"].get(PRIORITY, "0"))
    return max(-100, min(100, int(text))) if text.removeprefix("-").isdecimal() and len(text) < 6 else 0


def _need(server: ServerRow, storage: str) -> Need:
    vcpus, memory, disk = shares.here(server)
    return Need(vcpus, memory, disk, server["pinned_availability_zone"],
                storage=None if departures.is_local(storage) else storage)


def need_elsewhere(tx: Tx, server: ServerRow, source: Mapping[str, Any]) -> Need:
    """What another host must have to take the server: its zone, its group and its hints stay in force. Members of its
    group on fenced hosts don't count: they have to leave as well."""
    need = within_limits(tx, server, _need(server, source["storage"]))
    return replace(need, avoid=need.avoid | {source["id"]})


def within_limits(tx: Tx, server: ServerRow, need: Need) -> Need:
    """*need*, and what the server's flavor, hints and group say of hosts; none that still has former disks of it."""
    hints: Mapping[str, Any] = server["scheduler_hints"] or {}
    need = create.with_hints(tx, need, {**hints, "group": None}, but=server["id"])
    need = requirements.for_server(tx, need, server)
    if server["server_group_id"] is not None:
        tx.guard(f"compute.server_group:{server['server_group_id']}")
        need = groups.with_group(tx, need, server["server_group_id"], but=server["id"])
    return replace(need, avoid=need.avoid | departures.with_old_disks(tx, server["id"]))


# -- evacuation

def evacuate(tx: Tx, server_id: str, *, reason: str, host: str | None = None) -> str | None:
    """Move a server off its fenced host, to *host* or to whichever the scheduler picks. None when that is done (or
    there is nothing to do), else why not, which stands in the server's timeline as well. Idempotent."""
    server = rows.get(tx, server_id)
    if server is None or server["deleted"] or server["host_id"] is None:
        return None
    source = hosts.get_host(tx, server["host_id"])
    if not source["fenced"]:
        return None if server["move"] == Type.EVACUATION else f"its host {source['name']} isn't fenced"
    ctx = system_context(new_request_id())
    refusal = move_off(tx, ctx, server, source, Evacuate(host=host, reason=reason))
    if refusal is not None and refusal != server["observed_error"]:
        tx.event(ctx, "server", server_id, "no_valid_host", refusal, source="scheduler",
                 project_id=server["project_id"])
        changes.apply(tx, server, {"observed_error": refusal, "observed_converged": 0})
    return refusal


def request_evacuation(tx: Tx, ctx: Context, server: ServerRow, how: Evacuate) -> None:
    """What an administrator asks for. Raises ``Conflict`` (state), ``Invalid`` (its host is up, no such host).

    When no host can take it the server is in ERROR with the reason, as Nova does it. That the old host is down is the
    administrator's word; only while its agent still talks is it waited for.
    """
    servers.check_state(server, "evacuate", ("active", "stopped", "error"), launched=False)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    if how.host is not None and not hosts.exists(tx, how.host):
        raise Invalid(f"Compute host {how.host} not found.")
    if how.host == server["host"]:
        raise Invalid("The target host can't be the same one.")
    source = hosts.get_host(tx, server["host_id"])
    if hosts.is_up(source, tx.time):
        raise Invalid(f"Compute service of {source['name']} is still in use.")
    how = replace(how, awaited=not source["fenced"] and hosts.talks(source, tx.time))
    refusal = move_off(tx, ctx, server, source, how)
    if refusal is None:
        return
    migrations.add(tx, ctx, server, Type.EVACUATION, Status.ERROR, source, None, reason=refusal)
    timeline.begin(tx, ctx, server, "evacuate", refusal)
    after = changes.apply(tx, server, {**changes.NO_FAULT, **changes.fault(tx, refusal), "forced_error": 1})
    timeline.finish(tx, after)


@dataclass(frozen=True, slots=True)
class Evacuate:
    """How a server leaves a lost host. ``forced``: the scheduler isn't asked about ``host``; ``stopped``: it is off
    there whatever it was; ``awaited``: the old host may still act, so its word is waited for."""

    reason: str
    host: str | None = None
    forced: bool = False
    stopped: bool = False
    awaited: bool = False


def move_off(tx: Tx, ctx: Context, server: ServerRow, source: Mapping[str, Any], how: Evacuate) -> str | None:
    """Do it; why not, or None."""
    local = departures.is_local(source["storage"])
    if server["deleting"] and local:
        departures.add(tx, server, source["id"], server["generation"] + 1, source["storage"], awaited=False)
        servers.finish_deletion(tx, server)
        return None
    if shelving.is_saved(server):
        departures.add(tx, server, source["id"], server["generation"] + 1, source["storage"], awaited=False)
        shelving.left_host(tx, server)
        departures.settled(tx, server["id"])
        return None
    need = replace(need_elsewhere(tx, server, source), host=how.host)
    dest = _on_its_way(tx, server, need) or (hosts.force(tx, need) if how.forced else hosts.place(tx, need))
    if dest is None and server["deleting"]:         # whoever reaches its disks can delete them
        dest = hosts.place_beyond(tx, replace(_need(server, source["storage"]), availability_zone=None,
                                              avoid=frozenset({source["id"]})))
    if dest is None:
        return f"No valid host was found. {hosts.why_not(tx, need)[0]}."
    values = _leave(tx, server, how)
    departures.add(tx, server, source["id"], server["generation"] + 1, source["storage"], awaited=how.awaited)
    number = migrations.add(tx, ctx, server, Type.EVACUATION, Status.ACCEPTED, source, dest, reason=how.reason)
    departures.withdraw(tx, server["id"], dest.id)
    timeline.begin(tx, ctx, server, "evacuate", f"from {source['name']} to {dest.name}: {how.reason}")
    values.update(move=Type.EVACUATION.value, migration_id=number, held=int(departures.is_held(tx, server["id"])))
    if local and server["launched_at"] is not None:
        values.update(rebuilds=server["rebuilds"] + 1)
        if server["shelve"] is None:
            values.update(root_flat=0)
        if server["old_flavor"] is not None:
            values.update(_RESIZE_KEPT)
    settle_at(tx, server, dest, values)
    return None


def _on_its_way(tx: Tx, server: ServerRow, need: Need) -> Host | None:
    """The host to which it was migrating live, where its memory may have arrived, if that can take it."""
    row = migrations.get(tx, server["migration_id"]) if server["move"] == Type.LIVE else None
    if row is None or row.status != Status.RUNNING or need.host not in (None, row.dest):
        return None
    return hosts.place(tx, replace(need, host=row.dest))


_RESIZE_KEPT: Mapping[str, Any] = {"old_flavor": None, "kept_resize": 0, "restored_resize": 0}
"""Of a resize that can't be undone any more, because what it would go back to is gone."""


def _leave(tx: Tx, server: ServerRow, how: Evacuate) -> dict[str, Any]:
    """Give back the server's room, end what was under way for it; the columns that follow."""
    values: dict[str, Any] = dict(changes.NO_FAULT)
    shares.release_here(tx, server)
    if shares.between_hosts(server):
        shares.release_elsewhere(tx, server)
        departures.release(tx, server["id"])
        if server["move"] == Type.LIVE:
            _leave_target(tx, server)
        else:
            values.update(_RESIZE_KEPT)
        migrations.change(tx, server["migration_id"],
                          Status.CONFIRMED if server["move"] is None else Status.ERROR, how.reason)
    if server["rescue"] is not None:
        values.update(rescue=None, rescue_image_id=None)
    if how.stopped:
        values.update(power=Power.STOPPED.value, power_generation=server["generation"] + 1)
    if server["snapshot_id"] is not None:
        images.drop_empty(tx, server["snapshot_id"])
        values["snapshot_id"] = None
        if server["shelve"] is not None:
            values.update(shelve=None, shelved_image_id=None)
    return values


def _leave_target(tx: Tx, server: ServerRow) -> None:
    """The host to which it was migrating live may have it: it lets go, and while it may act it is waited for."""
    row = migrations.get(tx, server["migration_id"])
    if row is not None:
        target = hosts.get_host(tx, row.dest_id)
        departures.add(tx, server, row.dest_id, server["generation"] + 1, row.storage,
                       awaited=not target["fenced"] and row.status == Status.RUNNING)


def settle_at(tx: Tx, server: ServerRow, dest: Host, values: Mapping[str, Any], power: str | None = None) -> ServerRow:
    """Write that *server* is on *dest* (whose room is claimed) from now on, and bind its ports there. *power*: what is
    known to have been seen of it."""
    departures.withdraw(tx, server["id"], dest.id)
    network.bind_server(tx, server["id"], dest.name)
    placed = {**values, **changes.OBSERVED_NOTHING, "observed_power": power, "host_id": dest.id, "host": dest.name,
              "availability_zone": dest.availability_zone}
    ports = network.ports_of_servers(tx, [server["id"]])[server["id"]]
    return changes.apply(tx, server, {**placed, **changes.network_values({**server, **placed}, ports)}, desired=True,
                         deadline=DEADLINE)


def arrived(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when the new host has the server as it shall be."""
    if server["move"] == Type.EVACUATION:
        left = not departures.is_outstanding(tx, server["id"])
        migrations.change(tx, server["migration_id"], Status.COMPLETED if left else Status.DONE)
        departures.settled(tx, server["id"])
        return {"move": None, "migration_id": None}
    if server["restored_resize"]:
        return {"move": None}
    migrations.change(tx, server["migration_id"], Status.FINISHED)
    return {"move": None}
