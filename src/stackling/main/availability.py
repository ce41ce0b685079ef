"""High availability's part of an engine process: workers of its own, which a hanging fence device may hold up."""

from __future__ import annotations

from collections.abc import Callable

from stackling.engine.worker import Worker
from stackling.ha.facade import Watch, kinds
from stackling.main.deployment import Deployment, SimulatedMembership
from stackling.ports.bus import Bus
from stackling.ports.membership import Fence, Membership
from stackling.store.database import Database
from stackling.store.work import SqlWorkQueue

THREADS = 8
SWEEP = 15.0


def start(database: Database, bus: Bus, deployment: Deployment, owner: str) -> Callable[[], None]:
    """Watch the machines; returns what stops it. *owner* is the workers' name among engines."""
    membership, fencer = drivers(deployment)
    settings = deployment.availability
    watch = Watch(database, membership, settings)
    worker = Worker(SqlWorkQueue(database), kinds(database, watch, fencer, settings), threads=THREADS, sweep=SWEEP,
                    owner=owner, lease=max(deployment.engine_lease, settings.fence_timeout + 20.0))
    bus.listen(lambda _keys: worker.wake())
    watch.start()
    worker.start()

    def stop() -> None:
        watch.stop()
        worker.stop()

    return stop


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
