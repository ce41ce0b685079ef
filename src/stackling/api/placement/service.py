"""Hosts as resource providers. Placing happens in compute's own transactions, so nothing here can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Query, Reply
from stackling.api.placement import candidates
from stackling.api.placement.policy import RULES
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
STANDARD_CLASSES = (
    *CLASSES, "PCI_DEVICE", "SRIOV_NET_VF", "NUMA_SOCKET", "NUMA_CORE", "NUMA_THREAD", "NUMA_MEMORY_MB", "IPV4_ADDRESS",
    "VGPU", "VGPU_DISPLAY_HEAD", "NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC", "PCPU",
    "MEM_ENCRYPTION_CONTEXT", "FPGA", "PGPU", "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC", "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC")
"""Upstream's, in its order."""
NODE, DISABLED = "COMPUTE_NODE", "COMPUTE_STATUS_DISABLED"
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
    wanted = Query({key: values for key, values in call.query.items() if key in ("required", "member_of")})
    text = call.query.last("resources")
    amounts = candidates.amounts(text) if text else {}
    group = candidates.parse(Query({**wanted, "resources": ["VCPU:1"]}), call.version).groups[""]
    found = [row for row in hosts.list_hosts(tx)
             if (name is None or row["name"] == name) and (uuid is None or row["id"] == uuid) and _has(row, amounts)
             and candidates.fits(group, row, _traits(row))]
    return Reply({"resource_providers": [_provider(call, row) for row in found]})


def _has(row: Row, wanted: dict[str, int]) -> bool:
    inventories, used = _inventories(row), _usages(row)
    return all(name in inventories and used[name] + amount <= _capacity(inventories[name])
               and amount <= inventories[name]["max_unit"] for name, amount in wanted.items())


def _capacity(inventory: Mapping[str, Any]) -> int:
    return int((inventory["total"] - inventory["reserved"]) * inventory["allocation_ratio"])


def _traits(row: Row) -> list[str]:
    """What upstream's Compute tells of a host, as far as it is so of every one of ours."""
    return [NODE, DISABLED] if row["disabled"] else [NODE]


def list_candidates(tx: Tx, call: Call) -> Reply:
    """GET /allocation_candidates."""
    request = candidates.parse(call.query, call.version)
    wanted = candidates.total(request)
    found = [] if request.isolate else [
        row for row in hosts.list_hosts(tx) if _has(row, wanted)
        and all(candidates.fits(group, row, _traits(row)) for group in request.groups.values())]
    found = found[:request.limit]
    return Reply({"allocation_requests": [_request(call, row["id"], wanted, list(request.groups)) for row in found],
                  "provider_summaries": {row["id"]: _summary(call, row, wanted) for row in found}})


def _request(call: Call, id: str, wanted: dict[str, int], groups: list[str]) -> dict[str, Any]:
    if call.version < (1, 12):
        return {"allocations": [{"resource_provider": {"uuid": id}, "resources": wanted}]}
    made: dict[str, Any] = {"allocations": {id: {"resources": wanted}}}
    return {**made, "mappings": {name: [id] for name in groups}} if call.version >= (1, 34) else made


def _summary(call: Call, row: Row, wanted: dict[str, int]) -> dict[str, Any]:
    inventories, used = _inventories(row), _usages(row)
    shown: dict[str, Any] = {"resources": {
        name: {"capacity": _capacity(inventory), "used": used[name]} for name, inventory in inventories.items()
        if call.version >= (1, 27) or name in wanted}}
    if call.version >= (1, 17):
        shown["traits"] = _traits(row)
    if call.version >= (1, 29):
        shown.update(root_provider_uuid=row["id"], parent_provider_uuid=None)
    return shown


# -- allocations: what servers take

def _amounts(one: placing.Taken) -> dict[str, int]:
    found = {VCPU: one.vcpus, MEMORY: one.memory_mib, DISK: one.disk_gib}
    return {name: amount for name, amount in found.items() if amount}


