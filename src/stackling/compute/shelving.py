"""Putting a server away: its root disk becomes an image, and then it leaves its host.

Theory of operation. ``shelve`` says what shall be. A server that is shelved is shut down and saved as an image, like a
snapshot; with the report that control has the image's data it is SHELVED. After ``OFFLOAD_AFTER`` seconds (0: at once,
below 0: only when asked) it is removed from its host, disks included, as if it were deleted; with the report that
nothing is left it has no host, takes no room there, and its ports are bound nowhere. Its addresses, its quota and the
image stay. ``unshelving`` brings it back; the image goes when the new host has made the disk and runs the server.
A server that boots from a volume needs no image: it is shut down and leaves its host at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackling.compute import changes, create, servers, shares, snapshots, timeline, volumes
from stackling.compute.model import ServerRow, Shelve, is_volume_backed
from stackling.core.context import Context, system_context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_request_id
from stackling.image import facade as images
from stackling.network import facade as network
from stackling.ports.document import Power
from stackling.store.transaction import Tx

OFFLOAD_AFTER = "compute.shelved_offload_time"
"""The setting, in seconds; Nova's ``shelved_offload_time``, with its default of 0."""
DEADLINE = changes.DEADLINES["stop"] + 1800.0


def shelve_server(tx: Tx, ctx: Context, server: ServerRow, image_id: str) -> ServerRow:
    """Save it as image *image_id* and switch it off. Raises ``Conflict`` (state), ``Forbidden`` (quota of images)."""
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        servers.check_state(server, "shelve", ("active", "stopped", "paused", "suspended"))
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, "shelve", ("active", "stopped", "paused", "suspended"))
    if is_volume_backed(server):
        timeline.begin(tx, ctx, server, "shelve")
        return changes.apply(tx, server, {
            **changes.NO_FAULT, "shelve": Shelve.OFFLOADED.value, "power": Power.STOPPED.value,
            "power_generation": server["generation"] + 1}, desired=True, deadline=DEADLINE)
    owner = replace(ctx, project_id=server["project_id"])
    snapshots.add_image(tx, owner, server, image_id, f"{server['name']}-shelved", {})
    timeline.begin(tx, ctx, server, "shelve")
    return changes.apply(tx, server, {
        **changes.NO_FAULT, "shelve": Shelve.SHELVED.value, "snapshot_id": image_id, "shelved_image_id": image_id,
        "power": Power.STOPPED.value, "power_generation": server["generation"] + 1,
    }, desired=True, deadline=DEADLINE)


def saved(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when the host has handed the disk's copy over, or nobody wants it any more."""
    image_id = server["snapshot_id"]
    try:
        image = images.image_for_boot(tx, system_context(new_request_id()), image_id)
    except (NotFound, Invalid):
        reason = f"Image {image_id} was deleted, or its data refused, before the server was saved."
        timeline.fail(tx, server, "shelve", reason)
        tx.event(None, "server", server["id"], "shelving_failed", reason, project_id=server["project_id"])
        return {"shelve": None, "shelved_image_id": None}
    after = _offload_after(tx)
    values: dict[str, Any] = {"shelved_image": create.image_json(image),
                              "offload_at": tx.time + after if after >= 0 else None}
    if after == 0:
        values["shelve"] = Shelve.OFFLOADED.value
    return values


def offload_server(tx: Tx, ctx: Context, server: ServerRow) -> ServerRow:
    """Free its host now. Raises ``Conflict`` unless it is SHELVED."""
    servers.check_unlocked(ctx, server)
    servers.check_state(server, "shelveOffload", ("shelved",))
    timeline.begin(tx, ctx, server, "shelveOffload")
    return _offload(tx, server)


def offload_when_due(tx: Tx, server: ServerRow) -> ServerRow:
    """Free its host if it has been shelved for long enough."""
    if server["shelve"] != Shelve.SHELVED or not is_saved(server) or not 0 < (server["offload_at"] or 0) <= tx.time:
        return server
    timeline.begin(tx, system_context(new_request_id()), server, "shelveOffload", "it has been shelved long enough")
    return _offload(tx, server)


def is_saved(server: ServerRow) -> bool:
    """Whether its image is all that it needs: whatever becomes of its host now."""
    saved = server["shelved_image"] is not None or is_volume_backed(server)
    return saved and server["shelve"] in (Shelve.SHELVED, Shelve.OFFLOADED)


def left_host(tx: Tx, server: ServerRow) -> ServerRow:
    """Nothing of it is left on its host (or that is lost): from now on it has none."""
    host = server["host"]
    shares.release_here(tx, server)
    network.bind_server(tx, server["id"], None)
    tx.event(None, "server", server["id"], "offloaded", f"from {host}", source="engine",
             project_id=server["project_id"])
    after = changes.apply(tx, server, {
        **changes.OBSERVED_NOTHING, **changes.NO_FAULT, "observed_power": Power.STOPPED.value,
        "shelve": Shelve.OFFLOADED.value, "host_id": None, "host": None, "offload_at": None,
        "availability_zone": server["pinned_availability_zone"], **volumes.without_host(tx, server)})
    return changes.refresh_network(tx, after)


def came_back(tx: Tx, server: ServerRow) -> dict[str, Any]:
    """The columns when its host runs it again; its image has served its purpose."""
    if server["shelved_image_id"] is not None:
        images.delete_backup(tx, system_context(new_request_id()), server["shelved_image_id"])
    return {"shelve": None, "shelved_image_id": None, "shelved_image": None, "offload_at": None}


def _offload(tx: Tx, server: ServerRow) -> ServerRow:
    return changes.apply(tx, server, {"shelve": Shelve.OFFLOADED.value, "offload_at": None}, desired=True,
                         deadline=changes.DEADLINES["delete"])


def _offload_after(tx: Tx) -> float:
    value = tx.setting(OFFLOAD_AFTER)
    return 0.0 if value is None else float(value)
