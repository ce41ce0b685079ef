"""The storage that volumes lie in, as control's engine sees it.

A backend is storage that control itself reaches: a directory that the servers' hosts see under the same path, or a
pool. What is made is there whole or not at all. Ids are never used again, so an order that is too old can only remake
what a tombstone condemns, or remove what is gone; sizes only grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Capacity:
    """GiB in all and free."""

    total_gib: float
    free_gib: float


@dataclass(frozen=True, slots=True)
class FromImage:
    """An image's data: where the image store keeps it, its *format* (raw or qcow2, verified), and a *file* on this
    machine that holds it, where there is one."""

    location: str
    format: str
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class FromVolume:
    """Another volume of the same backend, as it is now."""

    volume_id: str


@dataclass(frozen=True, slots=True)
class FromSnapshot:
    """A snapshot of the same backend."""

    volume_id: str
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class FromFile:
    """A raw or qcow2 disk on this machine (a backup, what was written out of another backend)."""

    file: Path
    format: str


Origin = FromImage | FromVolume | FromSnapshot | FromFile


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in the backend that could become a volume (or, with *snapshot_of*, a snapshot): its name there."""

    name: str
    size_gib: int
    snapshot_of: str | None = None


class StoreFull(Exception):
    """There is no room now. The message is for the user."""


class StoreRefused(Exception):
    """It can't work as asked (an image that can't be read, a volume smaller than its source …). For the user."""


class StoreDown(Exception):
    """The backend doesn't answer or failed; it may work later. The message is for the user."""


class VolumeStore(Protocol):
    """One backend. Calls block, are idempotent and safe from several threads (of one volume: one at a time).

    Any of them may raise ``StoreDown``; those that write, ``StoreFull`` and ``StoreRefused``. ``live``: volumes that a
    guest writes to are snapshotted and extended here; otherwise their guest's host does it. ``encrypts``: what lies in
    volumes of an encrypted type can't be read without its key.
    """

    driver: str
    live: bool
    encrypts: bool

    def capacity(self) -> Capacity:
        """How much there is."""
        ...

    def size(self, volume_id: str) -> int | None:
        """GiB of the volume that is there, None when there is none."""
        ...

    def create(self, volume_id: str, size_gib: int, origin: Origin | None) -> None:
        """Make a volume, empty or with the content of *origin* (nothing when it is there)."""
        ...

    def replace(self, volume_id: str, size_gib: int, origin: Origin) -> None:
        """Give a volume that nobody uses the content of *origin*."""
        ...

    def grow(self, volume_id: str, size_gib: int) -> None:
        """Make it at least that large."""
        ...

    def delete(self, volume_id: str) -> None:
        """Leave nothing of it and of its snapshots (nothing when it is gone). A volume made of it stays."""
        ...

    def location(self, volume_id: str) -> str:
        """How hosts reach it: ``file:///path?format=qcow2`` or ``rbd://pool/name``. Doesn't ask the backend. Where
        ``live`` is false, a host puts a snapshot of it at this path, a dot, and the snapshot's id, in qcow2."""
        ...

    def snapshots(self, volume_id: str) -> Sequence[str]:
        """Ids of its snapshots."""
        ...

    def snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Keep the volume as it is now (nothing when that snapshot is there)."""
        ...

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Nothing when it is gone."""
        ...

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        """Make the volume what it was then; nobody uses it meanwhile."""
        ...

    def read(self, volume_id: str, format: str, snapshot_id: str | None = None) -> AbstractContextManager[Path]:
        """The volume, or a snapshot of it, as a file of *format* (raw, qcow2, vmdk, vdi …) for as long as the context
        lasts."""
        ...

    def inventory(self) -> Mapping[str, int]:
        """Every volume of ours, with 0 (ids are never used again, so none is younger than its tombstone)."""
        ...

    def strays(self) -> Sequence[Stray]:
        """What lies here and could be managed."""
        ...

    def adopt(self, name: str, volume_id: str) -> int:
        """Make the stray *name* the volume; its GiB. Raises ``StoreRefused`` where it isn't there."""
        ...

    def release(self, volume_id: str, name: str) -> None:
        """Undo ``adopt``: the data stays as the stray *name* (nothing when that is so)."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class BackupStore(Protocol):
    """Where backups lie: files, each a volume's content, on their own storage."""

    def open(self, backup_id: str) -> Path:
        """The file of a backup that is to be written: a new name, ``commit`` makes it count."""
        ...

    def commit(self, backup_id: str) -> int:
        """Make what was written durable; its bytes."""
        ...

    def find(self, backup_id: str) -> Path | None:
        """The file of a backup."""
        ...

    def delete(self, backup_id: str) -> None:
        """Nothing when it is gone."""
        ...
