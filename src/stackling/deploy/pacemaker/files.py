"""The resource agents as files of a machine, for ``stackling install``. Pure, but for reading this package."""

from __future__ import annotations

from importlib.resources import files as package

from stackling.deploy.cluster.paths import ConfigFile, Paths

AGENTS = ("agent", "control", "database", "host", "ovn", "rabbitmq")
_LIBRARY = "usr/lib/ocf/lib/stackling"
_DIRECTORY = "usr/lib/ocf/resource.d/stackling"
_HEAD = """#!/usr/bin/python3 -I
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), {library!r}))
"""


def files(paths: Paths) -> list[ConfigFile]:
    """The agents ``ocf:stackling:*``, what they import, and the script that tells a fence agent its secrets."""
    library, directory = paths.root / _LIBRARY, paths.root / _DIRECTORY
    found = [ConfigFile(library / "stackling_ocf" / source.name, source.read_bytes())
             for source in sorted(package("stackling.deploy.pacemaker.agents").iterdir(), key=lambda one: one.name)
             if source.name.endswith(".py")]
    for name in AGENTS:
        found.append(ConfigFile(directory / name, _program("../../lib/stackling", f"""\
from stackling_ocf import {name}, resource
resource.main({name}.AGENT)
"""), 0o755))
    found.append(ConfigFile(library / "fence-secret", _program(".", """\
from stackling_ocf import fence_secret
fence_secret.main()
"""), 0o755))
    return found


def _program(library: str, body: str) -> bytes:
    return (_HEAD.format(library=library) + body).encode()
