"""The agent's parts on a directory that all machines have mounted: servers' disks, and the proof that it is shared."""

from __future__ import annotations

import logging

import msgspec

from stackling.drivers.directory.bases import SharedBases
from stackling.drivers.directory.disks import SharedDisks
from stackling.drivers.directory.place import Place
from stackling.drivers.directory.trial import Trial
from stackling.drivers.local.image_cache import Limits
from stackling.main.agent_settings import AgentSettings, DirectorySettings, LibvirtSettings
from stackling.ports.disks import Fetch
from stackling.ports.document import Inventory
from stackling.ports.hypervisor import HypervisorError

log = logging.getLogger(__name__)


def disks(directory: DirectorySettings, settings: AgentSettings, libvirt: LibvirtSettings, fetch: Fetch,
          account: str) -> SharedDisks:
    """The disks of this machine's servers."""
    place = Place(directory.path, directory.id, settings.machine)
    bases = SharedBases(place.images, fetch, Limits(libvirt.image_days, libvirt.image_gib))
    return SharedDisks(place, bases, instances=libvirt.instances, account=account)


def trial(settings: AgentSettings, libvirt: LibvirtSettings, account: str) -> Trial:
    """This machine's part in the proof of any directory."""
    def own() -> int:
        return len({path.parent for path in libvirt.instances.glob("*/disks.*.json")})

    return Trial(settings.machine, account=account, own=own)


def measured(found: Inventory, directory: DirectorySettings, disks: SharedDisks) -> Inventory:
    """*found* with the directory's room: none while it can't be used here, so that no server is sent here for it."""
    total = free = 0
    try:
        total, free = disks.room_gib()
    except HypervisorError as error:
        log.warning("this machine offers no room for disks: %s", error)
    return msgspec.structs.replace(found, storage=f"shared:{directory.id}", disk_gib=total,
                                   facts={**found.facts, "disk_free_gib": free})
