"""What runs where: hosts as resource providers, what servers take of them, use by project, removing a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, type_coerce, update

from stackling.compute import rows, shares
from stackling.store.tables.compute import aggregate_hosts, aggregates, migrations, servers
from stackling.store.tables.fleet import hosts
from stackling.store.tables.placement import allocations, provider_aggregates, provider_inventories, provider_traits
from stackling.store.transaction import Tx
from stackling.store.types import Long

_ON = select(servers.c.id, servers.c.name, servers.c.host_id).where(
    servers.c.host_id.in_(bindparam("ids", expanding=True)), servers.c.deleted == 0).order_by(servers.c.created_at)
_USE = select(
    servers.c.project_id, func.sum(servers.c.vcpus).label("vcpus"), func.sum(servers.c.memory_mib).label("memory"),
    func.sum(servers.c.root_gib + servers.c.ephemeral_gib).label("disk"),
).where(servers.c.host_id == bindparam("host"), servers.c.deleted == 0).group_by(servers.c.project_id)

_TAKEN = select(
    servers.c.id, servers.c.project_id, servers.c.user_id, servers.c.host_id, servers.c.flavor, servers.c.old_flavor,
    servers.c.migration_id, servers.c.move, migrations.c.uuid, migrations.c.source_id, migrations.c.dest_id,
).select_from(servers.outerjoin(migrations, migrations.c.id == servers.c.migration_id)).where(
    servers.c.deleted == 0, servers.c.host_id.is_not(None)).order_by(servers.c.created_at, servers.c.id)
_BY = {
    "host_id": or_(servers.c.host_id == bindparam("host_id"), migrations.c.source_id == bindparam("host_id"),
                   migrations.c.dest_id == bindparam("host_id")),
    "consumer_id": or_(servers.c.id == bindparam("consumer_id"), migrations.c.uuid == bindparam("consumer_id")),
    "project_id": servers.c.project_id == bindparam("project_id"),
}
_CUSTOM = or_(*(type_coerce(column, Long).like('%"resources:%') for column in (servers.c.flavor, servers.c.old_flavor)))
_PROVIDERS = select(
    hosts.c.id, hosts.c.name, hosts.c.generation, hosts.c.vcpus, hosts.c.memory_mib, hosts.c.disk_gib,
    hosts.c.vcpus_reserved, hosts.c.memory_mib_reserved, hosts.c.disk_gib_reserved, hosts.c.vcpus_used,
    hosts.c.memory_mib_used, hosts.c.disk_gib_used, hosts.c.cpu_ratio, hosts.c.memory_ratio, hosts.c.disk_ratio,
    hosts.c.disabled).order_by(hosts.c.number)
_AGGREGATES = select(aggregates.c.uuid, aggregates.c.name, hosts.c.id).select_from(
    aggregate_hosts.join(aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id)
    .join(hosts, hosts.c.name == aggregate_hosts.c.host))
_FIT = update(hosts).where(hosts.c.id == bindparam("id_"), hosts.c.generation == bindparam("known")).values(
    generation=hosts.c.generation + 1)
_RESERVE = _FIT.values(
    vcpus_reserved=bindparam("r0"), memory_mib_reserved=bindparam("r1"), disk_gib_reserved=bindparam("r2"),
    cpu_ratio=bindparam("a0"), memory_ratio=bindparam("a1"), disk_ratio=bindparam("a2"),
    memory_mib_free=bindparam("room") - hosts.c.memory_mib_used)
_TAKE = _FIT.values(
    vcpus_used=hosts.c.vcpus_used + bindparam("t0"), memory_mib_used=hosts.c.memory_mib_used + bindparam("t1"),
    memory_mib_free=hosts.c.memory_mib_free - bindparam("t1"), disk_gib_used=hosts.c.disk_gib_used + bindparam("t2"))
VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
CLASSES = (VCPU, MEMORY, DISK)
"""What every host has."""
NODE, DISABLED = "COMPUTE_NODE", "COMPUTE_STATUS_DISABLED"
RESOURCES = "resources:"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a server takes of a host. Of the second of two hosts, its migration takes it (as with Nova)."""

    consumer_id: str
    type: str                                       # INSTANCE, MIGRATION
    server_id: str
    project_id: str
    user_id: str
    host_id: str
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """What a host has of one class."""

    total: int
    reserved: int
    ratio: float
    used: int


@dataclass(frozen=True, slots=True)
class HostProvider:
    """A host as a resource provider."""

    id: str
    name: str
    generation: int
    parts: Mapping[str, Part]
    disabled: bool
    aggregates: Mapping[str, str]
    """Its aggregates' names by UUID."""


def custom(extra_specs: Mapping[str, Any]) -> dict[str, int]:
    """``resources:CLASS`` of a flavor, without the classes that its own numbers are of."""
    found = {key[len(RESOURCES):]: str(value) for key, value in extra_specs.items() if key.startswith(RESOURCES)}
    return {name: int(value) for name, value in found.items()
            if name not in CLASSES and value.isdecimal() and len(value) < 10 and int(value)}


