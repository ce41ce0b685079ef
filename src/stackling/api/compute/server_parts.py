"""Parts of a server: metadata, tags, addresses, security groups, interfaces, actions, and what isn't offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute import security_groups
from stackling.api.compute.parts import (
    COUNT,
    IP,
    METADATA,
    TAG,
    TEXT,
    UUID,
    Json,
    array,
    link_base,
    obj,
    only,
    query,
    route,
    single_query,
)
from stackling.api.schema import Schemas, always
from stackling.compute import addresses, rows, servers, timeline
from stackling.core.clock import FORMAT
from stackling.core.errors import Invalid, NotFound
from stackling.network import security_groups as network_groups
from stackling.network.facade import RequestedNetwork, ServerPort

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_DATE = {"type": "string", "format": "date-time"}
ONE_META = {**METADATA, "minProperties": 1, "maxProperties": 1}


def _server(tx: Tx, call: Call) -> Any:
    return servers.get_server(tx, call.ctx, call.params["id"])


# -- metadata

def list_metadata(tx: Tx, call: Call) -> Reply:
    """GET …/metadata."""
    return Reply({"metadata": _server(tx, call)["metadata"]})


def add_metadata(tx: Tx, call: Call) -> Reply:
    """POST …/metadata."""
    return Reply({"metadata": servers.set_metadata(tx, call.ctx, call.params["id"], call.body["metadata"])})


def replace_metadata(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata."""
    items = servers.set_metadata(tx, call.ctx, call.params["id"], call.body["metadata"], replace=True)
    return Reply({"metadata": items})


def show_metadata_item(tx: Tx, call: Call) -> Reply:
    """GET …/metadata/{key}."""
    metadata = _server(tx, call)["metadata"]
    if call.params["key"] not in metadata:
        raise NotFound("Metadata item was not found")
    return Reply({"meta": {call.params["key"]: metadata[call.params["key"]]}})


