"""A machine says that it has booted: whether Pacemaker has done with its former life.

That it runs its boot, and neither Corosync nor a guest yet, proves that nothing of the former life is left: as much as
an administrator's word that it is off, which is how Pacemaker is told (``stonith_admin --confirm``). It works without
quorum, too, since it takes nothing from anybody.
"""

from __future__ import annotations

from stackling.drivers.pacemaker.membership import CRM_MON, present_remotes
from stackling.drivers.pacemaker.programs import Run, ask_xml, run
from stackling.ports.membership import MembershipUnknown


def admit(machine: str, execute: Run = run) -> str:
    """Confirm to Pacemaker that the former life of *machine* is over; why it should wait, "" when it may join."""
    try:
        monitor = ask_xml(execute, CRM_MON)
        node = next((one for one in monitor.iterfind("nodes/node") if one.get("name") == machine), None)
        if node is None:
            return ""
        if node.get("unclean") == "true":
            done = execute(("stonith_admin", "--confirm", machine))
            return f"it counted as lost; {'that is over now' if done.code == 0 else done.reason}"
        remote = node.get("type") == "remote"       # of those crm_mon says online whoever should be
        if machine in present_remotes(monitor, execute) if remote else node.get("online") == "true":
            return "its former life still counts as a member"
    except MembershipUnknown:
        pass
    return ""
