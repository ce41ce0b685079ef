"""How blocking calls are run: in threads, or in place when a driver never blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Run(Protocol):
    """Runs a blocking call and gives its result."""

    def __call__(self, call: Callable[..., T], *args: Any) -> Awaitable[T]: ...


def in_threads(executor: Executor) -> Run:
    """Each call in a thread of *executor*."""
    def run(call: Callable[..., T], *args: Any) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(executor, call, *args)
    return run


async def inline(call: Callable[..., T], *args: Any) -> T:
    """Right here: for simulated drivers; spares two context switches a call."""
    return call(*args)
