"""Groups of volumes, snapshots of whole groups, and the types of groups (microversions 3.11 to 3.14).

A group has no place in a backend: it is its volumes. Its status follows from theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.volume import (
    volume_group_snapshots,
    volume_group_types,
    volume_groups,
    volume_snapshots,
    volumes,
)
from stackling.store.transaction import Tx
from stackling.volume import changes, quotas, rows, snapshots, types
from stackling.volume import volumes as use_cases
from stackling.volume.model import ZONE, NewVolume, VolumeRow
from stackling.volume.rows import AnyRow, mapping

_GROUP = select(volume_groups).where(volume_groups.c.id == bindparam("id"))
_SNAPSHOT = select(volume_group_snapshots).where(volume_group_snapshots.c.id == bindparam("id"))
_MEMBERS = select(volumes).where(volumes.c.group_id == bindparam("group")).order_by(volumes.c.created_at)
_PARTS = select(volume_snapshots).where(volume_snapshots.c.group_snapshot_id == bindparam("id"))
_MEMBERS_OF_ALL = select(volumes).where(volumes.c.group_id.in_(bindparam("groups", expanding=True))).order_by(
    volumes.c.created_at)
_TYPE = select(volume_group_types).where(
    or_(volume_group_types.c.id == bindparam("ref"), volume_group_types.c.name == bindparam("ref")))
_CONSISTENT = select(volume_groups.c.id).where(
    volume_groups.c.id.in_(bindparam("groups", expanding=True)), volume_groups.c.group_type_id == bindparam("type"))
CONSISTENCY = "default_cgsnapshot_type"
"""The type of what the calls for consistency groups make; the calls for groups leave such groups alone."""


# -- types of groups

def get_type(tx: Tx, ctx: Context, ref: str) -> AnyRow:
    """A type of groups by id or name. Raises ``NotFound``."""
    row = tx.one(_TYPE, ref=ref)
    if row is None or not (row.is_public or ctx.is_admin):
        raise NotFound(f"Group type {ref} could not be found.", type="GroupTypeNotFound")
    return mapping(row)


def create_type(tx: Tx, name: str, description: str | None, is_public: bool, specs: Mapping[str, str]) -> AnyRow:
    """Raises ``Conflict`` for a name that is taken."""
    tx.guard("volume.group_types")
    if tx.one(_TYPE, ref=name) is not None:
        raise Conflict(f"Group Type {name} already exists.")
    row = {"id": new_id(), "name": name, "description": description, "is_public": is_public, "specs": dict(specs),
           "created_at": tx.now}
    tx.execute(insert(volume_group_types), row)
    return row


def update_type(tx: Tx, type: AnyRow, values: Mapping[str, Any]) -> AnyRow:
    """Raises ``Conflict`` for a name that is taken."""
    if values.get("name", type["name"]) != type["name"] and tx.one(_TYPE, ref=values["name"]) is not None:
        raise Conflict(f"Group Type {values['name']} already exists.")
    if values:
        tx.execute(update(volume_group_types).where(volume_group_types.c.id == type["id"]).values(**values))
    return {**type, **values}


def delete_type(tx: Tx, type: AnyRow) -> None:
    """Raises ``Invalid`` while there are groups of it."""
    if tx.scalar(select(volume_groups.c.id).where(volume_groups.c.group_type_id == type["id"]).limit(1)):
        raise Invalid(f"Group Type {type['id']} deletion is not allowed with groups present with the type.")
    tx.execute(delete(volume_group_types).where(volume_group_types.c.id == type["id"]))


def ensure_consistency_type(tx: Tx) -> None:
    """The type of consistency groups, as Cinder's first migration makes it. Idempotent."""
    if tx.one(_TYPE, ref=CONSISTENCY) is None:
        create_type(tx, CONSISTENCY, "Default group type for migrating cgsnapshot", True,
                    {"consistent_group_snapshot_enabled": "<is> True"})


