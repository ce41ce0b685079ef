"""High availability's part of an engine process: workers of its own, which a hanging fence device may hold up."""

from __future__ import annotations

from collections.abc import Callable

from stackling.engine.worker import Worker
from stackling.ha.facade import SharedStorage, Watch, kinds
from stackling.main import deployment as deployments
from stackling.main.deployment import Deployment, RbdDisks, SimulatedMembership
from stackling.ports.bus import Bus
from stackling.ports.membership import Fence, Membership
from stackling.store.database import Database
from stackling.store.transaction import makes_due
from stackling.store.work import SqlWorkQueue

THREADS = 8
SWEEP = 15.0
LEASE = 15.0
"""Seconds; a fencer that hangs for longer is asked by another engine, too, which finds that it is under way."""


def start(database: Database, bus: Bus, deployment: Deployment, owner: str) -> Callable[[], None]:
    """Watch the machines; returns what stops it. *owner* is the workers' name among engines."""
    membership, fencer = drivers(deployment)
    settings = deployment.availability
    watch = Watch(database, membership, settings)
    storage, close = _storage(deployment.disks)
    machines = kinds(database, watch, fencer, settings, storage, _answering(deployment))
    worker = Worker(SqlWorkQueue(database), machines, threads=THREADS, sweep=SWEEP, owner=owner, renews=False,
                    lease=min(deployment.engine_lease, LEASE))
    bus.listen(lambda keys: worker.wake() if makes_due(keys) else None)
    watch.start()
    worker.start()

    def stop() -> None:
        watch.stop()
        worker.stop()
        close()

    return stop


def _answering(deployment: Deployment) -> Callable[[str], str | None] | None:
    if not isinstance(deployment.membership, deployments.PacemakerMembership):
        return None
    from stackling.drivers.pacemaker.answering import Answering

    return Answering(deployment.membership.addresses)


def _storage(disks: RbdDisks | None) -> tuple[SharedStorage | None, Callable[[], None]]:
    """What shuts machines out of servers' disks, and what lets go of it."""
    if disks is None:
        return None, lambda: None
    from stackling.drivers.ceph.client import CephAccess
    from stackling.drivers.ceph.fence import CephFence

    fence = CephFence(CephAccess(disks.conf, disks.user, disks.keyring))
    return SharedStorage(fence, disks.addresses), fence.close


def drivers(deployment: Deployment) -> tuple[Membership, Fence | None]:
    """Who knows the lives of machines, and who ends them (None: nobody)."""
    membership = deployment.membership
    assert membership is not None
    if isinstance(membership, SimulatedMembership):
        from stackling.drivers.simulated.membership import SimulatedCluster

        cluster = SimulatedCluster(membership.file, membership.machines)
        return cluster, cluster
    from stackling.drivers.pacemaker.fencing import PacemakerFence
    from stackling.drivers.pacemaker.membership import PacemakerMembership

    return PacemakerMembership(membership.machines), PacemakerFence() if membership.fencing else None
