"""``/servers``: create, list, show, update, delete."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call, Query, Reply
from stackling.api.compute import schema_servers as schema
from stackling.api.compute.parts import Json, canonical_ip, is_true, limit_of, next_links, route
from stackling.api.compute.view_servers import ServerView
from stackling.compute import create, hosts, listing, servers
from stackling.compute.listing import Page
from stackling.compute.model import NewServers, Placement
from stackling.core.clock import FORMAT
from stackling.core.errors import Forbidden, Invalid
from stackling.core.ids import new_id
from stackling.network.facade import Requested, RequestedNetwork

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

MAX_AT_ONCE = 500


# -- create

def create_servers(tx: Tx, call: Call) -> Reply:
    """POST /servers."""
    if call.ctx.project_id is None:
        raise Forbidden("A server belongs to a project: ask with a token for one.")
    new = _new_servers(call)
    server = call.body["server"]
    password = server.get("adminPass") or secrets.token_urlsafe(9)
    made = create.create_servers(tx, call.ctx, new)
    if is_true(server.get("return_reservation_id", False)):
        return Reply({"reservation_id": new.reservation_id})
    first = made[0]
    links = ServerView(call).links(first["id"])
    shown = {"id": first["id"], "links": links, "OS-DCF:diskConfig": first["disk_config"],
             "security_groups": server.get("security_groups", [{"name": "default"}]), "adminPass": password}
    return Reply({"server": shown}, headers={"Location": links[0]["href"]})


def _new_servers(call: Call) -> NewServers:
    body: Json = call.body
    server: Json = body["server"]
    least = int(server.get("min_count") or 1)
    most = int(server.get("max_count") or least)
    if least > most:
        raise Invalid("min_count must be <= max_count")
    if most > MAX_AT_ONCE:
        raise Invalid(f"At most {MAX_AT_ONCE} servers can be made by one request.")
    hints: Json = body.get("os:scheduler_hints", body.get("OS-SCH-HNT:scheduler_hints", {}))
    name = server["name"]
    devices, legacy = _block_devices(call, server)
    return NewServers(
        ids=tuple(new_id() for _ in range(most)), reservation_id=f"r-{secrets.token_hex(4)}", name=name,
        flavor_ref=flavor_ref(server["flavorRef"]), image_ref=server.get("imageRef") or None,
        requested=requested(server),
        security_groups=tuple(dict.fromkeys(g["name"] for g in server.get("security_groups", ()) if g.get("name"))),
        key_name=server.get("key_name"), user_data=server.get("user_data"),
        injected_files=injected_files(server),
        config_drive=is_true(server.get("config_drive", False)), metadata=server.get("metadata", {}),
        tags=tuple(server.get("tags", ())), description=server.get("description") if call.version >= (2, 19) else name,
        hostname=server.get("hostname"), access_ip_v4=canonical_ip(server.get("accessIPv4")),
        access_ip_v6=canonical_ip(server.get("accessIPv6")),
        disk_config=server.get("OS-DCF:diskConfig", "MANUAL"), placement=_placement(call, server, hints),
        min_count=least, max_count=most, block_devices=devices, legacy_devices=legacy,
        shared_volumes=call.version >= (2, 60))


def injected_files(server: Json) -> tuple[tuple[str, str], ...]:
    """``personality`` (until 2.56) as paths and what is in them, in base64. Raises ``Invalid``."""
    files: list[Json] = server.get("personality") or []
    for file in files:
        for key in ("path", "contents"):
            if key not in file:
                raise Invalid(f"Bad personality format: missing {key}")
    return tuple((file["path"], file["contents"]) for file in files)


def flavor_ref(ref: str | int) -> str:
    """A flavor's id from an id or a link."""
    return str(ref).rstrip("/").rsplit("/", 1)[-1]


def _block_devices(call: Call, server: Json) -> tuple[tuple[Json, ...], bool]:
    """What the request says of disks, and whether in the old form."""
    old, new = server.get("block_device_mapping") or [], server.get("block_device_mapping_v2") or []
    if old and new:
        raise Invalid("Using different block_device_mapping syntaxes is not allowed in the same request.")
    if old or new:
        call.authorize(None, "os_compute_api:servers:create:attach_volume")
    return tuple(old or new), not new


def requested(server: Json) -> Requested:
    """``networks`` as the network service takes it. Raises ``Invalid``."""
    networks = server.get("networks")
    if networks is None or networks == "none" or networks == "auto":
        return networks
    found: list[RequestedNetwork] = []
    for network in networks:
        port, uuid = network.get("port"), network.get("uuid")
        if port and network.get("fixed_ip"):
            raise Invalid(f"Specified Fixed IP '{network['fixed_ip']}' cannot be used with port '{port}': the two "
                          "cannot be specified together.")
        if not port and not uuid:
            raise Invalid("Bad network format: missing 'uuid'")
        found.append(RequestedNetwork(None if port else uuid, port, network.get("fixed_ip"), network.get("tag")))
    return found or None


