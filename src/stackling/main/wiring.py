"""What a control process is made of: the database, the bus, the services, the drivers that the configuration names."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.internal.service import Wakeups
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.credentials import Credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.drivers.local.bus import LocalBus
from stackling.drivers.local.image_store import LocalImageStore
from stackling.engine.kinds import Kind
from stackling.identity.facade import Identity, IdentityConfig, SecurityCompliance
from stackling.main import services
from stackling.main.asking import ask_agent
from stackling.ports.fabric import Fabric
from stackling.ports.web import Web
from stackling.store.database import Database

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]


class Plant:
    """One control process's parts. What needs a thread or a connection comes when it is asked for."""

    def __init__(self, directory: StateDirectory, configuration: Configuration, credentials: Credentials) -> None:
        self.directory, self.configuration, self.credentials = directory, configuration, credentials
        self.database = Database(f"sqlite:///{directory.database}", durable=configuration.durable)
        self.identity = Identity(bytes.fromhex(credentials.cluster_key), _identity(configuration))
        self.image_store = LocalImageStore(directory.images)
        self.bus = LocalBus(directory.run / "bus")
        self.wakeups = Wakeups()
        self.database.on_nudge = self.bus.send

    def first_start(self) -> None:
        """Make the tables and what a cloud starts with; quick when it is there. Several processes may call it."""
        from stackling.main.first_start import first_start

        with self._alone():
            first_start(self)

    def public_app(self) -> App:
        """The APIs that clients use."""
        return build_app(self._cloud(), services.public(self))

    def internal_app(self) -> App:
        """What agents use; never on the public port."""
        self.bus.listen(self.wakeups.woken)
        return build_app(self._cloud(), services.internal(self))

    def start_engine(self, owner: str = "engine") -> Callable[[], None]:
        """Start the workers; returns what stops them. *owner* is its name among engines, the same in each life."""
        from stackling.engine.worker import Worker
        from stackling.network import facade as network
        from stackling.store.work import SqlWorkQueue

        fabric = self._fabric()
        fabric.watch(lambda keys: self.database.write(network.fabric_changed, keys))
        audited = self._audited(fabric)
        worker = Worker(SqlWorkQueue(self.database), [*_compute_kinds(), *audited], audits=audited, owner=owner,
                        lease=self.configuration.engine_lease)
        self.bus.listen(lambda _keys: worker.wake())
        worker.start()

        def stop() -> None:
            worker.stop()
            fabric.close()

        return stop

    def close(self) -> None:
        """Let go of everything."""
        self.bus.close()
        self.database.close()

    # -- how

    def _audited(self, fabric: Fabric) -> list[Any]:
        """The kinds whose backends the engine can list, to find what a stale turn left."""
        from stackling.image import kinds as image
        from stackling.network import kinds as network

        return [*network.kinds(fabric), *image.kinds(self.image_store)]

    def _fabric(self) -> Fabric:
        if self.configuration.simulated:
            from stackling.drivers.simulated.fabric import SimulatedFabric

            return SimulatedFabric(self.directory.root / "fabric")
        from stackling.deploy.embedded import network
        from stackling.drivers.ovn.fabric import OvnFabric

        return OvnFabric(network.paths(self.directory).northbound)

    def _cloud(self) -> Cloud:
        return Cloud(self.database, self.identity.authenticate, public_url=self.configuration.public_url,
                     image_store=self.image_store, ask_agent=ask_agent, web=self._web())

    def _web(self) -> Web | None:
        if not self.configuration.web_download:
            return None
        from stackling.drivers.local.web import CheckedWeb

        return CheckedWeb(seconds=services.images(self).download_timeout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.directory.run / "first-start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _identity(configuration: Configuration) -> IdentityConfig:
    return IdentityConfig(security=SecurityCompliance(
        lockout_failure_attempts=configuration.lockout_failure_attempts or None,
        lockout_duration=configuration.lockout_duration,
        unique_last_password_count=configuration.unique_last_password_count))


def _compute_kinds() -> list[Kind]:
    from stackling.compute import facade as compute

    return compute.kinds()
