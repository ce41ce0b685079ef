"""Calls into a file system that may hang for ever, as a hard NFS mount does while its server is away.

Theory of operation. Nothing ends a thread that hangs in the kernel. So each call gets a thread of its own, and whoever
asked goes on without it at the deadline, with a reason. While the call for a server hangs, no other one is made for it:
what hangs may still do its work, and two at once would meet. Beyond a number of threads that hang, everything is
refused at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from stackling.ports.hypervisor import HypervisorError

T = TypeVar("T")
MOST = 16


class Patience:
    """*what* is named in the reason."""

    def __init__(self, what: str, most: int = MOST) -> None:
        self._what, self._most = what, most
        self._busy: set[str] = set()
        self._late = 0
        self._lock = threading.Lock()

    def call(self, seconds: float, key: str, function: Callable[[], T]) -> T:
        """The result of *function*, or what it raises; ``HypervisorError`` at the deadline. *key*: what only one call
        at a time may work on ("": nothing)."""
        result: Future[T] = Future()
        thread = threading.Thread(target=self._run, args=(key, function, result), daemon=True, name=f"patient {key}")
        with self._lock:
            if self._late >= self._most or key in self._busy:
                raise HypervisorError(f"{self._what} doesn't answer: an earlier request still waits for it")
            if key:
                self._busy.add(key)
        thread.start()
        try:
            return result.result(seconds)
        except FutureTimeout:
            if result.done():               # it ended just now, or itself says so
                return result.result()
        with self._lock:
            self._late += 1
        result.add_done_callback(self._caught_up)
        raise HypervisorError(f"{self._what} doesn't answer; the server goes on when it does")

    def _caught_up(self, _: object) -> None:
        with self._lock:
            self._late -= 1

    def _run(self, key: str, function: Callable[[], T], result: Future[T]) -> None:
        try:
            value = function()
        except BaseException as error:
            self._end(key)
            result.set_exception(error)
        else:
            self._end(key)
            result.set_result(value)

    def _end(self, key: str) -> None:
        with self._lock:
            self._busy.discard(key)
