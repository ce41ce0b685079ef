"""Resources made of systemd's units: such that Pacemaker starts and stops, and such that it only watches."""

from __future__ import annotations

import os
import time

from . import machine, systemd
from .resource import Call, Code, Failed, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Names = Callable[[Call], tuple[str, ...]]
    Check = Callable[[Call, float], None]
    Tell = Callable[[Call, bool], None]

TRIES = 3
DOUBTED = 2                 # tries that failed after which nobody should be sent here any more
PAUSE = 0.5
MARKS = f"{machine.RUN}/pacemaker"


def nobody(_call: Call, _works: bool) -> None:
    """Nobody wants to know."""


class Service:
    """*names*: its units.

    *check* raises ``Failed`` or ``OSError`` when it doesn't do its work within so many seconds (*limit*).
    *patience*: seconds that a start waits for that.
    *tell* is told at every look whether it does its work: as soon as it does, and before a failure is certain.
    """

    def __init__(self, names: Names, check: Check, limit: float, patience: float, tell: Tell = nobody) -> None:
        self.names, self.check, self.limit, self.patience, self.tell = names, check, limit, patience, tell

    def verdict(self, call: Call) -> tuple[bool, str]:
        """Whether all has ended, and why it doesn't work ("": it does, or is on its way).

        systemd is asked only where the service's own answer says too little.
        """
        reason = self.once(call)
        if not reason:
            self.tell(call, True)
            return False, ""
        found = systemd.units(self.names(call), call)
        ended = _ended(found)
        if ended or any(unit.is_coming for unit in found):
            self.tell(call, False)
            return all(unit.is_ended for unit in found), ended
        return False, self._tried_again(call, reason)

    def _tried_again(self, call: Call, reason: str) -> str:
        """Why it doesn't work: only after several tries, since one may be bad luck or load."""
        for number in range(2, TRIES + 1):
            if call.left < self.limit:
                break
            time.sleep(PAUSE)
            reason = self.once(call)
            if not reason or number == DOUBTED:
                self.tell(call, not reason)
            if not reason:
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

def start(service: Service, call: Call) -> int:
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


def stop(service: Service, call: Call) -> int:
    """Stop the units."""
    service.tell(call, False)
    systemd.stop(reversed(service.names(call)), call)
    return Code.SUCCESS


def monitor(service: Service, call: Call) -> int:
    """Whether they run and work."""
    ended, reason = service.verdict(call)
    if ended:
        return Code.NOT_RUNNING
    if reason:
        raise Failed(reason)
    return Code.SUCCESS


# -- watched

def mark(name: str) -> str:
    """The file that says that *name* is watched, or held, in this boot."""
    return f"{MARKS}/{name.replace('/', '_')}"


def set_mark(path: str, text: str = "") -> None:
    """Remember it, with a word."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def forget(path: str) -> None:
    """No mark, whether there was one or not."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def watch(service: Service, call: Call, *, revive: bool) -> int:
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
    set_mark(mark(call.instance))
    return Code.SUCCESS


def unwatch(call: Call) -> int:
    """No longer watch; they go on running."""
    forget(mark(call.instance))
    return Code.SUCCESS


def look(service: Service, call: Call) -> int:
    """Whether they are watched, and work."""
    if not os.path.exists(mark(call.instance)):
        return Code.NOT_RUNNING
    _, reason = service.verdict(call)
    if reason:
        raise Failed(reason)
    return Code.SUCCESS
