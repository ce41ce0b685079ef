"""Compute's old calls for volumes and their snapshots (to 2.35), and those that a Cinder without snapshots of its own
makes of Compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import (
    BOOLEAN,
    COUNT,
    TEXT,
    Json,
    is_true,
    limit_of,
    link_base,
    number,
    obj,
    only,
    query,
    route,
    strict_from,
)
from stackling.api.schema import always
from stackling.compute import servers
from stackling.core.clock import seconds_z
from stackling.core.errors import Forbidden, Invalid, NotFound, QuotaExceeded
from stackling.core.ids import is_id, new_id
from stackling.volume import facade, lists, rows, rules, snapshots, types, volumes
from stackling.volume.lists import Listing
from stackling.volume.model import NewVolume

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_LAST = (2, 35)
MOST_TEXT = 255
_Row = Mapping[str, Any]


# -- volumes

def _volumes(tx: Tx, found: list[_Row]) -> list[Json]:
    used = rows.attachments(tx, [row["id"] for row in found])
    names = types.names(tx, [row["type_id"] for row in found if row["type_id"]])
    return [_volume(row, used[row["id"]], names) for row in found]


def _volume(row: _Row, used: list[Any], names: Mapping[str, Any]) -> Json:
    attached: list[Json] = [{}]
    if row["attach_status"] == "attached" and used:
        attached = [{"id": row["id"], "volumeId": row["id"], "serverId": used[0]["server_id"]}]
        if used[0]["mountpoint"]:
            attached[0]["device"] = used[0]["mountpoint"]
    type = names.get(row["type_id"])
    return {"id": row["id"], "status": row["status"], "size": row["size_gib"],
            "availabilityZone": row["availability_zone"], "createdAt": seconds_z(row["created_at"]).rstrip("Z"),
            "attachments": attached, "displayName": row["name"], "displayDescription": row["description"],
            "volumeType": type.name if type is not None else row["type_id"], "snapshotId": row["snapshot_id"],
            "metadata": dict(row["metadata"])}


def _page(tx: Tx, call: Call, table: Any, **more: Any) -> list[_Row]:
    offset = int(call.query.last("offset") or 0)
    return list(lists.page(tx, table, Listing(call.ctx.project_id, limit_of(call.query), offset, **more)))


def list_volumes(tx: Tx, call: Call) -> Reply:
    """GET /os-volumes and /os-volumes/detail."""
    return Reply({"volumes": _volumes(tx, _page(tx, call, facade.VOLUMES))})


def _find(tx: Tx, call: Call) -> Any:
    return volumes.get_volume(tx, call.ctx, call.params["volume"])


def show_volume(tx: Tx, call: Call) -> Reply:
    """GET /os-volumes/{id}."""
    return Reply({"volume": _volumes(tx, [_find(tx, call)])[0]})


def _bounded(body: Json) -> Json:
    """*body*; Nova's schemas bound no text, and Cinder refuses what is too long."""
    for name, value in body.items():
        if isinstance(value, str) and len(value) > MOST_TEXT:
            raise Invalid(f"{name} has {len(value)} characters, more than {MOST_TEXT}.")
    return body


def create_volume(tx: Tx, call: Call) -> Reply:
    """POST /os-volumes."""
    body = _bounded(call.body["volume"])
    snapshot = body.get("snapshot_id")
    if snapshot is not None and not is_id(snapshot):
        raise snapshots.missing(snapshot)
    try:
        made = volumes.create_volume(tx, call.ctx, NewVolume(
            id=new_id(), size_gib=rules.size_of(body["size"]), name=body.get("display_name"),
            description=body.get("display_description"), type=body.get("volume_type"),
            availability_zone=body.get("availability_zone"), snapshot_id=snapshot,
            metadata={str(name): str(value) for name, value in (body.get("metadata") or {}).items()}))
    except QuotaExceeded as error:
        raise Forbidden(error.message) from None
    return Reply({"volume": _volumes(tx, [made])[0]}, headers={"Location": f"{link_base(call)}/v2.1{_V}/{made['id']}"})


def delete_volume(tx: Tx, call: Call) -> Reply:
    """DELETE /os-volumes/{id}."""
    volumes.delete_volume(tx, call.ctx, _find(tx, call))
    return Reply(status=202)


# -- snapshots

def _snapshot(row: _Row) -> Json:
    return {"id": row["id"], "volumeId": row["volume_id"], "status": row["status"], "size": row["size_gib"],
            "createdAt": seconds_z(row["created_at"]).rstrip("Z"), "displayName": row["name"],
            "displayDescription": row["description"]}


def list_snapshots(tx: Tx, call: Call) -> Reply:
    """GET /os-snapshots and /os-snapshots/detail."""
    found = _page(tx, call, facade.SNAPSHOTS)
    return Reply({"snapshots": [_snapshot(row) for row in found if not row["internal"]]})


def _find_snapshot(tx: Tx, call: Call) -> Any:
    return snapshots.get_snapshot(tx, call.ctx, call.params["snapshot"])


def show_snapshot(tx: Tx, call: Call) -> Reply:
    """GET /os-snapshots/{id}."""
    return Reply({"snapshot": _snapshot(_find_snapshot(tx, call))})


