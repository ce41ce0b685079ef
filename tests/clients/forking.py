"""Runs in the clients' environment: ``python forking.py SOCKET`` runs the commands that ``front/openstack`` brings to
SOCKET, until it is ended; it says ``ready`` first.

Each is the client's own ``main`` with nothing replaced, in a process of its own that is forked from this one, which has
loaded the client and its commands beforehand: that takes longer than what most of them do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from importlib.metadata import entry_points
from typing import NoReturn

from stevedore import ExtensionManager

ADDRESS, sys.argv[0] = sys.argv[1], "openstack"    # the client takes its name from there when it is loaded
from openstackclient import shell  # noqa: E402

START = 1.0
"""Seconds that a client takes to start which isn't forked, or more: tests tell servers apart by the whole second."""


def load() -> None:
    """Load what the client would load for any of its commands."""
    for group in sorted(one for one in entry_points().groups if one.startswith("openstack.")):
        ExtensionManager(group)


def serve(listening: socket.socket) -> None:
    """Fork for each connection."""
    while True:
        connection, _ = listening.accept()
        with connection:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _command(connection)


def _command(connection: socket.socket) -> NoReturn:
    code: object = 1
    try:
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile("rb") as asked:
            words, environment, directory = json.load(asked)
        for wanted, given in enumerate(files):
            os.dup2(given, wanted)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.argv = ["openstack", *words]
        if {"server", "create"} <= {*words}:
            time.sleep(START)
        code = shell.main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:    # as the interpreter does where nobody else has
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code & 255 if isinstance(code, int) else bool(code)]))
        os._exit(0)


def main() -> None:
    load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)    # nobody waits for them
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(ADDRESS)
        listening.listen()
        print("ready", flush=True)
        serve(listening)


if __name__ == "__main__":
    main()
