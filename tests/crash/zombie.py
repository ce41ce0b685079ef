"""An engine process that stops itself (SIGSTOP) just before it changes the fabric: ``zombie.py STATE_DIR KIND``.

It claims everything that is due, with a lease of one second, and stops at its first change of a KIND. What it did
after somebody has sent SIGCONT stands in its last line.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from stackling.deploy.embedded import configuration, credentials
from stackling.deploy.embedded.directory import StateDirectory
from stackling.engine.worker import Worker
from stackling.main import embedded
from stackling.main.wiring import Plant
from stackling.network import kinds as network
from stackling.ports.fabric import Refused
from stackling.store.work import SqlWorkQueue

LEASE = 1.0


class Sleeper:
    """A fabric whose first ``put`` of a kind is slept through."""

    def __init__(self, fabric: Any, kind: str) -> None:
        self._fabric, self._kind = fabric, kind
        self.slept = ""
        self.outcome = "nothing"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)

    def put(self, era: int, desired: Any) -> None:
        if self.slept or desired.kind != self._kind:
            self._fabric.put(era, desired)
            return
        self.slept = f"{desired.kind} {desired.id} {desired.generation}"
        print(self.slept, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            self._fabric.put(era, desired)
            self.outcome = "written"
        except Refused:
            self.outcome = "refused"
            raise


def main() -> None:
    """Work until the sleep is over."""
    directory = StateDirectory.at(sys.argv[1])
    plant = Plant(embedded.deployment(
        directory, configuration.read(directory.configuration), credentials.read(directory)))
    fabric = Sleeper(plant._fabric(), sys.argv[2])  # pyright: ignore[reportPrivateUsage]
    worker = Worker(SqlWorkQueue(plant.database), network.kinds(fabric), lease=LEASE)  # type: ignore[arg-type]
    print("ready", flush=True)
    sys.stdin.readline()
    while not fabric.slept:
        worker.step()
    print(fabric.outcome, flush=True)


if __name__ == "__main__":
    main()
