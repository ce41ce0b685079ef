"""``ocf:stackling:control``: a control process on this machine, ``api`` or ``engine``."""

from __future__ import annotations

from . import attributes, machine, services
from .resource import Agent, Call, Parameter


def health(service: str, url: str, limit: float) -> tuple[int, bytes]:
    """(status, answer) of the health check of *service* on this machine: at *url*, or its own socket for that.

    Raises ``OSError``.
    """
    if not url:
        return machine.request(f"{machine.RUN}/health/{service}.sock", limit, "GET", "/healthz")
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, _, port = authority.partition(":")
    secure = scheme == "https"
    return machine.request((host, int(port or (443 if secure else 80))), limit, "GET", f"/{path}",
                           context=machine.anybody() if secure else None)


def check(call: Call, limit: float) -> None:
    """It answers. That it can't use the database is no failure of its own: a restart wouldn't help."""
    health(call["service"], call["url"], limit)


def _units(call: Call) -> tuple[str, ...]:
    return (call["unit"] or f"stackling-{call['service']}.service",)


def _tell(call: Call, works: bool) -> None:
    if call["service"] == "api":
        attributes.serves(call, works)


SERVICE = services.Service(_units, check, limit=2.0, patience=8.0, tell=_tell)

AGENT = Agent(
    "control", "A control process: the APIs, or the engine",
    "Runs the control process of this machine that serves the APIs (api) or the one that converges resources and "
    "answers agents (engine), as the systemd units stackling-api and stackling-engine. It fails when the process "
    "doesn't answer; that the database can't be used is no failure of this resource. A failure never fences.",
    lambda call: services.start(SERVICE, call), lambda call: services.stop(SERVICE, call),
    lambda call: services.monitor(SERVICE, call),
    (Parameter("service", "which process", "The control process.", required=True, choices=("api", "engine")),
     Parameter("unit", "systemd unit", "Instead of stackling-<service>.service."),
     Parameter("url", "health check", "What is asked instead of the process's own socket for that.")),
    seconds=(40, 30, 15), interval=3)
