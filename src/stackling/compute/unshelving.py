"""Bringing a shelved server back: on its host if it is still there, else from its image on whichever can take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackling.compute import changes, departures, hosts, moving, servers, shares, timeline
from stackling.compute.model import Need, ServerRow, Shelve, is_volume_backed
from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.image import facade as images
from stackling.ports.document import Power
from stackling.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class Where:
    """Where the caller wants it. A zone is kept from then on (``pinned``); with ``unpin`` none is."""

    availability_zone: str | None = None
    host: str | None = None
    unpin: bool = False

    @property
    def anywhere(self) -> bool:
        """Whether nothing was said."""
        return self.availability_zone is None and self.host is None and not self.unpin


def unshelve_server(tx: Tx, ctx: Context, server: ServerRow, where: Where) -> ServerRow:
    """Raises ``Conflict`` (state, the host is in another zone), ``Invalid`` (no such zone or host).

    Where no host can take it, or its image is gone, that is the action's and the server's story, as in Nova.
    """
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "unshelve", ("shelved", "shelved_offloaded"))
    if server["vm_state"] == "shelved":
        if not where.anywhere:
            raise Conflict(f"Specifying an availability zone or a host when unshelving server {server['id']} with "
                           "status SHELVED is not supported. The server status must be SHELVED_OFFLOADED.")
        return _start(tx, ctx, server)
    pinned = _zone(tx, server, where)
    if where.availability_zone is not None or where.unpin:
        server = changes.apply(tx, server, {"pinned_availability_zone": pinned, "availability_zone": pinned})
    return _make(tx, ctx, server, where.host)


def _start(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    """It has never left its host."""
    timeline.begin(tx, ctx, server, "unshelve")
    images.delete_backup(tx, ctx, server["shelved_image_id"])
    return changes.apply(tx, server, {**_on(server), "shelved_image_id": None, "shelved_image": None,
                                      "offload_at": None}, desired=True, deadline=changes.DEADLINES["start"])


def _zone(tx: Tx, server: ServerRow, where: Where) -> str | None:
    """The zone in which it has to be."""
    known = hosts.list_hosts(tx)
    zone = where.availability_zone
    if zone is not None and not any(host["availability_zone"] == zone for host in known):
        raise Invalid("The requested availability zone is not available")
    pinned = None if where.unpin else zone or server["pinned_availability_zone"]
    if where.host is not None:
        found = next((host for host in known if host["name"] == where.host), None)
        if found is None:
            raise Invalid(f"Compute host {where.host} could not be found.", type="ComputeHostNotFound")
        if pinned is not None and found["availability_zone"] != pinned:
            raise Conflict(f'Host "{where.host}" is not in the availability zone "{pinned}".')
    return pinned


def _make(tx: Tx, ctx: Context, server: ServerRow, host: str | None) -> ServerRow:
    try:
        if not is_volume_backed(server):
            images.image_for_boot(tx, system_context(ctx.request_id), server["shelved_image_id"])
    except (NotFound, Invalid):
        reason = f"Unshelve attempted but the image {server['shelved_image_id']} cannot be found."
        return _failed(tx, ctx, server, reason, {**changes.fault(tx, reason), "forced_error": 1})
    vcpus, memory, disk = shares.of_flavor(server["flavor"])
    need = Need(vcpus, memory, disk, server["pinned_availability_zone"], host)
    need = moving.within_limits(tx, server, need)
    dest = hosts.place(tx, need)
    if dest is None:
        return _failed(tx, ctx, server, f"No valid host was found. {hosts.why_not(tx, need)[0]}.", {})
    timeline.begin(tx, ctx, server, "unshelve", f"on {dest.name}")
    return moving.settle_at(tx, server, dest, {
        **_on(server), "rebuilds": server["rebuilds"] + 1, "root_flat": 1,
        "held": int(departures.is_held(tx, server["id"]))})


def _failed(tx: Tx, ctx: Context, server: ServerRow, reason: str, values: dict[str, Any]) -> ServerRow:
    timeline.add(tx, [timeline.entry(tx, ctx, server, "unshelve", error=reason, details=reason)])
    tx.event(ctx, "server", server["id"], "unshelving_failed", reason, source="scheduler",
             project_id=server["project_id"])
    return changes.apply(tx, server, values)


def _on(server: ServerRow) -> dict[str, Any]:
    return {**changes.NO_FAULT, "shelve": Shelve.BACK.value, "power": Power.RUNNING.value,
            "power_generation": server["generation"] + 1}