def set_metadata_item(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata/{key}."""
    meta: Json = call.body["meta"]
    if call.params["key"] not in meta:
        raise Invalid("Request body and URI mismatch")
    servers.set_metadata(tx, call.ctx, call.params["id"], meta)
    return Reply({"meta": meta})


def delete_metadata_item(tx: Tx, call: Call) -> Reply:
    """DELETE …/metadata/{key}."""
    servers.delete_metadata_item(tx, call.ctx, call.params["id"], call.params["key"])
    return Reply(status=204)


# -- tags

def list_tags(tx: Tx, call: Call) -> Reply:
    """GET …/tags."""
    return Reply({"tags": _server(tx, call)["tags"]})


def replace_tags(tx: Tx, call: Call) -> Reply:
    """PUT …/tags."""
    return Reply({"tags": servers.set_tags(tx, call.ctx, call.params["id"], call.body["tags"])})


def delete_tags(tx: Tx, call: Call) -> Reply:
    """DELETE …/tags."""
    servers.set_tags(tx, call.ctx, call.params["id"], [])
    return Reply(status=204)


def show_tag(tx: Tx, call: Call) -> Reply:
    """GET …/tags/{tag}: whether it is there."""
    server = _server(tx, call)
    if call.params["tag"] not in server["tags"]:
        raise NotFound(f"Server {server['id']} has no tag '{call.params['tag']}'")
    return Reply(status=204)


_tag = always(TAG)


def add_tag(tx: Tx, call: Call) -> Reply:
    """PUT …/tags/{tag}."""
    tag = call.params["tag"]
    _tag.check(tag, call.version)
    if not servers.add_tag(tx, call.ctx, call.params["id"], tag):
        return Reply(status=204)
    return Reply(status=201, headers={"Location": f"{link_base(call)}/v2.1/servers/{call.params['id']}/tags/{tag}"})


def delete_tag(tx: Tx, call: Call) -> Reply:
    """DELETE …/tags/{tag}."""
    servers.remove_tag(tx, call.ctx, call.params["id"], call.params["tag"])
    return Reply(status=204)


# -- addresses and security groups

def _addresses(tx: Tx, call: Call) -> dict[str, list[Json]]:
    import msgspec

    server = _server(tx, call)
    found: dict[str, list[Json]] = msgspec.json.decode(server["addresses"])
    return {label: [{"version": a["version"], "addr": a["addr"]} for a in listed] for label, listed in found.items()}


def list_ips(tx: Tx, call: Call) -> Reply:
    """GET …/ips."""
    return Reply({"addresses": _addresses(tx, call)})


def show_ips(tx: Tx, call: Call) -> Reply:
    """GET …/ips/{label}."""
    found = _addresses(tx, call)
    label = call.params["label"]
    if label not in found:
        raise NotFound("Instance is not a member of specified network")
    return Reply({label: found[label]})


def list_security_groups(tx: Tx, call: Call) -> Reply:
    """GET …/os-security-groups."""
    server = _server(tx, call)
    ids = {id for port in addresses.ports(tx, server) for id, _ in port.security_groups}
    found = sorted(network_groups.by_ids(tx, sorted(ids)).values(), key=lambda group: group["name"])
    return Reply({"security_groups": security_groups.shown(tx, found)})


# -- interfaces

def _shown_port(call: Call, port: ServerPort) -> Json:
    shown: Json = {
        "net_id": port.network_id, "port_id": port.port_id, "mac_addr": port.mac, "port_state": port.status,
        "fixed_ips": [{"subnet_id": subnet, "ip_address": ip} for subnet, ip, _ in port.fixed_ips]}
    if call.version >= (2, 70):
        shown["tag"] = port.tag
    return shown


def list_interfaces(tx: Tx, call: Call) -> Reply:
    """GET …/os-interface."""
    ports = addresses.ports(tx, _server(tx, call))
    return Reply({"interfaceAttachments": [_shown_port(call, port) for port in ports]})


def show_interface(tx: Tx, call: Call) -> Reply:
    """GET …/os-interface/{port}."""
    port = addresses.get_port(tx, _server(tx, call), call.params["port"])
    return Reply({"interfaceAttachment": _shown_port(call, port)})


def attach_interface(tx: Tx, call: Call) -> Reply:
    """POST …/os-interface."""
    body: Json = call.body.get("interfaceAttachment") or {}
    network, port, fixed = body.get("net_id"), body.get("port_id"), body.get("fixed_ips")
    if network and port:
        raise Invalid("Must not input both network_id and port_id")
    if fixed and not network:
        raise Invalid("Must input network_id when request IP address")
    wanted = RequestedNetwork(network, port, fixed[0]["ip_address"] if fixed else None, body.get("tag"))
    server = _server(tx, call)
    try:
        made = addresses.attach(tx, call.ctx, server, wanted if network or port else None)
    except NotFound as error:
        raise Invalid(error.message) from None
    return Reply({"interfaceAttachment": _shown_port(call, made)})


def detach_interface(tx: Tx, call: Call) -> Reply:
    """DELETE …/os-interface/{port}."""
    addresses.detach(tx, call.ctx, _server(tx, call), call.params["port"])
    return Reply(status=202)


# -- the timeline

def _timeline_server(tx: Tx, call: Call) -> Any:
    """Deleted servers have one too, from 2.21 on."""
    row = rows.get(tx, call.params["id"])
    if row is None or (row["project_id"] != call.ctx.project_id and not call.ctx.is_admin) or (
            row["deleted"] and call.version < (2, 21)):
        raise servers.missing(call.params["id"])
    return row


def _shown_action(call: Call, row: Any, *, one: bool = False) -> Json:
    shown: Json = {
        "action": row.action, "instance_uuid": row.server_id, "request_id": row.request_id, "user_id": row.user_id,
        "project_id": row.project_id, "start_time": row.started_at,
        "message": "Error" if row.result == "Error" else None}
    if call.version >= (2, 58):
        shown["updated_at"] = row.updated_at
    if one and (call.version >= (2, 51) or call.allowed("os_compute_api:os-instance-actions:events")):
        shown["events"] = [_shown_event(call, row)]
    return shown


def _shown_event(call: Call, row: Any) -> Json:
    shown: Json = {
        "event": timeline.EVENTS.get(row.action, f"compute_{row.action}_instance"), "start_time": row.started_at,
        "finish_time": row.finished_at, "result": row.result}
    if call.allowed("os_compute_api:os-instance-actions:events"):
        shown["traceback"] = row.details if row.result == "Error" else None
    if call.version >= (2, 62):
        import hashlib

        shown["hostId"] = hashlib.sha224(f"{row.project_id}{row.host}".encode()).hexdigest() if row.host else ""
        if call.ctx.is_admin:
            shown["host"] = row.host
    if call.version >= (2, 84):
        shown["details"] = row.message if row.result == "Error" else None
    return shown


def moment(call: Call, name: str) -> str | None:
    """An instant in the query, as it is stored."""
    from datetime import UTC, datetime

    value = call.query.last(name)
    if value is None:
        return None
    moment = datetime.fromisoformat(value.replace(" ", "+"))
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).strftime(FORMAT)


def list_actions(tx: Tx, call: Call) -> Reply:
    """GET …/os-instance-actions."""
    server = _timeline_server(tx, call)
    if call.version < (2, 58):
        return Reply({"instanceActions": [_shown_action(call, row) for row in timeline.list_actions(tx, server)]})
    limit = int(call.query.last("limit") or 1000)
    since, before = moment(call, "changes-since"), moment(call, "changes-before")
    if since and before and before < since:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    found = timeline.list_actions(tx, server, limit=min(limit, 1000), marker=call.query.last("marker"), since=since,
                                  before=before)
    body: Json = {"instanceActions": [_shown_action(call, row) for row in found]}
    if found and len(found) == limit:
        href = (f"{link_base(call)}/v2.1/servers/{server['id']}/os-instance-actions?limit={limit}"
                f"&marker={found[-1].request_id}")
        body["links"] = [{"rel": "next", "href": href}]
    return Reply(body)


def show_action(tx: Tx, call: Call) -> Reply:
    """GET …/os-instance-actions/{request}."""
    server = _timeline_server(tx, call)
    row = timeline.get_action(tx, server, call.params["request"])
    if row is None:
        raise NotFound(f"Action for request_id {call.params['request']} on instance {server['id']} not found")
    return Reply({"instanceAction": _shown_action(call, row, one=True)})


# -- not offered

def topology(tx: Tx, call: Call) -> Reply:
    """GET …/topology: no server is pinned to anything."""
    _server(tx, call)
    return Reply({"nodes": [], "pagesize_kb": None})


_INTERFACE = {"net_id": UUID, "port_id": UUID, "fixed_ips": array(obj({"ip_address": IP}, "ip_address"), minItems=1,
                                                                   maxItems=1)}
_PAGE = {"limit": COUNT, "marker": TEXT, "changes-since": _DATE}
_S = "/servers/{id}"


ROUTES = [
    route("GET", f"{_S}/metadata", list_metadata, "server-metadata:index"),
    route("POST", f"{_S}/metadata", add_metadata, "server-metadata:create", body=always(only("metadata", METADATA))),
    route("PUT", f"{_S}/metadata", replace_metadata, "server-metadata:update_all",
          body=always(only("metadata", METADATA))),
    route("GET", f"{_S}/metadata/{{key}}", show_metadata_item, "server-metadata:show"),
    route("PUT", f"{_S}/metadata/{{key}}", set_metadata_item, "server-metadata:update",
          body=always(only("meta", ONE_META))),
    route("DELETE", f"{_S}/metadata/{{key}}", delete_metadata_item, "server-metadata:delete"),
    route("GET", f"{_S}/tags", list_tags, "os-server-tags:index", min=(2, 26)),
    route("PUT", f"{_S}/tags", replace_tags, "os-server-tags:update_all", min=(2, 26),
          body=always(only("tags", array(TAG, maxItems=50)))),
    route("DELETE", f"{_S}/tags", delete_tags, "os-server-tags:delete_all", min=(2, 26)),
    route("GET", f"{_S}/tags/{{tag}}", show_tag, "os-server-tags:show", min=(2, 26)),
    route("PUT", f"{_S}/tags/{{tag}}", add_tag, "os-server-tags:update", min=(2, 26)),
    route("DELETE", f"{_S}/tags/{{tag}}", delete_tag, "os-server-tags:delete", min=(2, 26)),
    route("GET", f"{_S}/ips", list_ips, "ips:index"),
    route("GET", f"{_S}/ips/{{label}}", show_ips, "ips:show"),
    route("GET", f"{_S}/os-security-groups", list_security_groups, "os-security-groups:list"),
    route("GET", f"{_S}/os-interface", list_interfaces, "os-attach-interfaces:list"),
    route("POST", f"{_S}/os-interface", attach_interface, "os-attach-interfaces:create", body=Schemas({
        (2, 0): obj({"interfaceAttachment": obj(_INTERFACE)}), (2, 49): obj({"interfaceAttachment": obj(
            {**_INTERFACE, "tag": TAG})})})),
    route("GET", f"{_S}/os-interface/{{port}}", show_interface, "os-attach-interfaces:show"),
    route("DELETE", f"{_S}/os-interface/{{port}}", detach_interface, "os-attach-interfaces:delete", status=202),
    route("GET", f"{_S}/os-instance-actions", list_actions, "os-instance-actions:list", query=Schemas({
        (2, 0): query({}), (2, 58): single_query(_PAGE), (2, 66): single_query({**_PAGE, "changes-before": _DATE})})),
    route("GET", f"{_S}/os-instance-actions/{{request}}", show_action, "os-instance-actions:show"),
    route("GET", f"{_S}/topology", topology, "compute:server:topology:index", min=(2, 78)),
]