def provider_allocations(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/allocations: by consumer."""
    row = _find(tx, call)
    found: dict[str, Any] = {}
    for one in placing.taken_on(tx, row["id"]):
        found[one.server_id] = {"resources": _amounts(one)}
        if call.version >= (1, 28):
            found[one.server_id]["consumer_generation"] = 1
    return Reply({"allocations": found, "resource_provider_generation": row["generation"]})


def show_allocations(tx: Tx, call: Call) -> Reply:
    """GET /allocations/{consumer}: a server's; nothing of what isn't there."""
    consumer = call.params["consumer"]
    if not is_id(consumer):
        raise Invalid(f"Malformed consumer_uuid: {consumer}")
    one = placing.taken_by(tx, consumer)
    if one is None:
        return Reply({"allocations": {}})
    generation = next(row["generation"] for row in hosts.list_hosts(tx) if row["id"] == one.host_id)
    shown: dict[str, Any] = {"allocations": {one.host_id: {"resources": _amounts(one), "generation": generation}}}
    if call.version >= (1, 12):
        shown.update(project_id=one.project_id, user_id=one.user_id)
    if call.version >= (1, 28):
        shown["consumer_generation"] = 1
    if call.version >= (1, 38):
        shown["consumer_type"] = "INSTANCE"
    return Reply(shown)


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
                                       for name in STANDARD_CLASSES]})


def show_class(tx: Tx, call: Call) -> Reply:
    """GET /resource_classes/{name}."""
    name = call.params["name"]
    if name not in STANDARD_CLASSES:
        raise NotFound(f"No such resource class {name}")
    return Reply({"name": name, "links": [{"rel": "self", "href": f"{call.service.prefix}/resource_classes/{name}"}]})


def list_traits(tx: Tx, call: Call) -> Reply:
    """GET /traits?name=in:A,B or startswith:A, ?associated=true."""
    if unknown := set(call.query) - {"name", "associated"}:
        raise Invalid(f"Invalid query string parameters: {', '.join(sorted(unknown))}")
    way, colon, value = (call.query.last("name") or "startswith:").partition(":")
    if not colon or way not in ("in", "startswith"):
        raise Invalid('Badly formatted name parameter. Expected name query string parameter in form: '
                      f'?name=[in|startswith]:[name1,name2|prefix]. Got: "{call.query.last("name")}"')
    used = (call.query.last("associated") or "").lower()
    if used not in ("", "true", "false"):
        raise Invalid('The query parameter "associated" only accepts "true" or "false"')
    associated = {trait for row in hosts.list_hosts(tx) for trait in _traits(row)} if used else set[str]()
    return Reply({"traits": [
        name for name in (NODE, DISABLED)
        if (name in value.split(",") if way == "in" else name.startswith(value))
        and (not used or (name in associated) == (used == "true"))]})


def show_trait(tx: Tx, call: Call) -> Reply:
    """GET /traits/{name}: whether there is such a trait."""
    name = call.params["name"]
    if name not in (NODE, DISABLED):
        raise NotFound(f"No such trait: {name}.")
    return Reply(status=204)


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
    Route("GET", f"{_P}/{{uuid}}/traits", _of_provider("traits", _traits), "placement:resource_providers:traits:list",
          min=(1, 6)),
    Route("GET", f"{_P}/{{uuid}}/aggregates", _of_provider("aggregates", lambda row: []),
          "placement:resource_providers:aggregates:list", min=(1, 1)),
    Route("GET", f"{_P}/{{uuid}}/allocations", provider_allocations, "placement:resource_providers:allocations:list"),
    Route("GET", "/allocations/{consumer}", show_allocations, "placement:allocations:list"),
    Route("GET", "/allocation_candidates", list_candidates, "placement:allocation_candidates:list", min=(1, 10)),
    Route("GET", "/resource_classes", list_classes, "placement:resource_classes:list", min=(1, 2)),
    Route("GET", "/resource_classes/{name}", show_class, "placement:resource_classes:show", min=(1, 2)),
    Route("GET", "/traits/{name}", show_trait, "placement:traits:show", min=(1, 6)),
    Route("GET", "/traits", list_traits, "placement:traits:list", min=(1, 6)),
    Route("GET", "/usages", show_usages, "placement:usages", min=(1, 9)),
]


def service(overrides: Mapping[str, str] | None = None) -> Service:
    """The service for ``api.app.build_app``."""
    return Service("placement", "/placement", ROUTES, Policy(RULES, overrides), error_body,
                   Microversions("placement", LOWEST, HIGHEST, LOWEST))
