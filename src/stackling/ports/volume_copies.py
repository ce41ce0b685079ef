"""Snapshots of volumes whose storage can't make them beneath a guest: their host makes them, as files beside them.

Theory of operation. A document names the snapshots that a volume shall have (``VolumeDisk.snapshots``). Of a guest that
is off the volume is copied as it lies; of one that is on, the hypervisor copies what it was at one moment, while the
guest goes on writing. Either way the copy is made under another name and gets its own when it is whole and on the disk,
so control, which sees the same directory, never takes half a copy for a snapshot. Making it again, by whomever, does no
harm: the first that is whole stays. Control removes a snapshot, and what is left of a copy that was broken off, once
the host's document doesn't name it any more and the host has said so.

Storage that does make snapshots itself is asked by the host where the guest shall be at rest meanwhile, or where
several volumes of a guest shall be of one moment (``keep``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stackling.ports.document import VolumeDisk

AT_ONCE = "rbd://"
"""How the locations of volumes begin whose storage makes snapshots itself, beneath a guest as well."""


class VolumeCopies(Protocol):
    """Blocking calls, idempotent. Raise ``HypervisorError`` when it may work later, ``GuestRefused`` when it can't."""

    def prepare(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        """An empty disk like the volume, to be copied into; one that was begun before is thrown away."""
        ...

    def copy(self, volume: VolumeDisk, snapshot_id: str) -> None:
        """Copy a volume that nobody writes to (nothing when the snapshot is there)."""
        ...

    def keep(self, volume: VolumeDisk, snapshot_id: str) -> None:
        """Have the volume's storage make the snapshot, whether or not somebody writes to it (nothing when it is
        there). ``GuestRefused`` for storage that doesn't."""
        ...

    def finish(self, volume: VolumeDisk, snapshot_id: str) -> None:
        """What was prepared is whole now: it is the snapshot from now on (nothing when that is there)."""
        ...

    def drop(self, volume: VolumeDisk, snapshot_id: str) -> None:
        """What was prepared isn't needed any more."""
        ...

    def target(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        """Where ``prepare`` makes it."""
        ...
