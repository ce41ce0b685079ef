"""Which router leads from a subnet to an external network."""

from __future__ import annotations

from sqlalchemy import bindparam, exists, select

from stackling.network import rules
from stackling.ports.fabric import PortRole
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

_g = tables.ports.alias()
_p, _r, _a = tables.ports, tables.routers, tables.ip_allocations
_ROUTER = (
    select(_r.c.id)
    .select_from(_a.join(_p, _p.c.id == _a.c.port_id).join(_r, _r.c.id == _p.c.device_id))
    .where(_a.c.subnet_id == bindparam("subnet"), _p.c.role == PortRole.ROUTER, _p.c.deleting.is_(False),
           _p.c.device_owner != rules.Owner.ROUTER_GATEWAY, _r.c.deleting.is_(False),
           exists().where(_g.c.device_id == _r.c.id, _g.c.device_owner == rules.Owner.ROUTER_GATEWAY,
                          _g.c.network_id == bindparam("external"), _g.c.deleting.is_(False)))
    .order_by(_r.c.created_at, _r.c.id)
)


def router_for(tx: Tx, subnet_id: str, external_id: str) -> str | None:
    """The router between the subnet and the external network."""
    return tx.scalar(_ROUTER, subnet=subnet_id, external=external_id)
