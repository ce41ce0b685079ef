"""``ocf:stackling:agent``: what servers of this machine need: Open vSwitch, or Stackling's agent. Watched only."""

from __future__ import annotations

from . import machine, services
from .resource import Agent, Call, Failed, Parameter

UNITS = {"ovs": "stackling-ovs-db.service stackling-ovs-switch.service stackling-ovn-controller.service",
         "agent": "stackling-agent.service"}


def check(call: Call, limit: float) -> None:
    """The agent answers on its socket; Open vSwitch's database, Open vSwitch and ovn-controller do."""
    if call["service"] == "ovs":
        _check_switch(call["socket"] or f"{machine.RUN}/ovs", limit)
        return
    status, _ = machine.request(agent_socket(call), limit, "GET", "/")
    if status != 200:
        raise Failed(f"the agent answers {status}")


def _check_switch(directory: str, limit: float) -> None:
    machine.echo(f"{directory}/conf.sock", limit)
    machine.alive(f"{directory}/ovs-vswitchd.ctl", limit)
    with open(f"{directory}/ovn-controller.pid", encoding="ascii") as file:
        machine.alive(f"{directory}/ovn-controller.{file.read().strip()}.ctl", limit)


def agent_socket(call: Call) -> str:
    """Where the agent answers."""
    return call["socket"] or f"{machine.RUN}/agent.sock"


def _units(call: Call) -> tuple[str, ...]:
    return tuple((call["units"] or UNITS[call["service"]]).split())


SERVICE = services.Service(_units, check, limit=5.0, patience=20.0)

AGENT = Agent(
    "agent", "Watches what servers need: Open vSwitch, or the agent",
    "Watches Open vSwitch with ovn-controller (ovs), or the agent that runs the servers of this machine (agent). "
    "systemd starts them. This resource starts again what has ended or doesn't answer, and never stops anything: "
    "servers go on running whatever happens to the cluster.",
    lambda call: services.watch(SERVICE, call, revive=True), services.unwatch,
    lambda call: services.look(SERVICE, call),
    (Parameter("service", "what", "What is watched.", required=True, choices=("ovs", "agent")),
     Parameter("units", "systemd units", "Instead of the service's own, separated by blanks."),
     Parameter("socket", "socket", "Where the agent answers, or the directory of Open vSwitch's sockets.")),
    seconds=(30, 10, 20))
