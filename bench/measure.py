"""Drive operations in a closed loop and account for the time: wall clock, and the CPU of the cloud's processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.client import Refused

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """One case at one concurrency. Times in ms; ``cpu_ms`` is what all processes of the cloud spent an operation."""

    case: str
    concurrency: int
    ops: int
    errors: int
    ops_per_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    first_error: str | None = None


class Processes:
    """The cloud's processes: the pid files of a state directory name session leaders."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def cpu(self) -> float:
        """Seconds of CPU that the sessions have used so far."""
        sessions = {path.read_text().strip() for path in self._directory.glob("*.pid")}
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[3] in sessions:
                total += sum(map(int, fields[11:15]))
        return total / TICK

    def memory(self) -> float:
        """MiB of proportional set size."""
        sessions = {path.read_text().strip() for path in self._directory.glob("*.pid")}
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if stat.read_text().rsplit(")", 1)[1].split()[3] in sessions:
                    rollup = (stat.parent / "smaps_rollup").read_text()
                    total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            except OSError:
                continue
        return total / 1024


@dataclass(slots=True)
class Bench:
    """How much to do. ``warmup`` operations a case aren't counted."""

    processes: Processes
    ops: int = 200
    list_ops: int = 20
    concurrencies: tuple[int, ...] = (1, 16)
    warmup: int = 20
    seconds: float = 60.0
    report: Callable[[Figure], None] = print

    async def drive(self, case: str, concurrency: int, operation: Callable[[Any], Awaitable[float | None]], *,
                    ops: int | None = None, items: Iterable[Any] | None = None, warmup: int | None = None) -> None:
        """Run *operation* over *items* (or 0, 1, 2 …), *concurrency* at once, and report.

        An operation may return its own duration in seconds, where it isn't the time of the call.
        """
        warm = 0 if items is not None else self.warmup if warmup is None else warmup
        queue = iter(range(10**9) if items is None else items)
        await self._loop(queue, concurrency, operation, warm)
        before, start = self.processes.cpu(), time.perf_counter()
        times, errors = await self._loop(queue, concurrency, operation, 10**9 if items is not None else ops or self.ops)
        seconds = time.perf_counter() - start
        done = max(1, len(times))
        times.sort()
        self.report(Figure(case, concurrency, len(times), len(errors), len(times) / seconds,
                           _percentile(times, 0.50), _percentile(times, 0.95),
                           (self.processes.cpu() - before) * 1000 / done, errors[0] if errors else None))

    async def _loop(self, queue: Any, concurrency: int, operation: Callable[[Any], Awaitable[float | None]],
                    count: int) -> tuple[list[float], list[str]]:
        times: list[float] = []
        errors: list[str] = []
        left, end = [count], time.perf_counter() + self.seconds

        async def client() -> None:
            while left[0] > 0 and time.perf_counter() < end:
                left[0] -= 1
                try:
                    item = next(queue)
                except StopIteration:
                    return
                start = time.perf_counter()
                try:
                    own = await operation(item)
                except (Refused, aiohttp.ClientError, TimeoutError) as error:
                    errors.append(f"{type(error).__name__}: {error}"[:300])
                    continue
                times.append(time.perf_counter() - start if own is None else own)

        await asyncio.gather(*(client() for _ in range(min(concurrency, count))))
        return times, errors


def _percentile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 if ordered else float("nan")
