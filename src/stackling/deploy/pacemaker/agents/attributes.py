"""What Pacemaker is told of this machine beside its resources, and forgets when the machine leaves the cluster."""

from __future__ import annotations

import os
import time

from . import services
from .resource import Call, say

SERVES = "stackling-serves"
"""1 while the APIs answer on this machine. The virtual IP prefers machines where they do: a resource that has been
started, or is started again, may be long on its way."""

AGAIN = 30.0                    # seconds after which the same is said again
_LIMIT = 2.0


def serves(call: Call, works: bool) -> None:
    """Say whether the APIs answer here, unless it was said lately. That it can't be said is no reason to fail."""
    said = services.mark(SERVES)
    if not call.probe and _lately(said, works):
        return
    if _tell(call, works):
        services.set_mark(said, str(int(works)))
    else:
        services.forget(said)


def _lately(said: str, works: bool) -> bool:
    try:
        with open(said, encoding="ascii") as file:
            return file.read() == str(int(works)) and abs(time.time() - os.fstat(file.fileno()).st_mtime) < AGAIN
    except OSError:
        return False


def _tell(call: Call, works: bool) -> bool:
    import subprocess

    try:
        done = subprocess.run(
            ["attrd_updater", "--name", SERVES, "--update", str(int(works))], capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL, timeout=min(_LIMIT, call.left), check=False)
        reason = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        say(f"{SERVES} isn't known to the cluster: {reason[-200:]}")
    return not reason
