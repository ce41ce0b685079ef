"""Messages to users about what went wrong after a request was answered (microversion 3.3)."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from stackling.core import clock
from stackling.core.ids import new_id
from stackling.store.tables.volume import volume_messages
from stackling.store.transaction import Tx
from stackling.volume.rows import AnyRow, mapping

KEPT = 30 * 86400.0
NO_BACKEND, CREATE_FAILED, EXTEND_FAILED, SNAPSHOT_FAILED, UPLOAD_FAILED, BACKUP_FAILED, OTHER = (
    ("001", "001"), ("015", "001"), ("003", "001"), ("019", "001"), ("002", "001"), ("013", "001"), ("004", "001"))
ACTIONS = {"001": "schedule allocate volume", "002": "copy volume to image", "003": "extend volume",
           "004": "update volume", "013": "create backup", "015": "create volume from backend storage",
           "019": "create snapshot"}
"""Cinder's action ids; a detail id 001 is an unknown error, whose words here are the real reason."""


def add(tx: Tx, project_id: str, request_id: str | None, resource_type: str, resource: str, what: tuple[str, str],
        reason: str) -> None:
    """Keep a message for 30 days."""
    action, detail = what
    tx.execute(insert(volume_messages), {
        "id": new_id(), "project_id": project_id, "request_id": request_id, "resource_type": resource_type,
        "resource_uuid": resource, "action_id": action, "detail_id": "002" if what == NO_BACKEND else detail,
        "text": f"{ACTIONS[action]}: {reason}", "level": "ERROR",
        "expires_at": clock.instant(tx.time + KEPT), "created_at": tx.now})


def forget(tx: Tx, id: str) -> None:
    """Delete one."""
    tx.execute(delete(volume_messages).where(volume_messages.c.id == id))


def get(tx: Tx, id: str) -> AnyRow | None:
    """One, whoever asks."""
    row = tx.one(select(volume_messages).where(volume_messages.c.id == id))
    return None if row is None else mapping(row)
