"""``ocf:stackling:ovn``: a part of OVN's centre on this machine."""

from __future__ import annotations

from . import machine, services
from .resource import Agent, Call, Parameter

PORTS = {"nb": 6641, "sb": 6642}
_ECHO = b'{"id":"echo","method":"echo","params":["stackling"]}'


def check(call: Call, limit: float) -> None:
    """A database answers an echo (RFC 7047, 4.1.11), whoever leads; northd has no listener: running is enough."""
    service = call["service"]
    if service == "northd":
        return
    place = call["address"] or f"ssl:{machine.address()}:{PORTS[service]}"
    method, host, port = place.rsplit(":", 2)
    context = None if method != "ssl" else machine.control() if service == "nb" else machine.identity()
    machine.converse((host, int(port)), limit, send=_ECHO, expect=b"stackling", context=context)


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
     Parameter("address", "address", "Where the database listens, ssl:HOST:PORT or tcp:HOST:PORT. Default: TLS on this "
                                     "machine's address, port 6641 or 6642.")),
    seconds=(30, 30, 20))
