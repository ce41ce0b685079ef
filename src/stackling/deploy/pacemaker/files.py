"""The resource agents as files of a machine, for ``stackling install``. Pure, but for reading this package."""

from __future__ import annotations

from importlib.resources import files as package

from stackling.deploy.cluster.paths import ConfigFile, Paths

AGENTS = ("agent", "control", "database", "host", "ovn", "rabbitmq")
_LIBRARY = "usr/lib/ocf/lib/stackling"
_DIRECTORY = "usr/lib/ocf/resource.d/stackling"
PROGRAMS = ("fence-secret", "wait-for-members")
_DROP_IN = f"""\
# Written by Stackling.
[Service]
ExecStartPre=-/{_LIBRARY}/wait-for-members
TimeoutStartSec=infinity
"""
_HEAD = """#!/usr/bin/python3 -IS
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), {library!r}))
"""


def files(paths: Paths) -> list[ConfigFile]:
    """The agents ``ocf:stackling:*``, what they import, the script that tells a fence agent its secrets, and what
    Pacemaker's start waits for."""
    library, directory = paths.root / _LIBRARY, paths.root / _DIRECTORY
    found = [ConfigFile(library / "stackling_ocf" / source.name, source.read_bytes())
             for source in sorted(package("stackling.deploy.pacemaker.agents").iterdir(), key=lambda one: one.name)
             if source.name.endswith(".py")]
    for name in AGENTS:
        found.append(ConfigFile(directory / name, _program("../../lib/stackling", f"""\
from stackling_ocf import {name}, resource
resource.main({name}.AGENT)
"""), 0o755))
    for name in PROGRAMS:
        module = name.replace("-", "_")
        found.append(ConfigFile(library / name, _program(".", f"""\
from stackling_ocf import {module}
{module}.main()
"""), 0o755))
    drop_in = paths.root / "etc/systemd/system/pacemaker.service.d/stackling.conf"
    return [*found, ConfigFile(drop_in, _DROP_IN.encode())]


def _program(library: str, body: str) -> bytes:
    return (_HEAD.format(library=library) + body).encode()
