"""Backups: a volume's content in files of their own storage, whole or as what has changed since another one.

A backup is taken from a snapshot: one that is named, or one of its own, made for it and removed after it. Of an
encrypted volume the container is kept as it is, and a key of the backup's own that opens it. An incremental backup is
taken after the project's latest one of the volume, as with Cinder; that one's generation goes up with it, so that of
two requests at once, one that deletes it and one that builds upon it, only one succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound, Raced, Unavailable
from stackling.core.ids import new_id
from stackling.engine.kinds import Fence, Outcome, Retryable, Terminal
from stackling.ports.volumes import BackupMissing, BackupStore, Kept, StoreDown, StoreFull, StoreRefused
from stackling.store.tables.volume import volume_backups, volume_services, volume_snapshots
from stackling.store.transaction import Tx
from stackling.volume import changes, keys, messages, quotas, rows, rules, services, snapshots, tasks, volumes
from stackling.volume.model import BackupRow, NewVolume, Task, VolumeRow
from stackling.volume.plan import Create, Delete, DesiredVolume, Lost, Step, next_task

if TYPE_CHECKING:
    from stackling.volume.kinds import Backends

CONTAINER = "backups"
_SOURCE = ("data", "key", "type_id", "bootable", "image_metadata")
"""What of a record isn't a column."""


def missing(id: str) -> NotFound:
    """What everybody reads of a backup that isn't there or isn't theirs."""
    return NotFound(f"Backup {id} could not be found.", type="BackupNotFound")


def get_backup(tx: Tx, ctx: Context, id: str) -> BackupRow:
    """Raises ``NotFound``."""
    row = rows.get(tx, volume_backups, id)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return row


def create_backup(tx: Tx, ctx: Context, id: str, volume: VolumeRow, *, name: str | None = None,
                  description: str | None = None, container: str | None = None, incremental: bool = False,
                  force: bool = False, snapshot_id: str | None = None, metadata: Mapping[str, str] | None = None,
                  availability_zone: str | None = None) -> BackupRow:
    """Raises ``Invalid`` in a state that forbids it, ``QuotaExceeded``, ``Unavailable`` without a backup service."""
    _check_service(tx)
    snapshot = snapshots.get_snapshot(tx, ctx, snapshot_id) if snapshot_id else None
    _check_state(volume, snapshot, force)
    parent = _parent(tx, ctx, volume, snapshot) if incremental else None
    quotas.claim(tx, ctx.project_id or "", {"backups": 1, "backup_gigabytes": volume["size_gib"]})
    if snapshot is None:
        snapshot = snapshots.create_snapshot(tx, ctx, new_id(), volume, name=f"backup-{id}", internal=True)
        own = True
    else:
        own = False
    key = keys.key_id(volume)
    row: dict[str, Any] = {
        "id": id, "volume_id": volume["id"], "snapshot_id": snapshot_id, "parent_id": parent["id"] if parent else None,
        "project_id": ctx.project_id, "user_id": ctx.user_id, "name": name, "description": description,
        "size_gib": volume["size_gib"], "metadata": dict(metadata or {}),
        "availability_zone": availability_zone or volume["availability_zone"], "container": container or CONTAINER,
        "source": {"volume_id": volume["id"], "snapshot_id": snapshot["id"], "own": own,
                   "metadata": dict(volume["metadata"]), "type_id": volume["type_id"],
                   "bootable": bool(volume["bootable"]), "image_metadata": volume["image_metadata"],
                   "key_id": None if key is None else keys.copy(tx, key, None)},
        "backend": volume["backend"], "data_timestamp": snapshot["created_at"], "restore": None, "restore_done": 0,
        "record": None, "deleting": 0, "generation": 1, "observed_generation": 0, "object_count": 0, "failed": 0,
        "last_error": None, "forced_status": None, "created_at": tx.now, "updated_at": None}
    row["status"] = rules.backup_status(row)
    tx.execute(insert(volume_backups), row)
    if parent is not None and not rows.change(tx, volume_backups, parent["id"],
                                              {"generation": parent["generation"] + 1}, parent["generation"]):
        raise Raced("The backup before this one was changed at the same time; try again.")
    if own and volume["attach_status"] == "detached" and not snapshot_id:
        fresh = rows.volume(tx, volume["id"])
        assert fresh is not None
        changes.volume(tx, fresh, next_task(fresh, Task.BACKUP, backup_id=id))
    tx.event(ctx, changes.BACKUP, id, "create", f"of volume {volume['id']}", project_id=ctx.project_id)
    tx.nudge(changes.BACKUP, id, deadline=changes.DEADLINE)
    return row


