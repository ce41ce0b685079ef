"""The service's quotas. Usage is counted from live rows under the project's guard row.

Besides the general resources there are three for each volume type: ``volumes_<type>``, ``gigabytes_<type>`` and
``snapshots_<type>``, unlimited unless they are set.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, func, select, true

from stackling.core.errors import Invalid, QuotaExceeded
from stackling.store.tables.volume import (
    volume_backups,
    volume_groups,
    volume_snapshots,
    volume_types,
    volumes,
)
from stackling.store.tables.volume import volume_quotas as quotas
from stackling.store.transaction import Tx
from stackling.store.upsert import upsert

DEFAULTS: Mapping[str, int] = {
    "volumes": 10, "snapshots": 10, "gigabytes": 1000, "per_volume_gigabytes": -1, "backups": 10,
    "backup_gigabytes": 1000, "groups": 10,
}
"""Cinder's own; -1: no limit here."""
TYPED = ("volumes", "gigabytes", "snapshots")
DEFAULT_CLASS = "class:default"
_LIMITS = select(quotas.c.scope, quotas.c.resource, quotas.c.hard_limit).where(
    quotas.c.scope.in_(bindparam("scopes", expanding=True)))
_SET = upsert(quotas, ["scope", "resource"], insert={"hard_limit": bindparam("p_limit")},
              update={"hard_limit": bindparam("p_limit")})
_TYPES = select(volume_types.c.id, volume_types.c.name)
_VOLUMES = select(volumes.c.type_id, func.count().label("number"),
                  func.coalesce(func.sum(volumes.c.size_gib), 0).label("gib")).where(
    volumes.c.project_id == bindparam("project"), volumes.c.consumes_quota == true()).group_by(volumes.c.type_id)
_SNAPSHOTS = select(volume_snapshots.c.type_id, func.count().label("number"),
                    func.coalesce(func.sum(volume_snapshots.c.size_gib), 0).label("gib")).where(
    volume_snapshots.c.project_id == bindparam("project"), volume_snapshots.c.internal == 0,
    volume_snapshots.c.consumes_quota == true()).group_by(volume_snapshots.c.type_id)
_BACKUPS = select(func.count().label("number"), func.coalesce(func.sum(volume_backups.c.size_gib), 0).label("gib")
                  ).where(volume_backups.c.project_id == bindparam("project"))
_GROUPS = select(func.count()).where(volume_groups.c.project_id == bindparam("project"))


def limits(tx: Tx, project_id: str) -> dict[str, int]:
    """What the project may have; -1: any number."""
    found = tx.all(_LIMITS, scopes=[DEFAULT_CLASS, project_id])
    result = dict(DEFAULTS)
    for row in tx.all(_TYPES):
        result.update({f"{resource}_{row.name}": -1 for resource in TYPED})
    for scope in (DEFAULT_CLASS, project_id):
        result.update({row.resource: row.hard_limit for row in found if row.scope == scope and row.resource in result})
    return result


def set_limits(tx: Tx, scope: str, values: Mapping[str, int]) -> None:
    """Set limits of a project's id or of ``class:name``. Raises ``Invalid`` for what isn't there."""
    known = limits(tx, scope)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise Invalid(f"Bad key(s) in quota set: {', '.join(unknown)}")
    for resource, limit in values.items():
        tx.execute(_SET.on(tx.dialect), {"scope": scope, "resource": resource, "p_limit": limit})


def reset_limits(tx: Tx, scope: str) -> None:
    """Back to the defaults."""
    tx.execute(delete(quotas).where(quotas.c.scope == scope))


def rename_type(tx: Tx, old: str, new: str) -> None:
    """The limits of a type go with its name."""
    for resource in TYPED:
        tx.execute(quotas.update().where(quotas.c.resource == f"{resource}_{old}").values(
            resource=f"{resource}_{new}"))


def usage(tx: Tx, project_id: str) -> dict[str, int]:
    """What the project has now; snapshots count for ``gigabytes`` as well."""
    names = {row.id: row.name for row in tx.all(_TYPES)}
    used = dict.fromkeys(DEFAULTS, 0)
    used.update({f"{resource}_{name}": 0 for name in names.values() for resource in TYPED})
    for statement, resource in ((_VOLUMES, "volumes"), (_SNAPSHOTS, "snapshots")):
        for row in tx.all(statement, project=project_id):
            for suffix in ("", *([f"_{names[row.type_id]}"] if row.type_id in names else [])):
                used[f"{resource}{suffix}"] += int(row.number)
                used[f"gigabytes{suffix}"] += int(row.gib)
    backups = tx.one(_BACKUPS, project=project_id)
    assert backups is not None
    used.update(backups=int(backups.number), backup_gigabytes=int(backups.gib),
                groups=int(tx.scalar(_GROUPS, project=project_id)))
    return used


def claim(tx: Tx, project_id: str, wanted: Mapping[str, int], type_name: str | None = None, *,
          volume_gib: int | None = None) -> None:
    """Room for *wanted* more of each resource, of that type too. Raises ``QuotaExceeded`` (413).

    *volume_gib* is the size that one volume shall have. Holds the project's guard row until the transaction ends.
    """
    tx.guard(f"volume.quota:{project_id}")
    limit, used = limits(tx, project_id), usage(tx, project_id)
    if volume_gib is not None and 0 <= limit["per_volume_gigabytes"] < volume_gib:
        raise QuotaExceeded(f"Requested volume size {volume_gib}G is larger than maximum allowed limit "
                            f"{limit['per_volume_gigabytes']}G.")
    names: list[tuple[str, int]] = list(wanted.items())
    if type_name is not None:
        names += [(f"{name}_{type_name}", number) for name, number in wanted.items() if name in TYPED]
    for name, number in names:
        if number > 0 and 0 <= limit.get(name, -1) < used.get(name, 0) + number:
            raise QuotaExceeded(_refusal(name, number, used.get(name, 0), limit[name]))


def _refusal(name: str, number: int, used: int, limit: int) -> str:
    if name.startswith("gigabytes"):
        return (f"Requested volume or snapshot exceeds allowed {name} quota. Requested {number}G, quota is {limit}G "
                f"and {used}G has been consumed.")
    if name.startswith("backup_gigabytes"):
        return (f"Requested backup exceeds allowed Backup gigabytes quota. Requested {number}G, quota is {limit}G and "
                f"{used}G has been consumed.")
    words = {"volumes": "volumes", "snapshots": "snapshots", "backups": "backups"}
    kind = next((word for key, word in words.items() if name.startswith(key)), None)
    if kind is None:
        return f"Maximum number of {name} allowed ({limit}) exceeded"
    return f"Maximum number of {kind} allowed ({limit}) exceeded for quota '{name}'."

