"""Calls to libvirtd through its worker process (``drivers.worker``), with errors as the agent knows them.

libvirtd isn't touched when a worker is killed: an operation that it has begun goes on there, and the next look finds
its result. The worker reconnects by itself when libvirtd returns, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackling.drivers.worker import DOWN, PYTHON, Worker, WorkerError
from stackling.ports.hypervisor import GuestRefused, GuestSilent, HypervisorError

WORKER = Path(__file__).with_name("worker.py")
DEADLINE = 30.0
NO_ANSWER = "libvirtd on this machine doesn't answer; the server starts when it is back"


class WorkerClient:
    """Calls into one worker process at a time. Safe from several threads."""

    def __init__(self, uri: str, event: Callable[[dict[str, Any]], None] = lambda event: None, *,
                 command: tuple[str, ...] | None = None) -> None:
        self._worker = Worker(command or (PYTHON, "-I", str(WORKER), uri), "libvirt", event)

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none runs."""
        return self._worker.pid

    def call(self, name: str, deadline: float = DEADLINE, **arguments: Any) -> Any:
        """Run a call in the worker. Raises ``HypervisorError`` or ``GuestRefused``."""
        try:
            return self._worker.ask(name, deadline, **arguments)
        except WorkerError as error:
            if error.kind == "refused":
                raise GuestRefused(f"libvirt can't run it as asked: {error.words}") from None
            if error.kind == "silent":
                raise GuestSilent(error.words) from None
            raise HypervisorError(f"{NO_ANSWER} ({error.words})" if error.kind == DOWN else error.words) from None

    def close(self) -> None:
        """End the worker."""
        self._worker.close()
