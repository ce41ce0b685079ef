"""Running Pacemaker's programs: bounded in time, in a language that can be read, and with causes that can be told."""

from __future__ import annotations

import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stackling.ports.membership import MembershipUnknown

DEADLINE = 10.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended; negative when it was killed by a signal."""

    code: int
    output: str
    errors: str

    @property
    def reason(self) -> str:
        """Its last words, or its code."""
        lines = [line.strip() for line in f"{self.output}\n{self.errors}".splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


class Run(Protocol):
    """Runs a program; raises ``MembershipUnknown`` when it is missing or not done in time."""

    def __call__(self, command: Sequence[str], *, deadline: float = DEADLINE, given: str = "") -> Result: ...


def run(command: Sequence[str], *, deadline: float = DEADLINE, given: str = "") -> Result:
    """Run *command* with *given* on its standard input. The whole process group is killed at the deadline (seconds)."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True, env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"})
    except FileNotFoundError:
        raise MembershipUnknown(f"{command[0]} isn't installed; install pacemaker and pacemaker-cli-utils") from None
    except OSError as error:
        raise MembershipUnknown(f"{command[0]}: {error.strerror}") from None
    with process:
        try:
            output, errors = process.communicate(given, timeout=deadline)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise MembershipUnknown(f"{command[0]} didn't answer within {deadline:g} s") from None
    return Result(process.returncode, output, errors)


def ask_xml(execute: Run, command: Sequence[str], deadline: float = DEADLINE) -> ET.Element:
    """The XML that *command* prints. Raises ``MembershipUnknown`` when it fails."""
    result = execute(command, deadline=deadline)
    try:
        root = ET.fromstring(result.output)
    except ET.ParseError:
        raise MembershipUnknown(f"{command[0]}: {result.reason}") from None
    status = root.find("status")
    code = int(status.get("code", "0")) if status is not None else result.code
    if code != 0:
        assert status is not None
        raise MembershipUnknown(_told(status) or f"{command[0]} failed")
    return root


def _told(status: ET.Element) -> str:
    return next((error.text.strip() for error in status.iter("error") if error.text), status.get("message", ""))
