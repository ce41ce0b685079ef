"""``/snapshots``: create, list, show, update, delete, metadata, actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import Schemas, always
from stackling.api.volume import views
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    METADATA,
    METADATA_OR_NULL,
    NAME,
    UUID_OR_NULL,
    Json,
    authorize,
    boolean,
    instants,
    like,
    listing,
    literal,
    obj,
    one_action,
    only,
    paged,
    route,
    truth,
    value_of,
)
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_id
from stackling.volume import changes, facade, lists, manage, rules, snapshots, volumes
from stackling.volume.lists import Condition, Listing
from stackling.volume.model import SnapshotRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "name": "name", "display_name": "name", "status": "status", "created_at": "created_at",
              "updated_at": "updated_at", "volume_id": "volume_id", "volume_size": "size_gib", "size": "size_gib",
              "user_id": "user_id", "project_id": "project_id"}


def _find(tx: Tx, call: Call, rule: str) -> SnapshotRow:
    row = snapshots.get_snapshot(tx, call.ctx, call.params["id"])
    authorize(call, row, rule)
    return row


def create(tx: Tx, call: Call) -> Reply:
    """POST /snapshots."""
    body: Json = call.body["snapshot"]
    volume = volumes.get_volume(tx, call.ctx, body["volume_id"] or "")
    authorize(call, volume, "volume:create_snapshot")
    force = boolean("force", body.get("force", False) or False)
    if call.version >= (3, 66):
        if "force" in body and not force:
            raise Invalid("Invalid value for 'force': since microversion 3.66 snapshots of volumes in use are always "
                          "allowed, and force can't be false.")
        force = True
    name = body.get("name", body.get("display_name"))
    made = snapshots.create_snapshot(
        tx, call.ctx, new_id(), volume, name=name.strip() if name else name,
        description=body.get("description", body.get("display_description")), metadata=body.get("metadata"),
        force=force)
    return Reply({"snapshot": views.snapshot_summary(call, made)}, 202)


def _listing(tx: Tx, call: Call) -> Listing:
    conditions: list[Condition] = [Condition("internal", "eq", 0)]
    like(call, "name", "name", conditions)
    if "name" not in call.query:
        like(call, "display_name", "name", conditions)
    for key in ("status", "volume_id", "id", "group_snapshot_id"):
        if (value := call.query.last(key)) is not None:
            conditions.append(Condition(key, "eq", value))
    if (value := call.query.last("consumes_quota")) is not None and call.version >= (3, 65):
        conditions.append(Condition("consumes_quota", "eq", truth("consumes_quota", value)))
    return listing(call, _SORT_KEYS, [*conditions, *instants(call)], everybodys=True)


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    call.authorize({"project_id": call.ctx.project_id}, "volume:get_all_snapshots")
    asked = _listing(tx, call)
    found = lists.page(tx, facade.SNAPSHOTS, asked)
    if call.version >= (3, 22) and (text := call.query.last("metadata")) is not None:
        wanted = literal("metadata", text).items()
        found = [row for row in found if wanted <= row["metadata"].items()]
    show = views.snapshot if detail else views.snapshot_summary
    body = paged(call, "snapshots", "snapshots", [show(call, row) for row in found], asked,
                 path="/detail" if detail else "")
    if call.version >= (3, 45) and truth("with_count", call.query.last("with_count") or "false"):
        body["count"] = lists.count(tx, facade.SNAPSHOTS, asked)
    return Reply(body)


def index(tx: Tx, call: Call) -> Reply:
    """GET /snapshots."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /snapshots/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET /snapshots/{id}."""
    return Reply({"snapshot": views.snapshot(call, _find(tx, call, "volume:get_snapshot"))})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /snapshots/{id}."""
    row = _find(tx, call, "volume:update_snapshot")
    body: Json = call.body["snapshot"]
    values: Json = {}
    for key, column in (("display_name", "name"), ("name", "name"), ("display_description", "description"),
                        ("description", "description")):
        if key in body:
            values[column] = body[key].strip() if isinstance(body[key], str) else body[key]
    return Reply({"snapshot": views.snapshot_summary(call, changes.snapshot(tx, row, values))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /snapshots/{id}."""
    snapshots.delete_snapshot(tx, call.ctx, _find(tx, call, "volume:delete_snapshot"))
    return Reply(status=202)


# -- metadata

def list_metadata(tx: Tx, call: Call) -> Reply:
    """GET …/metadata."""
    return Reply({"metadata": _find(tx, call, "volume:get_snapshot_metadata")["metadata"]})


def add_metadata(tx: Tx, call: Call) -> Reply:
    """POST …/metadata."""
    row = _find(tx, call, "volume:update_snapshot_metadata")
    return _set(tx, row, {**row["metadata"], **call.body["metadata"]})