def create_snapshot(tx: Tx, call: Call) -> Reply:
    """POST /os-snapshots."""
    body = _bounded(call.body["snapshot"])
    try:
        volume = volumes.get_volume(tx, call.ctx, body["volume_id"])
        made = snapshots.create_snapshot(
            tx, call.ctx, new_id(), volume, name=body.get("display_name"),
            description=body.get("display_description"), force=is_true(body.get("force", False)))
    except QuotaExceeded as error:
        raise Forbidden(error.message) from None
    return Reply({"snapshot": _snapshot(made)})


def delete_snapshot(tx: Tx, call: Call) -> Reply:
    """DELETE /os-snapshots/{id}."""
    snapshots.delete_snapshot(tx, call.ctx, _find_snapshot(tx, call))
    return Reply(status=202)


# -- snapshots that a guest's host makes

def _check_assisted(tx: Tx, call: Call, volume_id: str, method: str) -> str:
    """The server that has the volume. Raises ``Invalid``."""
    used = rows.attachments(tx, [volume_id])[volume_id]
    found = [one["server_id"] for one in used if one["by_compute"] and one["server_id"]]
    if not found:
        raise Invalid(f"No volume Block Device Mapping with id {volume_id}.")
    if len(found) > 1:
        raise Invalid(f"Block Device Mapping {volume_id} is a multi-attach volume and is not valid for this operation.")
    server = servers.get_server(tx, call.ctx, found[0])
    if server["host_id"] is None:
        raise Invalid(f"Instance {server['id']} is not ready")
    if server["task_state"] is not None:
        raise Invalid(f"Cannot '{method}' instance {server['id']} while it is in task_state {server['task_state']}")
    return str(server["id"])


def _refuse(tx: Tx, call: Call, server_id: str, what: str) -> None:
    """As with a driver of Nova's that can't: the answer comes first, and nothing is done. Cinder would be told so, if
    the snapshot were one of its."""
    tx.event(call.ctx, "server", server_id, what,
             "not done: every backend of this cloud takes the snapshots of its volumes itself")


def create_assisted(tx: Tx, call: Call) -> Reply:
    """POST /os-assisted-volume-snapshots."""
    body: Json = call.body["snapshot"]
    server_id = _check_assisted(tx, call, body["volume_id"], "volume_snapshot_create")
    _refuse(tx, call, server_id, "volume_snapshot_create")
    return Reply({"snapshot": {"id": body["create_info"].get("id"), "volumeId": body["volume_id"]}})


def delete_assisted(tx: Tx, call: Call) -> Reply:
    """DELETE /os-assisted-volume-snapshots/{id}."""
    try:
        info: Any = msgspec.json.decode(call.query.last("delete_info") or "")
        volume_id = info["volume_id"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise Invalid("delete_info must be JSON with a volume_id.") from None
    try:
        server_id = _check_assisted(tx, call, str(volume_id), "volume_snapshot_delete")
    except NotFound as error:
        raise Invalid(error.message) from None
    _refuse(tx, call, server_id, "volume_snapshot_delete")
    return Reply(status=204)


_PAGE = always(query({"limit": COUNT, "offset": COUNT}))
_ANY_TEXT: Json = {"type": "string"}
_VOLUME = always(only("volume", obj({
    "volume_type": _ANY_TEXT, "metadata": {"type": "object"}, "snapshot_id": _ANY_TEXT, "size": number(1),
    "availability_zone": _ANY_TEXT, "display_name": _ANY_TEXT, "display_description": _ANY_TEXT}, "size")))
_SNAPSHOT = always(only("snapshot", obj({
    "volume_id": _ANY_TEXT, "force": BOOLEAN, "display_name": _ANY_TEXT, "display_description": _ANY_TEXT},
    "volume_id")))
_WORD: Json = {"type": "string", "minLength": 1}
_ASSISTED = always(only("snapshot", obj({
    "volume_id": _WORD, "create_info": obj(
        {"snapshot_id": _WORD, "type": {"type": "string", "enum": ["qcow2"]}, "new_file": _WORD, "id": _WORD},
        "snapshot_id", "type", "new_file")}, "volume_id", "create_info")))
_V, _S, _P = "/os-volumes", "/os-snapshots", "os-volumes:"


def _old(method: str, path: str, handler: Callable[[Tx, Call], Reply], rule: str, **rest: Any) -> Any:
    return route(method, path, handler, f"{_P}{rule}", max=_LAST, **rest)


ROUTES = [
    _old("GET", _V, list_volumes, "list", query=_PAGE),
    _old("GET", f"{_V}/detail", list_volumes, "detail", query=_PAGE),
    _old("POST", _V, create_volume, "create", body=_VOLUME),
    _old("GET", f"{_V}/{{volume}}", show_volume, "show"),
    _old("DELETE", f"{_V}/{{volume}}", delete_volume, "delete"),
    _old("GET", _S, list_snapshots, "snapshots:list", query=_PAGE),
    _old("GET", f"{_S}/detail", list_snapshots, "snapshots:detail", query=_PAGE),
    _old("POST", _S, create_snapshot, "snapshots:create", body=_SNAPSHOT),
    _old("GET", f"{_S}/{{snapshot}}", show_snapshot, "snapshots:show"),
    _old("DELETE", f"{_S}/{{snapshot}}", delete_snapshot, "snapshots:delete"),
    route("POST", "/os-assisted-volume-snapshots", create_assisted, "os-assisted-volume-snapshots:create",
          body=_ASSISTED),
    route("DELETE", "/os-assisted-volume-snapshots/{snapshot}", delete_assisted, "os-assisted-volume-snapshots:delete",
          status=204, query=strict_from((2, 75), {"delete_info": TEXT})),
]
