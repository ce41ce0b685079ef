"""``ocf:stackling:ovn``: a part of OVN's centre on this machine."""

from __future__ import annotations

from . import machine, services
from .resource import Agent, Call, Parameter


def check(call: Call, limit: float) -> None:
    """A database answers, whoever leads; northd answers."""
    service = call["service"]
    if service == "northd":
        machine.alive(call["socket"] or f"{machine.RUN}/ovn/northd.ctl", limit)
    else:
        machine.echo(call["socket"] or f"{machine.RUN}/ovn/{service}.sock", limit)


def _units(call: Call) -> tuple[str, ...]:
    service = call["service"]
    return (call["unit"] or f"stackling-{service if service == 'northd' else f'ovn-{service}'}.service",)


SERVICE = services.Service(_units, check, limit=5.0, patience=12.0)

AGENT = Agent(
    "ovn", "OVN's northbound or southbound database, or northd",
    "Runs a part of OVN's centre on this machine: the clustered northbound (nb) or southbound (sb) database server, or "
    "northd, as the systemd units stackling-ovn-nb, stackling-ovn-sb and stackling-northd. It fails when the server "
    "doesn't answer, not when the cluster of databases has no leader.",
    lambda call: services.start(SERVICE, call), lambda call: services.stop(SERVICE, call),
    lambda call: services.monitor(SERVICE, call),
    (Parameter("service", "which part", "The part of OVN.", required=True, choices=("nb", "sb", "northd")),
     Parameter("unit", "systemd unit", "Instead of stackling-ovn-nb, stackling-ovn-sb or stackling-northd."),
     Parameter("socket", "socket", "The database's socket, or northd's for control, where they are elsewhere.")),
    seconds=(30, 30, 20))
