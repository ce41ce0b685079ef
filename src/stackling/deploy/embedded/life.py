"""The cloud's boot id: a new one whenever no guest can have survived.

An agent that sees a new boot id starts nothing before it has a fresh document. The machine's own boot id isn't enough:
when every process of the cloud has been killed, its guests are gone too, although the machine hasn't rebooted.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from stackling.deploy.embedded.configuration import replace_file
from stackling.deploy.embedded.directory import StateDirectory

_MACHINE = Path("/proc/sys/kernel/random/boot_id")


def boot_id_file(directory: StateDirectory) -> Path:
    """Where the boot id stands."""
    return directory.run / "boot-id"


def boot_id(directory: StateDirectory) -> str:
    """The cloud's boot id, a UUID; raises ``FileNotFoundError`` before the first ``up`` since the machine booted."""
    return boot_id_file(directory).read_text().strip()


def begin(directory: StateDirectory) -> None:
    """No guest is alive: from now on the boot id is another one."""
    machine = uuid.UUID(_MACHINE.read_text().strip())
    replace_file(boot_id_file(directory), f"{uuid.uuid5(machine, uuid.uuid4().hex)}\n", 0o644)
