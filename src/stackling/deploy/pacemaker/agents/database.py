"""``ocf:stackling:database``: the database on this machine, which systemd starts, is usable."""

from __future__ import annotations

from . import control, machine, services
from .resource import Agent, Call, Failed, Parameter

_HANDSHAKE = 10             # version of MariaDB's protocol, the first byte of its greeting


def check(call: Call, limit: float) -> None:
    """It greets; and where the API answers here, it can use it."""
    greeting = machine.converse(call["socket"], limit)
    if len(greeting) < 5 or greeting[4] != _HANDSHAKE:
        raise Failed("the database refuses connections")
    try:
        status, answer = control.health("api", call["url"], limit)
    except OSError:
        return                          # the API has a resource of its own
    if status == 503:
        raise Failed(_missing(answer) or "the API can't use the database")


def _missing(answer: bytes) -> str:
    import json

    try:
        return "; ".join(map(str, json.loads(answer)["missing"]))
    except (ValueError, TypeError, LookupError):
        return ""


SERVICE = services.Service(lambda call: (call["unit"],), check, limit=2.0, patience=4.0)


def _start(call: Call) -> int:
    return services.watch(SERVICE, call, revive=False)


AGENT = Agent(
    "database", "Watches the database node that systemd runs",
    "Watches the MariaDB Galera node of this machine. systemd starts it, since a cluster of databases must also come "
    "up where Pacemaker doesn't; this resource never starts or stops it. It fails while the node is not part of the "
    "primary component, so that what needs a usable database is placed elsewhere.",
    _start, services.unwatch, lambda call: services.look(SERVICE, call),
    (Parameter("unit", "systemd unit", "The unit of the database.", "stackling-database.service"),
     Parameter("socket", "socket", "Where the database accepts clients on this machine.",
               f"{machine.RUN}/database.sock"),
     Parameter("url", "health check", "Where the API of this machine says whether it can use the database, "
                                        "instead of its socket for that.")),
    seconds=(30, 10, 15), interval=3)
