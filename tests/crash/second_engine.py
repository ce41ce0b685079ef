"""A second engine for a cloud that has one: ``second_engine.py STATE_DIR``. Says "works", ends with SIGTERM."""

from __future__ import annotations

import signal
import sys

from stackling.deploy.embedded import configuration, credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.main import embedded
from stackling.main.wiring import Plant

OWNER = "second"


def main() -> None:
    """Work until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    directory = StateDirectory.at(sys.argv[1])
    plant = Plant(embedded.deployment(
        directory, configuration.read(directory.configuration), credentials.read(directory)))
    stop = plant.start_engine(OWNER)
    print("works", flush=True)
    signal.sigwait({signal.SIGTERM})
    stop()
    plant.close()


if __name__ == "__main__":
    main()
