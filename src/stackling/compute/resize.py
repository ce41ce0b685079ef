"""Resizing a server: another flavor on its host, kept or taken back by its owner.

Theory of operation. ``resizes`` counts every change of the flavor, back included. The agent switches the guest off,
keeps the root disk as it was before resize ``kept_resize``, lets the disk grow, and starts the guest by its new sizes;
``observed_resizes`` follows once that has converged. Until the resize is confirmed or undone ``old_flavor`` is the
flavor that was left, and the host's room for the larger of both stays claimed, so that going back can't fail for want
of room. A host without that room lets the server move to another one (``cold_migration``). Going back is a change like
any other, with ``restored_resize`` naming what the disk shall be again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.compute import (
    changes,
    cold_migration,
    create,
    flavors,
    hosts,
    migrations,
    quotas,
    requirements,
    servers,
    shares,
    timeline,
)
from stackling.compute.migrations import Status, Type
from stackling.compute.model import ON_VOLUME, Flavor, Need, ServerRow, is_volume_backed
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.store.transaction import Tx

DEADLINE = changes.DEADLINES["stop"] + changes.DEADLINES["start"]


def resize_server(tx: Tx, ctx: Context, server: ServerRow, flavor_ref: str) -> ServerRow:
    """Ask for another flavor. Raises ``Conflict`` (state), ``Invalid`` (flavor, no room), ``QuotaExceeded``."""
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, "resize", ("active", "stopped"))
    flavor = _flavor(tx, ctx, server, flavor_ref)
    quotas.claim_growth(tx, server["project_id"], flavor.vcpus - server["vcpus"],
                        flavor.memory_mib - server["memory_mib"])
    on_volume = is_volume_backed(server)
    resized = {**sizes(flavor), "flavor": create.flavor_json(flavor, on_volume=on_volume)}
    if on_volume:
        resized["root_gib"] = 0
    why_not_here = _claim(tx, server, flavor)
    if why_not_here is not None:
        return cold_migration.resize_elsewhere(tx, ctx, server, shares.of_flavor(resized["flavor"]), resized,
                                               why_not_here)
    number = server["resizes"] + 1
    timeline.begin(tx, ctx, server, "resize", f"from {server['flavor']['name']} to {flavor.name}")
    host = hosts.get_host(tx, server["host_id"])
    migrations.add(tx, ctx, server, Type.RESIZE, Status.MIGRATING, host, hosts.get(tx, server["host_id"]),
                   new_flavor_id=flavor.id)
    values = {**resized, "old_flavor": server["flavor"],
              "resizes": number, "kept_resize": number, "restored_resize": 0, **changes.NO_FAULT}
    return _follow(tx, server, values)


def confirm_resize(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    """Keep the new flavor."""
    _check_resized(ctx, server, "confirmResize")
    timeline.begin(tx, ctx, server, "confirmResize", done=True)
    if shares.between_hosts(server):
        return cold_migration.confirm(tx, server)
    migrations.resized_here(tx, server["id"], Status.CONFIRMED)
    _release(tx, server, server["flavor"])
    return _follow(tx, server, {"old_flavor": None, "kept_resize": 0})


def revert_resize(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    """Go back to the old flavor and to the root disk as it was."""
    _check_resized(ctx, server, "revertResize")
    old: Mapping[str, Any] = server["old_flavor"]
    if shares.between_hosts(server):
        cold_migration.check_return(tx, server)
    timeline.begin(tx, ctx, server, "revertResize", f"back to {old['name']}")
    values = {**columns(old), "flavor": old, "old_flavor": server["flavor"],
              "resizes": server["resizes"] + 1, "kept_resize": 0, "restored_resize": server["kept_resize"]}
    if shares.between_hosts(server):
        return cold_migration.go_back(tx, server, values)
    migrations.resized_here(tx, server["id"], Status.REVERTING)
    return _follow(tx, server, values)


def reverted(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when the host has gone back; the larger flavor's room, or that on the other host, is given back."""
    if shares.between_hosts(server):
        return {"old_flavor": None, "restored_resize": 0, **cold_migration.returned(tx, server)}
    migrations.resized_here(tx, server["id"], Status.REVERTED)
    _release(tx, server, server["flavor"])
    return {"old_flavor": None, "restored_resize": 0}


# -- how

def _flavor(tx: Tx, ctx: Context, server: ServerRow, ref: str) -> Flavor:
    try:
        flavor = flavors.get_flavor(tx, ctx, ref)
    except NotFound as error:
        raise Invalid(error.message) from None
    if flavor.disabled:
        raise Invalid(f"Flavor {ref} could not be found.")
    if flavor.id == server["flavor_id"]:
        raise Invalid("When resizing, instances must change flavor!")
    on_volume = is_volume_backed(server)
    if flavor.root_gib == 0 and server["root_gib"] != 0:
        raise Invalid("Server disk was unable to be resized because: Resize to zero disk flavor is not allowed.")
    if (flavor.root_gib < server["root_gib"] and not on_volume) or flavor.ephemeral_gib < server["ephemeral_gib"]:
        raise Invalid("Server disk was unable to be resized because: Unable to resize disk down.")
    image: Mapping[str, Any] = server["image"] or {}
    if flavor.memory_mib < int(image.get("min_ram") or 0):
        raise Invalid("Flavor's memory is too small for requested image.")
    return flavor


def _claim(tx: Tx, server: ServerRow, flavor: Flavor) -> str | None:
    """Claim what the flavor takes more on the server's host; why not, or None."""
    now = shares.of_flavor(server["flavor"])
    then = shares.of_flavor(create.flavor_json(flavor, on_volume=is_volume_backed(server)))
    more = max(0, then[0] - now[0]), max(0, then[1] - now[1]), max(0, then[2] - now[2])
    need = requirements.for_server(tx, Need(*more), server, {"extra_specs": flavor.extra_specs})
    if server["host_id"] in need.unfit:
        return need.unfit_reason
    if any(more) and not hosts.grow(tx, server["host_id"], *more):
        return hosts.lack_on(tx, server["host_id"], *more) or "is disabled, down or fenced"
    return None


def _release(tx: Tx, server: ServerRow, kept: Mapping[str, Any]) -> None:
    held, left = shares.here(server), shares.of_flavor(kept)
    more = tuple(a - b for a, b in zip(held, left, strict=True))
    if any(more):
        hosts.shrink(tx, server["host_id"], *more)


def _check_resized(ctx: Context, server: ServerRow, action: str) -> None:
    servers.check_unlocked(ctx, server)
    servers.check_state(server, action, ("resized",))


def sizes(flavor: Flavor) -> dict[str, Any]:
    """The columns that a flavor fills."""
    return {"flavor_id": flavor.id, "vcpus": flavor.vcpus, "memory_mib": flavor.memory_mib,
            "root_gib": flavor.root_gib, "ephemeral_gib": flavor.ephemeral_gib, "swap_mib": flavor.swap_mib}


def columns(flavor: Mapping[str, Any]) -> dict[str, Any]:
    """The same from a flavor as a server remembers it."""
    return {"flavor_id": flavor["id"], "vcpus": flavor["vcpus"], "memory_mib": flavor["ram"],
            "root_gib": 0 if flavor.get(ON_VOLUME) else flavor["disk"], "ephemeral_gib": flavor["ephemeral"],
            "swap_mib": flavor["swap"]}


def _follow(tx: Tx, server: ServerRow, values: Mapping[str, Any]) -> ServerRow:
    after = changes.apply(tx, server, values, desired=True, deadline=DEADLINE)
    return changes.refresh_network(tx, after)
