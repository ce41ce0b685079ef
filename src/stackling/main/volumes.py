"""The backends of volumes that a deployment names, and the engine's part of the volume service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackling.engine.kinds import Kind
from stackling.main.deployment import Deployment, LocalVolumes, RbdVolumes, SimulatedVolumes
from stackling.ports.images import ImageStore
from stackling.ports.volumes import BackupStore, VolumeStore
from stackling.store.database import Database
from stackling.volume import facade as volume
from stackling.volume.facade import Backends

if TYPE_CHECKING:
    from stackling.drivers.ceph.client import CephAccess

WHERE = "stackling"
"""What stands before the backend's name in ``os-vol-host-attr:host``: any engine of the cloud does its work."""


def backends(deployment: Deployment, images: ImageStore) -> Backends:
    """The drivers; nothing is asked of them yet."""
    stores: dict[str, VolumeStore] = {}
    backups: BackupStore | None = None
    match deployment.volumes:
        case SimulatedVolumes(directory):
            from stackling.drivers.local.backups import LocalBackups
            from stackling.drivers.simulated.volumes import SimulatedVolumes as Simulated

            stores[f"{WHERE}@simulated"] = Simulated(directory)
            stores[f"{WHERE}@archive"] = Simulated(directory / "archive", total_gib=10_000.0)
            backups = LocalBackups(directory / "backups")
        case RbdVolumes() as rbd:
            from stackling.drivers.ceph.client import CephAccess
            from stackling.drivers.ceph.volumes import RbdVolumes as Rbd

            access = CephAccess(rbd.conf, rbd.user, rbd.keyring)
            stores[f"{WHERE}@ceph"] = Rbd(access, rbd.pool, rbd.scratch)
            if rbd.before is not None:
                stores[f"{WHERE}@local"] = _local(rbd.before)
            backups = _backups(rbd.backups, access, rbd.scratch)
        case LocalVolumes() as local:
            from stackling.drivers.local.backups import LocalBackups

            stores[f"{WHERE}@local"], backups = _local(local), LocalBackups(local.backups)
        case None:
            pass
    return Backends(stores, backups, images)


def _local(volumes: LocalVolumes) -> VolumeStore:
    from stackling.drivers.local.volumes import LocalVolumes as Local

    return Local(volumes.directory)


def _backups(place: Path | str | None, access: CephAccess, scratch: Path) -> BackupStore | None:
    if isinstance(place, Path):
        from stackling.drivers.local.backups import LocalBackups

        return LocalBackups(place, scratch)
    if place is None:
        return None
    from stackling.drivers.ceph.shelf import RbdBackups

    return RbdBackups(access, place, scratch)


def kinds(database: Database, backends: Backends) -> tuple[list[Kind], list[Any]]:
    """What the engine is to run: kinds, and those that it can also audit. Makes the backends known."""
    found = [*volume.kinds(backends), volume.AuditKind(backends, database.read)]
    database.write(volume.start, backends)
    return [kind for kind in found if kind.name != "volume"], [kind for kind in found if kind.name == "volume"]


def close(backends: Backends) -> None:
    """Let go of them."""
    for store in backends.stores.values():
        store.close()
    if backends.backups is not None:
        backends.backups.close()
