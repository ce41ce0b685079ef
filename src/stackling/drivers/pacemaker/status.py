"""What ``crm_mon`` shows, for people: machines, what runs on them, what failed, and the fencer's history."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from stackling.drivers.pacemaker.fencing import HISTORY, events
from stackling.drivers.pacemaker.membership import present_remotes, standing
from stackling.drivers.pacemaker.programs import Run, ask_xml, run
from stackling.ports.membership import FenceEvent, Standing

CRM_MON = ("crm_mon", "--one-shot", "--output-as=xml", "--inactive", "--include=all")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine as Pacemaker sees it. ``kind`` is ``member`` or ``remote``."""

    name: str
    standing: Standing
    kind: str
    is_controller: bool
    standby: bool
    maintenance: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """A resource on a machine; ``node`` is empty where it runs nowhere. ``state``: ``started``, ``starting``,
    ``stopping``, ``stopped``, ``failed`` (being recovered), ``blocked`` (left alone after a failure), ``disabled``."""

    resource: str
    agent: str
    node: str
    state: str
    managed: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that failed; ``at`` is what the clock said."""

    resource: str
    node: str
    operation: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Status:
    """All of it."""

    quorum: bool
    controller: str
    nodes: tuple[Node, ...]
    instances: tuple[Instance, ...]
    failures: tuple[Failure, ...]
    fencing: tuple[FenceEvent, ...]
    options: dict[str, str]


def status(execute: Run = run) -> Status:
    """The cluster's present state. Raises ``MembershipUnknown``."""
    monitor = ask_xml(execute, CRM_MON)
    return parse(monitor, ask_xml(execute, (*HISTORY, "*")), present_remotes(monitor, execute))


def parse(monitor: ET.Element, history: ET.Element, remotes: frozenset[str] = frozenset()) -> Status:
    """The same from what the programs printed; *remotes* are the members by pacemaker_remote that are there."""
    leader = monitor.find("summary/current_dc")
    options = monitor.find("summary/cluster_options")
    targets = {event.get("target", "") for event in history.iter("fence_event")}
    fencing = [event for target in targets for event in events(history, target)]
    return Status(
        quorum=leader is not None and leader.get("with_quorum") == "true",
        controller=leader.get("name", "") if leader is not None else "",
        nodes=tuple(_node(node, remotes) for node in monitor.iterfind("nodes/node")),
        instances=tuple(one for resource in monitor.iterfind("resources//resource") for one in _instances(resource)),
        failures=tuple(_failure(one) for one in monitor.iterfind("failures/failure")),
        fencing=tuple(sorted(fencing, key=lambda event: event.completed_at or math.inf, reverse=True)),
        options=dict(options.attrib) if options is not None else {})


def _node(node: ET.Element, remotes: frozenset[str]) -> Node:
    return Node(node.get("name", ""), standing(node, remotes), node.get("type", "member"), node.get("is_dc") == "true",
                node.get("standby") == "true", node.get("maintenance") == "true")


def _instances(resource: ET.Element) -> list[Instance]:
    names = [node.get("name", "") for node in resource.iterfind("node")] or [""]
    return [Instance(resource.get("id", "").partition(":")[0], resource.get("resource_agent", ""), name,
                     _state(resource), resource.get("managed") != "false") for name in names]


def _state(resource: ET.Element) -> str:
    def has(name: str) -> bool:
        return resource.get(name) == "true"
    if has("blocked"):
        return "blocked"
    if has("failed") and has("active"):
        return "failed"
    pending = resource.get("pending", "").lower()
    if pending.startswith(("start", "stop")):
        return pending
    if resource.get("role") == "Stopped":
        return "disabled" if resource.get("target_role") == "Stopped" else "stopped"
    return resource.get("role", "").lower()


def _failure(failure: ET.Element) -> Failure:
    task, interval = failure.get("task", ""), failure.get("interval", "0")
    key = failure.get("op_key", "")
    resource = key.removesuffix(f"_{interval}").removesuffix(f"_{task}").partition(":")[0]
    reason = failure.get("exitreason") or failure.get("exitstatus", "")
    return Failure(resource, failure.get("node", ""), task, reason, failure.get("last-rc-change", ""))
