"""What runs where: servers by host, use by project, removing a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select

from stackling.store.tables.compute import aggregate_hosts, servers
from stackling.store.tables.fleet import hosts
from stackling.store.transaction import Tx

_ON = select(servers.c.id, servers.c.name, servers.c.host_id).where(
    servers.c.host_id.in_(bindparam("ids", expanding=True)), servers.c.deleted == 0).order_by(servers.c.created_at)
_USE = select(
    servers.c.project_id, func.sum(servers.c.vcpus).label("vcpus"), func.sum(servers.c.memory_mib).label("memory"),
    func.sum(servers.c.root_gib + servers.c.ephemeral_gib).label("disk"),
).where(servers.c.host_id == bindparam("host"), servers.c.deleted == 0).group_by(servers.c.project_id)


_TAKEN = select(
    servers.c.id, servers.c.project_id, servers.c.user_id, servers.c.host_id, servers.c.vcpus, servers.c.memory_mib,
    (servers.c.root_gib + servers.c.ephemeral_gib).label("disk_gib"),
).where(servers.c.deleted == 0, servers.c.host_id.is_not(None))
_TAKEN_ON = _TAKEN.where(servers.c.host_id == bindparam("host")).order_by(servers.c.created_at)
_TAKEN_BY = _TAKEN.where(servers.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class Taken:
    """What a server takes of its host: vCPUs, MiB and GiB."""

    server_id: str
    project_id: str
    user_id: str
    host_id: str
    vcpus: int
    memory_mib: int
    disk_gib: int


def taken_on(tx: Tx, host_id: str) -> list[Taken]:
    """What each server of the host takes of it."""
    return [Taken(*row) for row in tx.all(_TAKEN_ON, host=host_id)]


def taken_by(tx: Tx, server_id: str) -> Taken | None:
    """What the server takes of its host; None where it is on none, or isn't there."""
    row = tx.one(_TAKEN_BY, id=server_id)
    return None if row is None else Taken(*row)


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
    """Forget an empty host; its machine registers anew when it comes back."""
    name = tx.scalar(select(hosts.c.name).where(hosts.c.id == host_id))
    tx.execute(delete(aggregate_hosts).where(aggregate_hosts.c.host == name))
    tx.execute(delete(hosts).where(hosts.c.id == host_id))
