"""The storage that volumes lie in, as control's engine sees it.

A backend is storage that control itself reaches: a directory that the servers' hosts see under the same path, or a
pool. What is made is there whole or not at all. Ids are never used again, so an order that is too old can only remake
what a tombstone condemns, or remove what is gone; sizes only grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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
    """A disk on this machine (a backup, what was written out of another backend): raw, qcow2, or ``luks``, a whole
    container that is taken as it is."""

    file: Path
    format: str


@dataclass(frozen=True, slots=True)
class Luks:
    """How a volume is encrypted: dm-crypt's name of the *cipher* (``aes-xts-plain64``), the *key_size* in bits, and
    what opens it."""

    provider: str
    cipher: str | None
    key_size: int | None
    passphrase: str = field(repr=False)


Origin = FromImage | FromVolume | FromSnapshot | FromFile


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in the backend that could become a volume: its name there."""

    name: str
    size_gib: int


class StoreFull(Exception):
    """There is no room now. The message is for the user."""


class StoreRefused(Exception):
    """It can't work as asked (an image that can't be read, a volume smaller than its source …). For the user."""


class StoreDown(Exception):
    """The backend doesn't answer or failed; it may work later. The message is for the user."""


class VolumeStore(Protocol):
    """One backend. Calls block, are idempotent and safe from several threads (of one volume: one at a time).

    Any of them may raise ``StoreDown``; those that write, ``StoreFull`` and ``StoreRefused``. ``live``: volumes that a
    guest writes to are snapshotted and extended here; otherwise their guest's host does it (``ports.volume_copies``),
    and ``StoreDown`` is raised for one in use. ``encrypts``: what lies in
    volumes of an encrypted type can't be read without its key. Such a volume is a LUKS container on a raw disk: it is
    made with its key (*luks*), and copied, grown, read and removed without one. Its header takes a few MiB of the size.
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

    def create(self, volume_id: str, size_gib: int, origin: Origin | None, luks: Luks | None = None) -> None:
        """Make a volume, empty or with the content of *origin* (nothing when it is there). With *luks* it is encrypted;
        the origin then is data to encrypt (an image, a raw or qcow2 file) or a container that *luks* opens (a volume, a
        snapshot, a ``luks`` file)."""
        ...

    def replace(self, volume_id: str, size_gib: int, origin: Origin, luks: Luks | None = None) -> None:
        """Give a volume that nobody uses the content of *origin*; *luks* as with ``create``."""
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

    def adopt_snapshot(self, volume_id: str, name: str, snapshot_id: str) -> int:
        """Make the volume's stray snapshot *name* the snapshot (nothing when that is there); its GiB. Raises
        ``StoreRefused`` where it isn't there."""
        ...

    def release_snapshot(self, volume_id: str, snapshot_id: str, name: str) -> None:
        """Undo ``adopt_snapshot``: it stays as the stray *name*, until its volume goes (nothing when that is so)."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that is there whole: the bytes that it takes."""

    size: int


class BackupMissing(Exception):
    """A backup's data isn't there. The message is for the user."""


class BackupStore(Protocol):
    """Where backups lie, on their own storage. Calls block, are idempotent, and safe from several threads and machines.

    Any of them may raise ``StoreDown``; ``write`` also ``StoreFull``.
    """

    def find(self, backup_id: str) -> Kept | None:
        """A backup that is there whole."""
        ...

    def inventory(self) -> Sequence[str]:
        """Ids of all of which something is there, whole or not."""
        ...

    def write(self, backup_id: str, disk: Path, parent: str | None = None) -> None:
        """Keep a raw disk (nothing when it is kept); what is the same as in *parent* isn't kept again. Raises
        ``BackupMissing`` for a parent that isn't there."""
        ...

    def read(self, backup_id: str) -> AbstractContextManager[FromFile]:
        """The disk for as long as the context lasts. Raises ``BackupMissing``, and ``StoreRefused`` for one that isn't
        what was written."""
        ...

    def delete(self, backup_id: str) -> None:
        """Nothing when it is gone. Those that were made after it can't be read any more."""
        ...

    def close(self) -> None:
        """Let go."""
        ...
