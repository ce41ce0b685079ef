"""Snapshots of volumes in Ceph that a host has made while its guest is at rest (``ports.volume_copies``)."""

from __future__ import annotations

from stackling.drivers.ceph.client import CephAccess, CephClient, CephError
from stackling.drivers.ceph.names import volume_at
from stackling.drivers.local.volume_copies import LocalVolumeCopies
from stackling.ports.document import VolumeDisk
from stackling.ports.hypervisor import GuestRefused, HypervisorError


class CephVolumeCopies(LocalVolumeCopies):
    """``VolumeCopies`` for volumes in files, and in Ceph as this machine's user."""

    def __init__(self, access: CephAccess) -> None:
        self._client = CephClient(access)

    def keep(self, volume: VolumeDisk, snapshot_id: str) -> None:
        where = volume_at(volume.location)
        if where is None:
            super().keep(volume, snapshot_id)
            return
        try:
            self._client.quick("snapshot", pool=where[0], name=where[1], snapshot=snapshot_id)
        except CephError as error:
            if error.kind in ("missing", "full", "refused"):
                raise GuestRefused(str(error)) from None
            raise HypervisorError(str(error)) from None

    def close(self) -> None:
        """End the worker."""
        self._client.close()
