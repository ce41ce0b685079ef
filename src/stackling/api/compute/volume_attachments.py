"""``/servers/{id}/os-volume_attachments``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import BOOLEAN, COUNT, TAG, UUID, Json, is_true, obj, only, route, strict_from
from stackling.api.schema import Schemas
from stackling.compute import servers, volumes
from stackling.compute.volumes import ServerVolume, Wanted
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import is_id, new_id

if TYPE_CHECKING:
    from stackling.compute.model import ServerRow
    from stackling.store.transaction import Tx


def _server(tx: Tx, call: Call) -> ServerRow:
    return servers.get_server(tx, call.ctx, call.params["id"])


def _shown(call: Call, server: ServerRow, one: ServerVolume, *, made: bool = False) -> Json:
    shown: Json = {"device": one.disk.device, "serverId": server["id"], "volumeId": one.disk.volume_id}
    if call.version < (2, 89) or made:
        shown["id"] = one.disk.volume_id
    else:
        shown.update(attachment_id=one.disk.id, bdm_uuid=one.disk.id)
    if call.version >= (2, 70):
        shown["tag"] = one.tag
    if call.version >= (2, 79):
        shown["delete_on_termination"] = one.delete_on_termination
    return shown


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.last(name)
    return default if text is None else int(text)


def index(tx: Tx, call: Call) -> Reply:
    """GET …/os-volume_attachments."""
    server = _server(tx, call)
    first = _number(call, "offset", 0)
    found = volumes.of(server)[first:first + min(_number(call, "limit", 1000), 1000)]
    return Reply({"volumeAttachments": [_shown(call, server, one) for one in found]})


def show(tx: Tx, call: Call) -> Reply:
    """GET …/{volume}."""
    server = _server(tx, call)
    return Reply({"volumeAttachment": _shown(call, server, volumes.find(server, call.params["volume"]))})


def attach(tx: Tx, call: Call) -> Reply:
    """POST …/os-volume_attachments."""
    server, body = _server(tx, call), call.body["volumeAttachment"]
    wanted = Wanted(body["volumeId"], body.get("device"), body.get("tag"),
                    is_true(body.get("delete_on_termination", False)), call.version >= (2, 60))
    made = volumes.attach(tx, call.ctx, server, wanted, new_id())
    return Reply({"volumeAttachment": _shown(call, server, made, made=True)})


def update(tx: Tx, call: Call) -> Reply:
    """PUT …/{volume}: whether it goes with the server (2.85); another volume in its place, which is Cinder's to ask
    for while it moves one."""
    server, body, volume = _server(tx, call), call.body["volumeAttachment"], call.params["volume"]
    swap = call.version < (2, 85) or body["volumeId"] != volume
    if swap:
        call.authorize(None, f"os_compute_api:{_R}swap")
    if call.version >= (2, 85):
        _change(tx, server, volume, body)
    if swap:
        volumes.swap(tx, call.ctx, server, volume, body["volumeId"])
    return Reply(status=202)


def _change(tx: Tx, server: ServerRow, volume: str, body: Json) -> None:
    found = volumes.find(server, volume)
    for name, mine in (("id", volume), ("serverId", server["id"]), ("device", found.disk.device), ("tag", found.tag)):
        if name in body and body[name] != mine:
            raise Invalid(f"The {name} property is not mutable")
    if "delete_on_termination" in body:
        volumes.update(tx, server, volume, delete_on_termination=is_true(body["delete_on_termination"]))


def detach(tx: Tx, call: Call) -> Reply:
    """DELETE …/{volume}."""
    if not is_id(call.params["volume"]):
        raise NotFound(f"volume_id not found: {call.params['volume']}")
    volumes.detach(tx, call.ctx, _server(tx, call), call.params["volume"])
    return Reply(status=202)


_DEVICE: Json = {"type": ["string", "null"], "pattern": "(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$"}


def _body(**more: Json) -> Json:
    return only("volumeAttachment", obj({"volumeId": UUID, "device": _DEVICE, **more}, "volumeId"))


_CHANGE: Json = {"volumeId": UUID, "device": _DEVICE, "tag": TAG, "delete_on_termination": BOOLEAN, "serverId": UUID,
                 "id": UUID}
_A = "/servers/{id}/os-volume_attachments"
_R = "os-volumes-attachments:"
ROUTES = [
    route("GET", _A, index, f"{_R}index", query=strict_from((2, 75), {"limit": COUNT, "offset": COUNT})),
    route("POST", _A, attach, f"{_R}create", body=Schemas({
        (2, 0): _body(), (2, 49): _body(tag=TAG), (2, 79): _body(tag=TAG, delete_on_termination=BOOLEAN)})),
    route("GET", f"{_A}/{{volume}}", show, f"{_R}show"),
    route("PUT", f"{_A}/{{volume}}", update, f"{_R}update", status=202, body=Schemas({
        (2, 0): only("volumeAttachment", obj({"volumeId": UUID}, "volumeId")),
        (2, 85): only("volumeAttachment", obj(_CHANGE, "volumeId"))})),
    route("DELETE", f"{_A}/{{volume}}", detach, f"{_R}delete", status=202),
]
