"""All that others may use of the compute service: the internal API, first start, and the engine's composition."""

from __future__ import annotations

from stackling.compute.block_devices import root_snapshot
from stackling.compute.boot_volumes import volume_changed
from stackling.compute.documents import (
    check_machine,
    credential_hash,
    documents,
    host_id,
    machine_of,
    names_image,
    saves_image,
    volume_key,
)
from stackling.compute.flavors import bootstrap as _bootstrap_flavors
from stackling.compute.hosts import register_machine
from stackling.compute.kinds import kinds
from stackling.compute.moving import (
    Moving,
    evacuate,
    host_back,
    host_lost,
    move_lease,
    servers_to_move,
    to_give_up,
)
from stackling.compute.placing import CLASSES as HOST_CLASSES
from stackling.compute.placing import DISABLED, NODE, HostProvider, Part, Taken, taken
from stackling.compute.placing import change as change_host
from stackling.compute.placing import providers as host_providers
from stackling.compute.placing import take_room as take_of_host
from stackling.compute.posted_passwords import post as post_password
from stackling.compute.posted_passwords import posted as posted_password
from stackling.compute.quotas import DEFAULT_CLASS, DEFAULTS
from stackling.compute.quotas import set_limits as _set_limits
from stackling.compute.reports import accept_report
from stackling.compute.requirements import GUARD as RESOURCES_GUARD
from stackling.compute.shelving import OFFLOAD_AFTER
from stackling.compute.volumes import call_off_snapshot as call_off_volume_snapshot
from stackling.compute.volumes import detach_by_force, has_attachment
from stackling.compute.volumes import extended as volume_extended
from stackling.compute.volumes import snapshot as snapshot_volume
from stackling.store.transaction import Tx

__all__ = [
    "DISABLED",
    "HOST_CLASSES",
    "NODE",
    "OFFLOAD_AFTER",
    "RESOURCES_GUARD",
    "HostProvider",
    "Moving",
    "Part",
    "Taken",
    "accept_report",
    "bootstrap",
    "call_off_volume_snapshot",
    "change_host",
    "check_machine",
    "credential_hash",
    "detach_by_force",
    "documents",
    "evacuate",
    "has_attachment",
    "host_back",
    "host_id",
    "host_lost",
    "host_providers",
    "kinds",
    "lift_quotas",
    "machine_of",
    "move_lease",
    "names_image",
    "post_password",
    "posted_password",
    "register_machine",
    "root_snapshot",
    "saves_image",
    "servers_to_move",
    "snapshot_volume",
    "take_of_host",
    "taken",
    "to_give_up",
    "volume_changed",
    "volume_extended",
    "volume_key",
]


def bootstrap(tx: Tx, *, quotas: dict[str, int] | None = None) -> None:
    """First start: the usual flavors, and default quotas where they differ from Nova's. Idempotent."""
    _bootstrap_flavors(tx)
    if quotas:
        _set_limits(tx, DEFAULT_CLASS, quotas)


def lift_quotas(tx: Tx, project_id: str) -> None:
    """No limits for the project (the administrator's own)."""
    _set_limits(tx, project_id, dict.fromkeys(DEFAULTS, -1))
