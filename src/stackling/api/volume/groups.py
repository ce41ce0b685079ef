"""``/groups``, ``/group_snapshots`` and ``/group_types`` (3.11 to 3.20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    EXTRA_SPECS,
    NAME,
    SOME_NAME,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    Json,
    array,
    authorize,
    boolean,
    listing,
    obj,
    one_action,
    only,
    paged,
    permits,
    route,
    truth,
    value_of,
)
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_id
from stackling.volume import facade, groups, lists
from stackling.volume.lists import Condition
from stackling.volume.model import VolumeRow
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "name": "name", "status": "status", "created_at": "created_at", "updated_at": "updated_at",
              "group_type_id": "group_type_id"}
_TYPES, _GROUPS, _SNAPSHOTS = (3, 11), (3, 13), (3, 14)


# -- types

def _type(call: Call, row: AnyRow) -> Json:
    shown: Json = {"id": row["id"], "name": row["name"], "description": row["description"],
                   "is_public": bool(row["is_public"])}
    if permits(call, "group:access_group_types_specs"):
        shown["group_specs"] = row["specs"]
    return shown


def list_types(tx: Tx, call: Call) -> Reply:
    """GET /group_types."""
    keys = {"id": "id", "name": "name", "created_at": "created_at"}
    asked = replace(listing(call, keys, [], everybodys=False), project_id=None)
    if not call.ctx.is_admin:
        asked = replace(asked, conditions=(Condition("is_public", "eq", True),))
    elif (text := call.query.last("is_public")) is not None and text.lower() != "none":
        asked = replace(asked, conditions=(Condition("is_public", "eq", truth("is_public", text)),))
    return Reply({"group_types": [_type(call, row) for row in lists.page(tx, facade.GROUP_TYPES, asked)]})


def show_type(tx: Tx, call: Call) -> Reply:
    """GET /group_types/{id}."""
    return Reply({"group_type": _type(call, groups.get_type(tx, call.ctx, call.params["id"]))})


def show_default_type(tx: Tx, call: Call) -> Reply:
    """GET /group_types/default: none is configured."""
    raise NotFound("Default group type can not be found.")


def create_type(tx: Tx, call: Call) -> Reply:
    """POST /group_types."""
    body: Json = call.body["group_type"]
    made = groups.create_type(tx, body["name"].strip(), body.get("description"),
                              boolean("is_public", body.get("is_public", True)), body.get("group_specs") or {})
    return Reply({"group_type": _type(call, made)}, 202)


def update_type(tx: Tx, call: Call) -> Reply:
    """PUT /group_types/{id}."""
    body: Json = call.body["group_type"]
    values = {key: body[key] for key in ("name", "description", "is_public") if body.get(key) is not None}
    if not values or not str(values.get("name", "x")).strip():
        raise Invalid("Specify group type name, description or a combination thereof.")
    if "is_public" in values:
        values["is_public"] = boolean("is_public", values["is_public"])
    row = groups.get_type(tx, call.ctx, call.params["id"])
    return Reply({"group_type": _type(call, groups.update_type(tx, row, values))})


def delete_type(tx: Tx, call: Call) -> Reply:
    """DELETE /group_types/{id}."""
    groups.delete_type(tx, groups.get_type(tx, call.ctx, call.params["id"]))
    return Reply(status=202)


def list_specs(tx: Tx, call: Call) -> Reply:
    """GET …/group_specs."""
    return Reply({"group_specs": groups.get_type(tx, call.ctx, call.params["id"])["specs"]})


def add_specs(tx: Tx, call: Call) -> Reply:
    """POST …/group_specs."""
    row = groups.get_type(tx, call.ctx, call.params["id"])
    groups.update_type(tx, row, {"specs": {**row["specs"], **call.body["group_specs"]}})
    return Reply({"group_specs": call.body["group_specs"]}, 202)


def _spec(row: AnyRow, key: str) -> str:
    if key not in row["specs"]:
        raise NotFound(f"Group Type {row['id']} has no specs with key {key}.")
    return row["specs"][key]


def show_spec(tx: Tx, call: Call) -> Reply:
    """GET …/group_specs/{key}."""
    key = call.params["key"]
    return Reply({key: _spec(groups.get_type(tx, call.ctx, call.params["id"]), key)})


def set_spec(tx: Tx, call: Call) -> Reply:
    """PUT …/group_specs/{key}."""
    row, key = groups.get_type(tx, call.ctx, call.params["id"]), call.params["key"]
    if key not in call.body:
        raise Invalid("Request body and URI mismatch.")
    if len(call.body) > 1:
        raise Invalid("Request body contains too many items.")
    groups.update_type(tx, row, {"specs": {**row["specs"], **call.body}})
    return Reply(call.body)


def delete_spec(tx: Tx, call: Call) -> Reply:
    """DELETE …/group_specs/{key}."""
    row, key = groups.get_type(tx, call.ctx, call.params["id"]), call.params["key"]
    _spec(row, key)
    groups.update_type(tx, row, {"specs": {k: v for k, v in row["specs"].items() if k != key}})
    return Reply(status=202)


# -- groups

def _summary(row: AnyRow) -> Json:
    return {"id": row["id"], "name": row["name"]}


def _shown(call: Call, row: AnyRow, there: Sequence[VolumeRow]) -> Json:
    shown: Json = {
        **_summary(row), "status": groups.status(row, there), "availability_zone": row["availability_zone"],
        "created_at": row["created_at"], "description": row["description"], "group_type": row["group_type_id"],
        "volume_types": row["volume_types"]}
    if call.version >= (3, 14):
        shown.update(group_snapshot_id=row["group_snapshot_id"], source_group_id=row["source_group_id"])
    if call.version >= (3, 38):
        shown["replication_status"] = "disabled"
    if call.version >= (3, 25) and boolean("list_volume", call.query.last("list_volume") or "false"):
        shown["volumes"] = [volume["id"] for volume in there]
    if call.version >= (3, 58) and permits(call, "group:group_project_attribute"):
        shown["project_id"] = row["project_id"]
    return shown


def _named(tx: Tx, call: Call, id: str) -> AnyRow:
    row = groups.get_group(tx, call.ctx, id)
    groups.check_type(tx, row["group_type_id"])
    return row


def _find(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = _named(tx, call, call.params["id"])
    authorize(call, row, rule)
    return row


def _but_consistent(tx: Tx) -> list[Condition]:
    """Lists leave consistency groups out."""
    type_id = groups.consistency_type_id(tx)
    return [] if type_id is None else [Condition("group_type_id", "neq", type_id)]


def create(tx: Tx, call: Call) -> Reply:
    """POST /groups."""
    body: Json = call.body["group"]
    groups.check_type(tx, groups.get_type(tx, call.ctx, body["group_type"])["id"])
    row = groups.create_group(tx, call.ctx, new_id(), body["group_type"], body["volume_types"], name=body.get("name"),
                              description=body.get("description"), zone=body.get("availability_zone"))
    return Reply({"group": _summary(row)}, 202)


def perform_any(tx: Tx, call: Call) -> Reply:
    """POST /groups/action: create-from-src (3.14)."""
    body = call.body.get("create-from-src")
    if body is None or len(call.body) != 1:
        raise Invalid("There is no such action: " + ", ".join(sorted(call.body)))
    snapshot_id = value_of(body, "group_snapshot_id", (str, type(None)), None)
    source_id = value_of(body, "source_group_id", (str, type(None)), None)
    if snapshot_id is not None:
        groups.check_type(tx, groups.get_group_snapshot(tx, call.ctx, snapshot_id)["group_type_id"])
    elif source_id is not None:
        _named(tx, call, source_id)
    row = groups.create_from(
        tx, call.ctx, new_id(), name=value_of(body, "name", (str, type(None)), None),
        description=value_of(body, "description", (str, type(None)), None),
        group_snapshot_id=snapshot_id, source_group_id=source_id)
    return Reply({"group": _summary(row)}, 202)


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    conditions = [Condition(key, "eq", value) for key in ("name", "status", "group_type_id")
                  if (value := call.query.last(key)) is not None] + _but_consistent(tx)
    asked = listing(call, _SORT_KEYS, conditions, everybodys=True)
    found = lists.page(tx, facade.GROUPS, asked)
    there = groups.members_of_all(tx, [row["id"] for row in found]) if detail else {}
    shown = [_shown(call, row, there[row["id"]]) if detail else _summary(row) for row in found]
    return Reply(paged(call, "groups", "groups", shown, asked, path="/detail" if detail else ""))


def index(tx: Tx, call: Call) -> Reply:
    """GET /groups."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /groups/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET /groups/{id}."""
    row = _find(tx, call, "group:get")
    return Reply({"group": _shown(call, row, groups.members(tx, row["id"]))})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /groups/{id}."""
    row, body = _find(tx, call, "group:update"), call.body["group"]
    add, remove = ([id for id in (body.get(key) or "").split(",") if id] for key in ("add_volumes", "remove_volumes"))
    values = {key: body[key] for key in ("name", "description") if body.get(key) is not None}
    if not (add or remove or values):
        raise Invalid("Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
    groups.update_group(tx, call.ctx, row, values, add, remove)
    return Reply(status=202)


def perform(tx: Tx, call: Call) -> Reply:
    """POST /groups/{id}/action."""
    return one_action(call, _ACTIONS, tx, _named(tx, call, call.params["id"]))


def _delete(tx: Tx, call: Call, row: AnyRow, body: Any) -> Reply:
    authorize(call, row, "group:delete")
    groups.delete_group(tx, call.ctx, row, delete_volumes=boolean(
        "delete-volumes", value_of(body, "delete-volumes", (bool, str), False)))
    return Reply(status=202)


def _reset(tx: Tx, call: Call, row: AnyRow, body: Any) -> Reply:
    if call.version < (3, 20):
        raise Invalid("There is no such action: reset_status")
    authorize(call, row, "group:reset_status")
    status = value_of(body, "status", str)
    if status not in ("creating", "available", "deleting", "error", "error_deleting", "updating"):
        raise Invalid(f"Group status {status} isn't valid.")
    groups.reset_status(tx, row, status)
    return Reply(status=202)


def _no_replication(tx: Tx, call: Call, row: AnyRow, body: Any) -> Reply:
    authorize(call, row, "group:enable_replication")
    raise Invalid(f"Invalid group: Group {row['id']} isn't of a type that replicates; no backend does.")


_ACTIONS = {"delete": _delete, "reset_status": _reset, "enable_replication": _no_replication,
            "disable_replication": _no_replication, "failover_replication": _no_replication,
            "list_replication_targets": _no_replication}


# -- snapshots

def _snapshot_shown(call: Call, row: AnyRow, *, brief: bool = False) -> Json:
    if brief:
        return {"id": row["id"], "name": row["name"]}
    shown: Json = {"id": row["id"], "name": row["name"], "description": row["description"], "status": row["status"],
                   "group_id": row["group_id"], "group_type_id": row["group_type_id"],
                   "created_at": row["created_at"]}
    if call.version >= (3, 58) and permits(call, "group:group_snapshot_project_attribute"):
        shown["project_id"] = row["project_id"]
    return shown


def _find_snapshot(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = groups.get_group_snapshot(tx, call.ctx, call.params["id"])
    groups.check_type(tx, row["group_type_id"])
    authorize(call, row, rule)
    return row


def create_snapshot(tx: Tx, call: Call) -> Reply:
    """POST /group_snapshots."""
    body: Json = call.body["group_snapshot"]
    group = _named(tx, call, body["group_id"])
    authorize(call, group, "group:create_group_snapshot")
    row = groups.create_group_snapshot(tx, call.ctx, new_id(), group, body.get("name"), body.get("description"))
    return Reply({"group_snapshot": {"id": row["id"], "name": row["name"], "group_type_id": row["group_type_id"]}}, 202)


def _list_snapshots(tx: Tx, call: Call, *, detail: bool) -> Reply:
    conditions = [Condition(key, "eq", value) for key in ("name", "status", "group_id")
                  if (value := call.query.last(key)) is not None] + _but_consistent(tx)
    asked = listing(call, _SORT_KEYS, conditions, everybodys=True)
    found = lists.page(tx, facade.GROUP_SNAPSHOTS, asked)
    shown = [_snapshot_shown(call, row, brief=not detail) for row in found]
    return Reply(paged(call, "group_snapshots", "group_snapshots", shown, asked, path="/detail" if detail else ""))


def list_snapshots(tx: Tx, call: Call) -> Reply:
    """GET /group_snapshots."""
    return _list_snapshots(tx, call, detail=False)


def detail_snapshots(tx: Tx, call: Call) -> Reply:
    """GET /group_snapshots/detail."""
    return _list_snapshots(tx, call, detail=True)


def show_snapshot(tx: Tx, call: Call) -> Reply:
    """GET /group_snapshots/{id}."""
    return Reply({"group_snapshot": _snapshot_shown(call, _find_snapshot(tx, call, "group:get_group_snapshot"))})


def delete_snapshot(tx: Tx, call: Call) -> Reply:
    """DELETE /group_snapshots/{id}."""
    groups.delete_group_snapshot(tx, call.ctx, _find_snapshot(tx, call, "group:delete_group_snapshot"))
    return Reply(status=202)


def perform_snapshot(tx: Tx, call: Call) -> Reply:
    """POST /group_snapshots/{id}/action: reset_status (3.19)."""
    row = _find_snapshot(tx, call, "group:reset_group_snapshot_status")
    status = value_of(value_of(call.body, "reset_status", dict), "status", str)
    if status not in ("creating", "available", "deleting", "error", "error_deleting", "updating"):
        raise Invalid(f"Group snapshot status {status} isn't valid.")
    groups.reset_snapshot_status(tx, row["id"], status)
    return Reply(status=202)


_NEW_TYPE: Json = {"name": SOME_NAME, "description": DESCRIPTION, "is_public": BOOLEAN, "group_specs": EXTRA_SPECS}
_TYPE_CHANGE: Json = {"name": TEXT_OR_NULL, "description": TEXT_OR_NULL, "is_public": BOOLEAN}
_NEW: Json = {"name": NAME, "description": DESCRIPTION, "group_type": TEXT, "volume_types": array(TEXT, minItems=1),
              "availability_zone": TEXT_OR_NULL}
_CHANGE: Json = {"name": NAME, "description": DESCRIPTION, "add_volumes": TEXT_OR_NULL, "remove_volumes": TEXT_OR_NULL}
_ANY = always(obj({}, more=True, minProperties=1))
T, G, S = "/group_types", "/groups", "/group_snapshots"
_SPECS = f"{T}/{{id}}/group_specs"
ROUTES = [
    route("GET", T, list_types, "group:get_all", min=_TYPES),
    route("POST", T, create_type, "group:group_types:create", min=_TYPES, status=202,
          body=always(only("group_type", obj(_NEW_TYPE, "name")))),
    route("GET", f"{T}/default", show_default_type, "group:get_all", min=_TYPES),
    route("GET", f"{T}/{{id}}", show_type, "group:get_all", min=_TYPES),
    route("PUT", f"{T}/{{id}}", update_type, "group:group_types:update", min=_TYPES,
          body=always(only("group_type", obj(_TYPE_CHANGE)))),
    route("DELETE", f"{T}/{{id}}", delete_type, "group:group_types:delete", min=_TYPES, status=202),
    route("GET", _SPECS, list_specs, "group:group_types_specs:get_all", min=_TYPES),
    route("POST", _SPECS, add_specs, "group:group_types_specs:create", min=_TYPES, status=202,
          body=always(only("group_specs", EXTRA_SPECS))),
    route("GET", f"{_SPECS}/{{key}}", show_spec, "group:group_types_specs:get", min=_TYPES),
    route("PUT", f"{_SPECS}/{{key}}", set_spec, "group:group_types_specs:update", min=_TYPES,
          body=always(EXTRA_SPECS)),
    route("DELETE", f"{_SPECS}/{{key}}", delete_spec, "group:group_types_specs:delete", min=_TYPES, status=202),
    route("GET", G, index, "group:get_all", min=_GROUPS),
    route("POST", G, create, "group:create", min=_GROUPS, status=202,
          body=always(only("group", obj(_NEW, "group_type", "volume_types", more=True)))),
    route("GET", f"{G}/detail", detail, "group:get_all", min=_GROUPS),
    route("POST", f"{G}/action", perform_any, "group:create_from", min=_SNAPSHOTS, status=202, body=_ANY),
    route("GET", f"{G}/{{id}}", show, "group:get", min=_GROUPS),
    route("PUT", f"{G}/{{id}}", update, "group:update", min=_GROUPS, status=202,
          body=always(only("group", obj(_CHANGE, more=True)))),
    route("POST", f"{G}/{{id}}/action", perform, "group:get", min=_GROUPS, status=202, body=_ANY),
    route("GET", S, list_snapshots, "group:get_all_group_snapshots", min=_SNAPSHOTS),
    route("POST", S, create_snapshot, "group:create_group_snapshot", min=_SNAPSHOTS, status=202, body=always(only(
        "group_snapshot", obj({"name": NAME, "description": DESCRIPTION, "group_id": UUID}, "group_id")))),
    route("GET", f"{S}/detail", detail_snapshots, "group:get_all_group_snapshots", min=_SNAPSHOTS),
    route("GET", f"{S}/{{id}}", show_snapshot, "group:get_group_snapshot", min=_SNAPSHOTS),
    route("DELETE", f"{S}/{{id}}", delete_snapshot, "group:delete_group_snapshot", min=_SNAPSHOTS, status=202),
    route("POST", f"{S}/{{id}}/action", perform_snapshot, "group:reset_group_snapshot_status", min=(3, 19), status=202,
          body=_ANY),
]
