"""What a view shows of other resources, for a whole page in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from stackling.network.rows import Record
from stackling.network.security_groups import rules_of
from stackling.store.tables import network as tables
from stackling.store.transaction import Tx

__all__ = ["address_scopes", "default_groups", "external_networks", "port_details", "rules_of"]
_n, _p, _g = tables.networks, tables.ports, tables.security_groups
_EXTERNAL = select(_n.c.id).where(_n.c.external.is_(True))
_DETAILS = select(_p.c.id, _p.c.name, _p.c.network_id, _p.c.mac_address, _p.c.admin_state_up, _p.c.status,
                  _p.c.device_id, _p.c.device_owner).where(_p.c.id.in_(bindparam("ids", expanding=True)))
_s, _sp = tables.subnets, tables.subnet_pools
_SCOPES = select(_s.c.network_id, _s.c.ip_version, _sp.c.address_scope_id).join(
    _sp, _sp.c.id == _s.c.subnetpool_id).where(
    _s.c.network_id.in_(bindparam("ids", expanding=True)), _sp.c.address_scope_id.is_not(None))
_DEFAULTS = select(_g.c.id).where(_g.c.id.in_(bindparam("ids", expanding=True)), _g.c.default_of.is_not(None))


def external_networks(tx: Tx, ids: Iterable[str]) -> set[str]:
    """Which of the networks are external."""
    wanted = set(ids)
    return {row.id for row in tx.all(_EXTERNAL)} & wanted if wanted else set()


def address_scopes(tx: Tx, network_ids: Sequence[str]) -> dict[tuple[str, int], str]:
    """The address scope of each network for an IP version, which its subnets' pools name."""
    return {(row.network_id, row.ip_version): row.address_scope_id for start in range(0, len(network_ids), 500)
            for row in tx.all(_SCOPES, ids=list(network_ids[start:start + 500]))}


def port_details(tx: Tx, ids: Sequence[str]) -> dict[str | None, dict[str, Any]]:
    """What a floating IP shows of its port."""
    found: dict[str | None, dict[str, Any]] = {}
    for start in range(0, len(ids), 500):
        for row in tx.all(_DETAILS, ids=list(ids[start:start + 500])):
            record: Record = dict(row._mapping)    # pyright: ignore[reportPrivateUsage]
            found[record.pop("id")] = record
    return found


def default_groups(tx: Tx, ids: Iterable[str]) -> set[str]:
    """Which of the security groups are their project's default."""
    wanted = sorted(set(ids))
    return {row.id for row in tx.all(_DEFAULTS, ids=wanted[:500])} if wanted else set()
