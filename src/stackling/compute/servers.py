"""Servers: finding, changing and deleting one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert

from stackling.compute import changes, departures, migrations, quotas, rows, shares, timeline
from stackling.compute.call_off import call_off_for_deletion
from stackling.compute.migrations import Type
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.image import facade as images
from stackling.network import facade as network
from stackling.store.tables.compute import server_tags
from stackling.store.transaction import Tx

MAX_TAGS = 50
_FORGET_TAGS = delete(server_tags).where(server_tags.c.server_id == bindparam("server"))
_ADD_TAG = insert(server_tags)
_REMOVE_TAG = delete(server_tags).where(
    server_tags.c.server_id == bindparam("server"), server_tags.c.tag == bindparam("t"))


def missing(id: str) -> NotFound:
    """The refusal that also another project's server gets."""
    return NotFound(f"Instance {id} could not be found.", type="InstanceNotFound")


def get_server(tx: Tx, ctx: Context, id: str) -> ServerRow:
    """The server if *ctx* may know of it. Raises ``NotFound``."""
    row = rows.get(tx, id)
    if row is None or row["deleted"] or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return row


def check_unlocked(ctx: Context, server: ServerRow) -> None:
    """Raises ``Conflict`` for a locked server, except to administrators."""
    if server["locked"] and not ctx.is_admin:
        raise Conflict(f"Instance {server['id']} is locked")


def check_state(server: ServerRow, action: str, vm_states: Sequence[str] | None, *, idle: bool = True,
                launched: bool = True, tasks: Sequence[str | None] | None = None) -> None:
    """Raises ``Conflict`` in Nova's words unless the server is in one of *vm_states* (None: any) and, with *idle*,
    nothing (or one of *tasks*) is being done about it."""
    for attr, allowed in (("vm_state", vm_states), ("task_state", (tasks or (None,)) if idle else None)):
        if allowed is not None and server[attr] not in allowed:
            raise Conflict(f"Cannot '{action}' instance {server['id']} while it is in {attr} {server[attr]}")
    if launched and server["launched_at"] is None:
        raise Conflict(f"Instance {server['id']} is in an invalid state for '{action}'")


def update_server(tx: Tx, ctx: Context, id: str, values: Mapping[str, Any]) -> ServerRow:
    """Change names, descriptions and access addresses; *values* are columns."""
    server = get_server(tx, ctx, id)
    check_not_deleting(server, "update")
    if "hostname" in values or "name" in values:
        return changes.refresh_network(tx, changes.apply(tx, server, values))
    return changes.apply(tx, server, values)


def check_not_deleting(server: ServerRow, action: str) -> None:
    """Raises ``Conflict`` for a server that is on its way out."""
    if server["deleting"]:
        raise Conflict(f"Cannot '{action}' instance {server['id']} while it is in task_state deleting")


# -- deletion

def delete_server(tx: Tx, ctx: Context, id: str, action: str = "delete") -> None:
    """Ask for the server's end. Doing it again changes nothing."""
    server = get_server(tx, ctx, id)
    check_unlocked(ctx, server)
    if server["deleting"]:
        return
    timeline.begin(tx, ctx, server, action)
    if server["shelved_image_id"] is not None:
        images.delete_backup(tx, ctx, server["shelved_image_id"])
    values = {"deleting": 1, "overdue": 0, "observed_terminal": 0, "forced_error": int(server["vm_state"] == "error")}
    if server["host_id"] is None:
        finish_deletion(tx, {**server, **values})
    elif server["move"] == Type.LIVE:
        called_off = call_off_for_deletion(tx, server)
        changes.apply(tx, called_off, values, desired=True, deadline=changes.DEADLINES["delete"])
    else:
        changes.apply(tx, server, values, desired=True, deadline=changes.DEADLINES["delete"])


