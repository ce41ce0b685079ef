"""What a control process is made of: the database, the bus, the services, the drivers that the deployment names."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackling.api import console
from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.dashboard import site
from stackling.api.internal.service import Wakeups
from stackling.api.stackling.feed import Feed
from stackling.drivers.local.bus import LocalBus
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.kinds import Kind
from stackling.identity.facade import Identity
from stackling.image import facade as image_service
from stackling.main import entrance, health, images, peers, services, volumes
from stackling.main.asking import Asking
from stackling.main.deployment import BrokerWakeups, Deployment, LocalImages, LocalWakeups, SimulatedNetwork
from stackling.ports.bus import Bus
from stackling.ports.fabric import Fabric
from stackling.ports.web import Web
from stackling.store import changes, era
from stackling.store.database import Database
from stackling.store.sealing import Seal
from stackling.store.transaction import makes_due

if TYPE_CHECKING:
    from stackling.main.joining import Joining
    from stackling.ports.oidc import OidcProviders

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]


class Plant:
    """One control process's parts. What needs a thread or a connection comes when it is asked for."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.database = Database(deployment.database_url, durable=deployment.durable)
        self.database.seal = Seal(deployment.cluster_key, "volume keys")
        self.identity = Identity(deployment.cluster_key, deployment.identity)
        self.image_store = images.store(deployment)
        self.bus = _bus(deployment.wakeups)
        self.wakeups, self.feed = Wakeups(), Feed(changes)
        self.database.on_nudge = self.bus.send

    def first_start(self) -> None:
        """Make the tables and what a cloud starts with; quick when it is there. Several processes may call it."""
        from stackling.main.first_start import first_start

        with self._alone():
            first_start(self)
            if self.deployment.mark_file is not None:
                era.check(self.database, self.deployment.mark_file)

    def public_app(self) -> App:
        """The APIs that clients use."""
        self.bus.listen(self.feed.woken)
        cloud = self._cloud()
        app = health.answering(site.serving(build_app(cloud, services.public(self, self.feed))), self.database)
        app = console.serving(app, cloud)
        joining = self._joining()
        return app if joining is None else entrance.public(app, joining)

    def health(self, process: str) -> tuple[App, Path] | None:
        """What Pacemaker asks on a machine of a cluster, and where: a socket that costs it no TLS."""
        if self.deployment.cluster is None:
            return None
        return health.answering(health.nothing, self.database), self.deployment.directory / f"health/{process}.sock"

    def internal_app(self) -> App:
        """What agents use; never on the public port."""
        self.bus.listen(self.wakeups.woken)
        app = build_app(self._cloud(), services.internal(self))
        joining = self._joining()
        if joining is not None:
            from stackling.main.returning import Returning

            app = entrance.internal(app, joining, Returning(self.database))
        place = self.deployment.images
        local = place if isinstance(place, LocalImages) else place.before
        if local.others:
            from stackling.main import image_peers

            app = image_peers.answering(app, LocalImageStore(local.directory), local.control)
        return peers.checked(app) if self.deployment.internal.mutual else app

    def start_engine(self, owner: str | None = None) -> Callable[[], None]:
        """Start the workers; returns what stops them. *owner* is its name among engines, the same in each life:
        that of the machine, which has one engine."""
        from stackling.engine.worker import Worker
        from stackling.store.work import SqlWorkQueue

        fabric = self._fabric()
        threading.Thread(target=self._follow, args=(fabric,), name="fabric-watch", daemon=True).start()
        self.database.write(image_service.order_copies, self.image_store)
        backends = volumes.backends(self.deployment, self.image_store)
        kinds, audited = volumes.kinds(self.database, backends)
        networks, images_ = self._network_kinds(fabric), self._image_kinds()
        worker = Worker(SqlWorkQueue(self.database), [*_compute_kinds(), *kinds, *networks, *images_, *audited],
                        audits=[*networks, *images_, *audited], owner=owner or self.deployment.node,
                        lease=self.deployment.engine_lease,
                        apart=[[kind.name for kind in (*kinds, *images_, *audited)], [kind.name for kind in networks]])
        self.bus.listen(lambda keys: worker.wake() if makes_due(keys) else None)
        worker.start()
        keeper = era.Keeper(self.database, self.deployment.mark_file) if self.deployment.mark_file else None
        if keeper is not None:
            keeper.start()
        stop_watching = self._watch_machines(worker.owner)

        def stop() -> None:
            stop_watching()
            worker.stop()
            if keeper is not None:
                keeper.stop()
            fabric.close()
            volumes.close(backends)

        return stop

    def ending(self) -> None:
        """Nobody is to wait for anything any more."""
        self.wakeups.close()
        self.feed.close()

    def close(self) -> None:
        """Let go of everything."""
        self.bus.close()
        self.image_store.close()
        self.database.close()

    # -- how

    def _network_kinds(self, fabric: Fabric) -> list[Any]:
        from stackling.loadbalancer import kinds as load_balancer
        from stackling.network import kinds as network

        return [*network.kinds(fabric), *load_balancer.kinds(fabric)]

    def _image_kinds(self) -> list[Any]:
        from stackling.image import kinds as image

        return [*image.kinds(self.image_store, require_format_match=self.deployment.require_image_format_match,
                             ended=lambda id: self.database.write(image.nudge, id))]

    def _joining(self) -> Joining | None:
        if self.deployment.cluster is None:
            return None
        from stackling.deploy.cluster.paths import Paths
        from stackling.main.joining import Joining

        return Joining(self.database, Paths(self.deployment.cluster))

    def _watch_machines(self, owner: str) -> Callable[[], None]:
        """High availability, where somebody knows who is alive."""
        if self.deployment.membership is None:
            return lambda: None
        from stackling.main import availability

        return availability.start(self.database, self.bus, self.deployment, f"{owner}-ha")

    def _fabric(self) -> Fabric:
        network = self.deployment.network
        if isinstance(network, SimulatedNetwork):
            from stackling.drivers.simulated.fabric import SimulatedFabric

            return SimulatedFabric(network.directory)
        from stackling.drivers.ovn.fabric import OvnFabric

        own = network.tls
        return OvnFabric(network.remote, tls=(own.certificate, own.key, own.ca) if own else None,
                         southbound=network.southbound)

    def _follow(self, fabric: Fabric) -> None:
        """Hear what changes in the fabric by itself; it may come later than we do."""
        from stackling.network import facade as network
        from stackling.ports.fabric import FabricDown

        try:
            fabric.watch(lambda keys: self.database.write(network.fabric_changed, keys))
        except FabricDown as error:
            log.warning("the network isn't there yet: %s", error)

    def _cloud(self) -> Cloud:
        asking = Asking(self.deployment.agents)
        return Cloud(self.database, self.identity.authenticate, public_url=self.deployment.public_url,
                     image_store=self.image_store, ask_agent=asking, tunnel=asking.tunnel, web=self._web(),
                     regions=self._regions())

    def _web(self) -> Web | None:
        if not self.deployment.web_download:
            return None
        from stackling.drivers.local.web import CheckedWeb

        return CheckedWeb(seconds=services.images(self).download_timeout)

    def _regions(self) -> Web | None:
        """As the catalog names them, on whatever port, also in our own network; and nowhere else."""
        if not self.deployment.glance_download:
            return None
        from stackling.drivers.local.web import CheckedWeb, is_elsewhere

        return CheckedWeb(allowed=is_elsewhere, ports=frozenset(), redirects=0,
                          seconds=services.images(self).download_timeout)

    def oidc(self) -> OidcProviders | None:
        """The identity providers through which people may log in."""
        if not self.deployment.identity_providers:
            return None
        from stackling.drivers.oidc.providers import HttpProviders

        return HttpProviders(self.deployment.identity_providers)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self.deployment.first_start_lock is None:
            yield
            return
        with self.deployment.first_start_lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _bus(wakeups: LocalWakeups | BrokerWakeups) -> Bus:
    near = LocalBus(wakeups.directory)
    if isinstance(wakeups, LocalWakeups):
        return near
    from stackling.drivers.rabbitmq.bus import RabbitBus

    return RabbitBus(wakeups.addresses, wakeups.password, wakeups.identity, near=near, machine=wakeups.machine)


def _compute_kinds() -> list[Kind]:
    from stackling.compute import facade as compute

    return compute.kinds()
