"""Where a machine keeps what it needs to reach a Ceph cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.ceph.rights import IMAGES_USER, VOLUMES_USER, machine_user_name


@dataclass(frozen=True, slots=True)
class CephFiles:
    """A directory of them: ``/etc/stackling/ceph`` in a cluster, ``ceph`` in one machine's state directory."""

    directory: Path

    @property
    def conf(self) -> Path:
        """``ceph.conf``: where the monitors are, and each user's keyring. Anybody may read it (QEMU does)."""
        return self.directory / "ceph.conf"

    def keyring(self, user: str) -> Path:
        """The keyring of a user (without ``client.``), 0600."""
        return self.directory / f"client.{user}.keyring"

    @property
    def images_keyring(self) -> Path:
        """Control's."""
        return self.keyring(IMAGES_USER)

    @property
    def volumes_keyring(self) -> Path:
        """Control's for volumes."""
        return self.keyring(VOLUMES_USER)

    def machine_keyring(self, machine: str) -> Path:
        """A machine's."""
        return self.keyring(machine_user_name(machine))
