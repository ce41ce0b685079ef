"""``ports.Membership`` by Pacemaker.

Theory of operation. ``crm_mon`` shows what this machine's copy of the CIB says; a partition without quorum may not have
noticed yet when it is asked. So the quorum is asked for *after* the picture was taken, from the local cluster engine
itself: when it is quorate then, the picture is one of a quorate partition, at most as old as membership's own time to
notice. Every other case is ``MembershipUnknown``.

How a machine that isn't online has gone: Pacemaker notes what is expected of each (``expected_up``): a machine that
says that it goes, or one that was fenced, is expected to be down. Whoever is expected up and isn't there is lost, be
it marked ``unclean`` (it will be fenced) or not (nobody can fence).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from stackling.drivers.pacemaker.programs import Run, ask_xml, run
from stackling.ports.membership import MembershipUnknown, Standing, View

CRM_MON = ("crm_mon", "--one-shot", "--output-as=xml", "--exclude=all", "--include=summary,nodes")
REMOTES = ("cibadmin", "--query", "--local", "--xpath", "/cib/status/node_state[@remote_node='true']")
NOTHING = 105               # cibadmin's exit code where the path leads nowhere
QUORUM = ("crm_node", "--quorum")


class PacemakerMembership:
    """Of the *machines* of the description, also of those that Pacemaker hasn't met yet (they count as lost)."""

    def __init__(self, machines: Iterable[str], execute: Run = run) -> None:
        self._machines = tuple(machines)
        self._run = execute

    def view(self) -> View:
        """The present membership."""
        monitor = ask_xml(self._run, CRM_MON)
        seen = standings(monitor, present_remotes(monitor, self._run))
        require_quorum(self._run)
        return View({name: seen.get(name, Standing.LOST) for name in self._machines})


def require_quorum(execute: Run) -> None:
    """Raises ``MembershipUnknown`` unless the local cluster engine is quorate now."""
    result = execute(QUORUM)
    answer = result.output.strip()
    if answer == "0":                   # with exit code 106
        raise MembershipUnknown("this partition has no quorum")
    if result.code != 0 or answer != "1":
        raise MembershipUnknown(f"crm_node: {result.reason}")


def present_remotes(monitor: ET.Element, execute: Run) -> frozenset[str]:
    """The members by pacemaker_remote to which there is a connection. Raises ``MembershipUnknown``."""
    if not any(node.get("type") == "remote" for node in monitor.iterfind("nodes/node")):
        return frozenset()
    found = execute(REMOTES)
    if found.code == NOTHING:           # none has ever been connected
        return frozenset()
    states = ask_xml(lambda command, **_: found, REMOTES)
    return frozenset(state.get("uname", "") for state in states.iter("node_state") if _is(state, "in_ccm"))


def standings(monitor: ET.Element, remotes: frozenset[str] = frozenset()) -> dict[str, Standing]:
    """Each machine's standing in what ``crm_mon`` printed; *remotes* are ``present_remotes``.

    Raises ``MembershipUnknown``.
    """
    leader = monitor.find("summary/current_dc")
    if leader is None or not _is(leader, "present"):
        raise MembershipUnknown("Pacemaker is starting, or has lost its peers: there is no designated controller")
    if not _is(leader, "with_quorum"):
        raise MembershipUnknown("this partition has no quorum")
    return {node.get("name", ""): standing(node, remotes) for node in monitor.iterfind("nodes/node")}


def standing(node: ET.Element, remotes: frozenset[str]) -> Standing:
    """One ``<node>`` of ``crm_mon``."""
    if _is(node, "unclean"):
        return Standing.LOST
    if node.get("type") == "remote":
        if node.get("name") not in remotes:
            return Standing.ABSENT
        return Standing.LEAVING if _is(node, "shutdown") or _is(node, "standby") else Standing.MEMBER
    if _is(node, "online") and not _is(node, "pending"):
        return Standing.LEAVING if _is(node, "shutdown") or _is(node, "standby") else Standing.MEMBER
    if _is(node, "shutdown"):
        return Standing.LEAVING
    return Standing.LOST if _is(node, "expected_up") and not _is(node, "pending") else Standing.ABSENT


def _is(element: ET.Element, name: str) -> bool:
    return element.get(name) == "true"
