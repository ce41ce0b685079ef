"""``ports.Fence`` by Pacemaker's fencer: its history is the proof, its devices are asked for the present state.

*By hand.* ``fence_ack_manual`` or ``stonith_admin --confirm`` leave a success in the history for which no device was
asked. It says so in ``device``: ``BY_HAND``; whoever needs a power state that was read back must not take it.

*All of it.* Without ``--verbose``, ``stonith_admin`` (2.1.5) shows one event of a kind and machine: the oldest.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

from stackling.core import clock
from stackling.drivers.pacemaker.membership import require_quorum
from stackling.drivers.pacemaker.programs import DEADLINE, Run, ask_xml, run
from stackling.ports.membership import FenceEvent, MembershipUnknown

BY_HAND = "by hand"
_HUMAN = "a human"                      # what the fencer writes as the delegate
_STATUS = {"success": "success", "failed": "failed", "pending": "pending"}
_ON, _OFF = 0, 2                        # exit codes of a fence agent's action "status"
_AGENT = re.compile(r"fence_[A-Za-z0-9_]+\Z")
_SEPARATORS = re.compile(r"[\s;,]+")
JUST_NOW = 20
"""Seconds for which a success counts for whoever asks again: Pacemaker may have fenced by itself while we decided, and
the machine may be booting by now."""
READING = 5.0
"""Seconds for reading the power of a machine at all of its devices: whoever asks has claimed it for not much longer."""
HISTORY = ("stonith_admin", "--verbose", "--output-as=xml", "--history")
DEVICES = ("cibadmin", "--query", "--scope", "resources")


class PacemakerFence:
    """The one fencer. *agents* is the directory of fence agents."""

    def __init__(self, execute: Run = run, agents: Path = Path("/usr/sbin")) -> None:
        self._run, self._agents = execute, agents

    def history(self, machine: str) -> list[FenceEvent]:
        """What was done to *machine*, latest first."""
        return events(ask_xml(self._run, (*HISTORY, machine)), machine)

    def off(self, machine: str, timeout: float) -> None:
        """Ask for *machine* to be off; returns when that is done or has failed. Only where there is quorum."""
        self._ask("--fence", machine, timeout)

    def on(self, machine: str, timeout: float) -> None:
        """The same for switching it on."""
        self._ask("--unfence", machine, timeout)

    def _ask(self, what: str, machine: str, timeout: float) -> None:
        require_quorum(self._run)
        seconds = max(1, math.ceil(timeout))
        self._run(("stonith_admin", what, machine, "--timeout", str(seconds), "--tolerance", str(JUST_NOW),
                   "--output-as=xml"), deadline=seconds + DEADLINE)

    def is_off(self, machine: str) -> bool | None:
        """What the power devices of *machine* read: True when all say off, False when one says on, else None."""
        readings: list[bool | None] = []
        until = clock.monotonic() + READING
        for agent, parameters in devices(ask_xml(self._run, DEVICES), machine):
            left = until - clock.monotonic()
            readings.append(self._status(agent, parameters, left) if left > 0 else None)
        if False in readings:
            return False
        return True if readings and all(readings) else None

    def _status(self, agent: str, parameters: dict[str, str], seconds: float) -> bool | None:
        given = "".join(f"{name}={value}\n" for name, value in {**parameters, "action": "status"}.items())
        try:
            result = self._run((str(self._agents / agent),), deadline=seconds, given=given)
        except MembershipUnknown:
            return None
        return {_ON: False, _OFF: True}.get(result.code)


def events(history: ET.Element, machine: str) -> list[FenceEvent]:
    """The events of *machine* in what ``stonith_admin --history`` printed, latest first; what is pending before all."""
    found = [_event(event) for event in history.iter("fence_event") if event.get("target") == machine]
    return sorted(found, key=lambda event: event.completed_at or math.inf, reverse=True)


def _event(event: ET.Element) -> FenceEvent:
    delegate = event.get("delegate", "")
    detail = "; ".join(text for text in (
        f"done by {delegate}" if delegate else "", f"asked by {event.get('client', '?')}",
        event.get("exit-reason", "")) if text)
    return FenceEvent(
        machine=event.get("target", ""), action=event.get("action", ""),
        status=_STATUS.get(event.get("status", ""), "pending"), completed_at=_seconds(event.get("completed", "")),
        device=BY_HAND if delegate == _HUMAN else "", origin=event.get("origin", ""), detail=detail)


def _seconds(text: str) -> float:
    """Seconds since the epoch of "2026-11-22 20:06:10.123456Z" or ISO 8601; 0 when there is none (pending)."""
    match = re.match(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?\Z", text.strip())
    if not match:
        return 0.0
    date, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}{(zone or 'Z').replace('Z', '+00:00')}")
    return moment.astimezone(UTC).timestamp() + float(fraction or 0)


def devices(resources: ET.Element, machine: str) -> list[tuple[str, dict[str, str]]]:
    """(fence agent, its parameters for *machine*) of each device that may switch it off."""
    found: list[tuple[str, dict[str, str]]] = []
    for primitive in resources.iter("primitive"):
        agent = primitive.get("type", "")
        if primitive.get("class") != "stonith" or not _AGENT.match(agent):
            continue
        parameters = {pair.get("name", ""): pair.get("value", "")
                      for pair in primitive.iterfind("instance_attributes/nvpair")}
        outlet = _outlet(parameters, machine)
        if outlet is not None:
            own = {name: value for name, value in parameters.items() if not name.startswith("pcmk_")}
            argument = parameters.get("pcmk_host_argument", "port")
            found.append((agent, own if argument == "none" else {argument: outlet, **own}))
    return found


def _outlet(parameters: dict[str, str], machine: str) -> str | None:
    """What the device calls *machine*; None when it isn't for it."""
    for pair in _SEPARATORS.split(parameters.get("pcmk_host_map", "")):
        name, _, outlet = pair.replace("=", ":").partition(":")
        if name == machine:
            return outlet
    return machine if machine in _SEPARATORS.split(parameters.get("pcmk_host_list", "")) else None
