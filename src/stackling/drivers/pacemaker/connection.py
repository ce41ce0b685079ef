"""The connection by which a machine is a member without Corosync (pacemaker_remote): ended in order, and made again.

Such a machine is a resource of Pacemaker's, under the machine's own name. When its pacemaker_remote ends by itself, the
machine counts as lost and is fenced, also when it is only shut down. So it asks beforehand: the resource is stopped by
its ``target-role``, which lasts over restarts of the whole cluster, until the machine says that it is there again.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from stackling.drivers.pacemaker.membership import CRM_MON, present_remotes
from stackling.drivers.pacemaker.programs import Run, ask_xml, run
from stackling.ports.membership import MembershipUnknown

ROLE, STOPPED = "target-role", "Stopped"


def leave(machine: str, execute: Run = run) -> str:
    """End the connection to *machine*; why it should wait, "" when it may go. Can be repeated."""
    try:
        monitor = ask_xml(execute, CRM_MON)
        if not _is_remote(monitor, machine, but_unclean=True):
            return ""
        if _role(machine, execute) != STOPPED:
            done = execute(_meta(machine, "--set-parameter", ROLE, "--parameter-value", STOPPED))
            if done.code != 0:
                return f"its connection can't be ended: {done.reason}"
        return "its connection is being ended" if machine in present_remotes(monitor, execute) else ""
    except MembershipUnknown as unknown:
        return str(unknown)


def take_in(machine: str, execute: Run = run) -> str:
    """Let there be a connection to *machine* again; why it should ask again, "" when it needn't."""
    try:
        if not _is_remote(ask_xml(execute, CRM_MON), machine) or not _role(machine, execute):
            return ""
        done = execute(_meta(machine, "--delete-parameter", ROLE))
        return "" if done.code == 0 else f"it can't be connected: {done.reason}"
    except MembershipUnknown as unknown:
        return str(unknown)


def _is_remote(monitor: ET.Element, machine: str, *, but_unclean: bool = False) -> bool:
    node = next((one for one in monitor.iterfind("nodes/node") if one.get("name") == machine), None)
    return node is not None and node.get("type") == "remote" and not (but_unclean and node.get("unclean") == "true")


def _role(machine: str, execute: Run) -> str:
    """What somebody has set; "" where nothing is."""
    found = execute(_meta(machine, "--get-parameter", ROLE))
    return found.output.strip() if found.code == 0 else ""


def _meta(machine: str, *how: str) -> tuple[str, ...]:
    return ("crm_resource", "--quiet", "--resource", machine, "--meta", *how)
