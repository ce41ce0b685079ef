"""All that other services may use of the volume service."""

from __future__ import annotations

from contextlib import suppress

from stackling.core.context import Context
from stackling.core.errors import Invalid
from stackling.ports.document import VolumeDisk
from stackling.store.tables.volume import (
    volume_attachments,
    volume_backups,
    volume_group_snapshots,
    volume_group_types,
    volume_groups,
    volume_messages,
    volume_snapshots,
    volume_transfers,
    volumes,
)
from stackling.store.transaction import Tx
from stackling.volume import attachments, rows, types
from stackling.volume import volumes as volumes_
from stackling.volume.kinds import BACKEND, Backends, kinds, start
from stackling.volume.model import Attached
from stackling.volume.quotas import DEFAULTS
from stackling.volume.quotas import set_limits as _set_limits

__all__ = ["BACKEND", "Backends", "bootstrap", "kinds", "lift_quotas", "start"]

VOLUMES, SNAPSHOTS, ATTACHMENTS, BACKUPS, TRANSFERS = (
    volumes, volume_snapshots, volume_attachments, volume_backups, volume_transfers)
GROUPS, GROUP_SNAPSHOTS, GROUP_TYPES = volume_groups, volume_group_snapshots, volume_group_types
MESSAGES = volume_messages
"""What ``volume.lists`` can list."""


def bootstrap(tx: Tx) -> None:
    """First start: the default type. Idempotent."""
    if not any(found.name == types.DEFAULT for found in types.all_types(tx)):
        types.create_type(tx, types.DEFAULT, "Default Volume Type", True, {})


def attach(tx: Tx, ctx: Context, volume_id: str, server_id: str, id: str, device: str,
           host: str | None) -> VolumeDisk:
    """Keep a volume for a server that the host will plug it into. A shelved server has no host (None): its volumes
    count as attached, as with Nova. Raises ``NotFound``, ``Invalid``."""
    volume = volumes_.get_volume(tx, ctx, volume_id)
    status = Attached.RESERVED if host is None else Attached.ATTACHING
    row = attachments.reserve(tx, volume, server_id, id=id, status=status, by_compute=True, mountpoint=device,
                              host_name=host)
    if host is None:
        attachments.attached(tx, row)
    return VolumeDisk(id=id, volume_id=volume_id, location=volume["location"] or "", size_gib=volume["size_gib"],
                      device=device, readonly=bool(volume["readonly"]), shared=bool(volume["multiattach"]))


def attached(tx: Tx, id: str, host: str | None) -> None:
    """The host has plugged it in."""
    row = rows.get(tx, volume_attachments, id)
    if row is not None and (row["status"] != Attached.ATTACHED or row["host_name"] != host):
        attachments.attached(tx, row, host_name=host)


def detaching(tx: Tx, id: str) -> None:
    """The host shall let go of it."""
    row = rows.get(tx, volume_attachments, id)
    if row is not None:
        attachments.change(tx, row, {"status": Attached.DETACHING.value})


def detached(tx: Tx, id: str) -> None:
    """The host has let go of it: this attachment ends, and no other."""
    attachments.remove(tx, id)


def delete(tx: Tx, volume_id: str) -> None:
    """The volume goes with its server; nothing where something keeps it."""
    row = rows.volume(tx, volume_id)
    if row is not None:
        with suppress(Invalid):
            volumes_.delete_volume(tx, None, row)


def lift_quotas(tx: Tx, project_id: str) -> None:
    """No limits for the project (the administrator's own)."""
    _set_limits(tx, project_id, dict.fromkeys(DEFAULTS, -1))
