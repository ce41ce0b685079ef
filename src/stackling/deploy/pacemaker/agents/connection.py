"""A machine that is a member by pacemaker_remote says that it goes, and that it is there again.

Before pacemaker_remote is stopped, also in a shutdown, a control machine is asked to end the connection, so that
nobody takes the stop for a loss (``drivers.pacemaker.connection``). Nothing waits long for that: where no control
machine answers, nobody would fence either. After a start this is asked for until somebody answers, in the background:
the control machines may be starting, too.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from . import machine
from .resource import Failed

JOIN, LEAVE = "/internal/cluster/present", "/internal/cluster/leaving"
PATIENCE = 45.0             # seconds for the connection to be ended
SILENCE = 6.0               # seconds after which nobody is going to answer
LIMIT, PAUSE = 5.0, 0.5


def tell(path: str) -> str | None:
    """Ask one control machine after the other: "" when one has done it, or why to wait; None when none answers."""
    said: str | None = None
    for address in machine.control_addresses():
        try:
            status, answer = machine.ask((address, machine.INTERNAL_PORT), LIMIT, "POST", path, body={},
                                         context=machine.identity())
        except OSError:
            continue
        if status == 200 and isinstance(answer, dict):
            said = str(answer.get("wait", ""))
            if not said:
                break
    return said


def leave() -> None:
    """Return when pacemaker_remote may stop."""
    if joining := os.environ.get("MAINPID"):
        os.kill(int(joining), signal.SIGTERM)
    began = answered = time.monotonic()
    while (now := time.monotonic()) < began + PATIENCE and now < answered + SILENCE:
        try:
            wait = tell(LEAVE)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return
        if wait == "":
            return
        if wait is not None:
            answered = time.monotonic()
        time.sleep(PAUSE)
    print("nobody has ended the connection in time: this may count as a loss", file=sys.stderr)


def join() -> None:
    """Return when the connection is wanted again."""
    said: str | None = ""
    while True:
        try:
            wait = tell(JOIN)
        except Failed as failure:
            wait = str(failure)
        if wait == "":
            return
        if wait != said:
            print(wait or "no control machine answers", file=sys.stderr)
            said = wait
        time.sleep(2 * PAUSE)