def _check_service(tx: Tx) -> None:
    found = tx.all(select(volume_services.c.disabled).where(volume_services.c.binary == services.BACKUP))
    if not any(not row.disabled for row in found):
        raise Unavailable("Service cinder-backup could not be found.")


def _check_state(volume: VolumeRow, snapshot: Mapping[str, Any] | None, force: bool) -> None:
    if snapshot is not None:
        if snapshot["volume_id"] != volume["id"]:
            raise Invalid(f"Invalid volume: Volume {volume['id']} does not match with snapshot.volume_id "
                          f"{snapshot['volume_id']}.")
        if snapshot["status"] != "available":
            raise Invalid("Invalid snapshot: Snapshot to be backed up must be available, but the current status "
                          f"is \"{snapshot['status']}\".")
        return
    if volume["status"] == "in-use" and not force:
        raise Invalid('Invalid volume: Backing up an in-use volume must use the force flag.')
    if volume["status"] not in ("available", "in-use"):
        raise Invalid("Invalid volume: Volume to be backed up must be available or in-use, but the current status is "
                      f"\"{volume['status']}\".")


def of_volume(tx: Tx, volume_id: str) -> Sequence[BackupRow]:
    """A volume's backups, the oldest first."""
    found = tx.all(select(volume_backups).where(volume_backups.c.volume_id == volume_id).order_by(
        volume_backups.c.created_at))
    return [rows.mapping(row) for row in found]


def _parent(tx: Tx, ctx: Context, volume: VolumeRow, snapshot: Mapping[str, Any] | None) -> BackupRow:
    """The project's latest one; of a snapshot the latest from before it."""
    there = [one for one in of_volume(tx, volume["id"]) if one["project_id"] == ctx.project_id]
    if not there:
        raise Invalid("Invalid backup: No backups available to do an incremental backup.")
    earlier = [one for one in there if snapshot is None or one["data_timestamp"] < snapshot["created_at"]]
    latest = max(earlier or there[:1], key=lambda one: (one["data_timestamp"], one["created_at"]))
    if latest["status"] != "available":
        raise Invalid("Invalid backup: The parent backup must be available for incremental backup.")
    return latest


def data_of(backup: BackupRow) -> str:
    """The name of its data: an imported one's is another backup's."""
    return str(backup["source"].get("data") or backup["id"])


