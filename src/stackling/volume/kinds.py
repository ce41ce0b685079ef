"""The engine's view of volumes, snapshots and backends.

Theory of operation. A turn looks into the backend, does what is missing, and looks again. A volume that was there and
isn't is never made anew: that would hide the loss. What is done once (``task``) has a number, and is done again when a
turn died before it could say so; nobody else uses the volume meanwhile, so that does no harm. A turn that slept may
make what was deleted since: its tombstone condemns it, and the audit removes it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from stackling.core.errors import Unavailable
from stackling.engine.kinds import Fence, Kind, Outcome, Retryable, Terminal
from stackling.image import facade as images
from stackling.ports.images import ImageStore
from stackling.ports.volumes import (
    BackupStore,
    Capacity,
    FromSnapshot,
    FromVolume,
    Origin,
    StoreDown,
    StoreFull,
    StoreRefused,
    VolumeStore,
)
from stackling.store.tables.volume import volume_snapshots
from stackling.store.transaction import Tx
from stackling.volume import attachments, changes, keys, messages, rows, rules, services, snapshots, tasks, volumes
from stackling.volume.model import Task
from stackling.volume.plan import (
    Create,
    Delete,
    DesiredVolume,
    DropLeftover,
    Grow,
    Lost,
    Perform,
    Refuse,
    Seen,
    Step,
    Wait,
    left_backend,
    plan_snapshot,
    plan_volume,
)

log = logging.getLogger(__name__)
BACKEND = "volume_backend"
UNENCRYPTED = "its type asks for encryption, which its backend can't do; take another type"
LOST = "the volume's data is missing from its backend"


class Backends:
    """The backends of this engine by their names (``where@backend``)."""

    def __init__(self, stores: Mapping[str, VolumeStore], backups: BackupStore | None, images_: ImageStore) -> None:
        self.stores, self.backups, self.images = dict(stores), backups, images_

    def of(self, row: Mapping[str, Any]) -> VolumeStore:
        """The one that a row names. Raises ``Retryable``."""
        store = self.stores.get(row["backend"] or "")
        if store is None:
            raise Retryable(f"the backend {row['backend']} isn't configured here")
        return store


class VolumeKind:
    """``engine.kinds.Kind`` for volumes."""

    name = changes.VOLUME

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def load(self, tx: Any, id: str) -> DesiredVolume | None:
        row = rows.volume(tx, id)
        if row is None:
            return None
        desired = DesiredVolume(row["generation"], row)
        if rules.task_of(row) is Task.UPLOAD:
            desired.upload = images.upload_number(tx, row["task"]["image_id"])
        if not row["observed_generation"] or rules.task_of(row) in (Task.RESTORE, Task.REIMAGE, Task.RETYPE):
            try:
                desired.luks = keys.luks(tx, row)
            except Unavailable as error:
                desired.closed = error.message
        if (own := _own_source(row)) is not None:
            snapshot = rows.get(tx, volume_snapshots, own)
            desired.results["source"] = None if snapshot is None else snapshot["status"]
        return desired

    def generation(self, tx: Any, id: str) -> int | None:
        row = rows.volume(tx, id)
        return None if row is None else int(row["generation"])

    def observe(self, desired: DesiredVolume) -> Seen:
        try:
            size = self._backends.of(desired.row).size(desired.row["id"])
            left = self._backends.stores.get(left_backend(desired.row) or "")
            there = left is not None and left.size(desired.row["id"]) is not None
        except StoreDown as error:
            raise Retryable(str(error)) from None
        return Seen(size, frozenset(desired.done), left_backend(desired.row) if there else None)

    def plan(self, desired: DesiredVolume, observed: Seen) -> Sequence[Step]:
        return plan_volume(desired, observed)

    def apply(self, fence: Fence, desired: DesiredVolume, step: Step) -> None:
        try:
            self._apply(desired, step)
        except StoreDown as error:
            raise Retryable(str(error)) from None
        except (StoreFull, StoreRefused) as error:
            raise Terminal(str(error)) from None

    def _apply(self, desired: DesiredVolume, step: Step) -> None:
        row, store = desired.row, self._backends.of(desired.row)
        if desired.closed is not None and isinstance(step, (Create, Perform)):
            raise Retryable(desired.closed)
        match step:
            case Create():
                if row["encryption"] and (desired.luks is None or not store.encrypts):
                    raise Terminal(UNENCRYPTED)
                if row["source"] is not None and row["source"]["kind"] == "stray":
                    store.adopt(row["source"]["name"], row["id"])
                else:
                    self._make(desired, store)
            case Grow():
                store.grow(row["id"], row["size_gib"])
            case Delete():
                if row["source"] is not None and row["source"]["kind"] == "release":
                    store.release(row["id"], row["source"]["name"])
                else:
                    store.delete(row["id"])
            case Perform(task, number):
                tasks.perform(self._backends, desired, task)
                desired.done.add(number)
            case DropLeftover(backend):
                self._backends.stores[backend].delete(row["id"])
            case Lost():
                raise Terminal(LOST)
            case Refuse(reason):
                raise Terminal(reason)
            case Wait(reason):
                raise Retryable(reason)

    def _make(self, desired: DesiredVolume, store: VolumeStore) -> None:
        row = desired.row
        source: Mapping[str, Any] = row["source"] or {}
        if source.get("own"):
            tasks.check_snapshot(source["id"], desired.results.get("source"))
        if source.get("kind") == "backup":
            with tasks.backup_file(self._backends, source) as origin:
                store.create(row["id"], row["size_gib"], origin, desired.luks)
        else:
            store.create(row["id"], row["size_gib"], self._origin(source), desired.luks)

    def _origin(self, source: Mapping[str, Any]) -> Origin | None:
        match source:
            case {"kind": "image"}:
                return tasks.from_image(self._backends.images, source)
            case {"kind": "snapshot"}:
                return FromSnapshot(source["volume_id"], source["id"])
            case {"kind": "volume"}:
                return FromVolume(source["id"])
            case _:
                return None

    def settle(self, tx: Tx, desired: DesiredVolume, observed: Seen | None, outcome: Outcome) -> None:
        row = rows.volume(tx, desired.row["id"])
        if row is None:
            return
        if outcome.terminal or (outcome.overdue and not row["overdue"]):
            _failed(tx, row, outcome)
            return
        if observed is None:
            return
        if row["deleting"]:
            if observed.size_gib is None and outcome.converged:
                volumes.finish_deletion(tx, row)
            return
        values: dict[str, Any] = {}
        if observed.size_gib is not None:
            values.update(observed_size_gib=observed.size_gib, size_gib=row["size_gib"] or observed.size_gib)
            if not row["observed_generation"] and outcome.converged:
                values.update(launched_at=tx.now, location=self._backends.of(row).location(row["id"]))
                volumes.drop_own_source(tx, row)
        if outcome.converged:
            values.update(observed_generation=row["generation"], failed=0, overdue=0, last_error=None)
            values.update(tasks.settle(tx, row, desired))
        after = changes.volume(tx, row, values)
        if after["status"] != row["status"]:
            _tell_servers(tx, after)

    def inventory(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for store in self._backends.stores.values():
            found.update(store.inventory())
        return found

    def remove(self, era: int, id: str, generation: int) -> None:
        for store in self._backends.stores.values():
            if store.size(id) is not None:
                store.delete(id)


def _own_source(row: Mapping[str, Any]) -> str | None:
    """The snapshot that was made for what is done next: to clone a volume in use, or to save it as an image."""
    source: Mapping[str, Any] = row["source"] or {}
    if not row["observed_generation"]:
        return source["id"] if source.get("own") else None
    return row["task"].get("snapshot_id") if rules.task_of(row) is Task.UPLOAD else None


def _failed(tx: Tx, row: Mapping[str, Any], outcome: Outcome) -> None:
    reason = outcome.error or "it takes longer than it may"
    what = messages.CREATE_FAILED if not row["observed_generation"] else (
        messages.EXTEND_FAILED if row["observed_size_gib"] < row["size_gib"] else messages.OTHER)
    messages.add(tx, row["project_id"], None, "VOLUME", row["id"], what, reason)
    tx.event(None, changes.VOLUME, row["id"], "failed", reason, source="engine", project_id=row["project_id"])
    values = {"failed": 1} if outcome.terminal else {"overdue": 1}
    if outcome.terminal and not row["observed_generation"]:
        volumes.drop_own_source(tx, row)
    after = changes.volume(tx, row, {**values, **tasks.given_up(tx, row, outcome.terminal), "last_error": reason})
    _tell_servers(tx, after)


def _tell_servers(tx: Tx, row: Mapping[str, Any]) -> None:
    """Servers may wait for the volume to be made, or to have its image."""
    from stackling.compute import facade as compute

    if row["attach_status"] != "detached":
        for one in attachments.of(tx, row):
            if one["by_compute"] and one["server_id"] is not None:
                compute.volume_changed(tx, one["server_id"])


# -- snapshots

class SnapshotKind:
    """``engine.kinds.Kind`` for snapshots of volumes."""

    name = changes.SNAPSHOT

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def load(self, tx: Any, id: str) -> DesiredVolume | None:
        row = rows.get(tx, volume_snapshots, id)
        return None if row is None else DesiredVolume(row["generation"], row)

    def generation(self, tx: Any, id: str) -> int | None:
        row = rows.get(tx, volume_snapshots, id)
        return None if row is None else int(row["generation"])

    def observe(self, desired: DesiredVolume) -> bool:
        row = desired.row
        try:
            return row["id"] in self._backends.of(row).snapshots(row["volume_id"])
        except StoreDown as error:
            raise Retryable(str(error)) from None

    def plan(self, desired: DesiredVolume, observed: bool) -> Sequence[Step]:
        return plan_snapshot(desired, observed)

    def apply(self, fence: Fence, desired: DesiredVolume, step: Step) -> None:
        row, store = desired.row, self._backends.of(desired.row)
        try:
            match step:
                case Create():
                    _make_snapshot(store, desired)
                case Delete():
                    _end_snapshot(store, row)
                    desired.done.add(row["generation"])
                case Lost():
                    raise Terminal("the snapshot's data is missing from its backend")
                case Refuse(reason):
                    raise Terminal(reason)
                case Wait(reason):
                    raise Retryable(reason)
                case _:
                    pass
        except StoreDown as error:
            raise Retryable(str(error)) from None
        except (StoreFull, StoreRefused) as error:
            raise Terminal(str(error)) from None

    def settle(self, tx: Tx, desired: DesiredVolume, observed: bool | None, outcome: Outcome) -> None:
        row = rows.get(tx, volume_snapshots, desired.row["id"])
        if row is None:
            return
        if outcome.terminal or outcome.overdue:
            reason = outcome.error or "it takes longer than it may"
            if not row["failed"]:
                messages.add(tx, row["project_id"], None, "VOLUME_SNAPSHOT", row["id"], messages.SNAPSHOT_FAILED,
                             reason)
            changes.snapshot(tx, row, {"failed": 1, "last_error": reason})
            tx.wake_blocked(changes.SNAPSHOT, row["id"])
        elif outcome.converged and row["deleting"]:
            snapshots.finish_deletion(tx, row)
        elif outcome.converged:
            changes.snapshot(tx, row, {"observed_generation": row["generation"], "failed": 0, "last_error": None,
                                       "progress": "100%", **desired.results})
            if row["group_snapshot_id"] is not None:
                from stackling.volume import groups

                groups.recheck_snapshot(tx, row["group_snapshot_id"])
        elif not row["deleting"] and not row["observed_generation"]:
            snapshots.ask_host(tx, row)


def _make_snapshot(store: VolumeStore, desired: DesiredVolume) -> None:
    row = desired.row
    if row["source"] is None:
        store.snapshot(row["volume_id"], row["id"])
    else:
        desired.results["size_gib"] = store.adopt_snapshot(row["volume_id"], row["source"]["name"], row["id"])


def _end_snapshot(store: VolumeStore, row: Mapping[str, Any]) -> None:
    if row["source"] is not None and row["source"]["kind"] == "release":
        store.release_snapshot(row["volume_id"], row["id"], row["source"]["name"])
    else:
        store.delete_snapshot(row["volume_id"], row["id"])


# -- backends

class BackendKind:
    """Tells what room a backend has. It is always to be looked at, and never changed."""

    name = BACKEND

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def load(self, tx: Any, id: str) -> DesiredVolume | None:
        return DesiredVolume(0, {"backend": id}) if id in self._backends.stores else None

    def generation(self, tx: Any, id: str) -> int | None:
        return 0

    def observe(self, desired: DesiredVolume) -> Capacity:
        try:
            return self._backends.of(desired.row).capacity()
        except StoreDown as error:
            raise Retryable(str(error)) from None

    def plan(self, desired: DesiredVolume, observed: Capacity) -> Sequence[Step]:
        return []

    def apply(self, fence: Fence, desired: DesiredVolume, step: Step) -> None:
        pass

    def settle(self, tx: Tx, desired: DesiredVolume, observed: Capacity | None, outcome: Outcome) -> None:
        services.seen(tx, desired.row["backend"], observed, outcome.error)


def kinds(backends: Backends) -> list[Kind]:
    """What the engine must know of this service."""
    from stackling.volume.backups import BackupKind

    return [VolumeKind(backends), SnapshotKind(backends), BackendKind(backends), BackupKind(backends)]


def start(tx: Tx, backends: Backends) -> None:
    """Make the backends of this engine known, and have them looked at."""
    for host, store in backends.stores.items():
        services.register(tx, host, store.driver, live=store.live, backups=backends.backups is not None)
        tx.nudge(BACKEND, host)
