"""``/os-quota-sets``, ``/os-quota-class-sets`` and ``/limits``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply, Version
from stackling.api.compute.parts import BOOLEAN, TEXT, Json, is_true, number, obj, only, query, route
from stackling.api.schema import Schemas
from stackling.compute import quotas
from stackling.compute.quotas import DEFAULTS
from stackling.core.errors import Forbidden, Invalid

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
_LIMITS = {
    "instances": "maxTotalInstances", "cores": "maxTotalCores", "ram": "maxTotalRAMSize",
    "key_pairs": "maxTotalKeypairs", "metadata_items": "maxServerMeta", "server_groups": "maxServerGroups",
    "server_group_members": "maxServerGroupMembers"}
_OLD_LIMITS = {"security_groups": "maxSecurityGroups", "security_group_rules": "maxSecurityGroupRules",
               "floating_ips": "maxTotalFloatingIps"}
_FILE_LIMITS = {"injected_files": "maxPersonality", "injected_file_content_bytes": "maxPersonalitySize"}
_IMAGE_LIMIT = {"metadata_items": "maxImageMeta"}
_USED = {"instances": "totalInstancesUsed", "cores": "totalCoresUsed", "ram": "totalRAMUsed",
         "server_groups": "totalServerGroupsUsed"}
_OLD_USED = {"floating_ips": "totalFloatingIpsUsed", "security_groups": "totalSecurityGroupsUsed"}


def _names(version: Version, *, group_from: Version = (2, 36)) -> list[str]:
    hidden = (_NETWORK if version >= group_from else ()) + (_FILES if version >= (2, 57) else ())
    return [name for name in DEFAULTS if name not in hidden]


def _shown(call: Call, id: str, limits: dict[str, int]) -> Reply:
    return Reply({"quota_set": {"id": id, **{name: limits[name] for name in _names(call.version)}}})


def _check_reader(call: Call, rule: str) -> str:
    project = call.params["project"]
    call.authorize({"project_id": project}, f"os_compute_api:os-quota-sets:{rule}")
    return project


def show_quotas(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-sets/{project}."""
    project = _check_reader(call, "show")
    return _shown(call, project, quotas.limits(tx, project, call.query.last("user_id")))


