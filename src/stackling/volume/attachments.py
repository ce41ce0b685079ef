"""Attachments: who may use a volume, and who does.

Theory of operation. An attachment has an id of its own, chosen once, and everything that is said about attaching names
it: a detach that comes late names one that is gone, and clears nothing that came after it. Whether a volume may be
attached is decided in one transaction under the volume's guard row, from the rows that are there; the volume's own
column is a cache of them. Nobody else is relied upon to keep a second writer out.

An attachment that compute asked for is moved on by what hosts report, and ends when the host has let go of the disk;
others (``by_compute`` 0) by the calls of whoever asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.volume import volume_attachments
from stackling.store.transaction import Tx
from stackling.volume import changes, rows, rules
from stackling.volume.model import Attached, VolumeRow
from stackling.volume.rows import AnyRow

_INSERT = insert(volume_attachments)


def missing(id: str) -> NotFound:
    """What everybody reads of an attachment that isn't there or isn't theirs."""
    return NotFound(f"Volume attachment could not be found with filter: attachment_id = {id}.",
                    type="VolumeAttachmentNotFound")


def get_attachment(tx: Tx, ctx: Context, id: str) -> AnyRow:
    """Raises ``NotFound``."""
    row = rows.get(tx, volume_attachments, id)
    if row is None or (row["project_id"] != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return row


def of(tx: Tx, volume: VolumeRow) -> list[AnyRow]:
    """A volume's attachments."""
    return rows.attachments(tx, [volume["id"]])[volume["id"]]


def reserve(tx: Tx, volume: VolumeRow, server_id: str | None, *, id: str | None = None, mode: str | None = None,
            status: Attached = Attached.RESERVED, by_compute: bool = False, unborn: bool = False,
            **values: Any) -> AnyRow:
    """Keep the volume for a server. Raises ``Invalid`` unless it is free, or may have several users. *unborn*: it was
    asked for in this transaction, for this server."""
    tx.guard(f"volume:{volume['id']}")
    there = of(tx, volume)
    if not unborn:
        _check_free(volume, there, server_id)
    mode = mode or ("ro" if volume["readonly"] else "rw")
    if volume["readonly"] and mode == "rw":
        raise Invalid(f"Invalid volume: Volume {volume['id']} is read-only; it can't be attached with mode rw.")
    row: dict[str, Any] = {
        "id": id or new_id(), "volume_id": volume["id"], "project_id": volume["project_id"], "server_id": server_id,
        "status": status.value, "mode": mode, "mountpoint": None, "host_name": None, "connector": None,
        "connection_info": None, "by_compute": int(by_compute), "created_at": tx.now, "updated_at": None,
        "attached_at": None, **values}
    tx.execute(_INSERT, row)
    tx.event(None, changes.VOLUME, volume["id"], "reserve", f"for server {server_id}", project_id=volume["project_id"])
    _refresh(tx, volume, [*there, row])
    return row


def _check_free(volume: VolumeRow, there: Sequence[AnyRow], server_id: str | None) -> None:
    shared = volume["multiattach"] and volume["status"] in ("in-use", "reserved", "attaching", "detaching")
    if volume["status"] not in ("available", "downloading") and not shared:
        raise Invalid(f"Invalid volume: Volume {volume['id']} status must be available or downloading to reserve, but "
                      f"the current status is {volume['status']}.")
    if there and not volume["multiattach"]:
        raise Invalid(f"Invalid volume: Volume {volume['id']} is attached already, and its type doesn't allow several "
                      "attachments.")
    if server_id is not None and any(one["server_id"] == server_id for one in there):
        raise Invalid(f"Invalid volume: Volume {volume['id']} is already attached to server {server_id}.")


def change(tx: Tx, attachment: AnyRow, values: Mapping[str, Any]) -> AnyRow:
    """Change columns, and the volume's with them. Nothing when the attachment is gone."""
    rows.change(tx, volume_attachments, attachment["id"], {**values, "updated_at": tx.now})
    volume = rows.volume(tx, attachment["volume_id"])
    if volume is not None:
        _refresh(tx, volume, of(tx, volume))
    return {**attachment, **values}


def attached(tx: Tx, attachment: AnyRow, **values: Any) -> AnyRow:
    """It is in use now (nothing when that is known)."""
    if attachment["status"] == Attached.ATTACHED and not values:
        return attachment
    if attachment["attached_at"] is None:
        values["attached_at"] = tx.now
        tx.event(None, changes.VOLUME, attachment["volume_id"], "attached", f"to server {attachment['server_id']}",
                 source="engine", project_id=attachment["project_id"])
    return change(tx, attachment, {"status": Attached.ATTACHED.value, **values})


def remove(tx: Tx, id: str) -> None:
    """The attachment ends: it, and no other. Nothing when it is gone."""
    row = rows.get(tx, volume_attachments, id)
    if row is None:
        return
    tx.execute(delete(volume_attachments).where(volume_attachments.c.id == id))
    tx.event(None, changes.VOLUME, row["volume_id"], "detached", f"from server {row['server_id']}", source="engine",
             project_id=row["project_id"])
    volume = rows.volume(tx, row["volume_id"])
    if volume is not None:
        left = of(tx, volume)
        _refresh(tx, volume, left, wake=not left)


def is_anothers(tx: Tx, volume: VolumeRow, id: str) -> bool:
    """Whether it is an attachment of another volume of the same project."""
    row = rows.get(tx, volume_attachments, id)
    return row is not None and row["volume_id"] != volume["id"] and row["project_id"] == volume["project_id"]


def check_not_computes(ctx: Context, attachment: AnyRow) -> None:
    """Raises ``Conflict`` where compute uses it: a disk can't be pulled from under a guest."""
    if attachment["by_compute"] and "service" not in ctx.roles:
        raise Conflict("Detach volume from instance "
                       f"{attachment['server_id']} using the Compute API", type="ConflictNovaUsingAttachment")


def _refresh(tx: Tx, volume: VolumeRow, there: Sequence[AnyRow], *, wake: bool = False) -> None:
    status = rules.attach_status(one["status"] for one in there)
    if status != volume["attach_status"]:
        forced = {"forced_status": None} if volume["forced_status"] is not None and wake else {}
        changes.volume(tx, volume, {"attach_status": status, **forced})
    if wake:
        tx.nudge(changes.VOLUME, volume["id"])


# -- connections (old style, and what a connector is told)

def connection(tx: Tx, volume: VolumeRow, attachment: AnyRow | None) -> dict[str, Any]:
    """How a host reaches the volume, as os-brick reads it. Raises ``Invalid`` before it is there."""
    if volume["location"] is None:
        raise Invalid(f"Invalid volume: Volume {volume['id']} isn't there yet.")
    scheme, _, rest = volume["location"].partition("://")
    mode = attachment["mode"] if attachment is not None else "rw"
    common: dict[str, Any] = {"access_mode": mode, "encrypted": bool(volume["encryption"]), "discard": True,
                              "qos_specs": None, "cacheable": False}
    if scheme == "rbd":
        return {"driver_volume_type": "rbd", "data": {
            **common, "name": rest, "auth_enabled": True, "volume_id": volume["id"], "secret_type": "ceph"}}
    path, _, query = rest.partition("?")
    return {"driver_volume_type": "local", "data": {
        **common, "device_path": path, "format": query.removeprefix("format="), "volume_id": volume["id"]}}
