"""What every resource agent does: read its environment, dispatch an action, keep its deadline, answer in OCF's codes.

Sources: the OCF resource agent API 1.1 and Pacemaker Explained ("OCF Return Codes"). An action that isn't done shortly
before Pacemaker would kill it ends by itself with a reason.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import NoReturn

    Action = Callable[["Call"], int]


class Code:
    """OCF's return codes."""

    SUCCESS = 0
    GENERIC = 1
    ARGUMENTS = 2
    UNIMPLEMENTED = 3
    INSTALLED = 5
    CONFIGURED = 6
    NOT_RUNNING = 7


class Failed(Exception):
    """The action failed; the message is shown by ``crm_mon``."""

    def __init__(self, reason: str, code: int = Code.GENERIC) -> None:
        super().__init__(reason)
        self.code = code


class Parameter:
    """One parameter; ``choices`` are the values that it may have."""

    def __init__(self, name: str, title: str, text: str, default: str = "", *, required: bool = False,
                 choices: tuple[str, ...] = ()) -> None:
        self.name, self.title, self.text = name, title, text
        self.default, self.required, self.choices = default, required, choices


class Call:
    """One call: the parameters' values, the instance's name, when it must be done, whether it is a probe."""

    def __init__(self, values: Mapping[str, str], instance: str, deadline: float, *, probe: bool = False) -> None:
        self.values, self.instance, self.deadline, self.probe = values, instance, deadline, probe

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def left(self) -> float:
        """Seconds until the action must be done; never below a tenth."""
        return max(0.1, self.deadline - time.monotonic())

    def by(self, seconds: float) -> float:
        """The instant in *seconds*, or the deadline when that is earlier."""
        return min(self.deadline, time.monotonic() + seconds)


class Agent:
    """A resource agent. *seconds* are the advised timeouts of start, stop and monitor."""

    def __init__(self, name: str, title: str, text: str, start: Action, stop: Action, monitor: Action,
                 parameters: tuple[Parameter, ...] = (), *, seconds: tuple[int, int, int] = (30, 30, 20),
                 interval: int = 10, validate: Callable[[Call], None] = lambda call: None) -> None:
        self.name, self.title, self.text = name, title, text
        self.start, self.stop, self.monitor, self.validate = start, stop, monitor, validate
        self.parameters, self.seconds, self.interval = parameters, seconds, interval


MARGIN = 0.1                    # part of the timeout that is kept for ending
_DEFAULT_TIMEOUT = 20_000       # milliseconds, where Pacemaker doesn't say


def say(text: str) -> None:
    """One line into Pacemaker's log."""
    print(text, file=sys.stderr)


def main(agent: Agent) -> NoReturn:
    """Do what the first argument says and end with OCF's code."""
    action = sys.argv[1] if len(sys.argv) == 2 else ""
    if action == "meta-data":
        print(metadata(agent))
        sys.exit(Code.SUCCESS)
    actions: dict[str, Action] = {
        "start": agent.start, "stop": agent.stop, "monitor": agent.monitor, "status": agent.monitor,
        "validate-all": lambda call: Code.SUCCESS}
    if action not in actions:
        say(f"usage: {agent.name} {{start|stop|monitor|validate-all|meta-data}}")
        sys.exit(Code.UNIMPLEMENTED if action else Code.ARGUMENTS)
    if action == "stop" and _is_orphan(agent, os.environ):
        say(f"{agent.name}: its configuration is gone, and with it what it was: nothing is stopped")
        sys.exit(Code.SUCCESS)
    try:
        call = _call(agent, os.environ)
        if action not in ("monitor", "status"):         # all that those do has limits of its own
            _limit(call)
        if action not in ("stop", "monitor", "status"):
            agent.validate(call)
        sys.exit(actions[action](call))
    except Failed as failure:
        say(f"ocf-exit-reason:{failure}")
        sys.exit(failure.code)
    except OSError as error:
        say(f"ocf-exit-reason:{error}")
        sys.exit(Code.GENERIC)


def _call(agent: Agent, environment: Mapping[str, str]) -> Call:
    values: dict[str, str] = {}
    for parameter in agent.parameters:
        value = environment.get(f"OCF_RESKEY_{parameter.name}", "") or parameter.default
        if parameter.required and not value:
            raise Failed(f"parameter {parameter.name} is missing", Code.CONFIGURED)
        if parameter.choices and value and value not in parameter.choices:
            raise Failed(f"{parameter.name} must be one of {', '.join(parameter.choices)}", Code.CONFIGURED)
        values[parameter.name] = value
    milliseconds = environment.get("OCF_RESKEY_CRM_meta_timeout", "")
    seconds = (int(milliseconds) if milliseconds.isdecimal() else _DEFAULT_TIMEOUT) / 1000
    interval = environment.get("OCF_RESKEY_CRM_meta_interval", "0")
    return Call(values, environment.get("OCF_RESOURCE_INSTANCE", agent.name),
                time.monotonic() + seconds * (1 - MARGIN), probe=interval == "0")


def _is_orphan(agent: Agent, environment: Mapping[str, str]) -> bool:
    """Whether this is the stop of a resource that was removed from the configuration.

    Pacemaker stops those without their parameters, and fences the machine when that fails.
    """
    return any(parameter.required and not environment.get(f"OCF_RESKEY_{parameter.name}", "")
               for parameter in agent.parameters)


def _limit(call: Call) -> None:
    """A last resort for whatever hangs."""
    import signal

    def late(_number: int, _frame: FrameType | None) -> None:
        raise Failed("not done in time")
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, call.left + 0.2)


def metadata(agent: Agent) -> str:
    """The XML that describes *agent*; valid by ``ra-api-1.dtd``."""
    from xml.sax.saxutils import escape, quoteattr

    start, stop, monitor = agent.seconds
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">',
             f'<resource-agent name="{agent.name}" version="1.0">', "<version>1.0</version>",
             f'<longdesc lang="en">\n{escape(agent.text)}\n</longdesc>',
             f'<shortdesc lang="en">{escape(agent.title)}</shortdesc>', "<parameters>"]
    for one in agent.parameters:
        default = f" default={quoteattr(one.default)}" if one.default else ""
        text = one.text + (f" One of: {', '.join(one.choices)}." if one.choices else "")
        lines += [f'<parameter name="{one.name}" unique="0" required="{int(one.required)}">',
                  f'<longdesc lang="en">\n{escape(text)}\n</longdesc>',
                  f'<shortdesc lang="en">{escape(one.title)}</shortdesc>',
                  f'<content type="string"{default} />', "</parameter>"]
    lines += ["</parameters>", "<actions>",
              f'<action name="start" timeout="{start}s" />', f'<action name="stop" timeout="{stop}s" />',
              f'<action name="monitor" timeout="{monitor}s" interval="{agent.interval}s" depth="0" />',
              '<action name="meta-data" timeout="5s" />', '<action name="validate-all" timeout="5s" />',
              "</actions>", "</resource-agent>"]
    return "\n".join(lines)
