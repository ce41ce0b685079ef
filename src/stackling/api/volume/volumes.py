"""``/volumes``: create, list, show, update, delete, summary, metadata."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.schema import Schemas
from stackling.api.volume import views
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    METADATA,
    METADATA_OR_NULL,
    NAME,
    TEXT_OR_NULL,
    UUID_OR_NULL,
    Json,
    authorize,
    boolean,
    instants,
    like,
    listing,
    literal,
    number,
    obj,
    only,
    paged,
    route,
    truth,
)
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import is_id, new_id
from stackling.volume import facade, groups, lists, rules, types, volumes
from stackling.volume.lists import Condition, Listing
from stackling.volume.model import NewVolume, VolumeRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

SORT_KEYS = {
    "id": "id", "status": "status", "size": "size_gib", "availability_zone": "availability_zone", "name": "name",
    "display_name": "name", "bootable": "bootable", "created_at": "created_at", "updated_at": "updated_at",
    "user_id": "user_id", "project_id": "project_id", "host": "backend", "volume_type_id": "type_id",
    "group_id": "group_id"}
_PLAIN = {"status": "status", "availability_zone": "availability_zone", "group_id": "group_id", "id": "id",
          "snapshot_id": "snapshot_id", "source_volid": "source_volid"}
_ADMIN = {"migration_status": "migration_status", "user_id": "user_id", "replication_status": "replication_status"}


def find(tx: Tx, call: Call) -> VolumeRow:
    """The volume that the path names."""
    return volumes.get_volume(tx, call.ctx, call.params["id"])


# -- create

def create(tx: Tx, call: Call) -> Reply:
    """POST /volumes."""
    body: Json = call.body["volume"]
    own = {"project_id": call.ctx.project_id, "user_id": call.ctx.user_id}
    call.authorize(own, "volume:create")
    new = _new(call, body)
    if new.image_ref is not None:
        call.authorize(own, "volume:create_from_image")
        if call.version >= (3, 46):
            new = _from_server_image(tx, call, new, new.image_ref)
    if new.group_id is not None:
        type = volumes.type_for(tx, call.ctx, new.type)
        groups.check_may_join(tx, call.ctx, new.group_id, type.id if type else None)
    made = volumes.create_volume(tx, call.ctx, new)
    if made["multiattach"]:
        authorize(call, made, "volume:multiattach")
    return Reply({"volume": views.volume(call, made, views.Around(tx, [made]), extended=False)}, 202)


def _new(call: Call, body: Json) -> NewVolume:
    sources = {"snapshot_id": body.get("snapshot_id"), "source_volid": body.get("source_volid"),
               "image_ref": body.get("imageRef") or body.get("image_id"),
               "backup_id": body.get("backup_id") if call.version >= (3, 47) else None}
    named = {name: id for name, id in sources.items() if id}
    for name, id in named.items():
        if not is_id(id):
            if name == "image_ref":
                raise Invalid("Invalid image identifier or unable to access requested image.")
            raise NotFound(f"{name} {id} could not be found.")
    size = body.get("size")
    if size is None and not set(named) & {"snapshot_id", "source_volid", "backup_id"}:
        raise Invalid("Invalid input received: Volume size 'None' must be an integer and greater than 0")
    return NewVolume(
        id=new_id(), size_gib=None if size is None else rules.size_of(size),
        name=_trimmed(body.get("name", body.get("display_name"))),
        description=body.get("description", body.get("display_description")),
        type=body.get("volume_type"), availability_zone=body.get("availability_zone"),
        metadata=body.get("metadata") or {},
        group_id=(body.get("group_id") if call.version >= (3, 13) else None) or body.get("consistencygroup_id") or None,
        **named)


def _from_server_image(tx: Tx, call: Call, new: NewVolume, image_id: str) -> NewVolume:
    """An image of a server that boots from a volume has no data, but names a snapshot of its root (3.46)."""
    snapshot = facade.root_snapshot_of_image(tx, call.ctx, image_id)
    return new if snapshot is None else replace(new, image_ref=None, snapshot_id=snapshot)


def _trimmed(name: str | None) -> str | None:
    return name.strip() if name is not None else None


# -- lists

def _listing(tx: Tx, call: Call) -> Listing:
    conditions: list[Condition] = []
    query = call.query
    like(call, "name", "name", conditions)
    if "name" not in query:
        like(call, "display_name", "name", conditions)
    for key, column in {**_PLAIN, **(_ADMIN if call.ctx.is_admin else {})}.items():
        if (value := query.last(key)) is not None:
            conditions.append(Condition(column, "eq", value))
    if (value := query.last("bootable")) is not None:
        conditions.append(Condition("bootable", "eq", truth("bootable", value)))
    if (value := query.last("multiattach")) is not None:
        conditions.append(Condition("multiattach", "eq", truth("multiattach", value)))
    if (value := query.last("size")) is not None:
        conditions.append(Condition("size_gib", "eq", number("size", value)))
    if (value := query.last("consumes_quota")) is not None and call.version >= (3, 65):
        conditions.append(Condition("consumes_quota", "eq", truth("consumes_quota", value)))
    if call.ctx.is_admin and (value := query.last("host")) is not None:
        conditions.append(Condition("backend", "eq", value.partition("#")[0]))
    if (value := query.last("volume_type_id") or query.last("volume_type")) is not None:
        conditions.append(Condition("type_id", "eq", _type_id(tx, call, value)))
    for key, operator in (("metadata", "metadata"), ("glance_metadata", "image_metadata")):
        if (value := query.last(key)) is not None and (operator == "metadata" or call.version >= (3, 4)):
            conditions += [Condition(name, operator, item) for name, item in literal(key, value).items()]
    return listing(call, SORT_KEYS, [*conditions, *instants(call)], everybodys=True)


def _type_id(tx: Tx, call: Call, ref: str) -> str:
    try:
        return types.get_type(tx, call.ctx, ref).id
    except NotFound:
        return ref


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    call.authorize({"project_id": call.ctx.project_id}, "volume:get_all")
    asked = _listing(tx, call)
    found = lists.page(tx, facade.VOLUMES, asked)
    if detail:
        around = views.Around(tx, found)
        shown = [views.volume(call, row, around) for row in found]
    else:
        shown = [views.summary(call, row) for row in found]
    body = paged(call, "volumes", "volumes", shown, asked, path="/detail" if detail else "")
    if call.version >= (3, 45) and truth("with_count", call.query.last("with_count") or "false"):
        body["count"] = lists.count(tx, facade.VOLUMES, asked)
    return Reply(body)


def index(tx: Tx, call: Call) -> Reply:
    """GET /volumes."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /volumes/detail."""
    return _list(tx, call, detail=True)


