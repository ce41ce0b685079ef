"""Resources made of systemd's units: such that Pacemaker starts and stops, and such that it only watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import systemd
from .resource import Call, Code, Failed, say

TRIES = 3
DOUBTED = 2                 # tries that failed after which nobody should be sent here any more
PAUSE = 0.5
MARKS = Path("/run/stackling/pacemaker")

Names = Callable[[Call], tuple[str, ...]]
Check = Callable[[Call, float], None]
"""Raises ``Failed`` or ``OSError`` when the service doesn't do its work; the second argument is a time limit."""


Tell = Callable[[Call, bool], None]
"""Is told at every look whether the service does its work: as soon as it does, and before a failure is certain."""


def nothing(_call: Call, _limit: float) -> None:
    """Running is enough."""


def nobody(_call: Call, _works: bool) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Service:
    """The unit's names, what proves that they work, how long a try may take, how long a start waits for that, and who
    is told."""

    names: Names
    check: Check
    limit: float
    patience: float
    tell: Tell = nobody

    def verdict(self, call: Call) -> tuple[list[systemd.Unit], str]:
        """The units, and why they don't work ("": they do, or are on their way)."""
        found = systemd.units(self.names(call), call)
        reason = _ended(found)
        if reason or any(unit.is_coming for unit in found):
            self.tell(call, False)
            return found, reason
        return found, self._tried(call)

    def _tried(self, call: Call) -> str:
        """Why it doesn't work: only after several tries, since one may be bad luck or load."""
        reason = ""
        for number in range(TRIES):
            if number:
                time.sleep(PAUSE)
            reason = self.once(call)
            if not reason or number + 1 == DOUBTED:
                self.tell(call, not reason)
            if not reason or call.left < self.limit:
                break
        return reason

    def once(self, call: Call) -> str:
        """One try."""
        try:
            self.check(call, min(self.limit, call.left))
            return ""
        except (OSError, Failed) as error:
            return str(error) or type(error).__name__

    def wait(self, call: Call, until: float) -> str:
        """Until it works, or has ended, or the time is over; why it doesn't work."""
        while True:
            found = systemd.units(self.names(call), call)
            ready = all(unit.active == "active" for unit in found)
            reason = self.once(call) if ready else ", ".join(
                f"{unit.name} is {unit.active}" for unit in found if unit.active != "active")
            if not reason or any(unit.active == "failed" for unit in found) or time.monotonic() >= until:
                return reason
            time.sleep(systemd.POLL)


def _ended(found: Sequence[systemd.Unit]) -> str:
    """Why units that have ended, or are about to, don't work; "" when there are none."""
    if all(unit.is_ended for unit in found):
        return "not running"
    for unit in found:
        if unit.is_ended or unit.active == "deactivating":
            return f"{unit.name} is {unit.active}; see journalctl -u {unit.name}"
    return ""


# -- started and stopped by Pacemaker

def start(service: Service, call: Call) -> Code:
    """Start the units. Returns as soon as they work, or after a while: the monitor watches on.

    A start that waited for all of a long start-up would hold up whatever else the cluster has to do.
    """
    names = service.names(call)
    systemd.require(names, call)
    systemd.start(names, call)
    reason = service.wait(call, call.by(service.patience))
    if not reason:
        return Code.SUCCESS
    for unit in systemd.units(names, call):
        if unit.is_ended:
            raise Failed(f"{unit.name} is {unit.active}; see journalctl -u {unit.name}")
    say(f"{', '.join(names)}: {reason}; going on without waiting")
    return Code.SUCCESS


def stop(service: Service, call: Call) -> Code:
    """Stop the units."""
    service.tell(call, False)
    systemd.stop(reversed(service.names(call)), call)
    return Code.SUCCESS


def monitor(service: Service, call: Call) -> Code:
    """Whether they run and work."""
    found, reason = service.verdict(call)
    if all(unit.is_ended for unit in found):
        return Code.NOT_RUNNING
    if reason:
        raise Failed(reason)
    return Code.SUCCESS


# -- watched

def _mark(call: Call) -> Path:
    return MARKS / call.instance.replace("/", "_")


def watch(service: Service, call: Call, *, revive: bool) -> Code:
    """Begin to watch: they must work within ``patience``. *revive*: those that don't are started or restarted."""
    names = service.names(call)
    systemd.require(names, call)
    reason = service.wait(call, call.by(service.patience / 2 if revive else service.patience))
    if reason and revive:
        say(f"{', '.join(names)}: {reason}; starting again")
        running = [unit.name for unit in systemd.units(names, call) if unit.active == "active"]
        if running:
            systemd.systemctl(call, "restart", "--no-block", "--", *running)
        systemd.start(names, call)
        reason = service.wait(call, call.by(service.patience))
    if reason:
        raise Failed(reason)
    mark = _mark(call)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return Code.SUCCESS


def unwatch(call: Call) -> Code:
    """No longer watch; they go on running."""
    _mark(call).unlink(missing_ok=True)
    return Code.SUCCESS


def look(service: Service, call: Call) -> Code:
    """Whether they are watched, and work."""
    if not _mark(call).exists():
        return Code.NOT_RUNNING
    _, reason = service.verdict(call)
    if reason:
        raise Failed(reason)
    return Code.SUCCESS
