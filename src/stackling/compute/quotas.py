"""Compute's quotas. Usage is counted from live rows under the project's guard row, so that two requests at the same
time can't both take the last of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, func, select

from stackling.compute import rows
from stackling.core.errors import Invalid, QuotaExceeded
from stackling.store.tables.compute import compute_quotas as quotas
from stackling.store.tables.compute import keypairs, server_groups
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

DEFAULTS: Mapping[str, int] = {
    "instances": 10, "cores": 20, "ram": 50 * 1024, "metadata_items": 128, "injected_files": 5,
    "injected_file_content_bytes": 10 * 1024, "injected_file_path_bytes": 255, "key_pairs": 100, "server_groups": 10,
    "server_group_members": 10, "fixed_ips": -1, "floating_ips": -1, "security_groups": -1, "security_group_rules": -1,
}
"""Nova's own (https://docs.openstack.org/nova/latest/configuration/config.html#quota); -1: no limit here."""
COUNTED = ("instances", "cores", "ram")
DEFAULT_CLASS = "class:default"

_LIMITS = select(quotas.c.scope, quotas.c.resource, quotas.c.hard_limit).where(
    quotas.c.scope.in_(bindparam("scopes", expanding=True)))
_SET = upsert(quotas, ["scope", "resource"], insert={"hard_limit": bindparam("p_limit")},
              update={"hard_limit": bindparam("p_limit")})
_KEYPAIRS = select(func.count()).where(keypairs.c.user_id == bindparam("user"))
_GROUPS = select(func.count()).where(server_groups.c.project_id == bindparam("project"))


def limits(tx: Tx, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """What the project (or the user in it) may have; -1: any number."""
    scopes = [DEFAULT_CLASS, project_id, *([f"user:{project_id}:{user_id}"] if user_id else [])]
    found = tx.all(_LIMITS, scopes=scopes)
    result = dict(DEFAULTS)
    for scope in scopes:
        result.update({row.resource: row.hard_limit for row in found if row.scope == scope})
    return result


def defaults(tx: Tx) -> dict[str, int]:
    """What a project may have for which nothing was set."""
    return limits(tx, DEFAULT_CLASS)


def set_limits(tx: Tx, scope: str, values: Mapping[str, int]) -> None:
    """Set limits of a project's id, ``user:project:user`` or ``class:name``."""
    for resource, limit in values.items():
        tx.execute(_SET.on(tx.dialect), {"scope": scope, "resource": resource, "p_limit": limit})


def reset_limits(tx: Tx, scope: str) -> None:
    """Back to the defaults; a project's users' limits too."""
    tx.execute(delete(quotas).where(
        (quotas.c.scope == scope) | quotas.c.scope.like(f"user:{scope}:%")))


def usage(tx: Tx, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """What the project has now. Key pairs belong to users, and are counted where *user_id* is given."""
    servers, cores, ram = rows.usage(tx, project_id)
    result = dict.fromkeys(DEFAULTS, 0)
    result.update(instances=servers, cores=cores, ram=ram, server_groups=int(tx.scalar(_GROUPS, project=project_id)))
    if user_id is not None:
        result["key_pairs"] = int(tx.scalar(_KEYPAIRS, user=user_id))
    return result


def check_update(tx: Tx, project_id: str, values: Mapping[str, int]) -> None:
    """A limit may not be lower than what is in use. Raises ``Invalid``."""
    used = usage(tx, project_id)
    for resource, limit in values.items():
        if limit != -1 and limit < used[resource]:
            raise Invalid(f"Quota limit {limit} for {resource} must be greater than or equal to already used and "
                          f"reserved {used[resource]}.")


def claim_servers(tx: Tx, project_id: str, vcpus: int, memory_mib: int, least: int, most: int) -> int:
    """How many of *most* servers of that size the project may still make. Raises ``QuotaExceeded`` below *least*.

    Holds the project's guard row until the end of the transaction.
    """
    tx.guard(f"compute.quota:{project_id}")
    limit = limits(tx, project_id)
    used: dict[str, int] = dict(zip(COUNTED, rows.usage(tx, project_id), strict=True))
    each = {"instances": 1, "cores": vcpus, "ram": memory_mib}
    allowed = most
    for resource in COUNTED:
        if limit[resource] >= 0 and each[resource]:
            allowed = min(allowed, max(0, limit[resource] - used[resource]) // each[resource])
    if allowed >= least:
        return allowed
    over = [r for r in COUNTED if limit[r] >= 0 and used[r] + least * each[r] > limit[r]]
    raise QuotaExceeded(
        f"Quota exceeded for {_join(over)}: Requested {_join([str(least * each[r]) for r in over])}, but already used "
        f"{_join([str(used[r]) for r in over])} of {_join([str(limit[r]) for r in over])} {_join(over)}")


def claim_growth(tx: Tx, project_id: str, vcpus: int, memory_mib: int) -> None:
    """Room for a server to grow by that much. Raises ``QuotaExceeded``; holds the project's guard row."""
    tx.guard(f"compute.quota:{project_id}")
    limit = limits(tx, project_id)
    used: dict[str, int] = dict(zip(COUNTED, rows.usage(tx, project_id), strict=True))
    wanted: dict[str, int] = {"cores": vcpus, "ram": memory_mib}
    over = [name for name, more in wanted.items() if more > 0 and 0 <= limit[name] < used[name] + more]
    if over:
        raise QuotaExceeded(
            f"Quota exceeded for {_join(over)}: Requested {_join([str(wanted[r]) for r in over])}, but already used "
            f"{_join([str(used[r]) for r in over])} of {_join([str(limit[r]) for r in over])} {_join(over)}")


def check_keypairs(tx: Tx, project_id: str, user_id: str) -> None:
    """Room for one more key pair of the user. Raises ``QuotaExceeded``."""
    tx.guard(f"compute.keypairs:{user_id}")
    limit = limits(tx, project_id)["key_pairs"]
    if 0 <= limit <= int(tx.scalar(_KEYPAIRS, user=user_id)):
        raise QuotaExceeded("Quota exceeded, too many key pairs.")


def check_server_groups(tx: Tx, project_id: str) -> None:
    """Room for one more server group. Raises ``QuotaExceeded``."""
    tx.guard(f"compute.server_groups:{project_id}")
    limit = limits(tx, project_id)["server_groups"]
    if 0 <= limit <= int(tx.scalar(_GROUPS, project=project_id)):
        raise QuotaExceeded("Quota exceeded, too many server groups.")


def check_metadata(tx: Tx, project_id: str, count: int) -> None:
    """*count* metadata items on one server. Raises ``QuotaExceeded``."""
    limit = limits(tx, project_id)["metadata_items"] if count else -1
    if 0 <= limit < count:
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")


def check_injected_files(tx: Tx, project_id: str, files: Sequence[tuple[str, str]]) -> None:
    """Files (path, base64) for one server: how many, how long their paths and what is in them, as it was sent. Raises
    ``QuotaExceeded``."""
    limit = limits(tx, project_id) if files else {}
    for resource, wanted, message in (
            ("injected_files", len(files), "Personality file limit exceeded"),
            ("injected_file_path_bytes", max((len(path) for path, _ in files), default=0),
             "Personality file path exceeds maximum {}"),
            ("injected_file_content_bytes", max((len(contents) for _, contents in files), default=0),
             "Personality file content exceeds maximum {}")):
        if 0 <= limit.get(resource, -1) < wanted:
            raise QuotaExceeded(message.format(limit[resource]))


def _join(parts: Sequence[str]) -> str:
    return ", ".join(parts)
