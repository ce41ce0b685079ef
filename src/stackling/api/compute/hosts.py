"""``/os-services``, ``/os-hypervisors``, ``/os-availability-zone``, ``/os-hosts``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import (
    BOOLEAN,
    COUNT,
    HOST,
    TEXT,
    Json,
    is_true,
    limit_of,
    next_links,
    obj,
    query,
    route,
    single_query,
)
from stackling.api.schema import Schemas, always
from stackling.compute import hosts, placing
from stackling.core.clock import instant
from stackling.core.errors import Conflict, Invalid, NotFound, NotImplementedHere
from stackling.core.ids import is_id

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

COMPUTE = "nova-compute"
Row = Mapping[str, Any]


def _id(call: Call, row: Row) -> Any:
    return row["id"] if call.version >= (2, 53) else row["number"]


def _state(tx: Tx, row: Row) -> str:
    return "up" if hosts.is_up(row, tx.time) else "down"


# -- services

def _service(tx: Tx, call: Call, row: Row) -> Json:
    shown: Json = {
        "id": _id(call, row), "binary": COMPUTE, "host": row["name"], "zone": row["availability_zone"],
        "status": "disabled" if row["disabled"] else "enabled", "state": _state(tx, row),
        "updated_at": instant(row["last_seen"]) if row["last_seen"] else None,
        "disabled_reason": row["disabled_reason"]}
    if call.version >= (2, 11):
        shown["forced_down"] = bool(row["forced_down"] or row["fenced"])
    return shown


def list_services(tx: Tx, call: Call) -> Reply:
    """GET /os-services."""
    host, binary = call.query.last("host"), call.query.last("binary")
    found = [_service(tx, call, row) for row in hosts.list_hosts(tx) if not host or row["name"] == host]
    return Reply({"services": found if not binary or binary == COMPUTE else []})


def update_service_by_name(tx: Tx, call: Call) -> Reply:
    """PUT /os-services/enable, disable, disable-log-reason, force-down (before 2.53)."""
    action, body = call.params["service"], call.body
    values: Json
    shown: Json = {"host": body["host"], "binary": body["binary"]}
    if action == "enable":
        values, shown["status"] = {"disabled": False, "disabled_reason": None}, "enabled"
    elif action in ("disable", "disable-log-reason"):
        reason = body.get("disabled_reason")
        if action == "disable-log-reason":
            if reason is None:
                raise Invalid("Missing disabled reason field")
            shown["disabled_reason"] = reason
        values = {"disabled": True, "disabled_reason": reason if action == "disable-log-reason" else None}
        shown["status"] = "disabled"
    elif action == "force-down" and call.version >= (2, 11):
        if "forced_down" not in body:
            raise Invalid("Missing forced_down field")
        values = {"forced_down": is_true(body["forced_down"])}
        shown.update(values)
    else:
        raise NotFound("Unknown action")
    if body["binary"] != COMPUTE:
        raise Invalid(f"Updating a {body['binary']} service is not supported. Only nova-compute services can be "
                      "updated.")
    row = _by_name(tx, body["host"])
    _write(tx, call, row, values)
    return Reply({"service": shown})


def _by_name(tx: Tx, name: str) -> Row:
    for row in hosts.list_hosts(tx):
        if row["name"] == name:
            return row
    raise NotFound(f"Could not find service {COMPUTE} on host {name}.")


def _by_service_id(tx: Tx, call: Call, id: str) -> Row:
    if call.version >= (2, 53):
        if not is_id(id):
            raise Invalid(f"Invalid uuid {id}")
    elif not id.isdecimal():
        raise Invalid(f"Invalid service id {id}")
    for row in hosts.list_hosts(tx):
        if str(_id(call, row)) == id:
            return row
    raise NotFound(f"Service {id} could not be found.")


def update_service(tx: Tx, call: Call) -> Reply:
    """PUT /os-services/{id} (2.53 and later)."""
    body: Json = call.body
    row = _by_service_id(tx, call, call.params["service"])
    values: Json = {}
    if "status" in body:
        disabled = body["status"] == "disabled"
        if body.get("disabled_reason") and not disabled:
            raise Invalid("Specifying disabled_reason with status enabled is invalid.")
        values.update(disabled=disabled, disabled_reason=body.get("disabled_reason") if disabled else None)
    elif "disabled_reason" in body:
        raise Invalid("Specifying disabled_reason without status disabled is invalid.")
    if "forced_down" in body:
        values["forced_down"] = is_true(body["forced_down"])
    if not values:
        raise Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    _write(tx, call, row, values)
    return Reply({"service": _service(tx, call, hosts.get_host(tx, row["id"]))})


def _write(tx: Tx, call: Call, row: Row, values: Json) -> None:
    hosts.update_host(tx, row["id"], **values)
    tx.event(call.ctx, "host", row["id"], "update_service", ", ".join(f"{k}={v}" for k, v in values.items()))


def delete_service(tx: Tx, call: Call) -> Reply:
    """DELETE /os-services/{id}: a host that is down and has no servers."""
    row = _by_service_id(tx, call, call.params["service"])
    if row["servers"]:
        raise Conflict("Unable to delete compute service that is hosting instances. Migrate or delete the instances "
                       "first.")
    if hosts.is_up(row, tx.time):
        raise Conflict(f"The service of host {row['name']} is up; stop its agent first.")
    placing.delete_host(tx, row["id"])
    return Reply(status=204)


# -- hypervisors

def _hypervisor(tx: Tx, call: Call, row: Row, *, detail: bool, servers: list[Json] | None = None) -> Json:
    shown: Json = {"id": _id(call, row), "hypervisor_hostname": row["name"], "state": _state(tx, row),
                   "status": "disabled" if row["disabled"] else "enabled"}
    if detail:
        facts: Json = row["facts"] or {}
        shown.update(hypervisor_type=row["hypervisor_type"], hypervisor_version=row["hypervisor_version"],
                     host_ip=facts.get("address", "127.0.0.1"), service={
                         "id": _id(call, row), "host": row["name"], "disabled_reason": row["disabled_reason"]})
        if call.version >= (2, 88):
            shown["uptime"] = facts.get("uptime")
        else:
            shown.update(_resources(row))
            info = row["cpu_info"] or {}
            shown["cpu_info"] = info if call.version >= (2, 28) else msgspec.json.encode(info).decode()
    if servers:
        shown["servers"] = servers
    elif servers is not None and call.version >= (2, 75):
        shown["servers"] = []
    return shown


def _resources(row: Row) -> Json:
    return {
        "vcpus": row["vcpus"], "memory_mb": row["memory_mib"], "local_gb": row["disk_gib"],
        "vcpus_used": row["vcpus_used"], "memory_mb_used": row["memory_mib_used"],
        "local_gb_used": row["disk_gib_used"], "free_ram_mb": row["memory_mib"] - row["memory_mib_used"],
        "free_disk_gb": row["disk_gib"] - row["disk_gib_used"],
        "current_workload": 0, "running_vms": row["servers"],
        "disk_available_least": row["disk_gib"] - row["disk_gib_used"]}


def _servers_of(tx: Tx, rows: list[Row]) -> dict[str, list[Json]]:
    return {host: [{"name": name, "uuid": id} for id, name in found]
            for host, found in placing.servers_on(tx, [row["id"] for row in rows]).items()}


def _matching(tx: Tx, pattern: str) -> list[Row]:
    found = [row for row in hosts.list_hosts(tx) if re.search(re.escape(pattern), row["name"])]
    if not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return found


def list_hypervisors(detail: bool) -> Callable[[Tx, Call], Reply]:
    """GET /os-hypervisors and /os-hypervisors/detail."""
    def handler(tx: Tx, call: Call) -> Reply:
        paged, new = call.version >= (2, 33), call.version >= (2, 53)
        pattern = call.query.last("hypervisor_hostname_pattern") if new else None
        limit = limit_of(call.query)
        if pattern is not None:
            if "limit" in call.query or "marker" in call.query:
                raise Invalid("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not "
                              "supported.")
            rows = _matching(tx, pattern)
        else:
            rows = hosts.list_hosts(tx)
            rows = _paged(call, rows, limit) if paged else rows
        with_servers = new and is_true(call.query.last("with_servers", "false"))
        on = _servers_of(tx, rows) if with_servers else {}
        body: Json = {"hypervisors": [
            _hypervisor(tx, call, row, detail=detail, servers=on.get(row["id"], []) if with_servers else None)
            for row in rows]}
        if paged and pattern is None and (more := next_links(
                call, "os-hypervisors/detail" if detail else "os-hypervisors", rows, limit,
                lambda: str(_id(call, rows[-1])))):
            body["hypervisors_links"] = more
        return Reply(body)

    return handler


def _paged(call: Call, rows: list[Row], limit: int) -> list[Row]:
    marker = call.query.last("marker")
    if marker is not None:
        at = next((i for i, row in enumerate(rows) if str(_id(call, row)) == marker), None)
        if at is None:
            raise Invalid(f"marker [{marker}] not found")
        rows = rows[at + 1:]
    return rows[:limit]


def _by_id(tx: Tx, call: Call) -> Row:
    id = call.params["hypervisor"]
    if call.version >= (2, 53) and not is_id(id):
        raise Invalid(f"Invalid uuid {id}")
    for row in hosts.list_hosts(tx):
        if str(_id(call, row)) == id:
            return row
    raise NotFound(f"Hypervisor with ID '{id}' could not be found.")


def show_hypervisor(tx: Tx, call: Call) -> Reply:
    """GET /os-hypervisors/{id}."""
    row = _by_id(tx, call)
    wanted = call.version >= (2, 53) and is_true(call.query.last("with_servers", "false"))
    servers = _servers_of(tx, [row]).get(row["id"], []) if wanted else None
    return Reply({"hypervisor": _hypervisor(tx, call, row, detail=True, servers=servers)})


def uptime(tx: Tx, call: Call) -> Reply:
    """GET /os-hypervisors/{id}/uptime."""
    row = _by_id(tx, call)
    if not hosts.is_up(row, tx.time):
        raise Invalid(f"Compute service of {row['name']} is unavailable at this time.")
    shown = _hypervisor(tx, call, row, detail=False)
    shown["uptime"] = (row["facts"] or {}).get("uptime", "")
    return Reply({"hypervisor": shown})


def search(tx: Tx, call: Call) -> Reply:
    """GET /os-hypervisors/{pattern}/search."""
    rows = _matching(tx, call.params["hypervisor"])
    return Reply({"hypervisors": [_hypervisor(tx, call, row, detail=False) for row in rows]})


def hypervisor_servers(tx: Tx, call: Call) -> Reply:
    """GET /os-hypervisors/{pattern}/servers."""
    rows = _matching(tx, call.params["hypervisor"])
    on = _servers_of(tx, rows)
    return Reply({"hypervisors": [_hypervisor(tx, call, row, detail=False, servers=on.get(row["id"])) for row in rows]})


def statistics(tx: Tx, call: Call) -> Reply:
    """GET /os-hypervisors/statistics."""
    rows = [row for row in hosts.list_hosts(tx) if not row["disabled"]]
    shown = [_resources(row) for row in rows]
    names = ("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "free_ram_mb",
             "free_disk_gb", "current_workload", "running_vms", "disk_available_least")
    return Reply({"hypervisor_statistics": {"count": len(rows), **{n: sum(s[n] for s in shown) for n in names}}})


# -- availability zones

def _zones(rows: list[Row]) -> list[tuple[str, bool]]:
    """Each zone, and whether anything in it is enabled: those first in which something is."""
    found: dict[str, bool] = {}
    for row in rows:
        zone = row["availability_zone"]
        found[zone] = found.get(zone, False) or not row["disabled"]
    return sorted(found.items(), key=lambda item: (not item[1], item[0]))


def list_zones(tx: Tx, call: Call) -> Reply:
    """GET /os-availability-zone."""
    return Reply({"availabilityZoneInfo": [
        {"zoneName": zone, "zoneState": {"available": available}, "hosts": None}
        for zone, available in _zones(hosts.list_hosts(tx))]})


def list_zones_in_detail(tx: Tx, call: Call) -> Reply:
    """GET /os-availability-zone/detail: with the hosts that are enabled."""
    rows = hosts.list_hosts(tx)
    enabled: dict[str, Json] = {}
    for row in rows:
        if not row["disabled"]:
            enabled.setdefault(row["availability_zone"], {})[row["name"]] = {COMPUTE: {
                "available": hosts.is_up(row, tx.time), "active": True,
                "updated_at": instant(row["last_seen"]) if row["last_seen"] else None}}
    return Reply({"availabilityZoneInfo": [
        {"zoneName": zone, "zoneState": {"available": available}, "hosts": enabled.get(zone)}
        for zone, available in _zones(rows)]})


# -- os-hosts (before 2.43)

def list_os_hosts(tx: Tx, call: Call) -> Reply:
    """GET /os-hosts."""
    zone = call.query.last("zone") or None
    return Reply({"hosts": [{"host_name": row["name"], "service": "compute", "zone": row["availability_zone"]}
                            for row in hosts.list_hosts(tx) if zone is None or row["availability_zone"] == zone]})


def show_os_host(tx: Tx, call: Call) -> Reply:
    """GET /os-hosts/{name}: totals, use, and use by project."""
    try:
        row = _by_name(tx, call.params["host"])
    except NotFound:
        raise NotFound(f"Compute host {call.params['host']} could not be found.") from None
    name = row["name"]
    lines: list[Json] = [
        {"host": name, "project": "(total)", "cpu": row["vcpus"], "memory_mb": row["memory_mib"],
         "disk_gb": row["disk_gib"]},
        {"host": name, "project": "(used_now)", "cpu": row["vcpus_used"], "memory_mb": row["memory_mib_used"],
         "disk_gb": row["disk_gib_used"]}]
    by_project = placing.use_by_project(tx, row["id"])
    lines.append({"host": name, "project": "(used_max)", **{
        key: sum(use[i] for use in by_project.values()) for i, key in enumerate(("cpu", "memory_mb", "disk_gb"))}})
    lines += [{"host": name, "project": project, "cpu": use[0], "memory_mb": use[1], "disk_gb": use[2]}
              for project, use in by_project.items()]
    return Reply({"host": [{"resource": line} for line in lines]})


def no_host_control(tx: Tx, call: Call) -> Reply:
    """PUT /os-hosts/{name} and its power actions: refused as Nova's libvirt driver refuses them."""
    if not any(row["name"] == call.params["host"] for row in hosts.list_hosts(tx)):
        raise NotFound(f"Compute host {call.params['host']} could not be found.")
    raise NotImplementedHere("Hosts' power and maintenance mode aren't controlled here; disable a host by os-services.")


