"""Code that runs in another network namespace: as the cluster's clients see it."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
THREADS = 64
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    """Move the calling thread into the network namespace of this name; sockets that it opens belong there."""
    descriptor = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"entering network namespace {namespace}")
    finally:
        os.close(descriptor)


class Inside:
    """Threads in a namespace that run what they are given, none waiting for another's."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=namespace, initializer=enter, initargs=(namespace,))

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run it there and wait."""
        return self._pool.submit(function, *arguments).result()

    def spawn(self, function: Callable[[], None], name: str) -> threading.Thread:
        """Run it there in a thread of its own."""
        def work() -> None:
            enter(self.namespace)
            function()

        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)
