"""The control process: ``python -m stackling.main.control --state-dir DIR --role api`` or ``engine,stream``.

``api`` answers the public APIs on TCP. ``engine`` runs the workers that converge; ``stream``, on a unix socket that
only we may use, is where agents ask for documents and images and report.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded import credentials
from stackling.deploy.embedded.configuration import Configuration
from stackling.deploy.embedded.credentials import Credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.main import log as logs

log = logging.getLogger("stackling.main.control")
API, ENGINE, STREAM = "api", "engine", "stream"
ROLES = ({API}, {ENGINE, STREAM}, {API, ENGINE, STREAM})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a control process is told: where its cloud is, what that cloud is like, and what to be in it."""

    directory: StateDirectory
    configuration: Configuration
    credentials: Credentials
    roles: frozenset[str]

    @property
    def name(self) -> str:
        """The process's name among the cloud's."""
        return "control-api" if API in self.roles else "control-engine"


def main() -> None:
    """Run until SIGTERM."""
    os.umask(0o077)
    settings = _settings()
    logs.configure(settings.directory.log_file(settings.name), settings.configuration.log_level)
    log.info("%s starts", settings.name)
    try:
        _run(settings)
    except Exception:
        log.exception("%s fails", settings.name)
        raise
    log.info("%s has stopped", settings.name)


def _settings() -> Settings:
    parser = argparse.ArgumentParser(prog="stackling control", description=__doc__)
    parser.add_argument("--state-dir", required=True, help="the cloud's state directory")
    parser.add_argument("--role", required=True, help="api, or engine,stream, or all three")
    options = parser.parse_args()
    roles = frozenset(options.role.split(","))
    if roles not in ROLES:
        parser.error("--role is api, or engine,stream, or api,engine,stream")
    directory = StateDirectory.at(options.state_dir)
    return Settings(directory, configurations.read(directory.configuration), credentials.read(directory), roles)


def _run(settings: Settings) -> None:
    from stackling.main import server, wiring

    plant = wiring.Plant(settings.directory, settings.configuration, settings.credentials)
    closers: list[Callable[[], None]] = [plant.close]
    ready = settings.directory.run / "ready" / settings.name
    try:
        plant.first_start()
        if ENGINE in settings.roles:
            closers.append(plant.start_engine())
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)        # a page of 1000 rows is 30,000 objects: don't look at them 40 times
        if API in settings.roles:
            address, port = settings.configuration.listen, settings.configuration.port
            server.serve(plant.public_app(), server.listening(address, port), ready, plant.wakeups.close)
        else:
            path = settings.directory.run / "internal.sock"
            server.serve(plant.internal_app(), server.listening_unix(path), ready, plant.wakeups.close)
    finally:
        for close in reversed(closers):
            close()


if __name__ == "__main__":
    main()