_SWITCH = {"type": "string", "enum": ["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"]}
_BY_NAME = {"host": HOST, "binary": {"type": "string", "minLength": 1, "maxLength": 255},
            "disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255}}
_UPDATE_OLD = Schemas({(2, 0): obj(_BY_NAME, "host", "binary"),
                       (2, 11): obj({**_BY_NAME, "forced_down": BOOLEAN}, "host", "binary")})
_UPDATE = always(obj({"status": {"type": "string", "enum": ["enabled", "disabled"]},
                      "disabled_reason": _BY_NAME["disabled_reason"], "forced_down": BOOLEAN}))
_SERVICES = {"host": TEXT, "binary": TEXT}
_PATTERN = {**HOST}
_LIST = Schemas({(2, 0): query({}), (2, 33): query({"limit": COUNT, "marker": TEXT}), (2, 53): single_query(
    {"limit": COUNT, "marker": TEXT, "hypervisor_hostname_pattern": _PATTERN, "with_servers": BOOLEAN})})
_SHOW = Schemas({(2, 0): query({}), (2, 53): single_query({"with_servers": BOOLEAN})})
_H = "/os-hypervisors/{hypervisor}"
ROUTES = [
    route("GET", "/os-services", list_services, "os-services:list", query=Schemas({
        (2, 0): query(_SERVICES), (2, 75): query(_SERVICES, more=False)})),
    route("PUT", "/os-services/{service}", update_service_by_name, "os-services:update", body=_UPDATE_OLD, max=(2, 52)),
    route("PUT", "/os-services/{service}", update_service, "os-services:update", body=_UPDATE, min=(2, 53)),
    route("DELETE", "/os-services/{service}", delete_service, "os-services:delete"),
    route("GET", "/os-hypervisors", list_hypervisors(False), "os-hypervisors:list", query=_LIST),
    route("GET", "/os-hypervisors/detail", list_hypervisors(True), "os-hypervisors:list-detail", query=_LIST),
    route("GET", "/os-hypervisors/statistics", statistics, "os-hypervisors:statistics", max=(2, 87)),
    route("GET", _H, show_hypervisor, "os-hypervisors:show", query=_SHOW),
    route("GET", f"{_H}/uptime", uptime, "os-hypervisors:uptime", max=(2, 87)),
    route("GET", f"{_H}/search", search, "os-hypervisors:search", max=(2, 52)),
    route("GET", f"{_H}/servers", hypervisor_servers, "os-hypervisors:servers", max=(2, 52)),
    route("GET", "/os-availability-zone", list_zones, "os-availability-zone:list"),
    route("GET", "/os-availability-zone/detail", list_zones_in_detail, "os-availability-zone:detail"),
    route("GET", "/os-hosts", list_os_hosts, "os-hosts:list", max=(2, 42)),
    route("GET", "/os-hosts/{host}", show_os_host, "os-hosts:show", max=(2, 42)),
    route("PUT", "/os-hosts/{host}", no_host_control, "os-hosts:update", max=(2, 42), body=always(
        obj({"status": _SWITCH, "maintenance_mode": _SWITCH}, minProperties=1))),
    *(route("GET", f"/os-hosts/{{host}}/{action}", no_host_control, f"os-hosts:{rule}", max=(2, 42))
      for action, rule in (("startup", "start"), ("shutdown", "shutdown"), ("reboot", "reboot"))),
]