def taken(tx: Tx, *, custom_only: bool = False, **by: str) -> list[Taken]:
    """What servers take, of the host, consumer or project that *by* names; with *custom_only* without ``CLASSES``."""
    statement = _TAKEN.where(*(_BY[key] for key in by), *([_CUSTOM] if custom_only else []))
    found = [one for row in tx.all(statement, **by) for one in _shares(rows.mapping(row), custom_only)]
    return [one for one in found if all(getattr(one, key) == value for key, value in by.items())]


def _shares(row: Mapping[str, Any], custom_only: bool) -> list[Taken]:
    def one(consumer: str, type: str, host: str, share: shares.Share, *flavors: Mapping[str, Any]) -> Taken:
        amounts: dict[str, int] = {}
        for flavor in flavors:
            for name, amount in custom(flavor["extra_specs"]).items():
                amounts[name] = max(amount, amounts.get(name, 0))
        if not custom_only:
            amounts = {**{name: amount for name, amount in zip(CLASSES, share, strict=True) if amount}, **amounts}
        return Taken(consumer, type, row["id"], row["project_id"], row["user_id"], host, amounts)

    flavor, old = row["flavor"], row["old_flavor"]
    if not shares.between_hosts(row) or row["dest_id"] is None:
        return [one(row["id"], "INSTANCE", row["host_id"], shares.here(row), flavor, *([old] if old else []))]
    other = row["source_id"] if row["host_id"] == row["dest_id"] else row["dest_id"]
    kept = old or flavor
    return [one(row["id"], "INSTANCE", row["host_id"], shares.here(row), flavor),
            one(row["uuid"], "MIGRATION", other, shares.of_flavor(kept), kept)]


def providers(tx: Tx) -> list[HostProvider]:
    """Every host, in the order of registration."""
    within: dict[str, dict[str, str]] = {}
    for row in tx.all(_AGGREGATES):
        within.setdefault(row.id, {})[row.uuid] = row.name
    return [HostProvider(row.id, row.name, int(row.generation), {
        VCPU: Part(row.vcpus, row.vcpus_reserved, row.cpu_ratio, row.vcpus_used),
        MEMORY: Part(row.memory_mib, row.memory_mib_reserved, row.memory_ratio, row.memory_mib_used),
        DISK: Part(row.disk_gib, row.disk_gib_reserved, row.disk_ratio, row.disk_gib_used),
    }, bool(row.disabled), within.get(row.id, {})) for row in tx.all(_PROVIDERS)]


def change(tx: Tx, host: HostProvider, parts: Mapping[str, Part] | None = None) -> bool:
    """Raise the host's generation, and keep what *parts* say of reserves and ratios; False where it has changed
    since *host* was read."""
    if parts is None:
        return bool(tx.changed(_FIT, id_=host.id, known=host.generation))
    merged = [parts.get(name, host.parts[name]) for name in CLASSES]
    room = int((merged[1].total - merged[1].reserved) * merged[1].ratio)
    return bool(tx.changed(_RESERVE, id_=host.id, known=host.generation, room=room,
                           **{f"r{i}": part.reserved for i, part in enumerate(merged)},
                           **{f"a{i}": part.ratio for i, part in enumerate(merged)}))


def take_room(tx: Tx, host: HostProvider, more: Mapping[str, int]) -> bool:
    """Count *more* (it may be less) of ``CLASSES`` as used by others than servers; False as of ``change``."""
    return bool(tx.changed(_TAKE, id_=host.id, known=host.generation,
                           **{f"t{i}": more.get(name, 0) for i, name in enumerate(CLASSES)}))


def servers_on(tx: Tx, host_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """(id, name) of the servers of each host."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.all(_ON, ids=list(host_ids)) if host_ids else ():
        found.setdefault(row.host_id, []).append((row.id, row.name))
    return found


def use_by_project(tx: Tx, host_id: str) -> dict[str, tuple[int, int, int]]:
    """(vCPUs, MiB, GiB) that each project has on the host."""
    return {row.project_id: (int(row.vcpus), int(row.memory), int(row.disk)) for row in tx.all(_USE, host=host_id)}


def delete_host(tx: Tx, host_id: str) -> None:
    """Forget an empty host, and what was said of it; its machine registers anew when it comes back."""
    name = tx.scalar(select(hosts.c.name).where(hosts.c.id == host_id))
    for table in (provider_inventories, provider_traits, provider_aggregates, allocations):
        tx.execute(delete(table).where(table.c.provider_id == host_id))
    tx.execute(delete(aggregate_hosts).where(aggregate_hosts.c.host == name))
    tx.execute(delete(hosts).where(hosts.c.id == host_id))
