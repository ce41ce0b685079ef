"""Having systemd take notice of units, and start what it starts itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from stackling.deploy.embedded.command import CommandFailed, run

RUNNING = Path("/run/systemd/system")
TRIES, BETWEEN = 10, 1.0        # restarts whose job somebody else's took the place of; seconds between them
REPLACED = "canceled"           # how systemctl says that


def is_here() -> bool:
    """Whether systemd runs this machine."""
    return RUNNING.is_dir()


def reload() -> None:
    """Have it read its units again. Raises ``CommandFailed``."""
    run("systemctl", "daemon-reload", timeout=60.0)


def make_directories(tmpfiles: Path) -> None:
    """What a file of tmpfiles.d asks for. Raises ``CommandFailed``."""
    run("systemd-tmpfiles", "--create", str(tmpfiles), timeout=30.0)


def enable(units: Sequence[str], *, now: bool) -> None:
    """Start *units* at each boot, and at once with *now*. Raises ``CommandFailed``."""
    if units:
        run("systemctl", "enable", *(("--now", "--no-block") if now else ()), *units, timeout=120.0)


def restart(units: Sequence[str]) -> None:
    """Start those of *units* again that run, and wait until they do. Raises ``CommandFailed``.

    Pacemaker starts and stops units as well; systemd cancels our job for one that comes later. What runs after that may
    have been started before us, so it is restarted once more; what doesn't run is left to Pacemaker.
    """
    for left in reversed(range(TRIES if units else 0)):
        try:
            run("systemctl", "try-restart", *units, timeout=100.0)
            return
        except CommandFailed as error:
            if not left or REPLACED not in str(error):
                raise
            time.sleep(BETWEEN)


def disable(units: Iterable[str]) -> None:
    """Start them no more at boot: somebody else (Pacemaker) does. Raises ``CommandFailed``."""
    names = list(units)
    if names:
        run("systemctl", "disable", *names, timeout=60.0)


def verify(units: Sequence[Path]) -> str:
    """What ``systemd-analyze verify`` finds wrong with the files *units*; empty when nothing is."""
    try:
        return run("systemd-analyze", "verify", "--man=no", *map(str, units), timeout=60.0)
    except CommandFailed as error:
        return str(error)
