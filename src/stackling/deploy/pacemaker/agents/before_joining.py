"""Before Corosync, or pacemaker_remote, starts for the first time in a boot: let the others know that this machine's
former life is over.

Theory of operation. A machine that was lost is switched off by the others as soon as they may, and must be: nobody
knows what runs there. When it boots again before that (it lost power only for a moment; the others had no quorum, or
a fence device that was away), they would switch it off in the middle of its start, and it would stay off. Worse: the
one of three that is left has no quorum; the machine that returns gives it one, whereupon it switches that machine
off, and has none again.

So the machine says beforehand that it has booted. A new boot proves what switching off would prove: nothing of the
former life runs any more, and nothing of the new one has begun. Who counts it as lost confirms that to Pacemaker
instead (``drivers.pacemaker.returning``); it joins when all that answer have done with its former life. Who doesn't
answer has no say, and after ``PATIENCE`` seconds it joins in any case.

A later start of Corosync in the same boot says nothing: guests may be running.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from . import machine
from .resource import Failed

PATIENCE, LIMIT, PAUSE = 60.0, 4.0, 1.0
PATH = "/internal/cluster/booted"


def runs_guests(proc: Path = Path("/proc")) -> bool:
    """Whether a guest's process is there."""
    for path in proc.glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith("qemu-system"):
                return True
        except OSError:
            continue
    return False


def objections(boot_id: str) -> list[str]:
    """Why machines that answer want this one to wait; each is asked in turn."""
    found: list[str] = []
    own = machine.address()
    for address in machine.control_addresses():
        if address == own:
            continue
        try:
            status, answer = machine.ask((address, machine.INTERNAL_PORT), LIMIT, "POST", PATH,
                                         body={"boot_id": boot_id}, context=machine.identity())
        except OSError:
            continue
        if status == 200 and isinstance(answer, dict) and answer.get("wait"):
            found.append(f"{address}: {answer['wait']}")
    return found


def main() -> None:
    """Return when Corosync may start."""
    mark = Path(machine.RUN, "booted")
    if mark.exists() or runs_guests():
        return
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    deadline, said = time.monotonic() + PATIENCE, ""
    try:
        while time.monotonic() < deadline:
            why = "; ".join(objections(boot_id))
            if not why:
                break
            if why != said:
                print(why, file=sys.stderr)
                said = why
            time.sleep(PAUSE)
    except Failed as failure:
        print(f"the others aren't told of this boot: {failure}", file=sys.stderr)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
