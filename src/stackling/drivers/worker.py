"""The parent's side of a worker process: every call has a deadline, and a worker that hangs is killed.

What may hang for ever in a C library (libvirt, librados, librbd) is called in a process of its own, because a thread
can't be ended. Messages are JSON, one a line; one with ``bytes`` is followed by so many bytes of data:
``{"id": 1, "call": "write", "args": {…}, "bytes": 4096}`` → ``{"id": 1, "result": …}``, ``{"id": 1, "bytes": 512}``
or ``{"id": 1, "error": [kind, words]}``, in any order; a message without id is an event.

Theory of operation. A worker runs from the first call until it dies, hangs or ``close``. A call that misses its
deadline kills it: other calls under way fail too (they are idempotent, and asked again), and the next call starts a
new one. Only who holds a process's ``sending`` lock writes to its input or closes it, and never waits for a worker
that doesn't read beyond its own deadline.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

log = logging.getLogger(__name__)
PATIENCE = 2.0
PYTHON = "/usr/bin/python3"
DOWN = "down"
"""The kind of error when the worker or what it talks to doesn't answer."""
Bytes = bytes | bytearray | memoryview


class WorkerError(Exception):
    """A call failed: its kind, and words for people."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind, self.words = kind, words


class _Process:
    def __init__(self, command: Sequence[str]) -> None:
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
        assert self.popen.stdin is not None
        self.input = self.popen.stdin.fileno()
        os.set_blocking(self.input, False)
        self.sending = threading.Lock()

    def send(self, parts: Sequence[Bytes], deadline: float) -> None:
        """Raises ``TimeoutError``, or another ``OSError`` when the process is gone."""
        if not self.sending.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            for part in parts:
                self._write(memoryview(part), deadline)
        finally:
            self.sending.release()

    def _write(self, view: memoryview, deadline: float) -> None:
        if self.popen.stdin is None or self.popen.stdin.closed:
            raise BrokenPipeError
        poll = select.poll()
        poll.register(self.input, select.POLLOUT)
        while view:
            try:
                view = view[os.write(self.input, view):]
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    raise TimeoutError from None

    def leave(self) -> None:
        """Close its input, and wait for its end for up to ``PATIENCE`` seconds."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if self.sending.acquire(timeout=PATIENCE):
                try:
                    if self.popen.stdin is not None:
                        self.popen.stdin.close()
                finally:
                    self.sending.release()
                self.popen.wait(PATIENCE)

    def end(self) -> None:
        """Reap it, its input being of no more use."""
        self.popen.wait()
        with self.sending, contextlib.suppress(OSError):
            if self.popen.stdin is not None:
                self.popen.stdin.close()


class Worker:
    """Calls into one worker process at a time. Safe from several threads. *name* is what it talks to."""

    def __init__(self, command: Sequence[str], name: str,
                 event: Callable[[dict[str, Any]], None] = lambda event: None) -> None:
        self._command, self._name, self._event = tuple(command), name, event
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._waiting: dict[int, Future[Any]] = {}

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when none runs."""
        process = self._process
        return process.popen.pid if process else None

    def ask(self, call: str, deadline: float, data: Bytes = b"", /, **arguments: Any) -> Any:
        """Run a call in the worker: its result, or the bytes that it answers. Raises ``WorkerError``."""
        until = time.monotonic() + deadline
        number = next(self._ids)
        message = {"id": number, "call": call, "args": arguments, **({"bytes": len(data)} if data else {})}
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise WorkerError(DOWN, "nothing is asked of it any more")
            process = self._running()
            self._waiting[number] = future
        try:
            process.send((json.dumps(message).encode() + b"\n", data), until)
            return future.result(max(0.0, until - time.monotonic()))
        except (TimeoutError, FutureTimeout):
            log.error("%s: %s took more than %g s; the worker is killed", self._name, call, deadline)
            with self._lock:
                self._waiting.pop(number, None)
                self._abandon(process)
            raise WorkerError(DOWN, f"{call} took more than {deadline:g} s") from None
        except OSError:
            with self._lock:
                self._abandon(process)
            raise WorkerError(DOWN, "its worker process ended") from None

    def close(self) -> None:
        """End the worker, for good: a thread that still has something to ask is refused. The worker gets a moment to
        let go of what it holds."""
        with self._lock:
            self._closed, process = True, self._process
        if process is not None:
            process.leave()
            with self._lock:
                self._abandon(process)

    # -- how

    def _running(self) -> _Process:
        if self._process is None:
            self._process = process = _Process(self._command)
            threading.Thread(target=self._read, args=(process,), name=f"{self._name}-worker", daemon=True).start()
        return self._process

    def _abandon(self, process: _Process) -> None:
        """Kill *process* and fail what waits for it. The lock is held."""
        if self._process is not process:
            return
        self._process = None
        process.popen.kill()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(WorkerError(DOWN, "its worker process ended"))

    def _read(self, process: _Process) -> None:
        assert process.popen.stdout is not None
        with process.popen.stdout as stream, contextlib.suppress(ValueError):
            while line := stream.readline():
                message = json.loads(line)
                data = stream.read(message["bytes"]) if "bytes" in message else None
                if "id" not in message:
                    self._event(message)
                    continue
                with self._lock:
                    future = self._waiting.pop(message["id"], None)
                if future is not None:
                    _settle(future, message, data)
        with self._lock:
            self._abandon(process)
        process.end()


def _settle(future: Future[Any], message: dict[str, Any], data: bytes | None) -> None:
    error = message.get("error")
    if error is not None:
        future.set_exception(WorkerError(error[0], error[1]))
    else:
        future.set_result(message.get("result") if data is None else data)
