"""Who did what and when, over all resources: the lines of every timeline, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select

from stackling.store.tables import compute, fleet, identity, image, loadbalancer, network, volume
from stackling.store.tables.engine import events
from stackling.store.transaction import Tx

_SHOWN = select(events.c.seq, events.c.at, events.c.kind, events.c.resource_id, events.c.project_id, events.c.user_id,
                events.c.request_id, events.c.source, events.c.event, events.c.message)
_NAMES: Mapping[str, Any] = {
    "server": compute.servers.c.name, "image": image.images.c.name, "volume": volume.volumes.c.name,
    "volume_snapshot": volume.volume_snapshots.c.name, "volume_backup": volume.volume_backups.c.name,
    "network": network.networks.c.name, "subnet": network.subnets.c.name, "port": network.ports.c.name,
    "router": network.routers.c.name, "security_group": network.security_groups.c.name,
    "floating_ip": network.floating_ips.c.floating_ip_address, "load_balancer": loadbalancer.load_balancers.c.name,
    "host": fleet.hosts.c.name, "machine": fleet.machines.c.name, "user": identity.users.c.name,
    "project": identity.projects.c.name, "group": identity.groups.c.name, "role": identity.roles.c.name}
_NAMED = {kind: select(column.table.c.id, column.label("name")).where(
    column.table.c.id.in_(bindparam("ids", expanding=True))) for kind, column in _NAMES.items()}


def find(tx: Tx, exact: Mapping[str, str], *, since: str | None = None, before: str | None = None,
         below: int | None = None, by_people: bool = False, limit: int = 100) -> list[dict[str, Any]]:
    """Lines whose columns have the values of *exact*, of the time from *since* until *before* (instants), with numbers
    under *below*; *by_people*: only what somebody asked for. ``resource_name`` is what it is called now, if it is there
    and has a name."""
    conditions: list[Any] = [events.c[name] == value for name, value in exact.items()]
    if since is not None:
        conditions.append(events.c.at >= since)
    if before is not None:
        conditions.append(events.c.at < before)
    if below is not None:
        conditions.append(events.c.seq < below)
    if by_people:
        conditions.append(events.c.user_id.is_not(None))
    found = tx.all(_SHOWN.where(*conditions).order_by(events.c.seq.desc()).limit(limit))
    named = names(tx, {(row.kind, row.resource_id) for row in found})
    return [{**row._mapping, "resource_name": named.get((row.kind, row.resource_id))} for row in found]


def names(tx: Tx, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What the resources of these kinds and ids are called, those that are there and have a name."""
    return {(kind, row.id): row.name for kind in {kind for kind, _ in wanted} & _NAMED.keys()
            for row in tx.all(_NAMED[kind], ids=[id for of, id in wanted if of == kind]) if row.name}