def _placement(call: Call, server: Json, hints: Json) -> Placement:
    zone: str | None = server.get("availability_zone")
    host: str | None = None
    forced = False
    if zone is not None and ":" in zone:
        parts = zone.split(":")
        if len(parts) > 3 or (not parts[0] and not any(parts[1:])):
            raise Invalid(f"Invalid input received: Unable to parse availability_zone {zone}")
        zone, host, forced = parts[0] or None, parts[1] or (parts[2] if len(parts) == 3 else None) or None, True
        if host is not None:
            call.authorize(None, "os_compute_api:servers:create:forced_host")
    wanted = server.get("host") or server.get("hypervisor_hostname")
    if wanted:
        call.authorize(None, "compute:servers:create:requested_destination")
        if host:
            raise Invalid("One mechanism with host and/or hypervisor_hostname and another mechanism with "
                          "zone:host:node are mutually exclusive.")
        host, forced = wanted, False
    return Placement(zone, host, forced and host is not None, hints)


# -- lists

_PAGING = ("limit", "marker", "sort_key", "sort_dir")
_USERS = {"reservation_id", "name", "status", "image", "flavor", "ip", "changes-since"}
_USERS_FROM = (
    (5, ("ip6",)), (26, ("tags", "tags-any", "not-tags", "not-tags-any")), (66, ("changes-before",)), (73, ("locked",)),
    (83, ("availability_zone", "config_drive", "key_name", "created_at", "launched_at", "terminated_at", "power_state",
          "task_state", "vm_state", "progress", "user_id")),
    (90, ("hostname",)),
)


def list_servers(detail: bool) -> Callable[[Tx, Call], Reply]:
    """GET /servers and /servers/detail."""
    collection = "servers/detail" if detail else "servers"

    def handler(tx: Tx, call: Call) -> Reply:
        page = _page(call, "detail" if detail else "index")
        rows: list[Any] = [] if page is None else list(listing.list_servers(tx, call.ctx, page, detail=detail))
        view = ServerView(call)
        body: Json = {"servers": [view.basic(row) for row in rows] if not detail else _details(tx, view, rows)}
        if page is not None and (more := next_links(call, collection, rows, page.limit, lambda: rows[-1].id)):
            body["servers_links"] = more
        return Reply(body)

    return handler


def _details(tx: Tx, view: ServerView, rows: list[Any]) -> list[Json]:
    if not view.wants_host_status:
        return [view.detail(row) for row in rows]
    states = hosts.host_states(tx, [row.host_id for row in rows if row.host_id])
    return [view.detail(row, states) for row in rows]


def _page(call: Call, which: str) -> Page | None:
    """The page asked for; None for a status that no server can have."""
    query = call.query
    if not query:
        return Page(project_id=call.ctx.project_id)
    given = _allowed(call, query)
    for name in given:
        if name in schema.JOINED or name.startswith("_"):
            raise Invalid(f"Invalid filter field: {name}.")
    everybody = _all_tenants(call, given, which)
    statuses = query.all("status")
    if statuses and not listing.statuses_known(statuses):
        if call.version >= (2, 38):
            raise Invalid("Invalid status value")
        return None
    since, before = _instant(given, "changes-since"), _instant(given, "changes-before")
    if since and before and before < since:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    deleted = _deleted(call, given, statuses, since or before)
    filters = {name: values for name, values in given.items() if name in listing.FILTERS and name not in (
        "status", "deleted", "changes-since", "changes-before")}
    if not everybody:
        filters.pop("tenant_id", None)
        filters.pop("project_id", None)
    return Page(filters, None if everybody else call.ctx.project_id, deleted, statuses, since, before, _sort(call),
                limit_of(query), query.last("marker"))


def _allowed(call: Call, query: Query) -> dict[str, list[str]]:
    names = set(query) - set(_PAGING)
    if not call.allowed("os_compute_api:servers:allow_all_filters"):
        allowed = _USERS | {"all_tenants"}
        for since, more in _USERS_FROM:
            if call.version >= (2, since):
                allowed |= set(more)
        names &= allowed
    return {name: query[name] for name in names}


def _all_tenants(call: Call, given: dict[str, list[str]], which: str) -> bool:
    values = given.pop("all_tenants", None)
    if values is None:
        return False
    word = values[-1].strip().lower()
    if word not in ("", "1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"):
        raise Invalid(f"Invalid value '{values[-1]}' for all_tenants.")
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    call.authorize(None, f"os_compute_api:servers:{which}:get_all_tenants")
    return True


