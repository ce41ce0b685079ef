"""The lab's subtree of cgroup2: one group a machine, and one for the lab's own processes.

A machine's group is the root of its cgroup namespace, so its systemd rules it alone. Everything that the lab started
is in the subtree: ending all of it needs no pid file. Only cgroup2 is used: given version 1 hierarchies as well,
systemd mounts them all and makes groups in the outer machine's trees.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stackling.lab.problem import LabError


def mount_point() -> Path:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    raise LabError("this machine has no cgroup2 mounted; as root: mount -t cgroup2 none /sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Group:
    """One directory of cgroup2."""

    path: Path

    def make(self) -> None:
        """Make it, with every controller that is to be had."""
        self.path.parent.mkdir(exist_ok=True)
        for above in (self.path.parent.parent, self.path.parent):
            for controller in (above / "cgroup.controllers").read_text().split():
                with contextlib.suppress(OSError):      # the machine keeps it for itself
                    (above / "cgroup.subtree_control").write_text(f"+{controller}")
        self.path.mkdir(exist_ok=True)

    def enter(self) -> None:
        """Move this process into it."""
        self.take(0)

    def take(self, pid: int) -> None:
        """Move a process into it."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[int]:
        """Every process in it and below."""
        found: list[int] = []
        for group in self._subtree():
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
        return found

    def holds(self, pid: int) -> bool:
        """Whether the process is in it or below."""
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            return False
        unified = next((line[3:] for line in lines if line.startswith("0::")), "")
        return f"/{self.path.parent.name}/{self.path.name}/" in f"{unified}/"

    def freeze(self, frozen: bool) -> None:
        """Stop every process in it at once, or let them go on. Raises ``LabError`` when that takes too long."""
        (self.path / "cgroup.freeze").write_text("1" if frozen else "0")
        deadline = time.monotonic() + 10
        while frozen and "frozen 1" not in (self.path / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise LabError(f"{self.path.name} doesn't freeze within 10 s")
            time.sleep(0.005)

    @property
    def frozen(self) -> bool:
        """Whether it was told to freeze."""
        try:
            return (self.path / "cgroup.freeze").read_text().strip() == "1"
        except OSError:
            return False

    def signal_all(self, number: signal.Signals) -> list[int]:
        """Send the signal to everything in it but this process; to whom."""
        found = [pid for pid in self.processes() if pid not in (0, os.getpid())]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    def kill(self, timeout: float = 10) -> None:
        """SIGKILL everything in it and wait for the end."""
        deadline = time.monotonic() + timeout
        while left := self.signal_all(signal.SIGKILL):
            if time.monotonic() > deadline:
                raise LabError(f"these processes don't end, not even by SIGKILL: {left}")
            time.sleep(0.005)

    def remove(self) -> None:
        """Remove it and all below; its processes are gone. Their last traces may need a moment."""
        deadline = time.monotonic() + 5
        while self.path.exists():
            for group in reversed(list(self._subtree())):
                with contextlib.suppress(OSError):
                    group.rmdir()
            if not self.path.exists():
                return
            if time.monotonic() > deadline:
                raise LabError(f"{self.path} can't be removed; its processes: {self.processes()}")
            time.sleep(0.01)

    def _subtree(self) -> Iterator[Path]:
        for directory, _, _ in os.walk(self.path):
            yield Path(directory)


def memory(pids: list[int]) -> int:
    """The processes' memory in bytes, what they share counted once (proportional set size)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
                    break
    return total