def finish_deletion(tx: Tx, server: ServerRow) -> None:
    """Nothing of the guest is left: release what it had; the row becomes history."""
    from stackling.compute import volumes

    if server["snapshot_id"] is not None:
        images.drop_empty(tx, server["snapshot_id"])
    network.release_auto_floating_ips(tx, server["id"])
    network.unplug_server(tx, server["id"])
    volumes.server_gone(tx, server)
    shares.release_here(tx, server)
    shares.release_elsewhere(tx, server)
    migrations.ended_with_server(tx, server)
    departures.release(tx, server["id"])
    departures.settled(tx, server["id"])
    tx.execute(_FORGET_TAGS, {"server": server["id"]})
    tx.event(None, "server", server["id"], "deleted", source="engine", project_id=server["project_id"])
    before = {**server, "task_state": "deleting"}
    changes.apply(tx, before, {"deleted": 1, "deleted_at": tx.now, "terminated_at": tx.now, "observed_power": None,
                               "deleting": 1, "volumes": "[]", "addresses": "{}", "nics": "[]", "user_data": None,
                               "injected_files": None, "document": "{}"})
    tx.forget(changes.KIND, server["id"], server["generation"])


# -- metadata

def set_metadata(tx: Tx, ctx: Context, id: str, items: Mapping[str, str], *, replace: bool = False,
                 action: str = "update metadata") -> dict[str, str]:
    """Add *items*, or with *replace* leave nothing but them. Raises ``QuotaExceeded``."""
    server = get_server(tx, ctx, id)
    check_unlocked(ctx, server)
    check_state(server, action, ("active", "paused", "suspended", "stopped"), idle=False)
    merged = dict(items) if replace else {**server["metadata"], **items}
    quotas.check_metadata(tx, server["project_id"], len(merged))
    _write_metadata(tx, server, merged)
    return merged


def delete_metadata_item(tx: Tx, ctx: Context, id: str, key: str) -> None:
    """Raises ``NotFound`` for an unknown key."""
    server = get_server(tx, ctx, id)
    check_unlocked(ctx, server)
    merged = dict(server["metadata"])
    if key not in merged:
        raise NotFound("Metadata item was not found")
    check_state(server, "delete metadata", ("active", "paused", "suspended", "stopped"), idle=False)
    del merged[key]
    _write_metadata(tx, server, merged)


def _write_metadata(tx: Tx, server: ServerRow, metadata: Mapping[str, str]) -> None:
    changes.refresh_network(tx, changes.apply(tx, server, {"metadata": dict(metadata)}))


# -- tags

def set_tags(tx: Tx, ctx: Context, id: str, tags: Sequence[str]) -> list[str]:
    """Leave no tags but *tags*."""
    server = _taggable(tx, ctx, id, "update tags")
    wanted = sorted(set(tags))
    tx.execute(_FORGET_TAGS, {"server": id})
    if wanted:
        tx.execute(_ADD_TAG, [{"server_id": id, "tag": tag} for tag in wanted])
    changes.apply(tx, server, {"tags": wanted})
    return wanted


def add_tag(tx: Tx, ctx: Context, id: str, tag: str) -> bool:
    """Whether it is new. Raises ``Invalid`` beyond ``MAX_TAGS``."""
    server = _taggable(tx, ctx, id, "update tag")
    if tag in server["tags"]:
        return False
    if len(server["tags"]) >= MAX_TAGS:
        raise Invalid(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    tx.execute(_ADD_TAG, {"server_id": id, "tag": tag})
    changes.apply(tx, server, {"tags": sorted([*server["tags"], tag])})
    return True


def remove_tag(tx: Tx, ctx: Context, id: str, tag: str) -> None:
    """Raises ``NotFound`` for a tag that the server doesn't have."""
    server = _taggable(tx, ctx, id, "delete tag")
    if tag not in server["tags"]:
        raise NotFound(f"Instance {id} has no tag '{tag}'")
    tx.execute(_REMOVE_TAG, {"server": id, "t": tag})
    changes.apply(tx, server, {"tags": [t for t in server["tags"] if t != tag]})


def _taggable(tx: Tx, ctx: Context, id: str, action: str) -> ServerRow:
    server = get_server(tx, ctx, id)
    check_unlocked(ctx, server)
    check_state(server, action, ("active", "paused", "suspended", "stopped"), idle=False, launched=False)
    return server
