"""``ocf:stackling:rabbitmq``: the broker on this machine."""

from __future__ import annotations

from . import machine, services
from .resource import Agent, Call, Failed, Parameter

PORT = 5672
_HEADER = b"AMQP\x00\x00\x09\x01"


def check(call: Call, limit: float) -> None:
    """It begins an AMQP 0-9-1 conversation (Connection.Start is the first method frame)."""
    host, _, port = call["address"].rpartition(":")
    answer = machine.converse((host, int(port)), limit, send=_HEADER)
    if answer[:1] != b"\x01":
        raise Failed("the broker doesn't speak AMQP 0-9-1")


SERVICE = services.Service(lambda call: (call["unit"],), check, limit=5.0, patience=2.0)

AGENT = Agent(
    "rabbitmq", "The message broker",
    "Runs the RabbitMQ node of this machine, the systemd unit stackling-rabbitmq. The broker carries wake-ups only: "
    "losing it loses nothing, and nothing depends on it.",
    lambda call: services.start(SERVICE, call), lambda call: services.stop(SERVICE, call),
    lambda call: services.monitor(SERVICE, call),
    (Parameter("unit", "systemd unit", "The unit of the broker.", "stackling-rabbitmq.service"),
     Parameter("address", "address", "Where it listens without TLS, HOST:PORT.", f"127.0.0.1:{PORT}")),
    seconds=(120, 40, 20))