def dependents(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Which of these have incremental backups after them."""
    if not ids:
        return set()
    found = tx.all(select(volume_backups.c.parent_id).where(volume_backups.c.parent_id.in_(list(ids))))
    return {row.parent_id for row in found}


def delete_backup(tx: Tx, ctx: Context, backup: BackupRow, *, force: bool = False) -> None:
    """Raises ``Invalid`` in a state that forbids it."""
    if backup["deleting"] and not backup["failed"]:
        return
    if not force and backup["status"] not in ("available", "error", "error_deleting"):
        raise Invalid("Invalid backup: Backup status must be available or error.")
    if dependents(tx, [backup["id"]]):
        raise Invalid("Invalid backup: Incremental backups exist for this backup.")
    tx.event(ctx, changes.BACKUP, backup["id"], "delete", project_id=backup["project_id"])
    changes.backup(tx, backup, {"deleting": 1, "failed": 0, "forced_status": None}, desired=True)


def restore(tx: Tx, ctx: Context, backup: BackupRow, volume_id: str | None, name: str | None) -> VolumeRow:
    """Bring its content into a volume, or a new one. Raises ``Invalid``, ``NotFound``, ``TooLarge``."""
    if backup["status"] != "available":
        raise Invalid("Invalid backup: Backup status must be available.")
    if backup["restore"] is not None and backup["restore"]["number"] > backup["restore_done"]:
        raise Invalid("Invalid backup: It is being restored already.")
    number = (backup["restore"]["number"] if backup["restore"] else 0) + 1
    key = backup["source"].get("key_id")
    if volume_id is None:
        made = volumes.create_volume(tx, ctx, NewVolume(
            id=new_id(), size_gib=backup["size_gib"], name=name or f"restore_backup_{backup['id']}",
            type=backup["source"].get("type_id") if key is not None else None,
            description="auto-created_from_restore_from_backup"))
        _check_key(key, made)
        changes.backup(tx, backup, {"restore": {"number": number, "volume_id": made["id"]}})
        fresh = volumes.update_volume(tx, made, {"metadata": backup["source"].get("metadata", {}), **_boots(backup)})
        return changes.volume(tx, fresh, _restoring(tx, fresh, backup, number))
    volume = volumes.get_volume(tx, ctx, volume_id)
    if volume["status"] != "available":
        raise Invalid("Invalid volume: Volume to be restored to must be available")
    if volume["size_gib"] < backup["size_gib"]:
        raise Invalid(f"Invalid volume: volume size {volume['size_gib']} is too small to restore backup of size "
                      f"{backup['size_gib']}.")
    _check_key(key, volume)
    changes.backup(tx, backup, {"restore": {"number": number, "volume_id": volume_id}})
    fresh = volumes.update_volume(tx, volume, _boots(backup))
    return changes.volume(tx, fresh, _restoring(tx, fresh, backup, number), desired=True)


def _boots(backup: BackupRow) -> dict[str, Any]:
    """The columns of a volume with its content that say so if servers can boot from it, and of which image it is."""
    source: Mapping[str, Any] = backup["source"]
    if not source.get("bootable"):
        return {}
    return {"bootable": True} | {name: source[name] for name in ("image_metadata",) if source.get(name)}


def _check_key(key: str | None, volume: VolumeRow) -> None:
    if key is not None and not volume["encryption"]:
        raise Invalid("Invalid volume: An encrypted backup can be restored only to a volume of an encrypted type.")


def _restoring(tx: Tx, volume: VolumeRow, backup: BackupRow, number: int) -> dict[str, Any]:
    """The columns that ask for it; the task has a key of its own, since the backup may be deleted meanwhile."""
    key = backup["source"].get("key_id")
    return next_task(volume, Task.RESTORE, backup_id=backup["id"], restore=number, data=data_of(backup),
                     key_id=None if key is None else keys.copy(tx, key, None))


def restored(tx: Tx, backup_id: str, number: int) -> None:
    """A volume has the backup's content."""
    row = rows.get(tx, volume_backups, backup_id)
    if row is not None and row["restore_done"] < number:
        changes.backup(tx, row, {"restore_done": number})


class BackupKind:
    """``engine.kinds.Kind`` for backups."""

    name = changes.BACKUP

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def load(self, tx: Any, id: str) -> DesiredVolume | None:
        row = rows.get(tx, volume_backups, id)
        if row is None:
            return None
        snapshot = rows.get(tx, volume_snapshots, row["source"].get("snapshot_id") or "")
        desired = DesiredVolume(row["generation"], row)
        desired.results["snapshot"] = None if snapshot is None else snapshot["status"]
        parent = rows.get(tx, volume_backups, row["parent_id"]) if row["parent_id"] is not None else None
        desired.results["parent"] = None if parent is None else data_of(parent)
        return desired

    def generation(self, tx: Any, id: str) -> int | None:
        row = rows.get(tx, volume_backups, id)
        return None if row is None else int(row["generation"])

    def observe(self, desired: DesiredVolume) -> Kept | None:
        try:
            return self._store().find(data_of(desired.row))
        except StoreDown as error:
            raise Retryable(str(error)) from None

    def plan(self, desired: DesiredVolume, observed: Kept | None) -> Sequence[Step]:
        row = desired.row
        if row["deleting"]:
            return [Delete()] if observed is not None else []
        if observed is not None:
            return []
        return [Lost()] if row["observed_generation"] else [Create()]

    def apply(self, fence: Fence, desired: DesiredVolume, step: Step) -> None:
        row, store = desired.row, self._store()
        if isinstance(step, Lost):
            raise Terminal("the backup's data is missing")
        try:
            if isinstance(step, Delete):
                store.delete(data_of(row))
            else:
                self._write(store, desired)
        except StoreDown as error:
            raise Retryable(str(error)) from None
        except (StoreFull, StoreRefused, BackupMissing, OSError) as error:
            raise Terminal(str(error)) from None

    def _write(self, store: BackupStore, desired: DesiredVolume) -> None:
        row, source = desired.row, desired.row["source"]
        tasks.check_snapshot(source["snapshot_id"], desired.results["snapshot"])
        with self._backends.of(row).read(source["volume_id"], "raw", source["snapshot_id"]) as path:
            store.write(row["id"], path, desired.results["parent"])

    def settle(self, tx: Tx, desired: DesiredVolume, observed: Kept | None, outcome: Outcome) -> None:
        row = rows.get(tx, volume_backups, desired.row["id"])
        if row is None:
            return
        if outcome.terminal or outcome.overdue:
            reason = outcome.error or "it takes longer than it may"
            if not row["failed"]:
                messages.add(tx, row["project_id"], None, "VOLUME_BACKUP", row["id"], messages.BACKUP_FAILED, reason)
            changes.backup(tx, row, {"failed": 1, "last_error": reason})
            _let_go(tx, row)
        elif outcome.converged and row["deleting"]:
            _let_go(tx, row)
            if (key := row["source"].get("key_id")) is not None:
                keys.drop(tx, key)
            tx.execute(delete(volume_backups).where(volume_backups.c.id == row["id"]))
            tx.forget(changes.BACKUP, row["id"], row["generation"])
            tx.tell(changes.BACKUP, row["id"], row["project_id"])
        elif outcome.converged:
            changes.backup(tx, row, {"observed_generation": row["generation"], "failed": 0, "last_error": None,
                                     "object_count": 1})
            _let_go(tx, row)

    def _store(self) -> BackupStore:
        if self._backends.backups is None:
            raise Retryable("no place for backups is configured")
        return self._backends.backups


def _let_go(tx: Tx, row: BackupRow) -> None:
    """Its own snapshot goes, and the volume is free again."""
    if row["source"].get("own"):
        snapshot = rows.get(tx, volume_snapshots, row["source"]["snapshot_id"])
        if snapshot is not None and not snapshot["deleting"]:
            snapshots.remove(tx, None, snapshot)
    volume = rows.volume(tx, row["volume_id"])
    if volume is not None and rules.task_of(volume) is Task.BACKUP and volume["task"]["backup_id"] == row["id"]:
        changes.volume(tx, volume, {"task_done": volume["task"]["number"]})


def kept_outside(tx: Tx, backup: BackupRow) -> dict[str, Any]:
    """What a cloud that has lost the backup must know beside its row: where the data is, and what opens it, sealed."""
    found: dict[str, Any] = {"data": data_of(backup), "parent_id": backup["parent_id"], **_boots_by(backup["source"])}
    if (key := backup["source"].get("key_id")) is not None:
        found.update(key=keys.sealed(tx, key), type_id=backup["source"].get("type_id"))
    return found


def _boots_by(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("bootable", "image_metadata") if facts.get(name)}


def import_backup(tx: Tx, ctx: Context, facts: Mapping[str, Any]) -> BackupRow:
    """Know of a backup whose data is there. Raises ``Invalid`` where it is known already."""
    if rows.get(tx, volume_backups, facts["id"]) is not None:
        raise Invalid(f"Invalid backup: Backup {facts['id']} already exists.")
    source: dict[str, Any] = {"data": facts["data"], **_boots_by(facts)}
    if (sealed := facts.get("key")) is not None:
        source.update(key_id=keys.add_sealed(tx, sealed), type_id=facts.get("type_id"))
    row: dict[str, Any] = {
        "parent_id": None, **{name: value for name, value in facts.items() if name not in _SOURCE},
        "snapshot_id": None, "project_id": ctx.project_id, "user_id": ctx.user_id,
        "source": source, "backend": None, "restore": None, "restore_done": 0, "record": None, "deleting": 0,
        "generation": 1, "observed_generation": 0, "object_count": 1, "failed": 0, "last_error": None,
        "forced_status": None, "created_at": tx.now, "updated_at": None}
    row["status"] = rules.backup_status(row)
    tx.execute(insert(volume_backups), row)
    tx.nudge(changes.BACKUP, facts["id"], deadline=changes.DEADLINE)
    tx.tell(changes.BACKUP, facts["id"], ctx.project_id)
    return row