def summarise(tx: Tx, call: Call) -> Reply:
    """GET /volumes/summary."""
    asked = _listing(tx, call)
    found: Json = {"total_size": lists.total(tx, asked), "total_count": lists.count(tx, facade.VOLUMES, asked)}
    if call.version >= (3, 36):
        merged: dict[str, set[str]] = {}
        for row in lists.page(tx, facade.VOLUMES, asked):
            for key, value in row["metadata"].items():
                merged.setdefault(key, set()).add(value)
        found["metadata"] = {key: sorted(values) for key, values in merged.items()}
    return Reply({"volume-summary": found})


def show(tx: Tx, call: Call) -> Reply:
    """GET /volumes/{id}."""
    row = find(tx, call)
    authorize(call, row, "volume:get")
    return Reply({"volume": views.volume(call, row, views.Around(tx, [row]))})


# -- changes

def update(tx: Tx, call: Call) -> Reply:
    """PUT /volumes/{id}."""
    body: Json = call.body["volume"]
    row = find(tx, call)
    authorize(call, row, "volume:update")
    values: Json = {}
    for key, column in (("display_name", "name"), ("name", "name"), ("display_description", "description"),
                        ("description", "description")):
        if key in body:
            values[column] = _trimmed(body[key])
    if "metadata" in body:
        values["metadata"] = body["metadata"] or {}
    after = volumes.update_volume(tx, row, values)
    return Reply({"volume": views.volume(call, after, views.Around(tx, [after]), extended=False)})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /volumes/{id}."""
    row = find(tx, call)
    force = call.version >= (3, 23) and truth("force", call.query.last("force") or "false")
    authorize(call, row, "volume:force_delete" if force else "volume:delete")
    cascade = boolean("cascade", call.query.last("cascade") or "false")
    volumes.delete_volume(tx, call.ctx, row, cascade=cascade, force=force)
    return Reply(status=202)


# -- metadata

def list_metadata(tx: Tx, call: Call) -> Reply:
    """GET …/metadata."""
    row = find(tx, call)
    authorize(call, row, "volume:get_volume_metadata")
    body = {"metadata": row["metadata"]}
    return Reply(body, headers={"ETag": _digest(body)} if call.version >= (3, 15) else {})


def _digest(body: Json) -> str:
    import hashlib

    import msgspec

    return hashlib.md5(msgspec.json.encode(body), usedforsecurity=False).hexdigest()


def add_metadata(tx: Tx, call: Call) -> Reply:
    """POST …/metadata."""
    row = find(tx, call)
    authorize(call, row, "volume:create_volume_metadata")
    return Reply({"metadata": volumes.set_metadata(tx, row, call.body["metadata"])})


def replace_metadata(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata."""
    row = find(tx, call)
    authorize(call, row, "volume:update_volume_metadata")
    _check_digest(call, row)
    return Reply({"metadata": volumes.set_metadata(tx, row, call.body["metadata"], replace=True)})


def _check_digest(call: Call, row: VolumeRow) -> None:
    from stackling.core.errors import PreconditionFailed

    wanted = call.header("If-Match")
    if call.version >= (3, 15) and wanted is not None and wanted.strip('"') != _digest({"metadata": row["metadata"]}):
        raise PreconditionFailed("The metadata has changed since it was read.")