def show_detail(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-sets/{project}/detail."""
    project = _check_reader(call, "detail")
    user = call.query.last("user_id")
    limits, used = quotas.limits(tx, project, user), quotas.usage(tx, project)
    return Reply({"quota_set": {"id": project, **{
        name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in _names(call.version)}}})


def show_defaults(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-sets/{project}/defaults."""
    return _shown(call, call.params["project"], quotas.defaults(tx))


def update_quotas(tx: Tx, call: Call) -> Reply:
    """PUT /os-quota-sets/{project}."""
    project, user = call.params["project"], call.query.last("user_id")
    given: Json = call.body["quota_set"]
    values = {name: int(value) for name, value in given.items() if name != "force"}
    if not is_true(given.get("force", False)):
        quotas.check_update(tx, project, values)
    if user is not None:
        _check_user(quotas.limits(tx, project), values)
    quotas.set_limits(tx, f"user:{project}:{user}" if user else project, values)
    limits = quotas.limits(tx, project, user)
    return Reply({"quota_set": {name: limits[name] for name in _names(call.version)}})


def _check_user(project: dict[str, int], values: dict[str, int]) -> None:
    for name, value in values.items():
        if project[name] != -1 and (value == -1 or value > project[name]):
            raise Invalid(f"Quota limit {value} for {name} must be less than or equal to {project[name]}.")


def delete_quotas(tx: Tx, call: Call) -> Reply:
    """DELETE /os-quota-sets/{project}."""
    project, user = call.params["project"], call.query.last("user_id")
    quotas.reset_limits(tx, f"user:{project}:{user}" if user else project)
    return Reply(status=202)


# -- classes

def _shown_class(call: Call, limits: dict[str, int], id: str | None) -> Reply:
    names = _names(call.version, group_from=(2, 50))
    if call.version < (2, 50):
        names = [name for name in names if name not in ("server_groups", "server_group_members")]
    shown: Json = {name: limits[name] for name in names}
    return Reply({"quota_class_set": {**({"id": id} if id is not None else {}), **shown}})


def show_class(tx: Tx, call: Call) -> Reply:
    """GET /os-quota-class-sets/{class}."""
    name = call.params["name"]
    return _shown_class(call, quotas.limits(tx, f"class:{name}"), name)


def update_class(tx: Tx, call: Call) -> Reply:
    """PUT /os-quota-class-sets/{class}."""
    name = call.params["name"]
    quotas.set_limits(tx, f"class:{name}", {k: int(v) for k, v in call.body["quota_class_set"].items()})
    return _shown_class(call, quotas.limits(tx, f"class:{name}"), None)


# -- limits

def show_limits(tx: Tx, call: Call) -> Reply:
    """GET /limits."""
    project = call.ctx.project_id
    if (other := call.query.last("tenant_id")) is not None and other != project:
        call.authorize({"project_id": other}, "os_compute_api:limits:other_project")
        project = other
    if project is None:
        raise Forbidden("Limits are a project's: ask with a token for one, or name it with tenant_id.")
    limits, used = quotas.limits(tx, project), quotas.usage(tx, project)
    shown, counted = dict(_LIMITS), dict(_USED)
    if call.version < (2, 36):
        shown.update(_OLD_LIMITS)
        counted.update(_OLD_USED)
    absolute = {key: limits[name] for name, key in shown.items()}
    if call.version < (2, 39):
        absolute.update({key: limits[name] for name, key in _IMAGE_LIMIT.items()})
    if call.version < (2, 57):
        absolute.update({key: limits[name] for name, key in _FILE_LIMITS.items()})
    absolute.update({key: used[name] for name, key in counted.items()})
    return Reply({"limits": {"rate": [], "absolute": absolute}})


def _set(names: list[str], force: bool) -> Json:
    return obj({**{name: number(-1) for name in names}, **({"force": BOOLEAN} if force else {})})


_ALL, _NO_NETWORK, _NEW = (_names(version) for version in ((2, 1), (2, 36), (2, 57)))
_UPDATE = Schemas({(2, 0): only("quota_set", _set(_ALL, True)), (2, 36): only("quota_set", _set(_NO_NETWORK, True)),
                   (2, 57): only("quota_set", _set(_NEW, True))})
_UPDATE_CLASS = Schemas({
    (2, 0): only("quota_class_set", _set(_ALL, False)), (2, 50): only("quota_class_set", _set(_NO_NETWORK, False)),
    (2, 57): only("quota_class_set", _set(_NEW, False))})
_USER = Schemas({(2, 0): query({"user_id": TEXT}), (2, 75): query({"user_id": TEXT}, more=False)})
_TENANT = Schemas({(2, 0): query({"tenant_id": TEXT}), (2, 75): query({"tenant_id": TEXT}, more=False)})
_Q = "/os-quota-sets/{project}"
ROUTES = [
    route("GET", _Q, show_quotas, "servers:action", query=_USER),
    route("PUT", _Q, update_quotas, "os-quota-sets:update", body=_UPDATE, query=_USER),
    route("DELETE", _Q, delete_quotas, "os-quota-sets:delete", query=_USER, status=202),
    route("GET", f"{_Q}/detail", show_detail, "servers:action", query=_USER),
    route("GET", f"{_Q}/defaults", show_defaults, "os-quota-sets:defaults"),
    route("GET", "/os-quota-class-sets/{name}", show_class, "os-quota-class-sets:show"),
    route("PUT", "/os-quota-class-sets/{name}", update_class, "os-quota-class-sets:update", body=_UPDATE_CLASS),
    route("GET", "/limits", show_limits, "limits", query=_TENANT),
]
