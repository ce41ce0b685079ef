"""The supervisor's process. Started by ``up`` only."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import time

from stackling.deploy.embedded import configuration, layout, processes
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.supervisor import Supervisor

LARGEST_LOG = 1 << 20


def main() -> None:
    """Supervise the cloud in ``--state-dir``; ``--listener`` is the descriptor of a listening unix socket."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", required=True)
    parser.add_argument("--listener", type=int, required=True)
    options = parser.parse_args()
    directory = StateDirectory.at(options.state_dir)
    _log(directory)
    specs = layout.specs(directory, configuration.read(directory.configuration))
    listener = socket.socket(fileno=options.listener)
    processes.write_pid(directory.pid_file("supervisor"), os.getpid())
    try:
        Supervisor(specs, directory.digest, directory.root, directory.logs, listener).run()
    except Exception:
        logging.getLogger(__name__).exception("the supervisor failed; the processes go on")
        sys.exit(1)


def _log(directory: StateDirectory) -> None:
    path = directory.log_file("supervisor")
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(".log.1"))
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(filename=path, level=logging.INFO, format="%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s",
                        datefmt="%Y-%m-%dT%H:%M:%S")


if __name__ == "__main__":
    main()