def _instant(given: dict[str, list[str]], name: str) -> str | None:
    values = given.get(name)
    if values is None:
        return None
    try:
        moment = datetime.fromisoformat(values[-1].replace(" ", "+"))
    except ValueError:
        raise Invalid(f"Invalid filter field: {name}.") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime(FORMAT)


def _deleted(call: Call, given: dict[str, list[str]], statuses: list[str], changes: str | None) -> bool | None:
    if statuses and all(status.lower() == "deleted" for status in statuses):
        if not call.ctx.is_admin:
            raise Forbidden("Only administrators may list deleted instances")
        return True
    if "deleted" in given:
        return is_true(given["deleted"][-1])
    return None if changes else False


def _sort(call: Call) -> list[tuple[str, bool]]:
    keys, directions = call.query.all("sort_key"), [word.lower() for word in call.query.all("sort_dir")]
    for word in directions:
        if word not in ("asc", "desc"):
            raise Invalid(f"Unknown sort direction, must be one of asc, desc: {word}")
    if not keys:
        return [("created_at", directions[:1] == ["asc"])]
    found: list[tuple[str, bool]] = []
    for index, key in enumerate(keys):
        if key in ("host", "node") and not call.ctx.is_admin:
            raise Forbidden(f"Only administrators can sort servers by {key}")
        direction = directions[index] if index < len(directions) else directions[-1] if directions else "desc"
        if key in listing.SORT_KEYS and not (call.version < (2, 73) and key == "locked"):
            found.append((key, direction == "asc"))
    return found or [("created_at", False)]


# -- one server

def show_server(tx: Tx, call: Call) -> Reply:
    """GET /servers/{id}."""
    return Reply({"server": shown(tx, call, call.params["id"])})


def shown(tx: Tx, call: Call, id: str, *, one: bool = True) -> Json:
    """A server as GET shows it. Raises ``NotFound``."""
    row = listing.show(tx, id)
    if row is None or row.deleted or (row.project_id != call.ctx.project_id and not call.ctx.is_admin):
        raise servers.missing(id)
    view = ServerView(call, one=one)
    states = hosts.host_states(tx, [row.host_id] if row.host_id else []) if view.wants_host_status else None
    return view.detail(row, states)


_UPDATABLE = {"name": "name", "accessIPv4": "access_ip_v4", "accessIPv6": "access_ip_v6", "description": "description",
              "hostname": "hostname", "OS-DCF:diskConfig": "disk_config",
              "pinned_availability_zone": "pinned_availability_zone"}
_BELOW_275 = ("OS-EXT-", "OS-SRV-USG", "os-extended-volumes", "security_groups", "key_name", "config_drive",
              "host_status")


def columns(given: Json, names: Mapping[str, str]) -> dict[str, Any]:
    """What *given* says of the columns in *names* (by the API's names)."""
    return {column: canonical_ip(given[name]) if name.startswith("accessIP") else given[name]
            for name, column in names.items() if name in given}


def plain_addresses(addresses: msgspec.Raw) -> Json:
    """Addresses as old answers to changes show them: without MAC address and kind."""
    found: dict[str, list[Json]] = msgspec.json.decode(addresses)
    return {network: [{"version": one["version"], "addr": one["addr"]} for one in shown]
            for network, shown in found.items()}


def update_server(tx: Tx, call: Call) -> Reply:
    """PUT /servers/{id}."""
    server: Json = call.body["server"]
    id = call.params["id"]
    servers.update_server(tx, call.ctx, id, columns(server, _UPDATABLE))
    result = shown(tx, call, id)
    if call.version < (2, 75):
        result = {name: value for name, value in result.items() if not name.startswith(_BELOW_275)}
        result["addresses"] = plain_addresses(result["addresses"])
    return Reply({"server": result})


def delete_server(tx: Tx, call: Call) -> Reply:
    """DELETE /servers/{id}."""
    servers.delete_server(tx, call.ctx, call.params["id"])
    return Reply(status=204)


ROUTES = [
    route("GET", "/servers", list_servers(False), "servers:index", query=schema.LIST),
    route("POST", "/servers", create_servers, "servers:create", body=schema.CREATE, status=202, limit=1 << 20),
    route("GET", "/servers/detail", list_servers(True), "servers:detail", query=schema.LIST),
    route("GET", "/servers/{id}", show_server, "servers:show"),
    route("PUT", "/servers/{id}", update_server, "servers:update", body=schema.UPDATE),
    route("DELETE", "/servers/{id}", delete_server, "servers:delete", status=204),
]
