"""The resource agents as files of a machine, for ``stackling install``. Pure, but for reading this package."""

from __future__ import annotations

from importlib.resources import files as package

from stackling.deploy.cluster.paths import ConfigFile, Paths

AGENTS = ("agent", "control", "database", "host", "ovn", "rabbitmq")
LIBRARY = "usr/lib/ocf/lib/stackling"
_DIRECTORY = "usr/lib/ocf/resource.d/stackling"
PROGRAMS = {  # script: its module and function
    "before-joining": "before_joining.main", "fence-secret": "fence_secret.main",
    "wait-for-members": "wait_for_members.main", "connect": "connection.join", "disconnect": "connection.leave"}
_BEFORE = {"corosync": "before-joining", "pacemaker": "wait-for-members"}
_DROP_IN = """\
# Written by Stackling.
[Service]
ExecStartPre=-/{program}
TimeoutStartSec=infinity
"""
_HEAD = """#!/usr/bin/python3 -IS
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), {library!r}))
"""


def files(paths: Paths) -> list[ConfigFile]:
    """The agents ``ocf:stackling:*``, what they import, the script that tells a fence agent its secrets, what
    Corosync's and Pacemaker's starts wait for, and what members by pacemaker_remote say when they come and go."""
    library, directory = paths.root / LIBRARY, paths.root / _DIRECTORY
    found = [ConfigFile(library / "stackling_ocf" / source.name, source.read_bytes())
             for source in sorted(package("stackling.deploy.pacemaker.agents").iterdir(), key=lambda one: one.name)
             if source.name.endswith(".py")]
    for name in AGENTS:
        found.append(ConfigFile(directory / name, _program("../../lib/stackling", f"""\
from stackling_ocf import {name}, resource
resource.main({name}.AGENT)
"""), 0o755))
    for name, function in PROGRAMS.items():
        found.append(ConfigFile(library / name, _program(".", f"""\
from stackling_ocf import {function.partition(".")[0]}
{function}()
"""), 0o755))
    for unit, name in _BEFORE.items():
        found.append(ConfigFile(paths.root / f"etc/systemd/system/{unit}.service.d/stackling.conf",
                                _DROP_IN.format(program=f"{LIBRARY}/{name}").encode()))
    return found


def _program(library: str, body: str) -> bytes:
    return (_HEAD.format(library=library) + body).encode()
