"""Server groups: affinity and anti-affinity between servers. Members are the servers whose row names the group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.engine import Row

from stackling.compute import quotas
from stackling.compute.model import Need
from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound, QuotaExceeded
from stackling.core.ids import new_id
from stackling.store.tables.compute import server_groups, servers
from stackling.store.tables.fleet import hosts
from stackling.store.transaction import Tx

POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
_MEMBERS = select(servers.c.id, servers.c.host_id, servers.c.server_group_id).where(
    servers.c.server_group_id.in_(bindparam("groups", expanding=True)), servers.c.deleted == 0).order_by(
        servers.c.created_at, servers.c.id)


_FENCED = select(hosts.c.id).where(hosts.c.fenced.is_(True))


@dataclass(frozen=True, slots=True)
class Group:
    """A server group; ``members`` are (server id, host id)."""

    id: str
    name: str
    policy: str
    max_per_host: int
    project_id: str
    user_id: str
    members: tuple[tuple[str, str | None], ...] = ()


def _group(row: Row[Any], members: Mapping[str, list[tuple[str, str | None]]]) -> Group:
    return Group(row.id, row.name, row.policy, row.max_per_host, row.project_id, row.user_id,
                 tuple(members.get(row.id, ())))


def _members(tx: Tx, ids: list[str]) -> dict[str, list[tuple[str, str | None]]]:
    found: dict[str, list[tuple[str, str | None]]] = {}
    for row in tx.all(_MEMBERS, groups=ids) if ids else ():
        found.setdefault(row.server_group_id, []).append((row.id, row.host_id))
    return found


def get_group(tx: Tx, ctx: Context, id: str) -> Group:
    """Raises ``NotFound`` for another project's, except to administrators."""
    row = tx.one(select(server_groups).where(server_groups.c.id == id))
    if row is None or (row.project_id != ctx.project_id and not ctx.is_admin):
        raise NotFound(f"Instance group {id} could not be found.")
    return _group(row, _members(tx, [id]))


def list_groups(tx: Tx, ctx: Context, *, all_projects: bool = False, limit: int | None = None,
                offset: int = 0) -> list[Group]:
    """The project's groups (or everybody's), in order of creation."""
    statement = select(server_groups).order_by(server_groups.c.created_at, server_groups.c.id)
    if not all_projects:
        statement = statement.where(server_groups.c.project_id == ctx.project_id)
    found = tx.all(statement)[offset:]
    if limit is not None:
        found = found[:limit]
    members = _members(tx, [row.id for row in found])
    return [_group(row, members) for row in found]


def create_group(tx: Tx, ctx: Context, id: str, name: str, policy: str, max_per_host: int = 1) -> Group:
    """Raises ``QuotaExceeded``."""
    quotas.check_server_groups(tx, ctx.project_id or "")
    tx.execute(insert(server_groups), {
        "id": id, "name": name, "policy": policy, "max_per_host": max_per_host, "project_id": ctx.project_id,
        "user_id": ctx.user_id, "created_at": tx.now})
    return Group(id, name, policy, max_per_host, ctx.project_id or "", ctx.user_id or "")


def delete_group(tx: Tx, ctx: Context, id: str) -> None:
    """Its members stay where they are and belong to no group then."""
    get_group(tx, ctx, id)
    tx.execute(delete(server_groups).where(server_groups.c.id == id))


def for_hints(tx: Tx, ctx: Context, hints: Mapping[str, Any]) -> Group | None:
    """The group that the hint ``group`` names, locked against other members being placed at the same time.

    Raises ``Invalid`` for an unknown one, ``QuotaExceeded`` when it is full.
    """
    wanted = hints.get("group")
    if isinstance(wanted, list):
        wanted = wanted[0] if wanted else None     # pyright: ignore[reportUnknownVariableType]
    if not wanted:
        return None
    tx.guard(f"compute.server_group:{wanted}")
    try:
        group = get_group(tx, ctx, str(wanted))     # pyright: ignore[reportUnknownArgumentType]
    except NotFound as error:
        raise Invalid(error.message) from None
    limit = quotas.limits(tx, ctx.project_id or "")["server_group_members"]
    if 0 <= limit <= len(group.members):
        raise QuotaExceeded("Quota exceeded, too many servers in group")
    return group


def with_group(tx: Tx, need: Need, group_id: str, but: str) -> Need:
    """*need* of the member *but*, which leaves its host: within what the group's other members allow. Those on fenced
    hosts don't count, nor does a group that is gone."""
    row = tx.one(select(server_groups).where(server_groups.c.id == group_id))
    if row is None:
        return need
    fenced = {host.id for host in tx.all(_FENCED)}
    group = _group(row, _members(tx, [group_id]))
    members = tuple((id, host) for id, host in group.members if id != but and host not in fenced)
    avoid, only = limits(replace(group, members=members))
    if only is not None:
        only = only if need.only is None else only & need.only
    return leaning(replace(need, avoid=need.avoid | avoid, only=need.only if only is None else only),
                   replace(group, members=members))


def leaning(need: Need, group: Group) -> Need:
    """*need*, and where a soft group's other members are."""
    if not group.policy.startswith("soft-"):
        return need
    used = Counter(host for _, host in group.members if host is not None)
    return replace(need, near=tuple(sorted(used.items())), apart=group.policy == "soft-anti-affinity")


def joined(group: Group, host_id: str) -> Group:
    """*group* with one more member there."""
    return replace(group, members=(*group.members, (new_id(), host_id)))


def limits(group: Group) -> tuple[frozenset[str], frozenset[str] | None]:
    """(hosts to avoid, only hosts allowed or None for any) for the next member."""
    used = Counter(host for _, host in group.members if host is not None)
    if group.policy == "anti-affinity":
        return frozenset(host for host, count in used.items() if count >= group.max_per_host), None
    if group.policy == "affinity" and used:
        return frozenset(), frozenset(used)
    return frozenset(), None
