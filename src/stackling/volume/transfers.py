"""Giving a volume to another project: who knows the key may take it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.volume import volume_snapshots, volume_transfers
from stackling.store.transaction import Tx
from stackling.volume import changes, quotas, rows, types
from stackling.volume.model import VolumeRow
from stackling.volume.rows import AnyRow, mapping

_ONE = select(volume_transfers).where(volume_transfers.c.id == bindparam("id"))


def missing(id: str) -> NotFound:
    """What everybody reads of a transfer that isn't there or isn't theirs."""
    return NotFound(f"Transfer {id} could not be found.", type="TransferNotFound")


def get_transfer(tx: Tx, ctx: Context, id: str) -> AnyRow:
    """A transfer that the project has begun. Raises ``NotFound``."""
    row = tx.one(_ONE, id=id)
    if row is None or (row.source_project_id != ctx.project_id and not ctx.is_admin):
        raise missing(id)
    return mapping(row)


def create_transfer(tx: Tx, ctx: Context, volume: VolumeRow, name: str | None, *, no_snapshots: bool = False,
                    allow_encrypted: bool = False) -> tuple[AnyRow, str]:
    """The transfer and the key that takes it, shown this once. Raises ``Invalid`` unless the volume is free."""
    if volume["status"] != "available":
        raise Invalid("Invalid volume: status must be available")
    if volume["encryption"] and not allow_encrypted:
        raise Invalid("Invalid volume: transferring encrypted volume is not supported")
    there = rows.snapshots_of(tx, volume["id"])
    if volume["encryption"] and no_snapshots and there:
        raise Invalid("Invalid volume: transferring an encrypted volume without its snapshots is not supported")
    if any(one["status"] != "available" for one in there) and not no_snapshots:
        raise Invalid(f"Invalid snapshot: a snapshot of volume {volume['id']} isn't available.")
    key, salt = secrets.token_hex(8), secrets.token_hex(8)
    row = {"id": new_id(), "volume_id": volume["id"], "name": name, "salt": salt, "digest": _digest(salt, key),
           "no_snapshots": no_snapshots, "source_project_id": volume["project_id"], "destination_project_id": None,
           "accepted": False, "created_at": tx.now}
    tx.execute(insert(volume_transfers), row)
    changes.volume(tx, volume, {"transfer_id": row["id"]})
    tx.event(ctx, changes.VOLUME, volume["id"], "transfer", project_id=volume["project_id"])
    return row, key


def delete_transfer(tx: Tx, transfer: AnyRow) -> None:
    """Take the offer back."""
    volume = rows.volume(tx, transfer["volume_id"])
    if volume is not None and volume["transfer_id"] == transfer["id"]:
        changes.volume(tx, volume, {"transfer_id": None})
    tx.execute(delete(volume_transfers).where(volume_transfers.c.id == transfer["id"]))


def accept_transfer(tx: Tx, ctx: Context, id: str, key: str) -> AnyRow:
    """The volume is the caller's project's from now on. Raises ``NotFound``, ``Invalid`` for a wrong key, ``Conflict``,
    ``QuotaExceeded``."""
    row = tx.one(_ONE, id=id)
    if row is None or row.accepted:
        raise missing(id)
    if not hmac.compare_digest(row.digest, _digest(row.salt, key)):
        raise Invalid(f"Invalid auth key: Attempt to transfer {id} with invalid auth key.")
    volume = rows.volume(tx, row.volume_id)
    if volume is None or volume["transfer_id"] != id:
        raise Conflict(f"Volume {row.volume_id} isn't offered any more.")
    _take(tx, ctx, volume, row.no_snapshots)
    tx.execute(update(volume_transfers).where(volume_transfers.c.id == id).values(
        accepted=True, destination_project_id=ctx.project_id))
    return {**mapping(row), "accepted": True, "destination_project_id": ctx.project_id}


def _take(tx: Tx, ctx: Context, volume: VolumeRow, no_snapshots: bool) -> None:
    type = types.names(tx, [volume["type_id"]]).get(volume["type_id"]) if volume["type_id"] else None
    if type is not None and not type.is_public:
        types.get_type(tx, ctx, type.id)
    own = [] if no_snapshots else [one for one in rows.snapshots_of(tx, volume["id"]) if not one["internal"]]
    gib = volume["size_gib"] + sum(one["size_gib"] for one in own)
    quotas.claim(tx, ctx.project_id or "", {"volumes": 1, "gigabytes": gib, "snapshots": len(own)},
                 type.name if type else None)
    changes.volume(tx, volume, {"transfer_id": None, "project_id": ctx.project_id, "user_id": ctx.user_id})
    for one in own:
        rows.change(tx, volume_snapshots, one["id"], {"project_id": ctx.project_id, "user_id": ctx.user_id})
    tx.event(ctx, changes.VOLUME, volume["id"], "transferred", f"from project {volume['project_id']}")


def _digest(salt: str, key: str) -> str:
    return hashlib.sha256(f"{salt}{key}".encode()).hexdigest()
