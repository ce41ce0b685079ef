"""The process beside each machine that is on: switches it on, and on again when it reboots.

Theory of operation. The supervisor holds a lock for as long as it lives; *the lock is the machine's power state*: held
is on, free is off, and it can't outlive the process. Whoever switches a machine off kills its process 1 and waits for
the lock. Before a boot, whatever a killed supervisor may have left is cleared away.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from stackling.deploy.embedded.command import CommandFailed
from stackling.lab import boot, networks, place
from stackling.lab.boot import End, Plan
from stackling.lab.disk import Disk
from stackling.lab.problem import LabError
from stackling.lab.record import LabDirectory, cut_links, group, replace, topology

LOCK, STATE = "supervisor.lock", "state.json"


def run(directory: LabDirectory, name: str, ready: int) -> None:
    """Be the supervisor of machine *name* until it goes off; a line on *ready* once it is on."""
    home = directory.machine(name)
    if not _locked(home / LOCK):
        os.write(ready, b"on\n")        # there is one: as good
        return
    group(directory.read(), "lab").enter()
    boots = 0
    while True:
        boots += 1
        end = _one_boot(directory, name, boots, ready if boots == 1 else None)
        print(f"{time.strftime('%T')} {name}: {end.name.lower().replace('_', ' ')}", flush=True)
        if end is not End.REBOOT:
            return


def _locked(path: Path) -> bool:
    """Take the lock for as long as this process lives. Who only looks holds it for microseconds: try again."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _one_boot(directory: LabDirectory, name: str, boots: int, ready: int | None) -> End:
    record = directory.read()
    places, member, ours = topology(record), record.member(name), group(record, name)
    state = directory.machine(name) / STATE
    ours.kill()
    ours.remove()
    ours.make()
    networks.plug(places, member, cut_links(directory, name))
    try:
        booted = boot.boot(Plan(
            name=name, disk=Disk(directory.machine(name)).root, netns=Path("/run/netns") / places.namespace(name),
            group=ours, power=directory.power, hidden=directory.root, bound=tuple(place.also_needed())))
        group(record, "lab").take(booted.parent)    # its systemd wants the group for itself
        replace(state, json.dumps({"pid": booted.pid, "since": time.time(), "boots": boots}).encode())
        if ready is not None:
            os.write(ready, b"on\n")
        end = booted.wait()
    finally:
        state.unlink(missing_ok=True)
        networks.unplug(places, member)
        ours.kill()
        ours.remove()
    return end


def main() -> None:
    """``python -m stackling.lab.supervisor``: returns when the machine is on, and leaves the supervisor behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("machine")
    arguments = parser.parse_args()
    directory = LabDirectory(arguments.directory)
    answer, ready = os.pipe()
    if os.fork() == 0:
        os.close(answer)
        _detached(directory, arguments.machine, ready)
    os.close(ready)
    with os.fdopen(answer) as reader:
        text = reader.read(3)
    if text != "on\n":
        sys.exit(f"{arguments.machine} doesn't start; see {directory.machine(arguments.machine)}/console.log")


def _detached(directory: LabDirectory, name: str, ready: int) -> None:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log = os.open(directory.machine(name) / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open("/dev/null", os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    try:
        run(directory, name, ready)
    except (LabError, CommandFailed, OSError) as error:
        print(f"{time.strftime('%T')} {name}: {error}", flush=True)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
