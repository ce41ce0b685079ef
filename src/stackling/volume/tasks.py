"""What is done to a volume once: revert to a snapshot, save as an image, restore a backup, take another image's
content, move to another type.

An image's upload has three steps, each of which may be done again: its number is taken in one turn's settling, the data
is written by the next turn, and its settling makes the image active. When the number is lost meanwhile (the image
service gave up an upload without a writer), another one is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackling.core.errors import StacklingError
from stackling.engine.kinds import Blocked, Key, Retryable, Terminal
from stackling.image import facade as images
from stackling.ports.images import ImageStore, Inspection, NoSpace, Stored
from stackling.ports.volumes import BackupMissing, FromFile, FromImage
from stackling.store.transaction import Tx
from stackling.volume import changes, keys, messages, rules
from stackling.volume.model import Task, VolumeRow
from stackling.volume.plan import DesiredVolume

if TYPE_CHECKING:
    from stackling.volume.kinds import Backends

CHUNK = 1 << 20
IMAGE_MOST = 1 << 42


def perform(backends: Backends, desired: DesiredVolume, task: Task) -> None:
    """Do it. Raises what a turn's ``apply`` may raise."""
    row = desired.row
    facts: Mapping[str, Any] = row["task"]
    store = backends.of(row)
    match task:
        case Task.REVERT:
            store.revert(row["id"], facts["snapshot_id"])
        case Task.UPLOAD:
            snapshot = facts.get("snapshot_id")
            if snapshot is not None:
                check_snapshot(snapshot, desired.results.get("source"))
            if desired.upload is not None:
                with store.read(row["id"], facts["disk_format"], snapshot) as path:
                    desired.results["uploaded"] = upload(backends.images, facts, desired.upload, path)
        case Task.RESTORE:
            with backup_file(backends, {"id": facts["data"], "encrypted": facts.get("key_id") is not None}) as origin:
                store.replace(row["id"], row["size_gib"], origin, desired.luks)
        case Task.REIMAGE:
            store.replace(row["id"], row["size_gib"], from_image(backends.images, facts), desired.luks)
        case Task.RETYPE:
            desired.results["location"] = _move(backends, desired, facts["backend"])
        case Task.BACKUP:
            raise Retryable("a backup of it is being made")


def check_snapshot(id: str, status: str | None) -> None:
    """Of a snapshot that this is to be made from. Raises ``Blocked`` until it is there, ``Terminal`` when it won't
    be."""
    if status == "creating":
        raise Blocked(Key(changes.SNAPSHOT, id), "waiting for its snapshot")
    if status != "available":
        raise Terminal("the snapshot that it is to be made from is gone or in error")


def from_image(store: ImageStore, facts: Mapping[str, Any]) -> FromImage:
    """An image's data: where it can be cloned, and a file of it, wherever there is one (``facade.BootImage``)."""
    location = str(facts["location"])
    files = (store.path(one) for one in (location, *facts.get("locations", ())))
    return FromImage(location, facts["format"], next((file for file in files if file is not None), None))


def _move(backends: Backends, desired: DesiredVolume, target: str) -> str:
    """The content is in the other backend; where it is."""
    row, luks = desired.row, desired.luks
    other = backends.of({"backend": target})
    if luks is not None and not other.encrypts:
        raise Terminal("the other backend can't keep encrypted volumes")
    if target != row["backend"]:
        with backends.of(row).read(row["id"], "raw") as path:
            other.delete(row["id"])                 # an earlier try may have copied what has changed since
            other.create(row["id"], row["size_gib"], FromFile(path, "raw" if luks is None else "luks"), luks)
    return other.location(row["id"])


@contextmanager
def backup_file(backends: Backends, source: Mapping[str, Any]) -> Generator[FromFile]:
    """A backup's disk for as long as the context lasts; *source* has its ``id``, and whether it is ``encrypted``.
    Raises ``Terminal``."""
    if backends.backups is None:
        raise Terminal("no place for backups is configured here")
    try:
        with backends.backups.read(source["id"]) as found:
            yield replace(found, format="luks") if source.get("encrypted") else found
    except BackupMissing as error:
        raise Terminal(str(error)) from None


