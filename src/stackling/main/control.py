"""The control process: ``python -m stackling.main.control --state-dir DIR --role api`` or ``engine,stream``; on a
machine of a cluster ``--cluster`` instead of the directory.

``api`` answers the public APIs on TCP. ``engine`` runs the workers that converge; ``stream``, on a unix socket that
only we may use or over mutual TLS, is where agents ask for documents and images and report.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stackling.core.errors import Unavailable
from stackling.main import log as logs
from stackling.main import notify

if TYPE_CHECKING:
    from stackling.main.deployment import Deployment
    from stackling.main.wiring import Plant

log = logging.getLogger("stackling.main.control")
API, ENGINE, STREAM = "api", "engine", "stream"
LEAVE = 4.0             # seconds for what is under way when we are to stop: the next start goes on with it
LOOK, EXTENSION = 0.5, 10_000_000       # seconds between two looks for the database; microseconds, for systemd
ROLES = ({API}, {ENGINE, STREAM}, {API, ENGINE, STREAM})


def main() -> None:
    """Run until SIGTERM."""
    os.umask(0o077)
    roles, deployment = _told()
    name = "control-api" if API in roles else "control-engine"
    logs.configure(deployment.log_directory and deployment.log_directory / f"{name}.log", deployment.log_level)
    log.info("%s starts", name)
    try:
        _run(name, roles, deployment)
    except Exception:
        log.exception("%s fails", name)
        raise
    _leave(f"{name} has stopped")


def _leave(words: str, code: int = 0) -> None:
    """End now: Python itself would wait for every thread."""
    log.info("%s", words)
    logging.shutdown()
    os._exit(code)


def _told() -> tuple[frozenset[str], Deployment]:
    parser = argparse.ArgumentParser(prog="stackling control", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--state-dir", help="the cloud's state directory")
    where.add_argument("--cluster", action="store_true", help="this machine is one of a cluster")
    parser.add_argument("--root", type=Path, default=Path("/"), help="above etc/stackling and its like (for tests)")
    parser.add_argument("--role", required=True, help="api, or engine,stream, or all three")
    options = parser.parse_args()
    roles = frozenset(options.role.split(","))
    if roles not in ROLES:
        parser.error("--role is api, or engine,stream, or api,engine,stream")
    return roles, _of_cluster(options.root) if options.cluster else _of_directory(options.state_dir)


def _of_directory(path: str) -> Deployment:
    from stackling.deploy.embedded import configuration, credentials
    from stackling.deploy.embedded.directory import StateDirectory
    from stackling.main import embedded

    directory = StateDirectory.at(path)
    return embedded.deployment(directory, configuration.read(directory.configuration), credentials.read(directory))


def _of_cluster(root: Path) -> Deployment:
    from stackling.deploy.cluster.description import ClusterError
    from stackling.deploy.cluster.paths import Paths
    from stackling.main import cluster

    try:
        return cluster.deployment(Paths(root))
    except ClusterError as error:
        sys.exit(f"stackling control: {error}")


def _run(name: str, roles: frozenset[str], deployment: Deployment) -> None:
    from stackling.main import server, wiring

    plant = wiring.Plant(deployment)
    closers: list[Callable[[], None]] = [plant.close]
    ready = deployment.directory / "ready" / name
    try:
        _first_start(plant)
        if ENGINE in roles:
            closers.append(plant.start_engine())
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)        # a page of 1000 rows is 30,000 objects: don't look at them 40 times
        if API in roles:
            server.serve(plant.public_app(), deployment.public, ready, plant.ending, websockets=True,
                         aside=plant.health(API))
        else:
            server.serve(plant.internal_app(), deployment.internal, ready, plant.ending, aside=plant.health(ENGINE))
    finally:
        failed = sys.exc_info()[0] is not None
        late = threading.Timer(LEAVE, _leave, (f"{name} stops in the middle of something", int(failed)))
        late.daemon = True
        late.start()
        for close in reversed(closers):
            close()
        late.cancel()


def _first_start(plant: Plant) -> None:
    """The first start, or a look that it was; waits for a database that isn't there yet."""
    waiting = False
    while True:
        try:
            plant.first_start()
            return
        except Unavailable as error:
            if not waiting:
                log.warning("waiting: %s", error.message)
                notify.tell(f"STATUS={error.message}")
            waiting = True
            notify.tell(f"EXTEND_TIMEOUT_USEC={EXTENSION}")
            time.sleep(LOOK)


if __name__ == "__main__":
    main()
