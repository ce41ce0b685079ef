"""What is decided about volumes. Pure.

``status`` is a function of what was asked for and what was seen; it is never stored as progress, so no volume stays in
a state that nobody works on. Names are Cinder's (https://docs.openstack.org/api-ref/block-storage/v3/#volumes-volumes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackling.core.errors import Invalid
from stackling.volume.model import MOST_GIB, Attached, Task

_TASKS = {Task.REVERT: "reverting", Task.UPLOAD: "uploading", Task.RESTORE: "restoring-backup",
          Task.REIMAGE: "downloading", Task.RETYPE: "retyping", Task.BACKUP: "backing-up"}
_FAILED_TASKS = {Task.REVERT: "error", Task.RESTORE: "error_restoring", Task.REIMAGE: "error"}
_ATTACHED = {Attached.RESERVED: "reserved", Attached.ATTACHING: "attaching", Attached.ATTACHED: "in-use",
             Attached.DETACHING: "detaching"}
VOLUME_STATUSES = (
    "creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing", "attaching", "in-use",
    "detaching", "maintenance", "restoring-backup", "error_restoring", "reserved", "awaiting-transfer", "backing-up",
    "error_backing-up", "error_extending", "downloading", "uploading", "retyping", "extending")
SNAPSHOT_STATUSES = ("available", "deleted", "creating", "deleting", "error", "error_deleting")


def status(volume: Mapping[str, Any]) -> str:
    """The status of *volume*, a mapping with the columns of ``volumes``."""
    failed = bool(volume["failed"] or volume["overdue"])
    if volume["deleting"]:
        return "error_deleting" if failed else "deleting"
    if volume["forced_status"] is not None:
        return str(volume["forced_status"])
    if not volume["observed_generation"]:
        return "error" if failed or volume["backend"] is None else "creating"
    task = task_of(volume)
    if task is not None:
        if not failed:
            return _TASKS[task]
        if task in _FAILED_TASKS:
            return _FAILED_TASKS[task]
    if volume["observed_size_gib"] < volume["size_gib"]:
        return "error_extending" if failed else "extending"
    if volume["transfer_id"] is not None:
        return "awaiting-transfer"
    return _ATTACHED.get(Attached(volume["attach_status"]), "available")


def task_of(volume: Mapping[str, Any]) -> Task | None:
    """What is under way of what is done once."""
    task = volume["task"]
    return Task(task["kind"]) if task is not None and task["number"] > volume["task_done"] else None


def attach_status(attachments: Iterable[str]) -> str:
    """What the attachments of a volume come to."""
    found = set(attachments)
    for one in (Attached.DETACHING, Attached.ATTACHING, Attached.RESERVED, Attached.ATTACHED):
        if one.value in found:
            return one.value
    return Attached.DETACHED.value


def snapshot_status(snapshot: Mapping[str, Any]) -> str:
    """The status of *snapshot*, a mapping with the columns of ``volume_snapshots``."""
    if snapshot["deleting"]:
        released = snapshot["source"] is not None and snapshot["source"]["kind"] == "release"
        return "error_deleting" if snapshot["failed"] else "unmanaging" if released else "deleting"
    if snapshot["forced_status"] is not None:
        return str(snapshot["forced_status"])
    if snapshot["observed_generation"]:
        return "available"
    return "error" if snapshot["failed"] else "creating"


def backup_status(backup: Mapping[str, Any]) -> str:
    """The status of *backup*, a mapping with the columns of ``volume_backups``."""
    if backup["deleting"]:
        return "error_deleting" if backup["failed"] else "deleting"
    if backup["forced_status"] is not None:
        return str(backup["forced_status"])
    if not backup["observed_generation"]:
        return "error" if backup["failed"] else "creating"
    restore = backup["restore"]
    return "restoring" if restore is not None and restore["number"] > backup["restore_done"] else "available"


def size_of(value: object) -> int:
    """A size in GiB as clients write it. Raises ``Invalid``."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Invalid(f"Invalid input received: Volume size '{value}' must be an integer and greater than 0")
    try:
        size = int(value)
    except ValueError:
        size = 0
    if not 0 < size <= MOST_GIB:
        raise Invalid(f"Invalid input received: Volume size '{value}' must be an integer and greater than 0")
    return size
