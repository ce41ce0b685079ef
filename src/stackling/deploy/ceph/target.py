"""Whose storage it is: this machine's own cloud, or the cluster that this machine belongs to."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from stackling.deploy.ceph.add import Prepared
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.proof import Check
from stackling.deploy.ceph.rights import CONTROL_USERS, Pools, machine_user_name
from stackling.deploy.cluster import description, remote, setup
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.remote import Described
from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded import processes
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.stop import SUPERVISOR


class NoTarget(Exception):
    """It can't be done here or now; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class Target:
    """Base of the two. ``machines`` are all that run servers; ``control``: this machine writes images."""

    files: CephFiles
    pools: Pools
    machine: str
    machines: tuple[str, ...]
    control: bool
    images: str
    disks: str
    volumes: str
    configuration: Path

    @property
    def own_users(self) -> list[str]:
        """Whose keys this machine needs."""
        return [*(CONTROL_USERS if self.control else ()), machine_user_name(self.machine)]

    def check(self, *, disks: bool) -> None:
        """Raises ``NoTarget`` when the change can't be made now; *disks*: servers' disks are to move, too."""
        raise NotImplementedError

    def set(self, prepared: Prepared, *, disks: bool) -> str:
        """Let the cloud use it; what to do next, in words."""
        raise NotImplementedError

    def await_followers(self, say: Callable[[str], None]) -> str:
        """Wait until every machine uses it, telling *say* for whom; what is left to do, in words."""
        return ""

    def prove_others(self) -> list[Check]:
        """Have every other machine that runs servers try it."""
        return []

    def hand_out(self, prepared: Prepared, say: Callable[[str], None]) -> tuple[str, ...]:
        """Have every other machine take its new key, telling *say* for whom we wait; those that haven't in time."""
        return ()


@dataclass(frozen=True, slots=True)
class OneMachine(Target):
    """This machine's own cloud."""

    directory: StateDirectory
    found: Configuration

    def check(self, *, disks: bool) -> None:
        if self.found.simulated:
            raise NoTarget("this cloud is simulated: its servers have no disks")
        if processes.find(self.directory.pid_file(SUPERVISOR), self.directory.digest, SUPERVISOR):
            raise NoTarget("the cloud is up; run `stackling down` first, and `stackling up` afterwards")
        if disks and self.disks == "local" and any(self.directory.instances.iterdir()):
            raise NoTarget("there are servers with disks on this machine, which would be lost to them: delete them "
                           "first, or use --images-only")

    def set(self, prepared: Prepared, *, disks: bool) -> str:
        changed = self.found.changed(images="rbd", volumes="rbd", disks="rbd" if disks else self.found.disks)
        configurations.write(self.directory.configuration, changed)
        return "Images, disks and new volumes are in Ceph from the next `stackling up` on."


@dataclass(frozen=True, slots=True)
class WholeCluster(Target):
    """The cluster that this machine is a control machine of."""

    paths: Paths
    cluster: Cluster

    def check(self, *, disks: bool) -> None:
        if not self.control:
            raise NoTarget("run this on a control machine of the cluster")
        if disks and self.disks == "directory":
            raise NoTarget("servers' disks are in a shared directory, and would be lost to them: use --images-only")

    def set(self, prepared: Prepared, *, disks: bool) -> str:
        newest = remote.described(self.paths)
        storage = msgspec.structs.replace(
            newest.cluster.storage, images="rbd", volumes="rbd",
            disks="rbd" if disks else newest.cluster.storage.disks)
        remote.give_ceph(self.paths, prepared.conf, prepared.keys, prepared.names)
        if storage != newest.cluster.storage:
            remote.replace(self.paths, Described(
                newest.generation + 1, msgspec.structs.replace(newest.cluster, storage=storage)))
        setup.sync(self.paths)
        return "Every machine takes its key and the new description within two minutes, or by `stackling cluster sync`."

    def await_followers(self, say: Callable[[str], None]) -> str:
        if missing := setup.await_followers(self.paths, setup.FOLLOW_WITHIN, say):
            return (f"{', '.join(missing)} have not followed yet: servers made there get local disks. They follow when "
                    "they are on, or by `stackling cluster sync` there.")
        return "Every machine uses it."

    def prove_others(self) -> list[Check]:
        others = [machine for machine in self.cluster.compute if machine.name != self.machine]
        if not others:
            return []
        with ThreadPoolExecutor(len(others)) as pool:
            return [check for found in pool.map(self._proof_of, others) for check in found]

    def _proof_of(self, machine: Machine) -> list[Check]:
        began = time.monotonic()
        try:
            found = msgspec.convert(remote.try_ceph(self.paths, machine, asdict(self.pools)), list[Check])
        except (ClusterError, OSError, LookupError, ValueError) as error:
            return [Check(f"{machine.name} answers", False, str(error), time.monotonic() - began)]
        return [replace(check, what=f"{machine.name}: {check.what}") for check in found]

    def hand_out(self, prepared: Prepared, say: Callable[[str], None]) -> tuple[str, ...]:
        remote.give_ceph(self.paths, prepared.conf, prepared.keys, prepared.names)
        newest = remote.described(self.paths)
        remote.replace(self.paths, Described(newest.generation + 1, newest.cluster))
        setup.sync(self.paths)
        return setup.await_followers(self.paths, setup.FOLLOW_WITHIN, say)


def target(directory: StateDirectory, root: Path = Path("/")) -> Target:
    """The cluster where this is a machine of one, else the cloud in *directory*. Raises ``NoTarget``."""
    paths = Paths(root)
    if paths.cluster.exists():
        return _cluster(paths)
    try:
        found = configurations.read(directory.configuration)
    except FileNotFoundError:
        raise NoTarget(f"there is no cloud in {directory.root}: run `stackling up` and `stackling down` first"
                       ) from None
    machine = found.machine or socket.gethostname()
    return OneMachine(
        files=CephFiles(directory.ceph), pools=Pools(found.image_pool, found.disk_pool, found.volume_pool),
        machine=machine, machines=(machine,), control=True, images=found.images, disks=found.disks,
        volumes=found.volumes, configuration=directory.configuration, directory=directory, found=found)


def _cluster(paths: Paths) -> WholeCluster:
    cluster = description.read(paths.cluster)
    storage = cluster.storage
    return WholeCluster(
        files=CephFiles(paths.ceph), pools=Pools(storage.image_pool, storage.disk_pool, storage.volume_pool,
                                                      storage.backup_pool),
        machine=paths.name,
        machines=tuple(machine.name for machine in cluster.machines),
        control=cluster.machine(paths.name).control, images=storage.images, disks=storage.disks,
        volumes=storage.volumes, configuration=paths.cluster, paths=paths, cluster=cluster)
