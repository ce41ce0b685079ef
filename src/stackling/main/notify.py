"""Telling systemd: ready, stopping, alive. Without it (no ``NOTIFY_SOCKET``) nothing happens.

The watchdog is fed from the event loop: when that hangs for ``WatchdogSec``, systemd ends the process and starts it
again. See sd_notify(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


def tell(state: str) -> None:
    """Send *state* (as ``READY=1``)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
        way.settimeout(1.0)
        way.connect(address)
        way.sendall(state.encode())


def interval() -> float | None:
    """Seconds between two signs of life, a third of what systemd waits for; None when it doesn't watch us."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or watched != str(os.getpid()):
        return None
    return int(microseconds) / 3e6


async def feed() -> None:
    """Give signs of life until cancelled."""
    pause = interval()
    while pause is not None:
        tell("WATCHDOG=1")
        await asyncio.sleep(pause)
