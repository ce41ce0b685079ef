"""The supervisor: starts processes in order, starts crashed ones again, and tells who asks how they are.

Theory of operation. It only watches: it can be killed at any time and nothing else stops. Its successor finds the
processes by their pid files and marks (``processes``) and watches them as its own, through pidfds, which work for any
process. Stopping is not its work either (``stop`` does that, with or without a supervisor), so a SIGTERM makes it
let go of everything and leave. Everything is one loop over descriptors; it never blocks.

``after`` orders the first start only. A process that dies is started again at once, and after that with growing
pauses; whoever depended on it reconnects by itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from stackling.deploy.embedded import orphans, processes
from stackling.deploy.embedded.process import ProcessSpec
from stackling.deploy.embedded.processes import Running

log = logging.getLogger(__name__)
POLL = 0.01                 # how often a starting process's ready file is looked for
STABLE = 30.0               # who ran that long is forgiven earlier failures
LONGEST_PAUSE = 10.0
BACKLOG = 1024
LARGEST_OUTPUT = 1 << 20    # bytes of standard output that are kept when a process is started again


class State(StrEnum):
    """Of one process."""

    WAITING = "waiting"         # for those named in ``after``
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"           # died; will be started again
    ENDED = "ended"             # died, and isn't to be started again


@dataclass(slots=True)
class Child:
    """A process and how it is."""

    spec: ProcessSpec
    state: State = State.WAITING
    running: Running | None = None
    popen: subprocess.Popen[bytes] | None = None        # None for an adopted one
    since: float = 0.0
    due: float = 0.0
    failures: int = 0
    restarts: int = 0
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """For those who ask."""
        return {"name": self.spec.name, "state": self.state, "pid": self.running.pid if self.running else None,
                "restarts": self.restarts, "failures": self.failures, "error": self.error}


def pause(failures: int) -> float:
    """Seconds before a process that has failed *failures* times in a row is started again."""
    return 0.0 if failures <= 1 else min(LONGEST_PAUSE, 0.25 * 2 ** (failures - 2))


@dataclass(slots=True)
class Supervisor:
    """*specs* are run for the cloud *digest*; pid files and logs go to *pids* and *logs*.

    *listener* is a listening unix socket: whoever connects gets a JSON line with every process's state, and another
    at each change.
    """

    specs: Sequence[ProcessSpec]
    digest: str
    pids: Path
    logs: Path
    listener: socket.socket
    children: dict[str, Child] = field(default_factory=dict[str, Child])
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _clients: set[socket.socket] = field(default_factory=set[socket.socket])
    _sockets: dict[str, socket.socket] = field(default_factory=dict[str, socket.socket])
    _leaving: bool = False
    _told: str = ""

    def run(self) -> None:
        """Adopt what runs, start the rest, watch until SIGTERM."""
        self.children = {spec.name: Child(spec) for spec in self.specs}
        self._open()
        orphans.inherit()
        leaders = processes.leaders(self.digest)
        for child in self.children.values():
            self._adopt(child, leaders)
        while not self._leaving:
            self._advance()
            self._tell()
            for key, _ in self._selector.select(self._timeout()):
                key.data(key.fileobj)
            orphans.collect([child.popen.pid for child in self.children.values() if child.popen])
        self._tell()
        log.info("leaving; the processes go on")

    # -- the loop

    def _open(self) -> None:
        self.listener.setblocking(False)
        self._selector.register(self.listener, selectors.EVENT_READ, self._accept)
        wake, self_pipe = socket.socketpair()
        wake.setblocking(False)
        self_pipe.setblocking(False)
        signal.set_wakeup_fd(self_pipe.fileno())
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_leaving", True))
        signal.signal(signal.SIGCHLD, lambda *_: None)      # only to wake the loop
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(ignored, lambda *_: None)     # unlike SIG_IGN, this isn't handed down to the processes
        self._sockets["wake"], self._sockets["wake-in"] = wake, self_pipe
        self._selector.register(wake, selectors.EVENT_READ, lambda _: wake.recv(64))

    def _timeout(self) -> float | None:
        if any(child.state == State.STARTING and child.spec.ready for child in self.children.values()):
            return POLL
        due = [child.due for child in self.children.values() if child.state == State.PAUSED]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _advance(self) -> None:
        for child in self.children.values():
            if child.state == State.STARTING and not child.spec.once and (
                    child.spec.ready is None or child.spec.ready.exists()):
                child.state, child.error = State.READY, None
                log.info("%s is ready after %.2f s", child.spec.name, time.monotonic() - child.since)
        for child in self.children.values():
            waits = child.state == State.WAITING and not all(
                self.children[name].state == State.READY for name in child.spec.after)
            if not waits and (child.state == State.WAITING
                              or (child.state == State.PAUSED and time.monotonic() >= child.due)):
                self._start(child)

    # -- processes

    def _adopt(self, child: Child, leaders: Sequence[tuple[str, int]]) -> None:
        spec = child.spec
        running = processes.find(self._pid_file(spec), self.digest, spec.name)
        if running is None:         # a predecessor may have died between starting it and writing its pid
            pid = next((pid for name, pid in leaders if name == spec.name and processes.runs(pid, spec.argv)), None)
            running = None if pid is None else processes.hold(pid, self.digest, spec.name)
            if running is None:
                return
            processes.write_pid(self._pid_file(spec), running.pid)
        child.running, child.state, child.since = running, State.STARTING, time.monotonic()
        self._watch(child)
        log.info("%s is adopted (pid %d)", spec.name, running.pid)

    def _start(self, child: Child) -> None:
        spec = child.spec
        if spec.ready is not None:
            spec.ready.unlink(missing_ok=True)
        child.since = time.monotonic()
        try:
            child.popen = self._spawn(spec)
        except OSError as error:
            self._failed(child, f"can't be started: {error}")
            return
        processes.write_pid(self._pid_file(spec), child.popen.pid)
        child.running = Running(child.popen.pid, os.pidfd_open(child.popen.pid))
        child.state = State.STARTING
        self._watch(child)
        log.info("%s is started (pid %d)", spec.name, child.popen.pid)

    def _spawn(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **spec.env, **processes.mark(self.digest, spec.name)}
        command = list(spec.command())
        passed: tuple[int, ...] = ()
        if spec.listen is not None:
            listening = self._listening(spec)
            passed = (listening.fileno(),)
            environment["STACKLING_LISTEN_FD"] = str(listening.fileno())
        path = self.logs / f"{spec.name}.out"
        if path.exists() and path.stat().st_size > LARGEST_OUTPUT:
            path.unlink()
        with path.open("ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                    env=environment, start_new_session=True, pass_fds=passed, cwd="/")

    def _listening(self, spec: ProcessSpec) -> socket.socket:
        """The socket for *spec*: held open between two lives of the process."""
        held = self._sockets.get(spec.name)
        if held is None:
            assert spec.listen is not None
            held = socket.create_server(spec.listen, backlog=BACKLOG)
            self._sockets[spec.name] = held
        return held

    def _watch(self, child: Child) -> None:
        assert child.running is not None
        self._selector.register(child.running.fd, selectors.EVENT_READ, lambda _: self._ended(child))

    def _ended(self, child: Child) -> None:
        running = child.running
        assert running is not None
        code: int | None = None
        if child.popen is not None:
            kill_group(running.pid)             # before its pid is given back: what it left in its group
            code = child.popen.wait()
        self._selector.unregister(running.fd)
        running.close()
        child.running = child.popen = None
        if child.spec.once and code == 0:
            child.state, child.error = State.READY, None
            self._pid_file(child.spec).unlink(missing_ok=True)
            log.info("%s is done after %.2f s", child.spec.name, time.monotonic() - child.since)
            return
        self._failed(child, "ended" if code is None else f"killed by {signal.Signals(-code).name}" if code < 0
                     else f"ended with exit code {code}")

    def _failed(self, child: Child, why: str) -> None:
        now = time.monotonic()
        child.failures = 1 if now - child.since >= STABLE else child.failures + 1
        child.error = why
        if not child.spec.restart:
            child.state = State.ENDED
        else:
            child.state, child.due, child.restarts = State.PAUSED, now + pause(child.failures), child.restarts + 1
        log.warning("%s: %s; %s", child.spec.name, why,
                    f"starts again in {pause(child.failures):.2f} s" if child.spec.restart else "stays down")

    def _pid_file(self, spec: ProcessSpec) -> Path:
        return self.pids / f"{spec.name}.pid"

    # -- those who ask

    def _accept(self, _listener: Any) -> None:
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        client.setblocking(False)
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ, self._hear)
        self._say(client, self._snapshot())

    def _hear(self, client: socket.socket) -> None:
        try:
            if client.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.discard(client)
        self._selector.unregister(client)
        client.close()

    def _snapshot(self) -> str:
        return json.dumps({"supervisor": os.getpid(), "processes": [c.shown() for c in self.children.values()]}) + "\n"

    def _tell(self) -> None:
        now = self._snapshot()
        if now != self._told:
            self._told = now
            for client in list(self._clients):
                self._say(client, now)

    def _say(self, client: socket.socket, text: str) -> None:
        try:
            client.sendall(text.encode())
        except OSError:
            self._drop(client)


def kill_group(pid: int) -> None:
    """SIGKILL whatever is left in the process group that *pid* leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
