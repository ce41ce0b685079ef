"""The values of the volume service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

VolumeRow = Mapping[str, Any]
"""A row of ``volumes`` by column name."""
SnapshotRow = Mapping[str, Any]
BackupRow = Mapping[str, Any]
GIB = 1 << 30
ZONE = "nova"
MOST_GIB = 0x7FFFFFFF


class Task(StrEnum):
    """What is done to a volume once, when it is asked for (``volumes.task``)."""

    REVERT = "revert"
    UPLOAD = "upload"
    RESTORE = "restore"
    REIMAGE = "reimage"
    RETYPE = "retype"
    BACKUP = "backup"


class ByHost(IntEnum):
    """Who makes a snapshot (``volume_snapshots.by_host``): control, or the host of the server that has the volume,
    which is asked, has made it, or can't."""

    NO = 0
    ASKED = 1
    MADE = 2
    FAILED = 3


class Attached(StrEnum):
    """How far an attachment is."""

    DETACHED = "detached"
    RESERVED = "reserved"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What a client asks for. ``size_gib`` None: that of the source; ``type`` is a name or an id."""

    id: str
    size_gib: int | None
    name: str | None = None
    description: str | None = None
    type: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    snapshot_id: str | None = None
    source_volid: str | None = None
    image_ref: str | None = None
    backup_id: str | None = None
    group_id: str | None = None
    consumes_quota: bool = True


@dataclass(frozen=True, slots=True)
class VolumeType:
    """A row of ``volume_types``."""

    id: str
    name: str
    description: str | None
    is_public: bool
    extra_specs: Mapping[str, str]
    qos_specs_id: str | None = None
    encryption: Mapping[str, Any] | None = None

    def wants(self, key: str) -> bool:
        """Whether an extra spec says ``<is> True``."""
        return str(self.extra_specs.get(key, "")).lower() == "<is> true"
