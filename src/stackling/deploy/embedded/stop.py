"""Stop every process of a cloud, from whatever state it is in, with or without its supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

from stackling.deploy.embedded import processes
from stackling.deploy.embedded.directory import StateDirectory
from stackling.deploy.embedded.process import ProcessSpec
from stackling.deploy.embedded.processes import Running

SUPERVISOR = "supervisor"
Progress = Callable[[str], None]


def stop(directory: StateDirectory, specs: Sequence[ProcessSpec], progress: Progress = lambda _: None,
         ended: Progress = lambda _: None) -> None:
    """Stop the supervisor, then *specs* in reverse order of their start, then whatever else carries our mark.

    *ended* is called with each process's name when it has ended, before those that it needed are stopped.
    """
    if supervisor := processes.find(directory.pid_file(SUPERVISOR), directory.digest, SUPERVISOR):
        supervisor.send(signal.SIGTERM)
        _end(supervisor, SUPERVISOR, 3.0)
    directory.pid_file(SUPERVISOR).unlink(missing_ok=True)
    for wave in waves(specs):
        _stop_wave(directory, wave, progress)
        for spec in wave:
            ended(spec.name)
    kill_strays(directory.digest)


def waves(specs: Sequence[ProcessSpec]) -> list[list[ProcessSpec]]:
    """*specs* in the order of stopping: each list holds those that nobody in a later list needs."""
    left = {spec.name: spec for spec in specs}
    result: list[list[ProcessSpec]] = []
    while left:
        needed = {name for spec in left.values() for name in spec.after}
        free = [spec for spec in left.values() if spec.name not in needed]
        if not free:
            raise ValueError(f"these processes wait for each other: {', '.join(left)}")
        result.append(free)
        for spec in free:
            del left[spec.name]
    return result


def kill_strays(digest: str) -> None:
    """SIGKILL everything that carries our mark."""
    for _ in range(50):
        strays = [pid for pid, _ in processes.everyone(digest)]
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _stop_wave(directory: StateDirectory, wave: Sequence[ProcessSpec], progress: Progress) -> None:
    ending: list[tuple[ProcessSpec, Running, float]] = []
    for spec in wave:
        if running := processes.find(directory.pid_file(spec.name), directory.digest, spec.name):
            progress(spec.name)
            running.send(spec.stop_signal)
            ending.append((spec, running, time.monotonic() + spec.stop_timeout))
    for spec, running, deadline in ending:
        _end(running, spec.name, deadline - time.monotonic())
    for spec in wave:
        directory.pid_file(spec.name).unlink(missing_ok=True)


def _end(running: Running, name: str, timeout: float) -> None:
    """Wait for the end, and force it after *timeout* seconds."""
    if not running.wait(timeout):
        running.send(signal.SIGKILL)
        if not running.wait(5.0):
            raise TimeoutError(f"{name} (pid {running.pid}) doesn't end, not even by SIGKILL")
    running.close()
