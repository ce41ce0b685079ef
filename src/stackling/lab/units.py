"""Signals to what runs in a machine, named as people name it: by unit or by program."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

from stackling.lab.problem import LabError


class Run(Protocol):
    """Runs a program inside (``Machine.run``)."""

    def __call__(self, argv: list[str], *, check: bool = ..., timeout: float = ...
                 ) -> subprocess.CompletedProcess[str]: ...


def send(run: Run, what: str, number: signal.Signals) -> None:
    """Send the signal to the main process of the unit *what*, or else to every process of that name. Raises
    ``LabError`` when there is neither."""
    for unit in (what, f"stackling-{what}"):
        if pid := main_process(run, unit):
            run(["kill", f"-{number.name[3:]}", str(pid)])
            return
    found = run(["pgrep", "-x", what[:15]], check=False).stdout.split()
    if not found:
        raise LabError(f"there is no active unit and no process {what!r} in it")
    run(["kill", f"-{number.name[3:]}", *found])


def main_process(run: Run, unit: str) -> int:
    """The main process of an active unit, as the machine counts; 0: none."""
    answer = run(["systemctl", "show", "--property=MainPID", "--value", unit], check=False).stdout.strip()
    return int(answer) if answer.isdigit() else 0


def halt(pid: int, within: float = 10.0) -> None:
    """SIGSTOP a process, and return when it has stopped: the kernel leaves that to whichever thread the signal is
    given to, and until that one runs the others go on. Raises ``ProcessLookupError``, and ``LabError`` when it goes on
    for *within* seconds."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + within
    while state(pid) not in "TtZX":
        if time.monotonic() > deadline:
            raise LabError(f"process {pid} doesn't stop")
        time.sleep(0.005)


def state(pid: int) -> str:
    """The letter of ``proc(5)`` for what a process does; ``X`` when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"