def upload(store: ImageStore, facts: Mapping[str, Any], number: int, path: Path,
           ) -> tuple[str, str, Stored, Inspection]:
    """Write *path* as that upload of an image: (store, location, what was written, what it is)."""
    try:
        held = store.open(facts["image_id"], number)
    except NoSpace as error:
        raise Terminal(f"The image store is full: {error}") from None
    try:
        stored = asyncio.run(held.write(_chunks(path), limit=IMAGE_MOST))
        found = store.inspect(held.location, facts["disk_format"])
        return store.name, held.commit(), stored, found
    except NoSpace as error:
        raise Terminal(f"The image store is full: {error}") from None
    finally:
        held.close()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def settle(tx: Tx, row: VolumeRow, desired: DesiredVolume) -> dict[str, Any]:
    """The columns that say that it is done, where it is."""
    task = rules.task_of(row)
    if task is None or row["task"]["number"] not in desired.done:
        return {}
    done: dict[str, Any] = {"task_done": row["task"]["number"]}
    facts: Mapping[str, Any] = row["task"]
    if task is Task.UPLOAD:
        if not _settle_upload(tx, row, desired, facts):
            return {}
        drop_own_snapshot(tx, row)
        return done
    if task is Task.RETYPE and facts["backend"] != row["backend"]:
        done.update(backend=facts["backend"], location=desired.results["location"], migration_status="success")
        tx.nudge(changes.VOLUME, row["id"])         # to remove what is left in the other backend
    if task in (Task.RETYPE, Task.REIMAGE):
        done.update(facts.get("columns", {}))
    if task is Task.RESTORE:
        from stackling.volume import backups

        backups.restored(tx, facts["backup_id"], facts["restore"])
        _take_key(tx, row, facts)
    return done


def _take_key(tx: Tx, row: VolumeRow, facts: Mapping[str, Any], *, restored: bool = True) -> None:
    """The volume is opened by the key of the backup that was restored into it, of which the task has a copy."""
    key, copy = keys.key_id(row), facts.get("key_id")
    if copy is None:
        return
    if restored and key is not None:
        keys.take(tx, key, copy)
    keys.drop(tx, copy)


def drop_own_snapshot(tx: Tx, row: VolumeRow) -> None:
    """The snapshot that was made for an image isn't needed any more."""
    from stackling.volume import snapshots

    if row["task"] is not None and (id := row["task"].get("snapshot_id")) is not None and (
            row["task"]["kind"] == Task.UPLOAD):
        snapshots.drop_own(tx, id)


def _settle_upload(tx: Tx, row: VolumeRow, desired: DesiredVolume, facts: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do."""
    image_id = facts["image_id"]
    uploaded = desired.results.get("uploaded")
    if uploaded is None:
        if images.begin_upload(tx, image_id):
            tx.nudge(changes.VOLUME, row["id"])
            return False
        return True                     # the image is gone
    name, location, stored, found = uploaded
    try:
        images.finish_upload(tx, image_id, desired.upload or 0, name, location, stored, found)
    except StacklingError:
        tx.nudge(changes.VOLUME, row["id"])
        return False
    return True


def given_up(tx: Tx, row: VolumeRow, terminal: bool) -> dict[str, Any]:
    """The columns when it failed for good: what isn't the volume's own trouble leaves the volume as it was."""
    task = rules.task_of(row)
    if task is None or not terminal:
        return {}
    if task is Task.UPLOAD:
        drop_own_snapshot(tx, row)
        images.drop_empty(tx, row["task"]["image_id"])
        messages.add(tx, row["project_id"], None, "VOLUME", row["id"], messages.UPLOAD_FAILED,
                     "the image could not be written")
        return {"task_done": row["task"]["number"], "failed": 0}
    if task is Task.RETYPE:
        return {"task_done": row["task"]["number"], "failed": 0, "migration_status": "error"}
    if task is Task.RESTORE:
        from stackling.volume import backups

        backups.restored(tx, row["task"]["backup_id"], row["task"]["restore"])
        _take_key(tx, row, row["task"], restored=False)
    return {}
