"""``ocf:stackling:host``: the identity of a host, held by one machine at a time (identity take-over).

Theory of operation. Who holds a host is decided by control, in the database, under a lease with an epoch: it grants a
lease only when the one before was released or its machine is proven to be off. Pacemaker only says where the identity
should go, so that a mistake of the cluster, or of this agent, makes nobody run twice: then the start is refused.

The monitor asks the local agent, not control: losing control stops no server. While the agent doesn't answer, it is
taken to hold what it held (the agent has a resource of its own): an agent that is restarted must not make servers move.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import machine, services
from .agent import agent_socket
from .resource import Agent, Call, Code, Failed, Parameter, say

LIMIT = 5.0
PAUSE = 1.0
_LATER = (409, 423, 425, 429, 500, 502, 503, 504)


def _mark(call: Call) -> Path:
    return services.MARKS / f"host-{call['host'].replace('/', '_')}"


def held(call: Call) -> dict[str, Any] | None:
    """What the local agent says of the host; None when it doesn't hold it. Raises ``OSError``."""
    status, answer = machine.ask(machine.UnixConnection(agent_socket(call), LIMIT), "GET", "/hosts")
    if status != 200 or not isinstance(answer, dict):
        raise ConnectionError(f"the agent answers {status}")
    return next((one for one in answer.get("hosts", ()) if one.get("name") == call["host"] and one.get("held", True)),
                None)


def take(call: Call) -> str:
    """Ask each control machine for the lease; "" when it was granted, otherwise why not."""
    path = f"/internal/machines/{quote(machine.name())}/hosts/{quote(call['host'], safe='')}/take"
    reason = "there is no control machine"
    for address in machine.control_addresses():
        connection = http.client.HTTPSConnection(
            address, machine.INTERNAL_PORT, timeout=min(2 * LIMIT, call.left), context=machine.identity())
        try:
            status, answer = machine.ask(connection, "POST", path, {"X-Machine-Credential": machine.credential()}, {})
        except OSError as error:
            reason = f"{address}: {error}"
            continue
        if status < 300:
            return ""
        reason = f"control refuses ({status}): {_told(answer)}"
        if status not in _LATER:
            raise Failed(reason)
        if status == 409:
            return reason
    return reason


def _told(answer: Any) -> str:
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    return str(error.get("message", error) if isinstance(error, dict) else error or "no reason given")


def start(call: Call) -> Code:
    """Take the lease, and wait until the agent has it. Refusals that may pass are tried again."""
    while True:
        reason = take(call)
        if not reason:
            break
        if call.left < 2 * PAUSE:
            raise Failed(reason)
        time.sleep(PAUSE)
    while True:
        try:
            if held(call) is not None:
                break
            reason = "the agent hasn't taken it over yet"
        except OSError as error:
            reason = f"the agent doesn't answer: {error}"
        if call.left < 2 * PAUSE:
            say(f"{call['host']}: {reason}; the lease is ours, the agent follows")
            break
        time.sleep(PAUSE / 2)
    mark = _mark(call)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return Code.SUCCESS


def stop(call: Call) -> Code:
    """Have the agent end or hand over the host's servers and give back the lease. Without its word: a failure."""
    try:
        if held(call) is None:
            _mark(call).unlink(missing_ok=True)
            return Code.SUCCESS
        status, answer = machine.ask(machine.UnixConnection(agent_socket(call), call.left), "POST",
                                     f"/hosts/{quote(call['host'], safe='')}/release", body={})
    except OSError as error:
        if not _mark(call).exists():
            return Code.SUCCESS             # we never held it
        raise Failed(f"the agent doesn't answer ({error}), so that servers of {call['host']} may be running here: it "
                     "stays where it is; see journalctl -u stackling-agent, then `crm resource cleanup`") from None
    if status >= 300 and status != 404:
        raise Failed(f"the agent can't release {call['host']}: {_told(answer)}")
    _mark(call).unlink(missing_ok=True)
    return Code.SUCCESS


def monitor(call: Call) -> Code:
    """Whether this machine holds the host, also where it did before Pacemaker knew."""
    mark = _mark(call)
    try:
        holds = held(call) is not None
    except OSError as error:
        if not mark.exists():
            return Code.NOT_RUNNING
        say(f"the agent doesn't answer ({error}); {call['host']} is taken to be still here")
        return Code.SUCCESS
    if not holds:
        mark.unlink(missing_ok=True)
        return Code.NOT_RUNNING
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return Code.SUCCESS


def validate(call: Call) -> None:
    """The machine belongs to a cluster."""
    machine.name()
    machine.control_addresses()
    machine.credential()


AGENT = Agent(
    "host", "The identity of a host, with its servers",
    "Holds the identity of a host on this machine: its name in the API, its inventory and its servers. Starting it "
    "takes the lease from control, which refuses while another machine may still run the host's servers; stopping it "
    "ends the host's servers here and gives the lease back. Where it fails over, all servers of the host start "
    "again. Needs fencing. Compare host= of nova-compute.",
    start, stop, monitor,
    (Parameter("host", "host", "The name of the host, as in `openstack compute service list`.", required=True),
     Parameter("socket", "socket", "Where the local agent answers.", str(machine.RUN / "agent.sock"))),
    seconds=(60, 180, 20), validate=validate)
