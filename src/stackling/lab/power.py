"""The lab's power switch: a stand-in for the machines' management controllers, outside of them.

A socket that every machine sees as /run/lab/power/socket takes one line, ``ACTION [MACHINE]``, and answers: ``status``
by ``on`` or ``off``; ``on``, ``off`` and ``reboot`` by the state after it; ``list`` by a line a machine; or ``error``
and why. Requests for the same machine wait for each other, and repeating one changes nothing, so that a fencer may
retry as it likes: an ``off`` that is repeated finds the machine off; it can never hit the next life of a machine whose
``on`` it didn't see, unless it is really sent again.

For tests it misbehaves when told so (``Mode``), for one machine or all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from stackling.deploy.embedded.command import CommandFailed
from stackling.lab.lab import Lab
from stackling.lab.machine import Machine
from stackling.lab.problem import LabError
from stackling.lab.record import LabDirectory, group, replace

ALL = "*"
ACTIONS = ("on", "off", "reboot", "status")
SOCKET = "socket"


class Mode(StrEnum):
    """How the switch behaves."""

    OK = "ok"
    ABSENT = "absent"       # hangs up without an answer
    HANG = "hang"           # takes the request, does nothing, never answers
    LIE = "lie"             # does nothing, says that it did, and goes on saying so


def modes(directory: LabDirectory) -> dict[str, Mode]:
    """How it behaves, by machine; ``*`` for those that aren't named."""
    try:
        return msgspec.json.decode(directory.power_modes.read_bytes(), type=dict[str, Mode])
    except FileNotFoundError:
        return {}


def set_mode(directory: LabDirectory, mode: Mode, machine: str | None = None) -> None:
    """From now on it behaves so, for one machine or (None) for all."""
    if machine is not None:
        directory.read().member(machine)
    replace(directory.power_modes, msgspec.json.encode({**modes(directory), machine: mode} if machine
                                                       else {ALL: mode}))


class Switch:
    """What it does; safe from several threads."""

    def __init__(self, directory: LabDirectory) -> None:
        self._directory = directory
        self._claims: dict[str, str] = {}       # what was lied of machines
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def mode(self, machine: str) -> Mode:
        """How it behaves for a machine now."""
        found = modes(self._directory)
        mode = found.get(machine, found.get(ALL, Mode.OK))
        if mode is not Mode.LIE:
            self._claims.pop(machine, None)
        return mode

    def answer(self, line: str, waits: Callable[[], bool] = lambda: True) -> str | None:
        """The answer to a request; None: hang up. *waits* tells whether who asked is still there: what a switch that
        hung takes up again must not strike a machine for somebody who has long given up."""
        action, _, name = line.strip().partition(" ")
        if action == "list":
            return self._list(waits)
        if action not in ACTIONS:
            return f"error: {action!r} is no action; there are {', '.join(ACTIONS)}, list"
        try:
            machine = Lab(self._directory).machine(name)
        except LabError as error:
            return f"error: {error}"
        while (mode := self.mode(name)) is Mode.HANG:
            time.sleep(0.05)
            if not waits():
                return None
        if mode is Mode.ABSENT:
            return None
        with self._lock(name):
            return self._lie(machine, action) if mode is Mode.LIE else self._obey(machine, action)

    def _list(self, waits: Callable[[], bool]) -> str | None:
        machines = Lab(self._directory).machines
        while (found := {self.mode(one.name) for one in machines}) and found == {Mode.HANG}:
            time.sleep(0.05)
            if not waits():
                return None
        if found == {Mode.ABSENT}:
            return None
        return "\n".join(f"{one.name} {self._claims.get(one.name) or _state(one)}" for one in machines)

    def _lie(self, machine: Machine, action: str) -> str:
        if action != "status":
            self._claims[machine.name] = "off" if action == "off" else "on"
        return self._claims.get(machine.name) or _state(machine)

    def _obey(self, machine: Machine, action: str) -> str:
        try:
            if action in ("off", "reboot"):
                machine.kill()
            if action in ("on", "reboot"):
                machine.on()
        except (LabError, CommandFailed, OSError) as error:
            return f"error: {error}"
        if action != "status":
            print(f"{time.strftime('%T')} {action} {machine.name}", flush=True)
        return _state(machine)

    def _lock(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())


def _state(machine: Machine) -> str:
    return "on" if machine.is_on() else "off"


def serve(directory: LabDirectory) -> None:
    """Be the switch, until SIGTERM."""
    switch = Switch(directory)

    class Request(socketserver.StreamRequestHandler):
        """One line, one answer."""

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                if answer := switch.answer(self.rfile.readline(200).decode(errors="replace"), self._waits):
                    self.wfile.write(f"{answer}\n".encode())

        def _waits(self) -> bool:
            """Whether the other side hasn't hung up."""
            return not select.select([self.connection], [], [], 0)[0]

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    path = directory.power / SOCKET
    new = path.with_name(f".{SOCKET}")
    new.unlink(missing_ok=True)
    with Server(str(new), Request) as server:
        new.rename(path)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        server.serve_forever(poll_interval=3600)


def main() -> None:
    """``python -m stackling.lab.power``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    directory = LabDirectory(parser.parse_args().directory)
    try:
        group(directory.read(), "lab").enter()
        serve(directory)
    except (LabError, OSError) as error:
        sys.exit(f"power switch: {error}")


if __name__ == "__main__":
    main()
