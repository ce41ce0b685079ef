"""The parent's side of the worker process: every call has a deadline, and a worker that hangs is killed.

Theory of operation. A worker runs from the first call until it dies, hangs or ``close``. A call that misses its
deadline kills it: other calls under way fail too (they are idempotent, and asked again), and the next call starts a
new one. libvirtd isn't touched by that: an operation that it has begun goes on there, and the next look finds its
result. The worker reconnects by itself when libvirtd returns, and says so.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from stackling.ports.hypervisor import GuestRefused, HypervisorError

log = logging.getLogger(__name__)
WORKER = Path(__file__).with_name("worker.py")
PYTHON = "/usr/bin/python3"
DEADLINE = 30.0
DOWN = "libvirtd on this machine doesn't answer; the server starts when it is back"


class WorkerClient:
    """Calls into one worker process at a time. Safe from several threads."""

    def __init__(self, uri: str, event: Callable[[dict[str, Any]], None] = lambda event: None, *,
                 command: tuple[str, ...] | None = None) -> None:
        self._command = command or (PYTHON, "-I", str(WORKER), uri)
        self._event = event
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, Future[Any]] = {}

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none runs."""
        process = self._process
        return process.pid if process else None

    def call(self, name: str, deadline: float = DEADLINE, **arguments: Any) -> Any:
        """Run a call in the worker. Raises ``HypervisorError`` or ``GuestRefused``."""
        number = next(self._ids)
        future: Future[Any] = Future()
        data = json.dumps({"id": number, "call": name, "args": arguments}).encode() + b"\n"
        with self._lock:
            process = self._running()
            self._waiting[number] = future
            try:
                assert process.stdin is not None
                process.stdin.write(data)
                process.stdin.flush()
            except OSError:
                self._abandon(process)
        try:
            return future.result(deadline)
        except FutureTimeout:
            log.error("libvirt call %s took more than %g s; the worker is killed", name, deadline)
            with self._lock:
                self._waiting.pop(number, None)
                self._abandon(process)
            raise HypervisorError(f"{DOWN} ({name} took more than {deadline:g} s)") from None

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            if self._process:
                self._abandon(self._process)

    # -- how

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
            self._process = process
            threading.Thread(target=self._read, args=(process,), name="libvirt-worker", daemon=True).start()
        return self._process

    def _abandon(self, process: subprocess.Popen[bytes]) -> None:
        """Kill *process* and fail what waits for it. The lock is held."""
        if self._process is not process:
            return
        self._process = None
        process.kill()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(HypervisorError(DOWN))

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                message = json.loads(line)
                if "event" in message:
                    self._event(message)
                    continue
                with self._lock:
                    future = self._waiting.pop(message["id"], None)
                if future is not None:
                    _settle(future, message)
        with self._lock:
            self._abandon(process)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()


def _settle(future: Future[Any], message: dict[str, Any]) -> None:
    error = message.get("error")
    if error is None:
        future.set_result(message.get("result"))
        return
    kind, words = error
    if kind == "refused":
        future.set_exception(GuestRefused(f"libvirt can't run it as asked: {words}"))
    elif kind == "down":
        future.set_exception(HypervisorError(f"{DOWN} ({words})"))
    else:
        future.set_exception(HypervisorError(words))
