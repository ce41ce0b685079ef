"""``/attachments`` (3.27)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume import views
from stackling.api.volume.parts import TEXT_OR_NULL, UUID, Json, authorize, listing, obj, one_action, only, paged, route
from stackling.core.errors import Invalid
from stackling.volume import attachments, facade, lists, rows, volumes
from stackling.volume.lists import Condition
from stackling.volume.model import Attached
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "status": "status", "attach_status": "status", "created_at": "created_at",
              "updated_at": "updated_at", "volume_id": "volume_id", "instance_id": "server_id"}
_SINCE = (3, 27)


def _find(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = attachments.get_attachment(tx, call.ctx, call.params["id"])
    authorize(call, row, rule)
    return row


def create(tx: Tx, call: Call) -> Reply:
    """POST /attachments."""
    body: Json = call.body["attachment"]
    volume = volumes.get_volume(tx, call.ctx, body["volume_uuid"])
    authorize(call, volume, "volume:attachment_create")
    mode = body.get("mode") or ((body.get("connector") or {}).get("mode")) if call.version >= (3, 54) else None
    if mode not in (None, "rw", "ro"):
        raise Invalid("Invalid input received: the attach mode must be rw, ro or null.")
    made = attachments.reserve(tx, volume, body.get("instance_uuid"), mode=mode)
    if body.get("connector"):
        made = _connect(tx, made, body["connector"])
    return Reply({"attachment": views.attachment(made)})


def _connect(tx: Tx, row: AnyRow, connector: Json) -> AnyRow:
    volume = rows.volume(tx, row["volume_id"])
    assert volume is not None
    info = attachments.connection(tx, volume, row)
    flat: Json = {**info["data"], "driver_volume_type": info["driver_volume_type"], "attachment_id": row["id"]}
    return attachments.change(tx, row, {
        "connector": connector, "connection_info": flat, "host_name": connector.get("host"),
        "mountpoint": connector.get("mountpoint"), "status": Attached.ATTACHING.value})


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    conditions = [Condition(column, "eq", value) for key, column in (
        ("volume_id", "volume_id"), ("status", "status"), ("instance_id", "server_id"), ("attach_status", "status"))
        if (value := call.query.last(key)) is not None]
    asked = listing(call, _SORT_KEYS, conditions, everybodys=True)
    found = lists.page(tx, facade.ATTACHMENTS, asked)
    shown = [views.attachment(row) if detail else views.attachment_summary(row) for row in found]
    return Reply(paged(call, "attachments", "attachments", shown, asked, path="/detail" if detail else ""))


def index(tx: Tx, call: Call) -> Reply:
    """GET /attachments."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /attachments/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET /attachments/{id}."""
    return Reply({"attachment": views.attachment(_find(tx, call, "volume:get"))})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /attachments/{id}: the connector of a reserved attachment."""
    row = _find(tx, call, "volume:attachment_update")
    attachments.check_not_computes(call.ctx, row)
    return Reply({"attachment": views.attachment(_connect(tx, row, call.body["attachment"]["connector"]))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /attachments/{id}: shows those that are left."""
    row = _find(tx, call, "volume:attachment_delete")
    attachments.check_not_computes(call.ctx, row)
    attachments.remove(tx, row["id"])
    left = rows.attachments(tx, [row["volume_id"]])[row["volume_id"]]
    return Reply({"attachments": [views.attachment_summary(one) for one in left]})


def perform(tx: Tx, call: Call) -> Reply:
    """POST …/action."""
    return one_action(call, _ACTIONS, tx, _find(tx, call, "volume:attachment_complete"))


def _complete(tx: Tx, call: Call, row: AnyRow, body: Any) -> Reply:
    attachments.check_not_computes(call.ctx, row)
    attachments.attached(tx, row)
    return Reply(status=204)


_ACTIONS = {"os-complete": _complete}
_NEW: Json = {"instance_uuid": {"oneOf": [UUID, {"type": "null"}]}, "connector": {"type": ["object", "null"]},
              "volume_uuid": UUID, "mode": TEXT_OR_NULL}
A = "/attachments/{id}"
ROUTES = [
    route("GET", "/attachments", index, "volume:get_all", min=_SINCE),
    route("POST", "/attachments", create, "volume:attachment_create", min=_SINCE,
          body=always(only("attachment", obj(_NEW, "volume_uuid", more=True)))),
    route("GET", "/attachments/detail", detail, "volume:get_all", min=_SINCE),
    route("GET", A, show, "volume:get", min=_SINCE),
    route("PUT", A, update, "volume:attachment_update", min=_SINCE, body=always(only(
        "attachment", obj({"connector": {"type": "object", "minProperties": 1}}, "connector", more=True)))),
    route("DELETE", A, delete, "volume:attachment_delete", min=_SINCE),
    route("POST", f"{A}/action", perform, "volume:attachment_complete", min=(3, 44), status=204,
          body=always(obj({}, more=True, minProperties=1))),
]
