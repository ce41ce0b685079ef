"""All that other services may use of the volume service."""

from __future__ import annotations

from stackling.store.tables.volume import (
    volume_attachments,
    volume_backups,
    volume_group_snapshots,
    volume_groups,
    volume_messages,
    volume_snapshots,
    volume_transfers,
    volumes,
)
from stackling.store.transaction import Tx
from stackling.volume import types
from stackling.volume.kinds import BACKEND, Backends, kinds, start
from stackling.volume.quotas import DEFAULTS
from stackling.volume.quotas import set_limits as _set_limits

__all__ = ["BACKEND", "Backends", "bootstrap", "kinds", "lift_quotas", "start"]

VOLUMES, SNAPSHOTS, ATTACHMENTS, BACKUPS, TRANSFERS = (
    volumes, volume_snapshots, volume_attachments, volume_backups, volume_transfers)
GROUPS, GROUP_SNAPSHOTS, MESSAGES = volume_groups, volume_group_snapshots, volume_messages
"""What ``volume.lists`` can list."""


def bootstrap(tx: Tx) -> None:
    """First start: the default type. Idempotent."""
    if not any(found.name == types.DEFAULT for found in types.all_types(tx)):
        types.create_type(tx, types.DEFAULT, "Default Volume Type", True, {})


def lift_quotas(tx: Tx, project_id: str) -> None:
    """No limits for the project (the administrator's own)."""
    _set_limits(tx, project_id, dict.fromkeys(DEFAULTS, -1))
