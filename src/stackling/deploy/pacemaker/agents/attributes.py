"""What Pacemaker is told of this machine beside its resources, and forgets when the machine leaves the cluster."""

from __future__ import annotations

import subprocess

from .resource import Call, say

SERVES = "stackling-serves"
"""1 while the APIs answer on this machine. The virtual IP prefers machines where they do: a resource that has been
started, or is started again, may be long on its way."""

_LIMIT = 2.0


def serves(call: Call, works: bool) -> None:
    """Say whether the APIs answer here. That it can't be said is no reason to fail."""
    try:
        done = subprocess.run(
            ["attrd_updater", "--name", SERVES, "--update", str(int(works))], capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL, timeout=min(_LIMIT, call.left), check=False)
        reason = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        say(f"{SERVES} isn't known to the cluster: {reason[-200:]}")
