"""How much projects used over a time (``os-simple-tenant-usage``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.engine import Row

from stackling.core.clock import epoch
from stackling.core.errors import Invalid
from stackling.store.tables.compute import servers
from stackling.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class ServerUsage:
    """One server's share: ``hours`` within the time asked for, ``uptime`` in seconds over its whole life."""

    id: str
    name: str
    project_id: str
    hours: float
    flavor: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    started_at: str
    ended_at: str | None
    state: str
    uptime: int


def usages(tx: Tx, start: str, end: str, project_id: str | None = None, *, limit: int | None = None,
           marker: str | None = None) -> list[ServerUsage]:
    """Servers that ran between the instants *start* and *end*, by project and id. Raises ``Invalid`` for a marker
    that is none of them."""
    statement = select(servers).where(
        servers.c.launched_at.is_not(None), servers.c.launched_at <= end,
        or_(servers.c.terminated_at.is_(None), servers.c.terminated_at >= start),
    ).order_by(servers.c.project_id, servers.c.id)
    if project_id is not None:
        statement = statement.where(servers.c.project_id == project_id)
    found = list(tx.all(statement))
    if marker is not None:
        at = next((i for i, row in enumerate(found) if row.id == marker), None)
        if at is None:
            raise Invalid(f"marker [{marker}] not found")
        found = found[at + 1:]
    return [_usage(tx, row, start, end) for row in (found if limit is None else found[:limit])]


def _usage(tx: Tx, row: Row[Any], start: str, end: str) -> ServerUsage:
    begun, ended = max(row.launched_at, start), min(row.terminated_at or end, end)
    last = epoch(row.terminated_at) if row.terminated_at else tx.time
    return ServerUsage(
        row.id, row.name, row.project_id, max(0.0, epoch(ended) - epoch(begun)) / 3600, row.flavor["name"], row.vcpus,
        row.memory_mib, row.root_gib + row.ephemeral_gib, row.launched_at, row.terminated_at,
        "terminated" if row.terminated_at else row.vm_state, max(0, int(last - epoch(row.launched_at))))


def totals(found: Sequence[ServerUsage]) -> dict[str, float]:
    """The sums that the API shows."""
    return {
        "total_hours": sum(u.hours for u in found),
        "total_vcpus_usage": sum(u.vcpus * u.hours for u in found),
        "total_memory_mb_usage": sum(u.memory_mib * u.hours for u in found),
        "total_local_gb_usage": sum(u.disk_gib * u.hours for u in found),
    }