def consistency_type_id(tx: Tx) -> str | None:
    """None where an administrator deleted it."""
    row = tx.one(_TYPE, ref=CONSISTENCY)
    return None if row is None else row.id


def consistent(tx: Tx, group_ids: Sequence[str]) -> frozenset[str]:
    """Those of the groups that are consistency groups."""
    type_id = consistency_type_id(tx) if group_ids else None
    if type_id is None:
        return frozenset()
    return frozenset(row.id for row in tx.all(_CONSISTENT, groups=list(group_ids), type=type_id))


def check_type(tx: Tx, type_id: str) -> None:
    """Raises ``Invalid`` for the type of consistency groups, which have calls of their own."""
    if type_id == consistency_type_id(tx):
        raise Invalid(f"Group_type {type_id} is reserved for migrating CGs to groups. Migrated group can only be "
                      "operated by CG APIs.")


# -- groups

def get_group(tx: Tx, ctx: Context, id: str) -> AnyRow:
    """Raises ``NotFound``."""
    row = tx.one(_GROUP, id=id)
    if row is None or (row.project_id != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Group {id} could not be found.", type="GroupNotFound")
    return mapping(row)


def members(tx: Tx, group_id: str) -> list[VolumeRow]:
    """The group's volumes."""
    return [mapping(row) for row in tx.all(_MEMBERS, group=group_id)]


def members_of_all(tx: Tx, group_ids: Sequence[str]) -> dict[str, list[VolumeRow]]:
    """The volumes of each of the groups."""
    found: dict[str, list[VolumeRow]] = {id: [] for id in group_ids}
    for row in tx.all(_MEMBERS_OF_ALL, groups=list(group_ids)) if group_ids else ():
        found[row.group_id].append(mapping(row))
    return found


def create_group(tx: Tx, ctx: Context, id: str, type_ref: str, volume_types: Sequence[str], *, name: str | None = None,
                 description: str | None = None, zone: str | None = None, source_group_id: str | None = None,
                 group_snapshot_id: str | None = None) -> AnyRow:
    """Raises ``NotFound`` for types, ``QuotaExceeded``."""
    type = get_type(tx, ctx, type_ref)
    known = [types.get_type(tx, ctx, ref).id for ref in volume_types]
    if not known:
        raise Invalid("volume_types must be provided to create group.")
    quotas.claim(tx, ctx.project_id or "", {"groups": 1})
    row: dict[str, Any] = {
        "id": id, "project_id": ctx.project_id, "user_id": ctx.user_id, "name": name, "description": description,
        "group_type_id": type["id"], "volume_types": known, "availability_zone": zone or ZONE, "backend": None,
        "group_snapshot_id": group_snapshot_id, "source_group_id": source_group_id, "status": "available",
        "deleting": 0, "created_at": tx.now, "updated_at": None}
    tx.execute(insert(volume_groups), row)
    tx.event(ctx, "volume_group", id, "create", project_id=ctx.project_id)
    return row


def update_group(tx: Tx, ctx: Context, group: AnyRow, values: Mapping[str, Any], add: Sequence[str],
                 remove: Sequence[str]) -> None:
    """Change its name, and what belongs to it. Raises ``Invalid``."""
    if group["deleting"]:
        raise Invalid(f"Invalid group: Group {group['id']} is being deleted.")
    if both := sorted(set(add) & set(remove)):
        raise Invalid(f"Invalid volume: UUIDs {', '.join(both)} are in both add and remove volume list.")
    for id in remove:
        volume = rows.volume(tx, id)
        if volume is None or volume["group_id"] != group["id"]:
            raise Invalid(f"Invalid volume: Cannot remove volume {id} from group {group['id']} because it is not in "
                          "the group.")
        changes.volume(tx, volume, {"group_id": None})
    for id in add:
        _add(tx, ctx, group, id)
    _write(tx, group, values)


def _add(tx: Tx, ctx: Context, group: AnyRow, id: str) -> None:
    try:
        volume = use_cases.get_volume(tx, ctx, id)
    except NotFound:
        raise Invalid(f"Invalid volume: Cannot add volume {id} to group {group['id']} because volume cannot be found."
                      ) from None
    if volume["group_id"] is not None:
        raise Invalid(f"Invalid volume: Cannot add volume {id} to group {group['id']} because it is already in group "
                      f"{volume['group_id']}.")
    if volume["type_id"] not in group["volume_types"]:
        raise Invalid(f"Invalid volume: Cannot add volume {id} to group {group['id']} because volume type "
                      f"{volume['type_id']} is not supported by the group.")
    if volume["status"] not in ("available", "in-use"):
        raise Invalid(f"Invalid volume: Cannot add volume {id} to group {group['id']} because volume is in an invalid "
                      f"state: {volume['status']}.")
    changes.volume(tx, volume, {"group_id": group["id"]})


def _write(tx: Tx, group: AnyRow, values: Mapping[str, Any]) -> None:
    tx.execute(update(volume_groups).where(volume_groups.c.id == group["id"]).values(**values, updated_at=tx.now))


def check_may_join(tx: Tx, ctx: Context, group_id: str, type_id: str | None) -> AnyRow:
    """The group that a new volume of that type is made in. Raises ``NotFound``, ``Invalid``."""
    group = get_group(tx, ctx, group_id)
    if type_id is None or type_id not in group["volume_types"]:
        raise Invalid(f"Invalid volume type: Group {group_id} doesn't take volumes of type {type_id}.")
    return group


def delete_group(tx: Tx, ctx: Context, group: AnyRow, *, delete_volumes: bool) -> None:
    """Raises ``Invalid`` for a group that isn't empty, unless its volumes shall go as well."""
    there = members(tx, group["id"])
    if there and not delete_volumes:
        raise Invalid(f"Invalid group: Group {group['id']} still contains volumes. The delete-volumes flag is required "
                      "to delete it.")
    if tx.scalar(select(volume_group_snapshots.c.id).where(
            volume_group_snapshots.c.group_id == group["id"]).limit(1)):
        raise Invalid(f"Invalid group: Group {group['id']} has dependent group snapshots.")
    for volume in there:
        if volume["attach_status"] != "detached":
            raise Invalid(f"Invalid volume: volume {volume['id']} in group {group['id']} is attached.")
    for volume in there:
        use_cases.delete_volume(tx, ctx, {**volume, "group_id": None})     # it stays its own until it is gone
    _write(tx, group, {"deleting": 1, "status": "deleting"})
    recheck(tx, group["id"])


def recheck(tx: Tx, group_id: str) -> None:
    """A group that is being deleted goes with its last volume."""
    row = tx.one(_GROUP, id=group_id)
    if row is not None and row.deleting and not members(tx, group_id):
        tx.execute(delete(volume_groups).where(volume_groups.c.id == group_id))


def create_from(tx: Tx, ctx: Context, id: str, *, name: str | None, description: str | None,
                group_snapshot_id: str | None, source_group_id: str | None) -> AnyRow:
    """A group with a volume for each one of a group, or of a snapshot of one."""
    if (group_snapshot_id is None) == (source_group_id is None):
        raise Invalid("Either group_snapshot_id or source_group_id must be provided to create group from source.")
    if group_snapshot_id is not None:
        taken = get_group_snapshot(tx, ctx, group_snapshot_id)
        source = get_group(tx, ctx, taken["group_id"])
        made = [{"snapshot_id": part["id"], "size_gib": part["size_gib"], "type": part["type_id"]}
                for part in parts(tx, group_snapshot_id)]
    else:
        source = get_group(tx, ctx, source_group_id or "")
        made = [{"source_volid": volume["id"], "size_gib": volume["size_gib"], "type": volume["type_id"]}
                for volume in members(tx, source["id"])]
    if not made:
        raise Invalid("Invalid group: the source has no volumes.")
    group = create_group(tx, ctx, id, source["group_type_id"], source["volume_types"], name=name,
                         description=description, zone=source["availability_zone"], source_group_id=source_group_id,
                         group_snapshot_id=group_snapshot_id)
    for values in made:
        use_cases.create_volume(tx, ctx, NewVolume(id=new_id(), group_id=id, **values))
    return group


def reset_status(tx: Tx, group: AnyRow, status: str) -> None:
    """Show it as that."""
    _write(tx, group, {"status": status})


def status(group: AnyRow, there: Sequence[VolumeRow]) -> str:
    """A group is being made while one of its volumes is."""
    if group["status"] == "available" and any(volume["status"] == "creating" for volume in there):
        return "creating"
    return str(group["status"])


# -- snapshots of groups

def get_group_snapshot(tx: Tx, ctx: Context, id: str) -> AnyRow:
    """Raises ``NotFound``."""
    row = tx.one(_SNAPSHOT, id=id)
    if row is None or (row.project_id != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"GroupSnapshot {id} could not be found.", type="GroupSnapshotNotFound")
    return mapping(row)


def parts(tx: Tx, id: str) -> list[AnyRow]:
    """The snapshots of which it consists."""
    return [mapping(row) for row in tx.all(_PARTS, id=id)]


def create_group_snapshot(tx: Tx, ctx: Context, id: str, group: AnyRow, name: str | None,
                          description: str | None) -> AnyRow:
    """One snapshot of each volume, in one transaction. Raises ``Invalid``."""
    there = members(tx, group["id"])
    if not there:
        raise Invalid("Invalid group: Group is empty. No group snapshot will be created.")
    row: dict[str, Any] = {
        "id": id, "group_id": group["id"], "group_type_id": group["group_type_id"], "project_id": group["project_id"],
        "user_id": ctx.user_id, "name": name, "description": description, "forced_status": None, "deleting": 0,
        "status": "creating", "created_at": tx.now, "updated_at": None}
    tx.execute(insert(volume_group_snapshots), row)
    made = [snapshots.create_snapshot(tx, ctx, new_id(), volume, name=name, description=description, force=True,
                                      group_snapshot_id=id) for volume in there]
    for snapshot in made:
        snapshots.ask_host(tx, snapshot)
    return row


def delete_group_snapshot(tx: Tx, ctx: Context, snapshot: AnyRow) -> None:
    """Raises ``Invalid`` in a state that forbids it."""
    if snapshot["status"] not in ("available", "error"):
        raise Invalid(f"Invalid group snapshot: GroupSnapshot status must be available or error (it is "
                      f"{snapshot['status']}).")
    for part in parts(tx, snapshot["id"]):
        if not part["deleting"]:
            snapshots.remove(tx, ctx, part)
    _write_snapshot(tx, snapshot["id"], {"deleting": 1, "status": "deleting"})
    recheck_snapshot(tx, snapshot["id"])


def recheck_snapshot(tx: Tx, id: str) -> None:
    """Its status follows from its parts'."""
    row = tx.one(_SNAPSHOT, id=id)
    if row is None:
        return
    there = parts(tx, id)
    if row.deleting and not there:
        tx.execute(delete(volume_group_snapshots).where(volume_group_snapshots.c.id == id))
    elif not row.deleting and row.forced_status is None:
        statuses = {part["status"] for part in there}
        found = "error" if "error" in statuses else "creating" if "creating" in statuses else "available"
        if found != row.status:
            _write_snapshot(tx, id, {"status": found})


def reset_snapshot_status(tx: Tx, id: str, status: str) -> None:
    """Show it as that."""
    _write_snapshot(tx, id, {"status": status, "forced_status": None if status == "available" else status})


def _write_snapshot(tx: Tx, id: str, values: Mapping[str, Any]) -> None:
    tx.execute(update(volume_group_snapshots).where(volume_group_snapshots.c.id == id).values(
        **values, updated_at=tx.now))
