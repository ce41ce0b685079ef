"""Snapshots of volumes.

Theory of operation. Where a backend can't make a snapshot of what a guest writes to, or could but the guest shall be at
rest meanwhile (its agent sees to that, or several volumes are to be of one moment), the host of that guest's server is
asked to (``by_host``), and says how it ended; the engine then finds the snapshot in the backend, as any other. Whoever
else may use the volume by then (another host, after a move; control, after a detach) is asked instead: the engine looks
again as long as there is no snapshot. Nothing of a snapshot is removed while a host may still be making it: even one
that is there is called off first, as long as the host hasn't said that it has done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound
from stackling.store.tables.volume import volume_snapshots
from stackling.store.transaction import Tx
from stackling.volume import changes, quotas, rows, rules, services, types
from stackling.volume.model import Attached, ByHost, SnapshotRow, VolumeRow
from stackling.volume.rows import AnyRow

_INSERT = insert(volume_snapshots)
_OF_GROUP = select(volume_snapshots.c.volume_id).where(volume_snapshots.c.group_snapshot_id == bindparam("id"))


def missing(id: str) -> NotFound:
    """What everybody reads of a snapshot that isn't there or isn't theirs."""
    return NotFound(f"Snapshot {id} could not be found.", type="SnapshotNotFound")


def get_snapshot(tx: Tx, ctx: Context, id: str) -> SnapshotRow:
    """The snapshot if *ctx* may know of it. Raises ``NotFound``."""
    row = rows.get(tx, volume_snapshots, id)
    if row is None or row["internal"] or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return row


def create_snapshot(tx: Tx, ctx: Context, id: str, volume: VolumeRow, *, name: str | None = None,
                    description: str | None = None, metadata: Mapping[str, str] | None = None, force: bool = False,
                    internal: bool = False, group_snapshot_id: str | None = None,
                    source: Mapping[str, str] | None = None) -> SnapshotRow:
    """Raises ``Invalid`` in a state that forbids it, ``QuotaExceeded``. *force*: also of a volume that is in use. For
    those of a group, ``ask_host`` is the caller's, when all of them are there. *source*: it isn't made but adopted."""
    allowed = ("available", "in-use", "maintenance", "backing-up") if force or internal else ("available",)
    if volume["status"] not in allowed:
        raise Invalid(f"Invalid volume: Volume {volume['id']} status must be {' or '.join(allowed)}, but current "
                      f"status is: {volume['status']}.")
    if volume["group_id"] is None and volume["backend"] is None:
        raise Invalid(f"Invalid volume: Volume {volume['id']} has no backend.")
    type = types.names(tx, [volume["type_id"]]).get(volume["type_id"]) if volume["type_id"] else None
    if not internal and volume["consumes_quota"]:
        quotas.claim(tx, volume["project_id"], {"snapshots": 1, "gigabytes": volume["size_gib"]},
                     type.name if type else None)
    row: dict[str, Any] = {
        "id": id, "volume_id": volume["id"], "project_id": volume["project_id"], "user_id": ctx.user_id, "name": name,
        "description": description, "size_gib": volume["size_gib"], "type_id": volume["type_id"],
        "metadata": dict(metadata or {}), "group_snapshot_id": group_snapshot_id, "source": source,
        "backend": volume["backend"],
        "consumes_quota": volume["consumes_quota"], "by_host": ByHost.NO.value, "internal": int(internal),
        "deleting": 0, "generation": 1, "observed_generation": 0, "failed": 0, "last_error": None,
        "forced_status": None, "progress": None, "created_at": tx.now, "updated_at": None}
    row["status"] = rules.snapshot_status(row)
    tx.execute(_INSERT, row)
    tx.event(ctx, changes.SNAPSHOT, id, "create", f"of volume {volume['id']}", project_id=volume["project_id"])
    tx.nudge(changes.SNAPSHOT, id, deadline=changes.DEADLINE)
    return ask_host(tx, row) if group_snapshot_id is None else row


# -- those that hosts make

def ask_host(tx: Tx, snapshot: SnapshotRow) -> SnapshotRow:
    """Have the host make it whose guest may be writing to the volume, in a backend that can't make a snapshot beneath
    it, or beneath one that shall be at rest. Nothing where there is no such host, it is asked already, or the snapshot
    is adopted."""
    volume = rows.volume(tx, snapshot["volume_id"])
    if snapshot["by_host"] != ByHost.NO or snapshot["source"] is not None or volume is None or (
            volume["backend"] is None or volume["attach_status"] == Attached.DETACHED):
        return snapshot
    from stackling.compute import facade as compute

    live = bool(services.backend(tx, volume["backend"])["live"])
    for one in _with_servers(tx, volume["id"]):
        if compute.snapshot_volume(tx, one["server_id"], one["id"], snapshot["id"], live=live,
                                   together=live and _is_one_of_several(tx, snapshot, one["server_id"])):
            return changes.snapshot(tx, snapshot, {"by_host": ByHost.ASKED.value})
    return snapshot


def _is_one_of_several(tx: Tx, snapshot: SnapshotRow, server_id: str) -> bool:
    """Whether the server has several volumes of the group that it belongs to."""
    if snapshot["group_snapshot_id"] is None:
        return False
    ids = [row.volume_id for row in tx.all(_OF_GROUP, id=snapshot["group_snapshot_id"])]
    found = rows.attachments(tx, ids)
    return sum(any(one["server_id"] == server_id and one["by_compute"] for one in found[id]) for id in ids) > 1


def is_written(tx: Tx, volume: VolumeRow) -> bool:
    """Whether a guest may be writing to it, in a backend that can't copy it meanwhile."""
    if volume["attach_status"] == Attached.DETACHED or volume["backend"] is None:
        return False
    return not services.backend(tx, volume["backend"])["live"] and bool(_with_servers(tx, volume["id"]))


