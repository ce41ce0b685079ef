"""What a control process is made of: the database, the bus, the services, the drivers that the configuration names."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.route import Service
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.credentials import Credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.drivers.local.bus import LocalBus
from stackling.identity.facade import Identity
from stackling.store.database import Database

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]


class Plant:
    """One control process's parts. What needs a thread or a connection comes when it is asked for."""

    def __init__(self, directory: StateDirectory, configuration: Configuration, credentials: Credentials) -> None:
        self.directory, self.configuration, self.credentials = directory, configuration, credentials
        self.database = Database(f"sqlite:///{directory.database}", durable=configuration.durable)
        self.identity = Identity(bytes.fromhex(credentials.cluster_key))
        self.bus = LocalBus(directory.run / "bus")
        self.database.on_nudge = self.bus.send

    def first_start(self) -> None:
        """Make the tables and what a cloud starts with; quick when it is there. Several processes may call it."""
        from stackling.main.first_start import first_start

        with self._alone():
            first_start(self)

    def public_app(self) -> App:
        """The APIs that clients use."""
        return build_app(self._cloud(), _public_services(self))

    def internal_app(self) -> App:
        """What agents use; never on the public port."""
        return build_app(self._cloud(), _internal_services(self))

    def start_engine(self) -> Callable[[], None]:
        """Start the workers; returns what stops them."""
        from stackling.engine.worker import Worker
        from stackling.store.work import SqlWorkQueue

        worker = Worker(SqlWorkQueue(self.database), self._kinds())
        self.bus.listen(lambda _keys: worker.wake())
        worker.start()
        return worker.stop

    def close(self) -> None:
        """Let go of everything."""
        self.bus.close()
        self.database.close()

    # -- how

    def _kinds(self) -> list[Any]:
        return []

    def _cloud(self) -> Cloud:
        return Cloud(self.database, self.identity.authenticate, public_url=self.configuration.public_url)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.directory.run / "first-start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _public_services(plant: Plant) -> list[Service]:
    try:
        from stackling.api.identity.service import service as identity
    except ImportError:
        return []
    return [identity(plant.identity)]


def _internal_services(plant: Plant) -> list[Service]:
    return []
