"""``up``, ``down`` and ``purge``: one machine's cloud as a whole. Each may be interrupted and called again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stackling.deploy.embedded import agent, credentials, layout, life, processes, stop
from stackling.deploy.embedded import configuration as configurations
from stackling.deploy.embedded.configuration import Configuration, ConfigurationError
from stackling.deploy.embedded.directory import StateDirectory

SUPERVISOR = stop.SUPERVISOR
READY_WITHIN = 90.0         # seconds until every process must be ready
TRIES = 4                   # failures of one process in a row after which ``up`` gives up waiting
Progress = Callable[[str, str], None]
"""(process, what happened): ``starting``, ``ready``, ``stopping``, or why it isn't."""


class CloudError(Exception):
    """It didn't work; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; None: as it is, or the default."""

    driver: str | None = None
    hosts: int | None = None
    port: int | None = None
    listen: str | None = None
    access: str | None = None
    uplink: str | None = None
    floating_range: str | None = None
    floating_gateway: str | None = None
    floating_pool: str | None = None

    def changes(self) -> dict[str, Any]:
        """Only what was asked for."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}


# -- up

def up(directory: StateDirectory, wanted: Wanted, progress: Progress = lambda _name, _what: None) -> Configuration:
    """Bring the cloud up and wait until every process is ready. Quick and without effect when it is up."""
    _require_rights(directory)
    directory.make()
    with _locked(directory):
        supervisor = processes.find(directory.pid_file(SUPERVISOR), directory.digest, SUPERVISOR)
        configuration = _configure(directory, wanted, running=supervisor is not None)
        credentials.ensure(directory, configuration)
        if supervisor is None:
            _prepare(directory, configuration)
            _supervise(directory)
        else:
            supervisor.close()
    _wait(directory, progress)
    return configuration


def _require_rights(directory: StateDirectory) -> None:
    root = directory.root
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CloudError(f"{existing} can't be written to; use --state-dir with a directory of yours, or be root")
    if existing == root and root.stat().st_uid != os.geteuid():
        raise CloudError(f"the cloud in {root} belongs to user {root.owner()}; run this as that user")


def _configure(directory: StateDirectory, wanted: Wanted, *, running: bool) -> Configuration:
    changes = wanted.changes()
    try:
        old = configurations.read(directory.configuration)
    except FileNotFoundError:
        return _first_configuration(directory, changes)
    changes = {name: value for name, value in changes.items() if getattr(old, name) != value}
    if changes.get("access", "uplink") != "uplink":
        changes.setdefault("uplink", "")
    if "driver" in changes:
        raise CloudError(f"{directory.root} holds a cloud with driver {old.driver}; use another --state-dir")
    if changes and running:
        name, value = next(iter(changes.items()))
        raise CloudError(f"the cloud is up with {name} = {getattr(old, name)}; run `stackling down` before you change "
                         f"it to {value}")
    if {"port", "listen"} & set(changes) and old.public_url == _url(old.listen, old.port):
        changes["public_url"] = _url(changes.get("listen", old.listen), changes.get("port", old.port))
    new = old.changed(run_directory=str(directory.run), **changes)
    if not running and not _is_free(new.listen, new.port) and not _held_by_us(directory):
        raise CloudError(f"port {new.port} is in use by another program; choose one with --port")
    if new != old:
        configurations.write(directory.configuration, new)
    return new


def _first_configuration(directory: StateDirectory, changes: dict[str, Any]) -> Configuration:
    if "driver" not in changes and os.geteuid() != 0:
        raise CloudError("real servers need root; without it, use `stackling up --simulated`")
    listen = changes.setdefault("listen", "127.0.0.1")
    if "port" not in changes:
        changes["port"] = _free_port(listen)
    elif not _is_free(listen, changes["port"]):
        raise CloudError(f"port {changes['port']} is in use by another program; choose another one")
    configuration = Configuration(
        directory.instance, str(directory.run), machine=socket.gethostname().partition(".")[0],
        public_url=_url(listen, changes["port"]), durable=changes.get("driver") != "simulated", **changes)
    configurations.write(directory.configuration, configuration)
    return configuration


def _url(listen: str, port: int) -> str:
    host = "127.0.0.1" if listen == "0.0.0.0" else f"[{listen}]" if ":" in listen else listen
    return f"http://{host}:{port}"


def _is_free(address: str, port: int) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        if error.errno == 98:       # EADDRINUSE
            return False
        raise CloudError(f"{address} port {port} can't be listened on: {error.strerror}") from None
    return True


def _free_port(address: str) -> int:
    for port in range(configurations.DEFAULT_PORT, configurations.DEFAULT_PORT + 100):
        if _is_free(address, port):
            return port
    raise CloudError(f"no port from {configurations.DEFAULT_PORT} on is free; choose one with --port")


def _held_by_us(directory: StateDirectory) -> bool:
    found = processes.find(directory.pid_file(layout.API), directory.digest, layout.API)
    if found:
        found.close()
    return found is not None


def _prepare(directory: StateDirectory, configuration: Configuration) -> None:
    """What must be there before the first process starts."""
    new_boot = not _anything_lives(directory, configuration)
    if new_boot:
        life.begin(directory)
    if not configuration.simulated:
        from stackling.deploy.embedded import engines

        with _tools():
            engines.prepare(directory, new_boot=new_boot)
    agent.write(directory, configuration)


def _anything_lives(directory: StateDirectory, configuration: Configuration) -> bool:
    """Whether a process or a guest of the cloud has survived what ended the others: then the network that guests
    are plugged into must stay."""
    if any(True for _ in processes.everyone(directory.digest)):
        return True
    if configuration.simulated:
        return False
    from stackling.deploy.embedded import engines

    return engines.guests_live(directory)


def _supervise(directory: StateDirectory) -> None:
    """Start a supervisor; its socket listens before it runs, so that nobody has to wait for it."""
    path = directory.run / "supervisor.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(64)
        command = [*layout.PYTHON, "stackling.deploy.embedded.supervise", "--state-dir", str(directory.root),
                   "--listener", str(listener.fileno())]
        with (directory.logs / "supervisor.out").open("wb") as output:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                pass_fds=(listener.fileno(),), cwd="/",
                env={**os.environ, **processes.mark(directory.digest, SUPERVISOR)})
    processes.write_pid(directory.pid_file(SUPERVISOR), child.pid)
    child.returncode = 0        # it outlives us: nobody waits for it
    _until_known(directory)


def _until_known(directory: StateDirectory) -> None:
    """Whoever gets the lock next must find the supervisor: its mark shows a moment after it has started."""
    deadline = time.monotonic() + 2.0
    while (found := processes.find(directory.pid_file(SUPERVISOR), directory.digest, SUPERVISOR)) is None:
        if time.monotonic() > deadline:
            return          # it has ended: ``_wait`` says why
        time.sleep(0.002)
    found.close()


def _wait(directory: StateDirectory, progress: Progress) -> None:
    deadline = time.monotonic() + READY_WITHIN
    states: dict[str, str] = {}
    for snapshot in snapshots(directory, READY_WITHIN):
        for process in snapshot["processes"]:
            name, state = process["name"], process["state"]
            if states.get(name) != state:
                states[name] = state
                progress(name, process["error"] or state if state in ("paused", "ended") else state)
            if process["failures"] >= TRIES and state != "ready":
                raise CloudError(f"{name} doesn't start: {process['error']}. {_last_words(directory, name)}")
        if all(state == "ready" for state in states.values()):
            return
        if time.monotonic() > deadline:
            break
    if time.monotonic() < deadline:
        raise CloudError(f"the supervisor has ended. {_last_words(directory, SUPERVISOR)}")
    late = [name for name, state in states.items() if state != "ready"]
    raise CloudError(f"not ready after {READY_WITHIN:.0f} s: {', '.join(late) or SUPERVISOR}. "
                     f"{_last_words(directory, (late or [SUPERVISOR])[0])}")


def _last_words(directory: StateDirectory, name: str) -> str:
    for path in (directory.logs / f"{name}.out", directory.log_file(name)):
        try:
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            continue
        if lines:
            return f"Its last words: {lines[-1][:300]} (all of them: {path})"
    return f"Its logs are in {directory.logs}"


# -- looking

def snapshots(directory: StateDirectory, timeout: float) -> Iterator[dict[str, Any]]:
    """What the supervisor says now and at each change, for up to *timeout* seconds of silence."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        try:
            client.connect(str(directory.run / "supervisor.sock"))
            with client.makefile("r") as stream:
                for line in stream:
                    yield json.loads(line)
        except (TimeoutError, ConnectionError, FileNotFoundError):
            return