def drop_own(tx: Tx, id: str) -> None:
    """A snapshot that was made for something else has served (nothing when it is gone)."""
    row = rows.get(tx, volume_snapshots, id)
    if row is not None and row["internal"] and not row["deleting"]:
        remove(tx, None, row)


def _with_servers(tx: Tx, volume_id: str) -> list[AnyRow]:
    return [one for one in rows.attachments(tx, [volume_id])[volume_id] if one["by_compute"] and one["server_id"]]


def host_ended(tx: Tx, id: str, error: str) -> None:
    """The host that was asked has made it ("") or can't, for the reason *error*."""
    row = rows.get(tx, volume_snapshots, id)
    if row is None or row["by_host"] != ByHost.ASKED:
        return
    found = {"by_host": ByHost.FAILED.value, "last_error": error} if error else {"by_host": ByHost.MADE.value}
    changes.snapshot(tx, row, found)
    tx.nudge(changes.SNAPSHOT, id)


def host_let_go(tx: Tx, id: str) -> None:
    """The host that was asked doesn't make it (any more), and won't touch it again."""
    row = rows.get(tx, volume_snapshots, id)
    if row is not None and row["by_host"] == ByHost.ASKED:
        changes.snapshot(tx, row, {"by_host": ByHost.NO.value})
        tx.nudge(changes.SNAPSHOT, id)


def _call_off(tx: Tx, snapshot: SnapshotRow) -> int:
    """Whether a host still has to let go of it, as ``by_host`` says it."""
    from stackling.compute import facade as compute

    if snapshot["by_host"] != ByHost.ASKED:
        return snapshot["by_host"]
    found = [compute.call_off_volume_snapshot(tx, one["server_id"], snapshot["id"])
             for one in _with_servers(tx, snapshot["volume_id"])]
    return ByHost.ASKED.value if any(found) else ByHost.NO.value


def delete_snapshot(tx: Tx, ctx: Context, snapshot: SnapshotRow, *, force: bool = False) -> None:
    """Ask for its end. Raises ``Invalid`` in a state that forbids it."""
    if snapshot["deleting"] and not snapshot["failed"]:
        return
    if not force and snapshot["status"] not in ("available", "error", "error_deleting"):
        raise Invalid(f"Invalid snapshot: Snapshot status must be available or error or error_deleting, but it is "
                      f"{snapshot['status']}.")
    if not force and snapshot["group_snapshot_id"] is not None:
        raise Invalid(f"Invalid snapshot: Snapshot {snapshot['id']} belongs to group snapshot "
                      f"{snapshot['group_snapshot_id']}; delete that.")
    remove(tx, ctx, snapshot)


def remove(tx: Tx, ctx: Context | None, snapshot: SnapshotRow) -> None:
    """Ask for its end, whatever its state is."""
    tx.event(ctx, changes.SNAPSHOT, snapshot["id"], "delete", project_id=snapshot["project_id"])
    changes.snapshot(tx, snapshot, {"deleting": 1, "failed": 0, "forced_status": None, "source": None,
                                    "by_host": _call_off(tx, snapshot)}, desired=True)


def finish_deletion(tx: Tx, snapshot: SnapshotRow) -> None:
    """Nothing of it is left."""
    tx.execute(delete(volume_snapshots).where(volume_snapshots.c.id == snapshot["id"]))
    tx.forget(changes.SNAPSHOT, snapshot["id"], snapshot["generation"])
    tx.tell(changes.SNAPSHOT, snapshot["id"], snapshot["project_id"])
    if snapshot["group_snapshot_id"] is not None:
        from stackling.volume import groups

        groups.recheck_snapshot(tx, snapshot["group_snapshot_id"])
