"""The end of the guests when the cloud goes down: the power button first, then the plug.

libvirtd has ended by now, so nobody else talks to QEMU's monitors, which take one client at a time. When it starts
again it finds the guests off.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Sequence

from stackling.deploy.embedded.libvirt import LibvirtPaths, guest_processes

PLUG = 5.0          # seconds between the steps after the power button
_POWER_BUTTON = ({"execute": "qmp_capabilities"}, {"execute": "set-action", "arguments": {"shutdown": "poweroff"}},
                 {"execute": "system_powerdown"})


def end_guests(paths: LibvirtPaths, patience: float) -> list[str]:
    """Ask every guest to shut down, wait *patience* seconds for all of them, switch off the rest; their names."""
    guests = {guest.pid: guest.name for guest in guest_processes(paths)}
    held: dict[int, int] = {}
    for pid in guests:
        with contextlib.suppress(OSError):
            held[pid] = os.pidfd_open(pid)
    still = {guest.pid for guest in guest_processes(paths)}
    descriptors = [fd for pid, fd in held.items() if pid in still]
    try:
        _press_power_buttons(paths)
        left = _wait(descriptors, patience)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for fd in left:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
            left = _wait(left, PLUG)
    finally:
        for fd in held.values():
            os.close(fd)
    return sorted(guests[pid] for pid in still if pid in guests)


def _wait(descriptors: Sequence[int], patience: float) -> list[int]:
    """Those that haven't ended when the time is over."""
    left, deadline = list(descriptors), time.monotonic() + patience
    while left and time.monotonic() < deadline:
        ended = select.select(left, [], [], max(0.0, deadline - time.monotonic()))[0]
        left = [fd for fd in left if fd not in ended]
    return left


def _press_power_buttons(paths: LibvirtPaths) -> None:
    """``system_powerdown`` on each monitor (QEMU's QMP reference).

    libvirt starts QEMU with ``-no-shutdown``, to end it itself; without libvirt it has to end on its own.
    """
    for monitor in (paths.state / "lib" / "qemu").glob("domain-*/monitor.sock"):
        directory = os.open(monitor.parent, os.O_PATH | os.O_DIRECTORY)     # the whole path may be too long
        try:
            with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
                client.settimeout(1.0)
                client.connect(f"/proc/self/fd/{directory}/{monitor.name}")
                answers = client.makefile("r")
                answers.readline()
                for command in _POWER_BUTTON:
                    client.sendall(json.dumps(command).encode() + b"\n")
                    answers.readline()
        finally:
            os.close(directory)
