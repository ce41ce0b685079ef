"""systemd's units, asked and told through ``systemctl``, always with a deadline."""

from __future__ import annotations

import time

from .resource import Call, Code, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

POLL = 0.2
FORCE_AFTER = 0.6           # part of the stop's time after which processes are killed
_SETTLED = ("inactive", "failed")


class Unit:
    """What systemd says of a unit: ``load``, and ``active`` (active, activating, deactivating, inactive, failed).

    *queued*: it has a job, as a unit has that waits for another one before it starts.
    """

    def __init__(self, name: str, load: str, active: str, *, queued: bool = False) -> None:
        self.name, self.load, self.active, self.queued = name, load, active, queued

    @property
    def is_ended(self) -> bool:
        """Nothing of it runs, nor will by itself."""
        return self.active in _SETTLED and not self.queued

    @property
    def is_coming(self) -> bool:
        """It is starting, or is about to be started again."""
        return self.active in ("activating", "reloading") or (self.active in _SETTLED and self.queued)


def units(names: Iterable[str], call: Call) -> list[Unit]:
    """The state of each. Raises ``Failed``."""
    names = list(names)
    answer = systemctl(call, "show", "--property=Id,LoadState,ActiveState,Job", "--", *names)
    found: list[Unit] = []
    for name, paragraph in zip(names, answer.strip().split("\n\n"), strict=False):
        values = dict(line.split("=", 1) for line in paragraph.splitlines() if "=" in line)
        found.append(Unit(name, values.get("LoadState", ""), values.get("ActiveState", ""),
                          queued=values.get("Job", "0") not in ("", "0")))
    if len(found) != len(names):
        raise Failed("systemd doesn't tell the state of " + ", ".join(names))
    return found


def require(names: Iterable[str], call: Call) -> None:
    """Raises ``Failed`` (not installed) when a unit doesn't exist."""
    for unit in units(names, call):
        if unit.load != "loaded":
            raise Failed(f"{unit.name} is {unit.load}; run `stackling install` on this machine", Code.INSTALLED)


def systemctl(call: Call, *arguments: str) -> str:
    """Run it; its output. Raises ``Failed``."""
    import subprocess

    try:
        done = subprocess.run(["systemctl", "--no-pager", *arguments], capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=call.left, check=False)
    except FileNotFoundError:
        raise Failed("systemctl is missing", Code.INSTALLED) from None
    except subprocess.TimeoutExpired:
        raise Failed(f"systemctl {arguments[0]} didn't answer in time") from None
    if done.returncode != 0:
        raise Failed(f"systemctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def start(names: Iterable[str], call: Call) -> None:
    """Ask for those that have ended to be started, also where they failed too often; doesn't wait."""
    ended = [unit for unit in units(names, call) if unit.is_ended]
    failed = [unit.name for unit in ended if unit.active == "failed"]
    if failed:
        systemctl(call, "reset-failed", "--", *failed)
    if ended:
        systemctl(call, "start", "--no-block", "--", *(unit.name for unit in ended))


def stop(names: Iterable[str], call: Call) -> None:
    """Stop them, by force when time is running out. Raises ``Failed`` when something still runs then."""
    names = [unit.name for unit in units(names, call) if unit.load == "loaded"]
    if not names:
        return
    systemctl(call, "stop", "--no-block", "--", *names)
    force_at = time.monotonic() + (call.deadline - time.monotonic()) * FORCE_AFTER
    while True:
        running = [unit.name for unit in units(names, call) if not unit.is_ended]
        if not running:
            return
        now = time.monotonic()
        if now >= call.deadline - POLL:
            raise Failed(f"still running: {', '.join(running)}")
        if now >= force_at:
            systemctl(call, "kill", "--signal=KILL", "--", *running)
            force_at = call.deadline
        time.sleep(POLL)
