"""``stackling storage add directory``: from a directory that every machine has mounted to a cluster whose servers'
disks are in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stackling.deploy.ceph.proof import Check
from stackling.deploy.ceph.target import NoTarget
from stackling.deploy.cluster import description, pki, remote, setup
from stackling.deploy.cluster.description import Cluster, ClusterError
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.remote import Described
from stackling.deploy.directory import proof
from stackling.deploy.directory.proof import NotDone

_NAMESPACE = uuid.UUID("6f0f3f0e-0d0c-5c53-9f3b-7a8f6d0f4a11")


@dataclass(frozen=True, slots=True)
class SharedDirectory:
    """The directory *path* of the cluster that this machine is a control machine of."""

    paths: Paths
    cluster: Cluster
    path: Path

    @property
    def id(self) -> str:
        """By which the cluster knows the directory: always the same, and another cluster's is another."""
        return str(uuid.uuid5(_NAMESPACE, pki.fingerprint((self.paths.pki / "ca.crt").read_bytes())))

    @property
    def machines(self) -> tuple[str, ...]:
        """Those that run servers."""
        return tuple(machine.name for machine in self.cluster.compute)

    @property
    def used(self) -> bool:
        """Whether servers' disks are in it already."""
        return self.cluster.storage.disks == "directory"

    def check(self) -> None:
        """Raises ``NoTarget`` when it can't become the place of servers' disks."""
        storage = self.cluster.storage
        if not self.path.is_absolute() or ".." in self.path.parts:
            raise NoTarget(f"{self.path} must be an absolute path, the same on every machine")
        if self.cluster.driver != "libvirt":
            raise NoTarget("this cluster is simulated: its servers have no disks")
        if storage.disks == "rbd":
            raise NoTarget("servers' disks are in Ceph, and would be lost to them in a directory")
        if self.used and storage.disk_directory != str(self.path):
            raise NoTarget(f"servers' disks are in {storage.disk_directory}; mount another file system there if that "
                           "is to move")

    def prove(self, *, note: bool = True) -> list[Check]:
        """Try it on every machine."""
        return proof.prove(self._ask, self.machines, self.path, self.id if note else "", fresh=not self.used)

    def set(self) -> str:
        """Let the cluster use it; what to do next, in words. Raises ``ClusterError``."""
        newest = remote.described(self.paths)
        storage = msgspec.structs.replace(newest.cluster.storage, disks="directory", disk_directory=str(self.path),
                                          disk_directory_id=self.id)
        if storage != newest.cluster.storage:
            remote.replace(self.paths, Described(
                newest.generation + 1, msgspec.structs.replace(newest.cluster, storage=storage)))
        setup.sync(self.paths)
        return "Every machine takes the new description within two minutes, or by `stackling cluster sync`."

    def _ask(self, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return remote.try_directory(self.paths, self.cluster.machine(name), asked)
        except (ClusterError, OSError) as error:
            raise NotDone(f"{name}: {error}") from None


def shared_directory(root: Path, path: Path | None = None) -> SharedDirectory | None:
    """*path* for the cluster that this machine belongs to (None: the one that it uses, if it does). Raises ``NoTarget``
    where there is none."""
    paths = Paths(root)
    if not paths.cluster.exists():
        if path is None:
            return None
        raise NoTarget("a shared directory is for the machines of a cluster, and this is a cloud of one machine: its "
                       "servers' disks lie below its state directory, where any file system may be mounted")
    cluster = description.read(paths.cluster)
    if path is None:
        return SharedDirectory(paths, cluster, Path(cluster.storage.disk_directory)) if (
            cluster.storage.disks == "directory") else None
    if not cluster.machine(paths.name).control:
        raise NoTarget("run this on a control machine of the cluster")
    return SharedDirectory(paths, cluster, path)
