"""Hosts as resource providers. Placing happens in compute's own transactions, so nothing here can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.policy import Policy
from stackling.api.route import Microversions, Route, Service
from stackling.compute import hosts, placing
from stackling.core.errors import Invalid, NotFound, StacklingError
from stackling.core.ids import is_id

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

LOWEST, HIGHEST = (1, 0), (1, 39)
VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
CLASSES = (VCPU, MEMORY, DISK)
RULES = {
    "admin_api": "role:admin", "service_api": "role:service", "admin_or_service": "role:admin or role:service",
    "placement:resource_providers:list": "rule:admin_or_service",
    "placement:resource_providers:show": "rule:admin_or_service",
    "placement:resource_providers:inventories:list": "rule:admin_or_service",
    "placement:resource_providers:inventories:show": "rule:admin_or_service",
    "placement:resource_providers:usages": "rule:admin_or_service",
    "placement:resource_classes:list": "rule:admin_or_service",
    "placement:usages": "role:reader and project_id:%(project_id)s or rule:admin_or_service",
    "placement:traits:list": "rule:admin_or_service",
}
Row = Mapping[str, Any]


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """``{"errors": […]}``, as https://specs.openstack.org/openstack/api-sig/guidelines/errors.html says."""
    shown: dict[str, Any] = {"status": error.status, "title": error.title, "detail": error.message,
                             "request_id": request_id, "code": "placement.undefined_code"}
    if error.status == 406:
        shown.update(max_version="1.39", min_version="1.0")
    return {"errors": [shown]}, "application/json"


def show_versions(tx: Tx, call: Call) -> Reply:
    """GET /."""
    return Reply({"versions": [{"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT",
                                "links": [{"rel": "self", "href": ""}]}]})


def _provider(call: Call, row: Row) -> dict[str, Any]:
    path = f"{call.service.prefix}/resource_providers/{row['id']}"
    relations = ["inventories", "usages", *(["aggregates"] if call.version >= (1, 1) else []),
                 *(["traits"] if call.version >= (1, 6) else []), *(["allocations"] if call.version >= (1, 11) else [])]
    shown: dict[str, Any] = {
        "uuid": row["id"], "name": row["name"], "generation": row["generation"],
        "links": [{"rel": "self", "href": path}, *({"rel": name, "href": f"{path}/{name}"} for name in relations)]}
    if call.version >= (1, 14):
        shown.update(root_provider_uuid=row["id"], parent_provider_uuid=None)
    return shown


def _inventories(row: Row) -> dict[str, dict[str, Any]]:
    amounts = {VCPU: (row["vcpus"], row["cpu_ratio"]), MEMORY: (row["memory_mib"], row["memory_ratio"]),
               DISK: (row["disk_gib"], row["disk_ratio"])}
    return {name: {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total, "step_size": 1,
                   "allocation_ratio": ratio} for name, (total, ratio) in amounts.items() if total}


def _usages(row: Row) -> dict[str, int]:
    return {VCPU: row["vcpus_used"], MEMORY: row["memory_mib_used"], DISK: row["disk_gib_used"]}


def _find(tx: Tx, call: Call) -> Row:
    uuid = call.params["uuid"]
    for row in hosts.list_hosts(tx):
        if row["id"] == uuid:
            return row
    raise NotFound(f"No resource provider with uuid {uuid} found")