def state(directory: StateDirectory) -> dict[str, Any] | None:
    """The supervisor's present snapshot, or None when there is none."""
    return next(snapshots(directory, 2.0), None)


# -- down

def down(directory: StateDirectory, progress: Progress = lambda _name, _what: None) -> None:
    """Stop everything; the data stays. Works from any half state."""
    if not directory.root.exists():
        return
    _require_rights(directory)

    def stopping(name: str) -> None:
        progress(name, "stopping")

    with _locked(directory):
        try:
            configuration = configurations.read(directory.configuration)
        except (FileNotFoundError, ConfigurationError):
            configuration = None        # from an ``up`` that was cut short at once, or not ours to judge
        if os.geteuid() != 0 or (configuration is not None and configuration.simulated):
            stop.stop(directory, layout.specs(directory, configuration) if configuration else (), stopping)
        else:
            _stop_real(directory, configuration, stopping)
        shutil.rmtree(directory.run, ignore_errors=True)


def _stop_real(directory: StateDirectory, configuration: Configuration | None, stopping: stop.Progress) -> None:
    from stackling.deploy.embedded import engines

    specs = layout.specs(directory, configuration) if configuration else engines.specs(directory)
    stop.stop(directory, specs, stopping, lambda name: engines.ended(directory, name, stopping))
    with _tools():
        engines.remove(directory)


def purge(directory: StateDirectory, progress: Progress = lambda _name, _what: None) -> None:
    """``down``, and delete the data."""
    down(directory, progress)
    try:
        directory.remove()
    except ValueError as error:
        raise CloudError(str(error)) from None


@contextmanager
def _tools() -> Iterator[None]:
    """A tool of the machine that fails is the cloud's failure."""
    from stackling.deploy.embedded.command import CommandFailed

    try:
        yield
    except CommandFailed as error:
        raise CloudError(str(error)) from None


@contextmanager
def _locked(directory: StateDirectory) -> Iterator[None]:
    """One ``up`` or ``down`` at a time. A lock file that was deleted while we waited for it (``purge``) is no lock."""
    path = directory.root / ".lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                yield
                return
        finally:
            os.close(descriptor)
        directory.make()

