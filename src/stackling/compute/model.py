"""The values of the compute service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackling.network.facade import Requested

ServerRow = Mapping[str, Any]
"""A row of the table ``servers``: columns by name."""


class Shelve(StrEnum):
    """What a server that is put away, or comes back, shall be (the column ``shelve``; see ``shelving``)."""

    SHELVED = "shelved"         # saved as an image, and off, on its host
    OFFLOADED = "offloaded"     # only the image is left
    BACK = "back"               # as it was before; ends when its host has it


class Awaits(StrEnum):
    """What a server's volume waits for (``volumes.ServerVolume.awaits``; see ``boot_volumes``)."""

    MADE = "made"
    OFF = "off"
    IMAGE = "image"


ON_VOLUME = "on_volume"
"""In a flavor as a server remembers it: the root disk is a volume, and takes no room on a host."""


def awaits(server: Mapping[str, Any]) -> Awaits | None:
    """What the server's volumes wait for, of its row. (In JSON the quotes of a text within it are escaped.)"""
    text = str(server["volumes"])
    if '"awaits":' not in text:
        return None
    return next((step for step in Awaits if f'"awaits":"{step}"' in text), None)


def is_volume_backed(server: Mapping[str, Any]) -> bool:
    """Whether the server's root disk is a volume, of its row."""
    flavor: Mapping[str, Any] = server["flavor"] or {}
    return bool(flavor.get(ON_VOLUME))


@dataclass(frozen=True, slots=True)
class Flavor:
    """What a server gets: memory and swap in MiB, disks in GiB."""

    id: str
    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def disk_gib(self) -> int:
        """Everything that it takes on a host's disk."""
        return self.root_gib + self.ephemeral_gib + (self.swap_mib + 1023) // 1024


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the caller wants a server: a zone, a host, hints."""

    availability_zone: str | None = None
    host: str | None = None                         # az:host:node or ``host``; skips nothing but the choice
    forced: bool = False                            # az:host: whether it is up and has room isn't asked
    hints: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class NewServers:
    """A request to make servers; ``ids`` are chosen before the transaction, one per server at most."""

    ids: tuple[str, ...]
    reservation_id: str
    name: str
    flavor_ref: str
    image_ref: str | None
    requested: Requested = None
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    user_data: str | None = None
    injected_files: tuple[tuple[str, str], ...] = ()    # (path, base64)
    config_drive: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: tuple[str, ...] = ()
    description: str | None = None
    hostname: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"
    block_devices: tuple[Mapping[str, Any], ...] = ()   # as the request has them
    legacy_devices: bool = True                         # in the old form (or none)
    shared_volumes: bool = False                        # the caller knows of volumes that several servers have
    placement: Placement = Placement()
    min_count: int = 1
    max_count: int = 1


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the scheduler sees it, without what is reserved; ``up`` from the machine's last report."""

    id: str
    name: str
    availability_zone: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    vcpus_used: int
    memory_mib_used: int
    disk_gib_used: int
    cpu_ratio: float
    memory_ratio: float
    disk_ratio: float
    disabled: bool
    fenced: bool
    up: bool
    servers: int = 0
    storage: str = "local"


@dataclass(frozen=True, slots=True)
class Need:
    """What one server takes, and the limits of where. ``avoid`` and ``only`` are host ids (affinity, hints)."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    availability_zone: str | None = None
    host: str | None = None
    avoid: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    avoid_reason: str = "it runs another member of the server group"
    only_reason: str = "the other members of the server group run elsewhere"
    storage: str | None = None                      # only hosts that have disks there
    unfit: frozenset[str] = frozenset()             # hosts without the traits or resources asked for
    unfit_reason: str = "lacks what is asked for"
    near: tuple[tuple[str, int], ...] = ()          # (host id, how many of its soft group run there)
    apart: bool = False                             # the group would rather be apart than together