def replace_metadata(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata."""
    return _set(tx, _find(tx, call, "volume:update_snapshot_metadata"), call.body["metadata"])


def _set(tx: Tx, row: SnapshotRow, metadata: Json) -> Reply:
    changes.snapshot(tx, row, {"metadata": metadata})
    return Reply({"metadata": metadata})


def show_metadata(tx: Tx, call: Call) -> Reply:
    """GET …/metadata/{key}."""
    row, key = _find(tx, call, "volume:get_snapshot_metadata"), call.params["key"]
    return Reply({"meta": {key: _item(row, key)}})


def _item(row: SnapshotRow, key: str) -> str:
    if key not in row["metadata"]:
        raise NotFound(f"Snapshot {row['id']} has no metadata with key {key}.")
    return row["metadata"][key]


def set_metadata(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata/{key}."""
    row, key = _find(tx, call, "volume:update_snapshot_metadata"), call.params["key"]
    items: Json = call.body["meta"]
    if key not in items:
        raise Invalid("Request body and URI mismatch")
    if len(items) > 1:
        raise Invalid("Request body contains too many items")
    changes.snapshot(tx, row, {"metadata": {**row["metadata"], **items}})
    return Reply({"meta": items})


def delete_metadata(tx: Tx, call: Call) -> Reply:
    """DELETE …/metadata/{key}."""
    row, key = _find(tx, call, "volume:delete_snapshot_metadata"), call.params["key"]
    _item(row, key)
    changes.snapshot(tx, row, {"metadata": {k: v for k, v in row["metadata"].items() if k != key}})
    return Reply(status=200)


# -- actions

def perform(tx: Tx, call: Call) -> Reply:
    """POST …/action."""
    return one_action(call, _ACTIONS, tx, snapshots.get_snapshot(tx, call.ctx, call.params["id"]))


def reset_status(tx: Tx, call: Call, row: SnapshotRow, body: Any) -> Reply:
    """os-reset_status."""
    authorize(call, row, "volume_extension:snapshot_admin_actions:reset_status")
    status = value_of(body, "status", str)
    if status not in rules.SNAPSHOT_STATUSES:
        raise Invalid(f"Must specify a valid status, which {status} isn't.")
    changes.snapshot(tx, row, {"forced_status": None if status == "available" else status,
                               **({"failed": 0} if status == "available" else {})})
    return Reply(status=202)


def force_delete(tx: Tx, call: Call, row: SnapshotRow, body: Any) -> Reply:
    """os-force_delete."""
    authorize(call, row, "volume_extension:snapshot_admin_actions:force_delete")
    snapshots.delete_snapshot(tx, call.ctx, row, force=True)
    return Reply(status=202)


def update_status(tx: Tx, call: Call, row: SnapshotRow, body: Any) -> Reply:
    """os-update_snapshot_status: a host that makes a snapshot says how far it is."""
    authorize(call, row, "snapshot_extension:snapshot_actions:update_snapshot_status")
    status = value_of(body, "status", str)
    known = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}
    if row["status"] not in known:
        raise Invalid(f"Snapshot status {row['status']} not allowed for update_snapshot_status")
    if status not in known[row["status"]]:
        raise Invalid(f"Provided snapshot status {status} not allowed for snapshot with status {row['status']}.")
    progress = value_of(body, "progress", (str, type(None)), None)
    if progress is not None and not (progress.endswith("%") and progress[:-1].isdecimal()):
        raise Invalid("progress must be an integer percentage")
    forced = {} if status in ("creating", "deleting") else {"forced_status": None if status == "available" else status}
    changes.snapshot(tx, row, {**forced, "progress": progress or row["progress"]})
    return Reply(status=202)


def unmanage(tx: Tx, call: Call, row: SnapshotRow, body: Any) -> Reply:
    """os-unmanage."""
    authorize(call, row, "snapshot_extension:snapshot_unmanage")
    manage.unmanage_snapshot(tx, call.ctx, row)
    return Reply(status=202)


_ACTIONS = {"os-reset_status": reset_status, "os-force_delete": force_delete,
            "os-update_snapshot_status": update_status, "os-unmanage": unmanage}
_CREATE: Json = {"name": NAME, "display_name": NAME, "description": DESCRIPTION, "display_description": DESCRIPTION,
                 "volume_id": UUID_OR_NULL, "metadata": METADATA_OR_NULL,
                 "force": {"anyOf": [BOOLEAN, {"type": "null"}]}}
_UPDATE: Json = {"name": NAME, "display_name": NAME, "description": DESCRIPTION, "display_description": DESCRIPTION}
_META = Schemas({(3, 0): only("metadata", METADATA)})
S = "/snapshots/{id}"
ROUTES = [
    route("GET", "/snapshots", index, "volume:get_all_snapshots"),
    route("POST", "/snapshots", create, "volume:create_snapshot", status=202,
          body=always(only("snapshot", obj(_CREATE, "volume_id", more=True)))),
    route("GET", "/snapshots/detail", detail, "volume:get_all_snapshots"),
    route("GET", S, show, "volume:get_snapshot"),
    route("PUT", S, update, "volume:update_snapshot", body=always(only("snapshot", obj(_UPDATE, minProperties=1)))),
    route("DELETE", S, delete, "volume:delete_snapshot", status=202),
    route("POST", f"{S}/action", perform, "volume:get_snapshot", status=202,
          body=always(obj({}, more=True, minProperties=1))),
    route("GET", f"{S}/metadata", list_metadata, "volume:get_snapshot_metadata"),
    route("POST", f"{S}/metadata", add_metadata, "volume:update_snapshot_metadata", body=_META),
    route("PUT", f"{S}/metadata", replace_metadata, "volume:update_snapshot_metadata", body=_META),
    route("GET", f"{S}/metadata/{{key}}", show_metadata, "volume:get_snapshot_metadata"),
    route("PUT", f"{S}/metadata/{{key}}", set_metadata, "volume:update_snapshot_metadata",
          body=always(only("meta", METADATA))),
    route("DELETE", f"{S}/metadata/{{key}}", delete_metadata, "volume:delete_snapshot_metadata"),
]
