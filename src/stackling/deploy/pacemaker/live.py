"""The running Pacemaker's configuration: read, compared, and changed as a whole.

Theory of operation. A change is computed on a copy of the CIB and checked there (``crm_verify``); then only the
difference is sent, together with the version (epoch and number of updates) from which it was made. The CIB refuses a
difference that was made from another version, so that nothing that somebody changed meanwhile is overwritten; then we
start again from what is there now. The whole difference is one transaction: Pacemaker never sees half of it.
"""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.pacemaker import cib, difference
from stackling.deploy.pacemaker.cib import Found
from stackling.deploy.pacemaker.difference import Change
from stackling.deploy.pacemaker.model import Configuration
from stackling.drivers.pacemaker.programs import Run, run
from stackling.ports.membership import MembershipUnknown

ATTEMPTS = 20
_DIFFERS = 1                # crm_diff: there is a difference
_SAME = 0


class PacemakerError(Exception):
    """It can't be read or changed; the message says why and what to do next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs (``cib``), and what would change."""

    cib: ET.Element
    found: Found
    changes: list[Change]


def plan(wanted: Configuration, execute: Run = run) -> Plan:
    """Compare *wanted* with what runs. Raises ``PacemakerError``."""
    running = query(execute)
    found = cib.read(running)
    return Plan(running, found, difference.changes(found.ours, wanted))


def query(execute: Run = run) -> ET.Element:
    """The whole CIB. Raises ``PacemakerError``."""
    result = _tried(execute, ("cibadmin", "--query"))
    if result.code != 0:
        raise PacemakerError(f"Pacemaker doesn't answer on this machine ({result.reason}); start it with `systemctl "
                             "start pacemaker`, or use a machine where it runs")
    return ET.fromstring(result.output)


def apply(wanted: Configuration, execute: Run = run) -> list[Change]:
    """Make what runs as *wanted*; what was changed (nothing the second time). Raises ``PacemakerError``."""
    done: list[Change] = []
    for _ in range(ATTEMPTS):
        current = plan(wanted, execute)
        if not current.changes:
            return done
        done = current.changes
        if _commit(current.cib, cib.merged(current.cib, wanted), execute):
            return done
    raise PacemakerError(f"the cluster's configuration changed {ATTEMPTS} times while ours was being applied; nothing "
                         "was applied; try again when whoever changes it is done")


def _commit(before: ET.Element, after: ET.Element, execute: Run) -> bool:
    """Send the difference; False when somebody else was faster."""
    after.set("epoch", str(int(before.get("epoch", "0")) + 1))
    after.set("num_updates", "0")
    with tempfile.TemporaryDirectory(prefix="stackling-ha-") as directory:
        old, new = Path(directory, "old.xml"), Path(directory, "new.xml")
        for path, root in ((old, before), (new, after)):
            ET.ElementTree(root).write(path, encoding="utf-8")
        _verify(new, execute)
        made = _tried(execute, ("crm_diff", "--cib", "--original", str(old), "--new", str(new)))
        if made.code == _SAME:
            return True
        if made.code != _DIFFERS:
            raise PacemakerError(f"crm_diff: {made.reason}")
    sent = _tried(execute, ("cibadmin", "--patch", "--xml-pipe", "--sync-call"), made.output)
    if sent.code == 0:
        return True
    now = query(execute)
    if _version(now) != _version(before):
        return False
    raise PacemakerError(f"Pacemaker refused the change: {sent.reason}")


def _verify(path: Path, execute: Run) -> None:
    """Warnings are about the present state (a machine that is missing); errors are about the configuration."""
    result = _tried(execute, ("crm_verify", "--xml-file", str(path), "--verbose"))
    errors = [line.partition("error:")[2].strip() for line in result.errors.splitlines() if "error:" in line]
    if result.code != 0 and (errors or "warning" not in result.errors.lower()):
        raise PacemakerError(f"crm_verify finds the new configuration wrong, nothing was applied: "
                             f"{'; '.join(errors) or result.reason}")


def _version(root: ET.Element) -> tuple[int, ...]:
    return tuple(int(root.get(name, "0")) for name in ("admin_epoch", "epoch", "num_updates"))


def _tried(execute: Run, command: tuple[str, ...], given: str = ""):
    try:
        return execute(command, given=given)
    except MembershipUnknown as error:
        raise PacemakerError(str(error)) from None
