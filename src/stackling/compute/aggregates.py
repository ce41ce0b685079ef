"""Host aggregates, and the availability zones that they make.

A host is in the zone of the aggregate that names one, else in the default zone; ``hosts.availability_zone`` holds that,
for the scheduler, and is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from stackling.compute import hosts
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.store.tables.compute import aggregate_hosts, aggregates, servers
from stackling.store.tables.fleet import hosts as hosts_table
from stackling.store.transaction import Tx

ZONE = "availability_zone"
DEFAULT_ZONE = "nova"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A set of hosts with metadata."""

    id: int
    uuid: str
    name: str
    metadata: Mapping[str, str]
    created_at: str
    updated_at: str | None
    hosts: tuple[str, ...] = ()

    @property
    def zone(self) -> str | None:
        """The availability zone that it makes, if any."""
        return self.metadata.get(ZONE)


def list_aggregates(tx: Tx) -> list[Aggregate]:
    """All of them, in order of creation."""
    members: dict[int, list[str]] = {}
    for row in tx.all(select(aggregate_hosts).order_by(aggregate_hosts.c.host)):
        members.setdefault(row.aggregate_id, []).append(row.host)
    return [Aggregate(r.id, r.uuid, r.name, r.metadata, r.created_at, r.updated_at, tuple(members.get(r.id, ())))
            for r in tx.all(select(aggregates).order_by(aggregates.c.id))]


def get_aggregate(tx: Tx, id: int) -> Aggregate:
    """Raises ``NotFound``."""
    for aggregate in list_aggregates(tx):
        if aggregate.id == id:
            return aggregate
    raise NotFound(f"Aggregate {id} could not be found.")


def create_aggregate(tx: Tx, name: str, zone: str | None) -> Aggregate:
    """Raises ``Conflict`` for a name that is taken."""
    if tx.one(select(aggregates.c.id).where(aggregates.c.name == name)) is not None:
        raise Conflict(f"Aggregate {name} already exists.")
    tx.guard("compute.aggregates")
    made = tx.execute(insert(aggregates), {
        "uuid": new_id(), "name": name, "metadata": {ZONE: zone} if zone else {}, "created_at": tx.now})
    return get_aggregate(tx, int(made.inserted_primary_key[0]))


def update_aggregate(tx: Tx, id: int, name: str | None, zone: str | None, *, set_zone: bool) -> Aggregate:
    """Rename it; with *set_zone* make its hosts' zone *zone*."""
    found = get_aggregate(tx, id)
    if name is not None and name != found.name:
        if tx.one(select(aggregates.c.id).where(aggregates.c.name == name)) is not None:
            raise Conflict(f"Aggregate {name} already exists.")
        tx.execute(update(aggregates).where(aggregates.c.id == id).values(name=name, updated_at=tx.now))
    return set_metadata(tx, id, {ZONE: zone}) if set_zone else get_aggregate(tx, id)


def set_metadata(tx: Tx, id: int, items: Mapping[str, str | None]) -> Aggregate:
    """Add items; None removes one. Raises ``Conflict`` where a host would be in two zones."""
    found = get_aggregate(tx, id)
    merged = {key: value for key, value in {**found.metadata, **items}.items() if value is not None}
    if ZONE in items and items[ZONE] != found.zone:
        _check_zone(tx, found, merged.get(ZONE))
    tx.execute(update(aggregates).where(aggregates.c.id == id).values(metadata=merged, updated_at=tx.now))
    if ZONE in items:
        _write_zone(tx, found.hosts, merged.get(ZONE) or DEFAULT_ZONE)
    return get_aggregate(tx, id)


def _check_zone(tx: Tx, aggregate: Aggregate, zone: str | None) -> None:
    if zone is not None and not zone.strip():
        raise Invalid("Invalid input received: availability zone must not be empty")
    for host in aggregate.hosts:
        _check_host(tx, aggregate.id, host, zone)
        if _has_servers(tx, host):
            raise Conflict(f"Cannot update aggregate {aggregate.id}. Reason: One or more hosts contain instances in "
                           "this zone.")


def _has_servers(tx: Tx, host: str) -> bool:
    return tx.one(select(servers.c.id).where(servers.c.host == host, servers.c.deleted == 0).limit(1)) is not None


def _check_host(tx: Tx, id: int, host: str, zone: str | None) -> None:
    for other in list_aggregates(tx):
        if other.id != id and host in other.hosts and zone and other.zone and other.zone != zone:
            raise Conflict(f"Cannot add host to aggregate {id}. Reason: Host already in availability zone "
                           f"{other.zone}.")


def delete_aggregate(tx: Tx, id: int) -> None:
    """Raises ``Invalid`` while it has hosts."""
    if get_aggregate(tx, id).hosts:
        raise Invalid(f"Cannot remove host from aggregate {id}: it still has hosts.")
    tx.execute(delete(aggregates).where(aggregates.c.id == id))


def add_host(tx: Tx, ctx: Context, id: int, host: str) -> Aggregate:
    """Raises ``NotFound`` for an unknown host, ``Conflict`` for one that is in it or in another zone."""
    found = get_aggregate(tx, id)
    row = hosts.get_host(tx, host)
    if row["name"] != host:
        raise NotFound(f"Compute host {host} could not be found.")
    if host in found.hosts:
        raise Conflict(f"Aggregate {id} already has host {host}.")
    _check_host(tx, id, host, found.zone)
    if found.zone and found.zone != row["availability_zone"] and _has_servers(tx, host):
        raise Conflict(f"Cannot add host to aggregate {id}. Reason: Host {host} contains instances of another zone.")
    tx.execute(insert(aggregate_hosts), {"aggregate_id": id, "host": host})
    if found.zone:
        _write_zone(tx, (host,), found.zone)
    tx.event(ctx, "host", row["id"], "add_to_aggregate", found.name)
    return get_aggregate(tx, id)


def remove_host(tx: Tx, ctx: Context, id: int, host: str) -> Aggregate:
    """Raises ``NotFound`` for a host that isn't in it."""
    found = get_aggregate(tx, id)
    if host not in found.hosts:
        raise NotFound(f"Aggregate {id} has no host {host}.")
    if found.zone and _has_servers(tx, host):
        raise Conflict(f"Cannot remove host from aggregate {id}. Reason: Host {host} contains instances.")
    tx.execute(delete(aggregate_hosts).where(aggregate_hosts.c.aggregate_id == id, aggregate_hosts.c.host == host))
    if found.zone:
        rest = next((a.zone for a in list_aggregates(tx) if a.zone and host in a.hosts), DEFAULT_ZONE)
        _write_zone(tx, (host,), rest)
    tx.event(ctx, "host", hosts.get_host(tx, host)["id"], "remove_from_aggregate", found.name)
    return get_aggregate(tx, id)


def _write_zone(tx: Tx, names: tuple[str, ...], zone: str) -> None:
    if names:
        tx.execute(update(hosts_table).where(hosts_table.c.name.in_(names)).values(
            availability_zone=zone, updated_at=tx.now))


