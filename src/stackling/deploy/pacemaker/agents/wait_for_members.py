"""Holds Pacemaker's start back until the machines that are starting, too, have had a chance.

Theory of operation. Pacemaker switches off whoever isn't there when it starts (``startup-fencing``), and must: nobody
knows what runs there. After a power cut of everything the machines don't come up at the same moment, and one that is
in the middle of its start would be switched off, for good. So Pacemaker starts only

- when all control machines are members of Corosync's ring, or
- when Pacemaker runs on one of them already: then that has been decided, or
- ``GRACE`` seconds after there was a quorum, counted anew when somebody comes.

Without a quorum it waits on: nothing could be done, and a quorum that came later would find Pacemaker running, and the
third machine switched off in the middle of its start. Whatever can't be found out doesn't hold it back.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

GRACE = 30.0
POLL = 0.25
_CONFIGURED = re.compile(r"^nodelist\.node\.\d+\.nodeid\b.*= (\d+)$", re.MULTILINE)
_JOINED = re.compile(r"^runtime\.members\.(\d+)\.status\b.*= joined$", re.MULTILINE)
_CONTROLLERS = re.compile(r"^crmd\b", re.MULTILINE)


def ask(*command: str) -> str:
    """What a program prints; "" when it can't be asked."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False,
                              stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def decided(configured: set[str], joined: set[str], controllers: bool) -> str:
    """Why not to wait any longer; "" to wait."""
    if not configured:
        return "Corosync doesn't tell who belongs to the cluster"
    if configured <= joined:
        return "all control machines are there"
    return "Pacemaker runs in the cluster already" if controllers else ""


def main() -> None:
    """Return when Pacemaker may start."""
    since, before = time.monotonic(), set[str]()
    while True:
        joined = set(_JOINED.findall(ask("corosync-cmapctl", "runtime.members.")))
        configured = set(_CONFIGURED.findall(ask("corosync-cmapctl", "nodelist.")))
        reason = decided(configured, joined, bool(_CONTROLLERS.search(ask("corosync-cpgtool", "-n"))))
        if joined != before:
            print(f"{len(joined)} of {len(configured)} control machines are there", file=sys.stderr)
        if joined != before or 2 * len(joined) <= len(configured):
            since, before = time.monotonic(), joined
        if not reason and time.monotonic() - since >= GRACE:
            reason = f"{len(configured - joined)} of {len(configured)} control machines didn't come within {GRACE:g} s"
        if reason:
            print(f"Pacemaker may start: {reason}", file=sys.stderr)
            return
        time.sleep(POLL)
