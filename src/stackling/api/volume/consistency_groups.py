"""``/consistencygroups`` and ``/cgsnapshots``: the calls that generic groups replaced; what they make are such groups.

They are of the group type ``default_cgsnapshot_type``, which the calls for groups leave alone; what is asked for here
by its id may be any group, as with Cinder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    NAME,
    TEXT,
    TEXT_OR_NULL,
    Json,
    authorize,
    boolean,
    listing,
    obj,
    paged,
    route,
)
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.volume import facade, groups, lists
from stackling.volume.model import VolumeRow
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "name": "name", "status": "status", "created_at": "created_at", "updated_at": "updated_at"}
_BLANKS = (3, 6)
"""Since when a name or a description may be changed to nothing."""


def _summary(row: AnyRow) -> Json:
    return {"id": row["id"], "name": row["name"]}


def _shown(row: AnyRow, there: Sequence[VolumeRow]) -> Json:
    return {**_summary(row), "status": groups.status(row, there),
            "availability_zone": row["availability_zone"], "created_at": row["created_at"],
            "description": row["description"], "volume_types": row["volume_types"]}


def _find(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = groups.get_group(tx, call.ctx, call.params["id"])
    authorize(call, row, rule)
    return row


def _stripped(text: str | None) -> str | None:
    return text.strip() if text is not None else None


# -- groups

def create(tx: Tx, call: Call) -> Reply:
    """POST /consistencygroups."""
    body: Json = call.body["consistencygroup"]
    given = body["volume_types"]
    if not isinstance(given, str) or not given.strip(","):
        raise Invalid(f"volume_types must be provided to create consistency group {body.get('name')}.")
    zone = body.get("availability_zone")
    if zone is not None and not isinstance(zone, str):
        raise Invalid(f"Invalid input for field/attribute availability_zone. Value: {zone}.")
    type_id = groups.consistency_type_id(tx)
    if type_id is None:
        raise Invalid(f"Group type {groups.CONSISTENCY} not found. Create it to make consistency groups.")
    row = groups.create_group(
        tx, call.ctx, new_id(), type_id, given.rstrip(",").split(","), name=_stripped(body.get("name")),
        description=_stripped(body.get("description")), zone=zone)
    return Reply({"consistencygroup": _summary(row)}, 202)


def create_from_source(tx: Tx, call: Call) -> Reply:
    """POST /consistencygroups/create_from_src."""
    body: Json = call.body["consistencygroup-from-src"]
    snapshot, source, name = body.get("cgsnapshot_id"), body.get("source_cgid"), _stripped(body.get("name"))
    if not snapshot and not source:
        raise Invalid("Either 'cgsnapshot_id' or 'source_cgid' must be provided to create consistency group "
                      f"{name} from source.")
    if snapshot and source:
        raise Invalid("Cannot provide both 'cgsnapshot_id' and 'source_cgid' to create consistency group "
                      f"{name} from source.")
    row = groups.create_from(tx, call.ctx, new_id(), name=name, description=_stripped(body.get("description")),
                             group_snapshot_id=snapshot or None, source_group_id=source or None)
    return Reply({"consistencygroup": _summary(row)}, 202)


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    asked = listing(call, _SORT_KEYS, [], everybodys=True)
    found = lists.page(tx, facade.GROUPS, asked)
    there = groups.members_of_all(tx, [row["id"] for row in found]) if detail else {}
    shown = [_shown(row, there[row["id"]]) if detail else _summary(row) for row in found]
    page = paged(call, "consistencygroups", "consistencygroups", shown, asked, path="/detail" if detail else "")
    if (links := page.pop("consistencygroups_links", None)) is not None:
        page["consistencygroup_links"] = links
    return Reply(page)


def index(tx: Tx, call: Call) -> Reply:
    """GET /consistencygroups."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /consistencygroups/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET /consistencygroups/{id}."""
    row = _find(tx, call, "group:get")
    return Reply({"consistencygroup": _shown(row, groups.members(tx, row["id"]))})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /consistencygroups/{id}, and …/update."""
    row, body = _find(tx, call, "group:update"), call.body["consistencygroup"]
    add, remove = ([id for id in (body.get(key) or "").split(",") if id] for key in ("add_volumes", "remove_volumes"))
    values = {key: _stripped(body[key]) for key in ("name", "description") if body.get(key) is not None}
    if call.version >= _BLANKS and not (add or remove or values):
        raise Invalid("Must specify one or more of the following keys to update: name, description, add_volumes, "
                      "remove_volumes.")
    if not (add or remove or any(values.values())) and call.version < _BLANKS:
        raise Invalid("Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
    groups.update_group(tx, call.ctx, row, values, add, remove)
    return Reply(status=202)


def delete(tx: Tx, call: Call) -> Reply:
    """POST /consistencygroups/{id}/delete; ``force``: with its volumes."""
    body: Any = call.body or {}
    asked = body.get("consistencygroup") or body.get("consistency_group") or {}     # the latter is openstacksdk's word
    force = boolean("force", asked.get("force", False))
    groups.delete_group(tx, call.ctx, _find(tx, call, "group:delete"), delete_volumes=force)
    return Reply(status=202)


# -- snapshots

def _snapshot(row: AnyRow) -> Json:
    return {**_summary(row), "consistencygroup_id": row["group_id"], "status": row["status"],
            "created_at": row["created_at"], "description": row["description"]}


def _find_snapshot(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = groups.get_group_snapshot(tx, call.ctx, call.params["id"])
    authorize(call, row, rule)
    return row


def create_snapshot(tx: Tx, call: Call) -> Reply:
    """POST /cgsnapshots."""
    body: Json = call.body["cgsnapshot"]
    group = groups.get_group(tx, call.ctx, body["consistencygroup_id"])
    authorize(call, group, "group:create_group_snapshot")
    row = groups.create_group_snapshot(tx, call.ctx, new_id(), group, _stripped(body.get("name")),
                                       _stripped(body.get("description")))
    return Reply({"cgsnapshot": _summary(row)}, 202)


def _list_snapshots(tx: Tx, call: Call, *, detail: bool) -> Reply:
    found = lists.page(tx, facade.GROUP_SNAPSHOTS, listing(call, _SORT_KEYS, [], everybodys=True))
    return Reply({"cgsnapshots": [_snapshot(row) if detail else _summary(row) for row in found]})


def list_snapshots(tx: Tx, call: Call) -> Reply:
    """GET /cgsnapshots."""
    return _list_snapshots(tx, call, detail=False)


def detail_snapshots(tx: Tx, call: Call) -> Reply:
    """GET /cgsnapshots/detail."""
    return _list_snapshots(tx, call, detail=True)


def show_snapshot(tx: Tx, call: Call) -> Reply:
    """GET /cgsnapshots/{id}."""
    return Reply({"cgsnapshot": _snapshot(_find_snapshot(tx, call, "group:get_group_snapshot"))})


def delete_snapshot(tx: Tx, call: Call) -> Reply:
    """DELETE /cgsnapshots/{id}."""
    groups.delete_group_snapshot(tx, call.ctx, _find_snapshot(tx, call, "group:delete_group_snapshot"))
    return Reply(status=202)


def _body(key: str, inner: Json) -> Any:
    return always({"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": True})


_NAMED: Json = {"name": NAME, "description": DESCRIPTION}
_CHANGE = _body("consistencygroup", obj({**_NAMED, "add_volumes": TEXT_OR_NULL, "remove_volumes": TEXT_OR_NULL},
                                        more=True))
_DELETE = always({"oneOf": [
    *({"type": "object", "properties": {name: obj({"force": BOOLEAN}, more=True)}, "required": [name],
       "additionalProperties": True} for name in ("consistencygroup", "consistency_group")),
    {"type": "object", "properties": {}, "additionalProperties": False}]})
G, S = "/consistencygroups", "/cgsnapshots"
ROUTES = [
    route("GET", G, index, "group:get_all"),
    route("POST", G, create, "group:create", status=202,
          body=_body("consistencygroup", obj(_NAMED, "volume_types", more=True))),
    route("GET", f"{G}/detail", detail, "group:get_all"),
    route("POST", f"{G}/create_from_src", create_from_source, "group:create", status=202, body=_body(
        "consistencygroup-from-src", obj({**_NAMED, "cgsnapshot_id": TEXT_OR_NULL, "source_cgid": TEXT_OR_NULL},
                                         more=True))),
    route("GET", f"{G}/{{id}}", show, "group:get"),
    route("PUT", f"{G}/{{id}}", update, "group:update", status=202, body=_CHANGE),
    route("PUT", f"{G}/{{id}}/update", update, "group:update", status=202, body=_CHANGE),
    route("POST", f"{G}/{{id}}/delete", delete, "group:delete", status=202, body=_DELETE),
    route("GET", S, list_snapshots, "group:get_all_group_snapshots"),
    route("POST", S, create_snapshot, "group:create_group_snapshot", status=202, body=_body(
        "cgsnapshot", obj({"name": TEXT, "description": TEXT, "consistencygroup_id": TEXT}, "consistencygroup_id",
                          more=True))),
    route("GET", f"{S}/detail", detail_snapshots, "group:get_all_group_snapshots"),
    route("GET", f"{S}/{{id}}", show_snapshot, "group:get_group_snapshot"),
    route("DELETE", f"{S}/{{id}}", delete_snapshot, "group:delete_group_snapshot", status=202),
]