def list_providers(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers."""
    unknown = set(call.query) - {"name", "uuid", "member_of", "resources", "in_tree", "required"}
    if unknown:
        raise Invalid(f"Invalid query string parameters: {', '.join(sorted(unknown))}")
    name, uuid = call.query.last("name"), call.query.last("uuid") or call.query.last("in_tree")
    if uuid is not None and not is_id(uuid):
        raise Invalid(f"Invalid query string parameters: '{uuid}' is not a 'uuid'")
    wanted = _resources(call.query.last("resources"))
    found = [row for row in hosts.list_hosts(tx)
             if (name is None or row["name"] == name) and (uuid is None or row["id"] == uuid) and _has(row, wanted)]
    return Reply({"resource_providers": [_provider(call, row) for row in found]})


def _resources(text: str | None) -> dict[str, int]:
    if not text:
        return {}
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return {name: int(amount) for name, amount in pairs}
    except ValueError:
        raise Invalid(f"Badly formed resources parameter. Expected resources query string parameter in form: "
                      f"?resources=VCPU:2,MEMORY_MB:1024. Got: {text}.") from None


def _has(row: Row, wanted: dict[str, int]) -> bool:
    inventories, used = _inventories(row), _usages(row)
    room = {name: inventory["total"] * inventory["allocation_ratio"] for name, inventory in inventories.items()}
    return all(name in room and used[name] + amount <= room[name] for name, amount in wanted.items())


def show_provider(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}."""
    return Reply(_provider(call, _find(tx, call)))


def _of_provider(key: str, of: Callable[[Row], Any]) -> Callable[[Tx, Call], Reply]:
    def handler(tx: Tx, call: Call) -> Reply:
        row = _find(tx, call)
        return Reply({"resource_provider_generation": row["generation"], key: of(row)})

    return handler


def show_inventory(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/inventories/{class}."""
    row = _find(tx, call)
    inventory = _inventories(row).get(call.params["name"])
    if inventory is None:
        raise NotFound(f"No inventory of class {call.params['name']} for {row['id']}")
    return Reply({"resource_provider_generation": row["generation"], **inventory})


def list_classes(tx: Tx, call: Call) -> Reply:
    """GET /resource_classes."""
    base = f"{call.service.prefix}/resource_classes"
    return Reply({"resource_classes": [{"name": name, "links": [{"rel": "self", "href": f"{base}/{name}"}]}
                                       for name in CLASSES]})


def list_traits(tx: Tx, call: Call) -> Reply:
    """GET /traits: no host has any."""
    return Reply({"traits": []})


def show_usages(tx: Tx, call: Call) -> Reply:
    """GET /usages?project_id=…: what a project's servers take."""
    project = call.query.last("project_id")
    if project is None:
        raise Invalid("Invalid query string parameters: 'project_id' is a required property")
    call.authorize({"project_id": project}, "placement:usages")
    sums = [0, 0, 0]
    for row in hosts.list_hosts(tx):
        for i, amount in enumerate(placing.use_by_project(tx, row["id"]).get(project, (0, 0, 0))):
            sums[i] += amount
    return Reply({"usages": dict(zip(CLASSES, sums, strict=True))})


_P = "/resource_providers"
ROUTES = [
    Route("GET", "", show_versions, None),
    Route("GET", _P, list_providers, "placement:resource_providers:list"),
    Route("GET", f"{_P}/{{uuid}}", show_provider, "placement:resource_providers:show"),
    Route("GET", f"{_P}/{{uuid}}/inventories", _of_provider("inventories", _inventories),
          "placement:resource_providers:inventories:list"),
    Route("GET", f"{_P}/{{uuid}}/inventories/{{name}}", show_inventory,
          "placement:resource_providers:inventories:show"),
    Route("GET", f"{_P}/{{uuid}}/usages", _of_provider("usages", _usages), "placement:resource_providers:usages"),
    Route("GET", f"{_P}/{{uuid}}/traits", _of_provider("traits", lambda row: []), "placement:traits:list", min=(1, 6)),
    Route("GET", f"{_P}/{{uuid}}/aggregates", _of_provider("aggregates", lambda row: []),
          "placement:resource_providers:show", min=(1, 1)),
    Route("GET", "/resource_classes", list_classes, "placement:resource_classes:list", min=(1, 2)),
    Route("GET", "/traits", list_traits, "placement:traits:list", min=(1, 6)),
    Route("GET", "/usages", show_usages, "placement:usages", min=(1, 9)),
]


def service(overrides: Mapping[str, str] | None = None) -> Service:
    """The service for ``api.app.build_app``."""
    return Service("placement", "/placement", ROUTES, Policy(RULES, overrides), error_body,
                   Microversions("placement", LOWEST, HIGHEST, LOWEST))
