"""Load balancers follow what changes in the network around them: routers and floating IPs wake them up."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from stackling.ports.fabric import PortRole
from stackling.store.tables.network import ports
from stackling.store.transaction import Tx

KIND, DEVICE = "load_balancer", "lb-"
"""A load balancer's ports have the latter before its id as ``device_id``."""
_p, _leg = ports, ports.alias("leg")
_AROUND = select(_p.c.device_id).distinct().where(
    _p.c.role == PortRole.LOAD_BALANCER, _p.c.deleting.is_(False),
    _p.c.network_id.in_(select(_leg.c.network_id).where(
        _leg.c.device_id == bindparam("router"), _leg.c.role == PortRole.ROUTER)))


def balancer_of(device_id: str) -> str:
    """The load balancer that a port belongs to."""
    return device_id.removeprefix(DEVICE)


def router_moved(tx: Tx, router_id: str) -> None:
    """A router connects other networks now, or has another gateway."""
    for row in tx.all(_AROUND, router=router_id):
        nudge(tx, row.device_id)


def nudge(tx: Tx, device_id: str) -> None:
    """Something about the port of this device changed."""
    tx.nudge(KIND, balancer_of(device_id))
