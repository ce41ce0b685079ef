"""The agent's parts on a Ceph cluster: servers' disks, and the secret by which guests reach them."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

from stackling.drivers.ceph.client import CephAccess
from stackling.drivers.ceph.disks import RbdDisks
from stackling.drivers.libvirt.hypervisor import CephSecret
from stackling.drivers.local.image_cache import ImageCache
from stackling.main.agent_settings import CephSettings
from stackling.ports.hypervisor import HypervisorError

log = logging.getLogger(__name__)
SECRET = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://stackling.dev/ceph"))
"""The same on every machine, so that a definition fits wherever its guest goes; the value is each machine's own key."""


def disks(settings: CephSettings, instances: Path, cache: ImageCache, machine: str) -> RbdDisks:
    """The disks of this machine's servers."""
    access = CephAccess(settings.conf, settings.user, settings.keyring)
    return RbdDisks(access, settings.disk_pool, cache, machine=machine, instances=instances,
                    addresses=settings.addresses, images_here=settings.images)


def reached(settings: CephSettings | None) -> tuple[Path, str] | None:
    """The configuration and the user by which guests reach volumes."""
    return None if settings is None else (settings.conf, settings.user)


def secret(settings: CephSettings) -> CephSecret:
    """What libvirtd is given."""
    return CephSecret(SECRET, settings.user, settings.keyring)


def capacity_gib(disks: RbdDisks, otherwise: int) -> int:
    """What the pool holds; *otherwise* when it can't be asked: no machine waits for Ceph to say that it lives."""
    try:
        return disks.capacity_gib()
    except HypervisorError as error:
        log.warning("the size of the disks' pool isn't known: %s", error)
        return otherwise
