"""``/os-quota-sets``, ``/os-quota-class-sets`` and ``/limits``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import Json, boolean, only, route
from stackling.core.errors import Invalid
from stackling.volume import quotas

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_ABSOLUTE = {"volumes": "maxTotalVolumes", "snapshots": "maxTotalSnapshots", "gigabytes": "maxTotalVolumeGigabytes",
             "backups": "maxTotalBackups", "backup_gigabytes": "maxTotalBackupGigabytes"}
_USED = {"volumes": "totalVolumesUsed", "snapshots": "totalSnapshotsUsed", "gigabytes": "totalGigabytesUsed",
         "backups": "totalBackupsUsed", "backup_gigabytes": "totalBackupGigabytesUsed"}


def show(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-sets/{project}, with ``usage`` also what is used."""
    project = call.params["project"]
    call.authorize({"project_id": project}, "volume_extension:quotas:show")
    limits = quotas.limits(tx, project)
    if not boolean("usage", call.query.last("usage") or "false"):
        return Reply({"quota_set": {**limits, "id": project}})
    used = quotas.usage(tx, project)
    return Reply({"quota_set": {"id": project, **{
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()}}})


def defaults(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-sets/{project}/defaults."""
    project = call.params["project"]
    call.authorize({"project_id": project}, "volume_extension:quotas:show")
    return Reply({"quota_set": {**quotas.limits(tx, quotas.DEFAULT_CLASS), "id": project}})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /os-quota-sets/{project}."""
    project = call.params["project"]
    values = _values(call.body["quota_set"])
    quotas.set_limits(tx, project, values)
    return Reply({"quota_set": quotas.limits(tx, project)})


def _values(body: Json) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in body.items():
        if name in ("tenant_id", "project_id", "skip_validation", "force", "id"):
            continue
        try:
            found[name] = int(value)
        except (TypeError, ValueError):
            raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. {value} is not an integer."
                          ) from None
        if not -1 <= found[name] <= 0x7FFFFFFF:
            raise Invalid(f"{name} must be >= -1 and <= 2147483647 (it is {value}).")
    return found


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /os-quota-sets/{project}."""
    quotas.reset_limits(tx, call.params["project"])
    return Reply(status=200)


def show_class(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-class-sets/{name}."""
    name = call.params["name"]
    return Reply({"quota_class_set": {**quotas.limits(tx, f"class:{name}"), "id": name}})


def update_class(tx: Tx, call: Call) -> Reply:
    """PUT /os-quota-class-sets/{name}."""
    name = call.params["name"]
    quotas.set_limits(tx, f"class:{name}", _values(call.body["quota_class_set"]))
    return Reply({"quota_class_set": quotas.limits(tx, f"class:{name}")})


def limits(tx: Tx, call: Call) -> Reply:
    """GET /limits."""
    project = call.ctx.project_id or ""
    wanted = call.query.last("project_id")
    if wanted is not None and call.version >= (3, 39) and call.ctx.is_admin:
        project = wanted
    found, used = quotas.limits(tx, project), quotas.usage(tx, project)
    absolute = {shown: found[name] for name, shown in _ABSOLUTE.items()}
    absolute.update({shown: used[name] for name, shown in _USED.items()})
    return Reply({"limits": {"rate": [], "absolute": absolute}})


_SET = always(only("quota_set", {"type": "object"}))
_Q = "/os-quota-sets/{project}"
_C = "/os-quota-class-sets/{name}"
ROUTES = [
    route("GET", _Q, show, "volume_extension:quotas:show"),
    route("GET", f"{_Q}/defaults", defaults, "volume_extension:quotas:show"),
    route("PUT", _Q, update, "volume_extension:quotas:update", body=_SET),
    route("DELETE", _Q, delete, "volume_extension:quotas:delete"),
    route("GET", _C, show_class, "volume_extension:quota_classes:get"),
    route("PUT", _C, update_class, "volume_extension:quota_classes:update",
          body=always(only("quota_class_set", {"type": "object"}))),
    route("GET", "/limits", limits, "limits_extension:used_limits"),
]
