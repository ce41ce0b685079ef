"""What becomes of floating IPs and routers when a port or an address under them goes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from stackling.network import port_forwardings, rules
from stackling.network.resources import FLOATING_IPS
from stackling.network.rows import Record, many, moved, touch
from stackling.store.tables.network import floating_ips, routers
from stackling.store.transaction import Tx

_f = floating_ips
_OF_PORT = select(_f).where(_f.c.port_id == bindparam("port"), _f.c.deleting.is_(False))
_ROUTER_MOVED = update(routers).where(routers.c.id == bindparam("r")).values(
    generation=routers.c.generation + 1, settled=False, revision_number=routers.c.revision_number + 1,
    updated_at=bindparam("now"))


def port_gone(tx: Tx, port_id: str) -> None:
    """Disassociate whatever points at the port, and forward nothing there."""
    port_forwardings.port_gone(tx, port_id)
    for record in many(tx, _OF_PORT, port=port_id):
        disassociate(tx, record)


def addresses_gone(tx: Tx, port_id: str, values: Sequence[str]) -> None:
    """Disassociate whatever points at one of these addresses of the port."""
    if values:
        port_forwardings.port_gone(tx, port_id, values)
        for record in many(tx, _OF_PORT, port=port_id):
            if record["fixed_ip_address"] in values:
                disassociate(tx, record)


def disassociate(tx: Tx, record: Record) -> Record:
    """Point the floating IP at nothing."""
    new: Record = {**record, **touch(tx, record), **moved(record), "port_id": None, "fixed_ip_address": None,
                   "router_id": None}
    new["status"] = rules.floating_ip_status(new)
    FLOATING_IPS.update(tx, record["id"], {key: new[key] for key in new if new[key] != record[key]})
    tx.nudge("floating_ip", record["id"])
    return new


def router_moved(tx: Tx, router_id: str) -> None:
    """The router's desired state changed."""
    if tx.changed(_ROUTER_MOVED, r=router_id, now=tx.now):
        tx.nudge("router", router_id)
