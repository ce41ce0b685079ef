"""Taking a server to another host while it is off: cold migration, and a resize for which its host has no room.

Theory of operation. The server is the new host's from the transaction that asks for it, but held there until its former
host has shut the guest down and reported it absent: nothing of it runs in between, and never twice. Room is kept on
both hosts, each for the flavor that it would have there, until the move is confirmed or undone. Going back is the same
the other way round. Shared disks keep a snapshot to go back to (see ``resize``); of disks that are each host's own, the
new host fetches a copy, and the former host keeps its until the move is confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stackling.compute import changes, departures, hosts, migrations, moving, requirements, servers, shares, timeline
from stackling.compute.migrations import Status, Type
from stackling.compute.model import ServerRow
from stackling.compute.shares import Share
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid
from stackling.store.transaction import Tx

OWN_DISKS = "local"
"""The storage of hosts whose disks can't be fetched by another."""


def migrate_server(tx: Tx, ctx: Context, server: ServerRow, host: str | None = None) -> ServerRow:
    """Cold migration, to *host* or to whichever the scheduler picks.

    Raises ``Conflict`` (state, its host is down) or ``Invalid`` (no such host, none can take it).
    """
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, "migrate", ("active", "stopped"))
    check_host(tx, server, host)
    return _begin(tx, ctx, server, Type.MIGRATION, shares.of_flavor(server["flavor"]), {}, host)


def check_host(tx: Tx, server: ServerRow, host: str | None) -> None:
    """Raises ``Invalid`` unless *host* (if any) is another one than the server's."""
    if host is None:
        return
    if not hosts.exists(tx, host):
        raise Invalid(f"Compute host {host} could not be found.", type="ComputeHostNotFound")
    if host == server["host"]:
        raise Invalid(f"Cannot migrate instance {server['id']} to its own host {host}: the target host can't be the "
                      "same one.", type="CannotMigrateToSameHost")


def resize_elsewhere(tx: Tx, ctx: Context, server: ServerRow, share: Share, values: Mapping[str, Any],
                     why_not_here: str) -> ServerRow:
    """Resize on another host; *values* are the columns of the new flavor. Raises ``Invalid`` with both reasons."""
    try:
        return _begin(tx, ctx, server, Type.RESIZE, share, values, None)
    except (Invalid, Conflict) as error:
        raise Invalid(f"No valid host was found. The server's own host {why_not_here}; another: "
                      f"{error.message}") from None


def _begin(tx: Tx, ctx: Context, server: ServerRow, type: Type, share: Share, values: Mapping[str, Any],
           host: str | None) -> ServerRow:
    source = hosts.get_host(tx, server["host_id"])
    if not hosts.is_up(source, tx.time):
        raise Conflict(f"Host {source['name']} is down: nobody can shut the server down there. If it is off for good, "
                       "evacuate the server.")
    if source["storage"] == OWN_DISKS and shares.has_local_disk(server):
        raise Invalid(f"The server's disks are in a directory of host {source['name']} alone, and aren't copied "
                      "between hosts while the server is off: migrate it live, or keep disks in shared storage.")
    need = moving.need_elsewhere(tx, server, source)
    need = replace(need, vcpus=share[0], memory_mib=share[1], disk_gib=share[2], host=host, storage=source["storage"])
    if "flavor" in values:
        need = requirements.for_server(tx, need, server, values["flavor"])
    dest = hosts.place(tx, need)
    if dest is None:
        raise Invalid(f"No valid host was found. {hosts.why_not(tx, need)[0]}.", type="NoValidHost")
    flavor = values.get("flavor", server["flavor"])
    number = migrations.add(tx, ctx, server, type, Status.MIGRATING, source, dest, new_flavor_id=flavor["id"])
    departures.add(tx, server, source["id"], server["generation"] + 1, source["storage"], awaited=True, kept=True,
                   politely=True)
    timeline.begin(tx, ctx, server, "migrate" if type is Type.MIGRATION else "resize",
                   f"from {source['name']} to {dest.name}")
    resize = server["resizes"] + 1
    return moving.settle_at(tx, server, dest, {
        **values, **changes.NO_FAULT, "old_flavor": server["flavor"], "resizes": resize, "kept_resize": resize,
        "restored_resize": 0, "move": type.value, "migration_id": number, "held": 1})


def confirm(tx: Tx, server: ServerRow) -> ServerRow:
    """Keep it where it is: the former host's room and disks are given back."""
    shares.release_elsewhere(tx, server)
    migrations.change(tx, server["migration_id"], Status.CONFIRMED)
    departures.release(tx, server["id"])
    after = changes.apply(tx, server, {"old_flavor": None, "kept_resize": 0, "migration_id": None}, desired=True)
    departures.settled(tx, server["id"])
    return changes.refresh_network(tx, after)


def check_return(tx: Tx, server: ServerRow) -> None:
    """Raises ``Conflict`` when the former host can't take the server back."""
    row = migrations.get(tx, server["migration_id"])
    source = hosts.get_host(tx, row.source_id if row else "")
    if not hosts.is_up(source, tx.time):
        raise Conflict(f"Host {source['name']}, from which the server came, is down.")


def go_back(tx: Tx, server: ServerRow, values: Mapping[str, Any]) -> ServerRow:
    """To the former host, with *values* as the columns of the former flavor."""
    row = migrations.get(tx, server["migration_id"])
    assert row is not None
    migrations.change(tx, row.id, Status.REVERTING)
    departures.add(tx, server, row.dest_id, server["generation"] + 1, row.storage, awaited=True)
    return moving.settle_at(tx, server, hosts.get(tx, row.source_id), {**values, "move": row.type, "held": 1})


def returned(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when it is back where it was."""
    shares.release_elsewhere(tx, server)
    migrations.change(tx, server["migration_id"], Status.REVERTED)
    departures.settled(tx, server["id"])
    return {"migration_id": None, "move": None}
