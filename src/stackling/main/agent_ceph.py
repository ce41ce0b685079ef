"""The agent's parts on a Ceph cluster: servers' disks, and the secret by which guests reach them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from stackling.agent.run import Run
from stackling.drivers.ceph.client import CephAccess
from stackling.drivers.ceph.disks import RbdDisks
from stackling.drivers.ceph.volume_copies import CephVolumeCopies
from stackling.drivers.libvirt.hypervisor import CephSecret, LibvirtHypervisor
from stackling.drivers.local.image_cache import ImageCache
from stackling.main.agent_settings import CephSettings
from stackling.ports.disks import DirectoryTrial, TrialFailed
from stackling.ports.hypervisor import GuestRefused, HypervisorError

log = logging.getLogger(__name__)
LOOK = 2.0                      # seconds between two looks at the keyring
AGAIN = 5.0, 20.0, 100.0        # after which guests are looked at again: one may just have been started by the old key
RETRY = 10.0
SECRET = str(uuid.uuid5(uuid.NAMESPACE_URL, "https://stackling.dev/ceph"))
"""The same on every machine, so that a definition fits wherever its guest goes; the value is each machine's own key."""


def disks(settings: CephSettings, instances: Path, cache: ImageCache, machine: str) -> RbdDisks:
    """The disks of this machine's servers."""
    access = CephAccess(settings.conf, settings.user, settings.keyring)
    return RbdDisks(access, settings.disk_pool, cache, machine=machine, instances=instances,
                    addresses=settings.addresses, images_here=settings.images)


def copies(settings: CephSettings) -> CephVolumeCopies:
    """Who makes snapshots of volumes while guests are at rest."""
    return CephVolumeCopies(CephAccess(settings.conf, settings.user, settings.keyring))


def trial(settings: CephSettings, machine: str) -> DirectoryTrial:
    """This machine's own proof that it can use the cluster, as ``stackling storage check`` asks every machine for."""
    from stackling.deploy.ceph import proof
    from stackling.deploy.ceph.files import CephFiles
    from stackling.deploy.ceph.rights import Pools

    def tried(asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            pools = msgspec.convert(asked, Pools)
        except msgspec.ValidationError as error:
            raise TrialFailed(f"these are no names of pools: {error}") from None
        found = proof.prove(CephFiles(settings.conf.parent), pools, machine, control=False)
        return {"proof": [asdict(one) for one in found]}

    return tried


def reached(settings: CephSettings | None) -> tuple[Path, str] | None:
    """The configuration and the user by which guests reach volumes."""
    return None if settings is None else (settings.conf, settings.user)


def secret(settings: CephSettings) -> CephSecret:
    """What libvirtd is given."""
    return CephSecret(SECRET, settings.user, settings.keyring)


async def follow_keyring(hypervisor: LibvirtHypervisor, keyring: Path, run: Run) -> None:
    """Have guests that are on use the keyring's key whenever that is another one (see ``deploy.ceph.rotate``); runs
    for ever. What was half done when this process ended is finished at its next start."""
    loop, seen, due = asyncio.get_running_loop(), None, list[float]()
    while True:
        stamp = await run(_stamp, keyring)
        if stamp != seen:
            seen, due = stamp, [loop.time() + after for after in (0.0, *AGAIN)]
        if stamp is not None and due and due[0] <= loop.time():
            due.pop(0)
            if not await _renewed(hypervisor, run):
                due = [loop.time() + RETRY, *due]
        await asyncio.sleep(LOOK)


async def _renewed(hypervisor: LibvirtHypervisor, run: Run) -> bool:
    try:
        return await run(hypervisor.use_new_key) == 0
    except (GuestRefused, HypervisorError) as error:
        log.warning("guests can't be looked at for a new Ceph key: %s", error)
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def capacity_gib(disks: RbdDisks, otherwise: int) -> int:
    """What the pool holds; *otherwise* when it can't be asked: no machine waits for Ceph to say that it lives."""
    try:
        return disks.capacity_gib()
    except HypervisorError as error:
        log.warning("the size of the disks' pool isn't known: %s", error)
        return otherwise