def _item(row: VolumeRow, key: str) -> str:
    if key not in row["metadata"]:
        raise NotFound(f"Volume {row['id']} has no metadata with key {key}.")
    return row["metadata"][key]


def show_metadata(tx: Tx, call: Call) -> Reply:
    """GET …/metadata/{key}."""
    row = find(tx, call)
    authorize(call, row, "volume:get_volume_metadata")
    return Reply({"meta": {call.params["key"]: _item(row, call.params["key"])}})


def set_metadata(tx: Tx, call: Call) -> Reply:
    """PUT …/metadata/{key}."""
    row, key = find(tx, call), call.params["key"]
    authorize(call, row, "volume:update_volume_metadata")
    items: Json = call.body["meta"]
    if key not in items:
        raise Invalid("Request body and URI mismatch")
    if len(items) > 1:
        raise Invalid("Request body contains too many items")
    volumes.set_metadata(tx, row, items)
    return Reply({"meta": items})


def delete_metadata(tx: Tx, call: Call) -> Reply:
    """DELETE …/metadata/{key}."""
    row, key = find(tx, call), call.params["key"]
    authorize(call, row, "volume:delete_volume_metadata")
    _item(row, key)
    volumes.set_metadata(tx, row, {k: v for k, v in row["metadata"].items() if k != key}, replace=True)
    return Reply(status=200)


def encryption(tx: Tx, call: Call) -> Reply:
    """GET …/encryption."""
    row = find(tx, call)
    authorize(call, row, "volume_extension:volume_encryption_metadata")
    return Reply(_encryption(row))


def encryption_item(tx: Tx, call: Call) -> Reply:
    """GET …/encryption/{key}: the bare value."""
    row = find(tx, call)
    authorize(call, row, "volume_extension:volume_encryption_metadata")
    return Reply(str(_encryption(row).get(call.params["key"]) or "").encode(), content_type="text/plain")


def _encryption(row: VolumeRow) -> Json:
    found: Json = row["encryption"] or {}
    names = ("control_location", "cipher", "key_size", "provider") if found else ()
    return {"encryption_key_id": found.get("key_id"), **{name: found.get(name) for name in names}}


_SIZE: Json = {"type": ["integer", "string", "null"]}
_CREATE: Json = {
    "name": NAME, "description": DESCRIPTION, "display_name": NAME, "display_description": DESCRIPTION, "size": _SIZE,
    "volume_type": TEXT_OR_NULL, "metadata": METADATA_OR_NULL, "snapshot_id": TEXT_OR_NULL,
    "source_volid": TEXT_OR_NULL, "consistencygroup_id": TEXT_OR_NULL, "imageRef": TEXT_OR_NULL,
    "image_id": TEXT_OR_NULL, "availability_zone": TEXT_OR_NULL, "multiattach": BOOLEAN, "group_id": UUID_OR_NULL,
    "backup_id": UUID_OR_NULL}
_UPDATE: Json = {"name": NAME, "description": DESCRIPTION, "display_name": NAME, "display_description": DESCRIPTION,
                 "metadata": METADATA_OR_NULL}
_HINTS: Json = {"OS-SCH-HNT:scheduler_hints": {"type": ["object", "null"]}}
_META = only("meta", METADATA)
V = "/volumes/{id}"


def _schema(body: Json) -> Schemas:
    return Schemas({(3, 0): body})


ROUTES = [
    route("GET", "/volumes", index, "volume:get_all"),
    route("POST", "/volumes", create, "volume:create", status=202, body=_schema(
        obj({"volume": obj(_CREATE, more=True), **_HINTS}, "volume", more=True))),
    route("GET", "/volumes/detail", detail, "volume:get_all"),
    route("GET", "/volumes/summary", summarise, "volume:get_all", min=(3, 12)),
    route("GET", V, show, "volume:get"),
    route("PUT", V, update, "volume:update", body=_schema(only("volume", obj(_UPDATE, minProperties=1)))),
    route("DELETE", V, delete, "volume:delete", status=202),
    route("GET", f"{V}/metadata", list_metadata, "volume:get_volume_metadata"),
    route("POST", f"{V}/metadata", add_metadata, "volume:create_volume_metadata",
          body=_schema(only("metadata", METADATA))),
    route("PUT", f"{V}/metadata", replace_metadata, "volume:update_volume_metadata",
          body=_schema(only("metadata", METADATA))),
    route("GET", f"{V}/metadata/{{key}}", show_metadata, "volume:get_volume_metadata"),
    route("PUT", f"{V}/metadata/{{key}}", set_metadata, "volume:update_volume_metadata", body=_schema(_META)),
    route("DELETE", f"{V}/metadata/{{key}}", delete_metadata, "volume:delete_volume_metadata"),
    route("GET", f"{V}/encryption", encryption, "volume_extension:volume_encryption_metadata"),
    route("GET", f"{V}/encryption/{{key}}", encryption_item, "volume_extension:volume_encryption_metadata"),
]
