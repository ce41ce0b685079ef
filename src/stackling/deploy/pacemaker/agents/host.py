"""``ocf:stackling:host``: the identity of a host, held by one machine at a time (identity take-over).

Theory of operation. Who holds a host is decided by control, in the database, under a lease with an epoch: it grants a
lease only when the one before was released or its machine is proven to be off. Pacemaker only says where the identity
should go, so that a mistake of the cluster, or of this agent, makes nobody run twice: then the start is refused.

The monitor asks the local agent, not control: losing control stops no server. While the agent doesn't answer, it is
taken to hold what it held (the agent has a resource of its own): an agent that is restarted must not make servers move.
"""

from __future__ import annotations

import os
import time

from . import machine, services, systemd
from .agent import agent_socket
from .resource import Agent, Call, Code, Failed, Parameter, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 5.0
PAUSE = 1.0
CONFLICT = 409
_LATER = (CONFLICT, 423, 425, 429, 500, 502, 503, 504)
HELD, UNSURE = "held", "unsure"         # the agent's modes of a host (``stackling.agent.identities.Mode``)
HERE = (HELD, UNSURE, "releasing")


def _mark(call: Call) -> str:
    return services.mark(f"host-{call['host']}")


def mode(call: Call) -> str:
    """What becomes of the host here, in the local agent's words; "" when it doesn't know the host. Raises ``OSError``.
    """
    status, answer = machine.ask(agent_socket(call), LIMIT, "GET", "/hosts")
    if status != 200 or not isinstance(answer, dict):
        raise ConnectionError(f"the agent answers {status}")
    return str(answer.get("hosts", {}).get(call["host"], ""))


def tell(call: Call, verb: str) -> tuple[Any, str]:
    """POST …/hosts/{host}/*verb* to the first control machine that answers: (its answer, "") or (None, why not).

    Raises ``Failed`` where it makes no sense to ask again.
    """
    from urllib.parse import quote

    path = f"/internal/machines/{quote(machine.name())}/hosts/{quote(call['host'], safe='')}/{verb}"
    reason = "there is no control machine"
    for address in machine.control_addresses():
        try:
            status, answer = machine.ask(
                (address, machine.INTERNAL_PORT), min(2 * LIMIT, call.left), "POST", path, body={},
                headers={"X-Machine-Credential": machine.credential()}, context=machine.identity())
        except OSError as error:
            reason = f"{address}: {error}"
            continue
        if status < 300:
            return answer, ""
        reason = f"control refuses ({status}): {_told(answer)}"
        if status not in _LATER:
            raise Failed(reason)
        if status == CONFLICT:
            break
    return None, reason


def _told(answer: Any) -> str:
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    return str(error.get("message", error) if isinstance(error, dict) else error or "no reason given")


def start(call: Call) -> int:
    """Take the lease, and wait until the agent has it. Refusals that may pass are tried again."""
    while True:
        _, reason = tell(call, "take")
        if not reason:
            break
        if call.left < 2 * PAUSE:
            raise Failed(reason)
        time.sleep(PAUSE)
    services.set_mark(_mark(call))
    while True:
        try:
            if mode(call) == HELD:
                return Code.SUCCESS
            reason = "the agent hasn't taken it over yet"
        except OSError as error:
            reason = f"the agent doesn't answer: {error}"
        if call.left < 2 * PAUSE:
            say(f"{call['host']}: {reason}; the lease is ours, the agent follows")
            return Code.SUCCESS
        time.sleep(PAUSE / 2)


def stop(call: Call) -> int:
    """Have control ask for the host, and wait until the agent has ended its servers. Without that: a failure.

    When the whole machine is stopping, the agent may be gone already. Then there is nothing to wait for: control gives
    the host to nobody else before this machine is back, or proven to be off. Where identities aren't taken over any
    more, the resource is being removed: the host stays with this machine, and its servers run on.
    """
    if machine.cluster().get("take_over") != "identity":
        say(f"{call['host']} stays on this machine: take_over isn't \"identity\" any more")
        return _gone(call)
    while True:
        try:
            if mode(call) not in HERE:
                return _gone(call)
        except OSError as error:
            if not os.path.exists(_mark(call)):
                return Code.SUCCESS             # we never held it
            if _is_stopping(call):
                say(f"{call['host']}: the machine is stopping; the host stays this machine's until it is back")
                return _gone(call)
            say(f"{call['host']}: the agent doesn't answer: {error}")
        answer, reason = tell(call, "release")
        if answer is not None and answer.get("released"):
            return _gone(call)
        if call.left < 2 * PAUSE:
            raise Failed(f"{reason or 'servers still run'}: {call['host']} stays where it is; see journalctl -u "
                         "stackling-agent, then `crm resource cleanup`")
        time.sleep(PAUSE)


def _gone(call: Call) -> int:
    services.forget(_mark(call))
    return Code.SUCCESS


def _is_stopping(call: Call) -> bool:
    try:
        return "stopping" in systemd.systemctl(call, "show", "--property=SystemState")
    except Failed:
        return False


def monitor(call: Call) -> int:
    """Whether this machine holds the host, also where it did before Pacemaker knew."""
    mark = _mark(call)
    try:
        found = mode(call)
    except OSError as error:
        if not os.path.exists(mark):
            return Code.NOT_RUNNING
        say(f"the agent doesn't answer ({error}); {call['host']} is taken to be still here")
        return Code.SUCCESS
    if found not in HERE or (found == UNSURE and not os.path.exists(mark)):
        services.forget(mark)
        return Code.NOT_RUNNING
    services.set_mark(mark)
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
     Parameter("socket", "socket", "Where the local agent answers.", f"{machine.RUN}/agent.sock")),
    seconds=(60, 180, 20), validate=validate)
