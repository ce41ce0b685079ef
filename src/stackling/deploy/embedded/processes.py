"""Which processes are ours, without trusting a bare pid.

Every process that we start has ``STACKLING_PROCESS=<digest of the state directory>/<name>`` in its environment, which
its children inherit. A pid from a file counts only when the process behind it carries that mark and leads its own
session; the check is made after a pidfd is open, so that a pid which is used again can't be mistaken.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "STACKLING_PROCESS"


@dataclass(frozen=True, slots=True)
class Running:
    """A living process of ours. ``fd`` is a pidfd: readable when the process has ended; the holder closes it."""

    pid: int
    fd: int

    def alive(self) -> bool:
        """Whether it still runs."""
        return not select.select([self.fd], [], [], 0)[0]

    def wait(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for its end; whether it has ended."""
        return bool(select.select([self.fd], [], [], max(0.0, timeout))[0])

    def send(self, number: int) -> None:
        """Send a signal (nothing happens when it has ended)."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, number)

    def close(self) -> None:
        os.close(self.fd)


def mark(digest: str, name: str) -> dict[str, str]:
    """What a process's environment gets."""
    return {MARK: f"{digest}/{name}"}


def read_pid(path: Path) -> int | None:
    """The pid in a pid file, or None."""
    try:
        return int(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def write_pid(path: Path, pid: int) -> None:
    """Write a pid file. Who reads it meanwhile sees what was there or what is there, never an empty file: that would
    mean that nothing runs, and something would be started a second time."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(f"{pid}\n")
    new.replace(path)


def find(path: Path, digest: str, name: str) -> Running | None:
    """The process whose pid is in the pid file *path*, when it is really ours and alive."""
    pid = read_pid(path)
    return None if pid is None else hold(pid, digest, name)


def hold(pid: int, digest: str, name: str) -> Running | None:
    """The process *pid*, when it is our *name* and alive."""
    try:
        fd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return None
    running = Running(pid, fd)
    if marked(pid) == (digest, name) and _leads(pid) and running.alive():
        return running
    running.close()
    return None


def marked(pid: int) -> tuple[str, str] | None:
    """The (digest, name) that the process carries, or None (also when we may not look)."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for item in environment.split(b"\0"):
        if item.startswith(b"STACKLING_PROCESS="):
            digest, _, name = os.fsdecode(item.partition(b"=")[2]).partition("/")
            return digest, name
    return None


def everyone(digest: str) -> Iterator[tuple[int, str]]:
    """Every (pid, name) that carries our mark: our processes and their children. Without this process."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            found = marked(int(entry.name))
            if found and found[0] == digest:
                yield int(entry.name), found[1]


def leaders(digest: str) -> list[tuple[str, int]]:
    """The (name, pid) of every process with our mark that leads a session, found without pid files."""
    return [(name, pid) for pid, name in everyone(digest) if _leads(pid)]


def runs(pid: int, argv: Sequence[str]) -> bool:
    """Whether *argv* is the command line of the process."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return False
    return command == [os.fsencode(word) for word in argv]


def _leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


@dataclass(frozen=True, slots=True)
class Usage:
    """``uptime`` and ``cpu`` in seconds, ``memory`` (proportional set) in bytes."""

    uptime: float
    cpu: float
    memory: int


def usage(pid: int) -> Usage | None:
    """What a process uses; None when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0]) - int(stat[19]) / tick
    memory = next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return Usage(max(0.0, uptime), (int(stat[11]) + int(stat[12])) / tick, memory)
