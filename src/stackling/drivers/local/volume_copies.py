"""Snapshots that a host makes of volumes in a directory (``ports.volume_copies``), as control's ``LocalVolumes`` has
them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackling.core.journal import sync_directory
from stackling.drivers.local import luks
from stackling.drivers.local.volumes import copy_disk, part_of, tool
from stackling.ports.document import VolumeDisk
from stackling.ports.hypervisor import GuestRefused, HypervisorError
from stackling.ports.volumes import StoreDown, StoreFull, StoreRefused

_QCOW2 = b"QFI\xfb"


class LocalVolumeCopies:
    """``VolumeCopies`` for volumes that are files of this machine."""

    def prepare(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        source, part = _file(volume), self.target(volume, snapshot_id)
        with _explained():
            part.unlink(missing_ok=True)
            with source.open("rb") as file:
                head = file.read(luks.HEADER)
            if head.startswith(luks.MAGIC):         # the same container, so the same key opens it
                part.touch(mode=0o600)
                part.write_bytes(head)
                os.truncate(part, source.stat().st_size)
            elif head.startswith(_QCOW2):
                tool("qemu-img", "create", "-q", "-f", "qcow2", str(part), str(int.from_bytes(head[24:32], "big")))
                part.chmod(0o600)
            else:
                raise StoreDown(f"{source.name} is neither a qcow2 file nor a LUKS container")
        return part

    def copy(self, volume: VolumeDisk, snapshot_id: str) -> None:
        source, target = _file(volume), _snapshot(volume, snapshot_id)
        if target.exists():
            return
        part = part_of(target)
        with _explained():
            try:
                part.unlink(missing_ok=True)
                copy_disk(source, part)
                self.finish(volume, snapshot_id)
            finally:
                part.unlink(missing_ok=True)

    def keep(self, volume: VolumeDisk, snapshot_id: str) -> None:
        raise GuestRefused(f"the storage of volume {volume.volume_id} makes no snapshots itself")

    def finish(self, volume: VolumeDisk, snapshot_id: str) -> None:
        target = _snapshot(volume, snapshot_id)
        part = part_of(target)
        with _explained():
            if target.exists():
                part.unlink(missing_ok=True)
                return
            part.chmod(0o600)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.rename(target)
            sync_directory(target.parent)

    def drop(self, volume: VolumeDisk, snapshot_id: str) -> None:
        self.target(volume, snapshot_id).unlink(missing_ok=True)

    def target(self, volume: VolumeDisk, snapshot_id: str) -> Path:
        return part_of(_snapshot(volume, snapshot_id))


def _file(volume: VolumeDisk) -> Path:
    scheme, _, rest = volume.location.partition("://")
    if scheme != "file":
        raise GuestRefused(f"volume {volume.volume_id} doesn't lie in a directory")
    return Path(rest.partition("?")[0])


def _snapshot(volume: VolumeDisk, snapshot_id: str) -> Path:
    file = _file(volume)
    return file.with_name(f"{file.name}.{snapshot_id}")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (StoreFull, StoreRefused) as error:
        raise GuestRefused(str(error)) from None
    except StoreDown as error:
        raise HypervisorError(str(error)) from None
    except FileNotFoundError:
        raise GuestRefused("the volume, or the copy of it, is missing in its directory") from None
    except OSError as error:
        raise HypervisorError(f"the volume directory doesn't work: {error.strerror}") from None
