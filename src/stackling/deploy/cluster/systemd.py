"""Having systemd take notice of units, and start what it starts itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from stackling.deploy.embedded.command import CommandFailed, run

RUNNING = Path("/run/systemd/system")


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
    """Start those of *units* again that run, and wait until they do. Raises ``CommandFailed``."""
    if units:
        run("systemctl", "try-restart", *units, timeout=100.0)


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
