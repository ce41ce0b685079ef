"""``/backups``: create, list, show, update, delete, restore, export and import of records, actions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    METADATA_OR_NULL,
    NAME,
    TEXT_OR_NULL,
    UUID,
    UUID_OR_NULL,
    Json,
    authorize,
    boolean,
    like,
    links,
    listing,
    obj,
    one_action,
    only,
    paged,
    route,
    truth,
    value_of,
)
from stackling.core.errors import Invalid
from stackling.core.ids import new_id
from stackling.volume import backups, changes, facade, lists, volumes
from stackling.volume.lists import Condition
from stackling.volume.model import BackupRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "name": "name", "created_at": "created_at", "updated_at": "updated_at", "status": "status",
              "volume_id": "volume_id", "size": "size_gib", "display_name": "name", "container": "container"}
SERVICE = "cinder.backup.drivers.posix.PosixBackupDriver"
"""Cinder's name of the driver that keeps backups in a directory, which clients know."""


def _find(tx: Tx, call: Call, rule: str) -> BackupRow:
    row = backups.get_backup(tx, call.ctx, call.params["id"])
    authorize(call, row, rule)
    return row


def _summary(call: Call, row: BackupRow) -> Json:
    return {"id": row["id"], "name": row["name"], "links": links(call, "backups", row["id"])}


def _shown(call: Call, row: BackupRow, with_children: Set[str]) -> Json:
    shown: Json = {
        **_summary(call, row), "status": row["status"], "size": row["size_gib"], "object_count": row["object_count"],
        "availability_zone": row["availability_zone"], "container": row["container"], "created_at": row["created_at"],
        "updated_at": row["updated_at"], "description": row["description"], "fail_reason": row["last_error"],
        "volume_id": row["volume_id"], "is_incremental": row["parent_id"] is not None,
        "has_dependent_backups": row["id"] in with_children, "snapshot_id": row["snapshot_id"],
        "data_timestamp": row["data_timestamp"]}
    if call.version >= (3, 18) and call.ctx.is_admin:
        shown["os-backup-project-attr:project_id"] = row["project_id"]
    if call.version >= (3, 43):
        shown["metadata"] = row["metadata"]
    if call.version >= (3, 56):
        shown["user_id"] = row["user_id"]
    if call.version >= (3, 64):
        shown["encryption_key_id"] = row["source"].get("key_id")
    return shown


def create(tx: Tx, call: Call) -> Reply:
    """POST /backups."""
    body: Json = call.body["backup"]
    volume = volumes.get_volume(tx, call.ctx, body["volume_id"])
    authorize(call, volume, "backup:create")
    name = body.get("name")
    row = backups.create_backup(
        tx, call.ctx, new_id(), volume, name=name.strip() if name else name, description=body.get("description"),
        container=body.get("container"), incremental=boolean("incremental", body.get("incremental") or False),
        force=boolean("force", body.get("force") or False), snapshot_id=body.get("snapshot_id"),
        metadata=body.get("metadata") if call.version >= (3, 43) else None,
        availability_zone=body.get("availability_zone") if call.version >= (3, 51) else None)
    return Reply({"backup": _summary(call, row)}, 202)


def _list(tx: Tx, call: Call, *, detail: bool) -> Reply:
    conditions: list[Condition] = []
    like(call, "name", "name", conditions)
    for key in ("status", "volume_id", "snapshot_id"):
        if (value := call.query.last(key)) is not None:
            conditions.append(Condition(key, "eq", value))
    asked = listing(call, _SORT_KEYS, conditions, everybodys=True)
    found = lists.page(tx, facade.BACKUPS, asked)
    children = backups.dependents(tx, [row["id"] for row in found]) if detail else set[str]()
    shown = [_shown(call, row, children) if detail else _summary(call, row) for row in found]
    body = paged(call, "backups", "backups", shown, asked, path="/detail" if detail else "")
    if call.version >= (3, 45) and truth("with_count", call.query.last("with_count") or "false"):
        body["count"] = lists.count(tx, facade.BACKUPS, asked)
    return Reply(body)


def index(tx: Tx, call: Call) -> Reply:
    """GET /backups."""
    return _list(tx, call, detail=False)


def detail(tx: Tx, call: Call) -> Reply:
    """GET /backups/detail."""
    return _list(tx, call, detail=True)


def show(tx: Tx, call: Call) -> Reply:
    """GET /backups/{id}."""
    row = _find(tx, call, "backup:get")
    return Reply({"backup": _shown(call, row, backups.dependents(tx, [row["id"]]))})


def update(tx: Tx, call: Call) -> Reply:
    """PUT /backups/{id} (3.9)."""
    row, body = _find(tx, call, "backup:update"), call.body["backup"]
    known = ("name", "description", *(["metadata"] if call.version >= (3, 43) else []))
    values = {key: body[key] or ({} if key == "metadata" else body[key]) for key in known if key in body}
    return Reply({"backup": _summary(call, changes.backup(tx, row, values))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /backups/{id}."""
    backups.delete_backup(tx, call.ctx, _find(tx, call, "backup:delete"))
    return Reply(status=202)


def restore(tx: Tx, call: Call) -> Reply:
    """POST …/restore."""
    row, body = _find(tx, call, "backup:restore"), call.body["restore"]
    volume = backups.restore(tx, call.ctx, row, body.get("volume_id"), body.get("name"))
    return Reply({"restore": {"backup_id": row["id"], "volume_id": volume["id"], "volume_name": volume["name"]}}, 202)


# -- records

_RECORD = ("id", "volume_id", "name", "description", "size_gib", "metadata", "container", "availability_zone",
           "data_timestamp")
_OPTIONAL = {"parent_id": str, "key": str, "type_id": str, "bootable": bool, "image_metadata": dict}


def export_record(tx: Tx, call: Call) -> Reply:
    """GET …/export_record: all that is needed to know of the backup in a cloud that has lost it."""
    row = _find(tx, call, "backup:backup-export")
    if row["status"] != "available":
        raise Invalid(f"Invalid backup: Backup status must be available and not {row['status']}.")
    facts = {**{key: row[key] for key in _RECORD}, **backups.kept_outside(tx, row)}
    text = base64.b64encode(msgspec.json.encode(facts)).decode()
    return Reply({"backup-record": {"backup_service": SERVICE, "backup_url": text}})


def import_record(tx: Tx, call: Call) -> Reply:
    """POST /backups/import_record."""
    call.authorize(None, "backup:backup-import")
    body: Json = call.body["backup-record"]
    if body["backup_service"] != SERVICE:
        raise Invalid(f"Invalid backup service {body['backup_service']}; this one is {SERVICE}.")
    try:
        record = msgspec.json.decode(base64.b64decode(body["backup_url"], validate=True), type=dict[str, Any])
        facts = {key: record[key] for key in (*_RECORD, "data")} | {
            key: record[key] for key, kind in _OPTIONAL.items() if isinstance(record.get(key), kind)}
    except (binascii.Error, msgspec.MsgspecError, KeyError, ValueError):
        raise Invalid("Invalid input received: Can't parse backup record.") from None
    row = backups.import_backup(tx, call.ctx, facts)
    return Reply({"backup": _summary(call, row)}, 201)


# -- actions

def perform(tx: Tx, call: Call) -> Reply:
    """POST …/action."""
    return one_action(call, _ACTIONS, tx, backups.get_backup(tx, call.ctx, call.params["id"]))


def _reset(tx: Tx, call: Call, row: BackupRow, body: Any) -> Reply:
    authorize(call, row, "volume_extension:backup_admin_actions:reset_status")
    status = value_of(body, "status", str)
    if status not in ("available", "error"):
        raise Invalid(f"Must specify a valid status, which {status} isn't.")
    changes.backup(tx, row, {"forced_status": None if status == "available" else status,
                             **({"failed": 0} if status == "available" else {})})
    return Reply(status=202)


def _force_delete(tx: Tx, call: Call, row: BackupRow, body: Any) -> Reply:
    authorize(call, row, "volume_extension:backup_admin_actions:force_delete")
    backups.delete_backup(tx, call.ctx, row, force=True)
    return Reply(status=202)


_ACTIONS = {"os-reset_status": _reset, "os-force_delete": _force_delete}
_FLAG: Json = {"anyOf": [BOOLEAN, {"type": "null"}]}
_NEW: Json = {"volume_id": UUID, "name": NAME, "description": DESCRIPTION, "container": TEXT_OR_NULL,
              "incremental": _FLAG, "force": _FLAG, "snapshot_id": UUID_OR_NULL, "metadata": METADATA_OR_NULL,
              "availability_zone": TEXT_OR_NULL}
_UPDATE: Json = {"name": NAME, "description": DESCRIPTION, "metadata": METADATA_OR_NULL}
_RESTORE: Json = {"volume_id": UUID_OR_NULL, "name": NAME}
_IMPORT: Json = {"backup_service": {"type": "string", "minLength": 1, "maxLength": 255},
                 "backup_url": {"type": "string", "minLength": 1, "maxLength": 65535}}
B = "/backups/{id}"
ROUTES = [
    route("GET", "/backups", index, "backup:get_all"),
    route("POST", "/backups", create, "backup:create", status=202,
          body=always(only("backup", obj(_NEW, "volume_id", more=True)))),
    route("GET", "/backups/detail", detail, "backup:get_all"),
    route("POST", "/backups/import_record", import_record, "backup:backup-import", status=201,
          body=always(only("backup-record", obj(_IMPORT, "backup_service", "backup_url")))),
    route("GET", B, show, "backup:get"),
    route("PUT", B, update, "backup:update", min=(3, 9), body=always(only("backup", obj(_UPDATE, minProperties=1)))),
    route("DELETE", B, delete, "backup:delete", status=202),
    route("POST", f"{B}/restore", restore, "backup:restore", status=202, body=always(only("restore", obj(_RESTORE)))),
    route("GET", f"{B}/export_record", export_record, "backup:backup-export"),
    route("POST", f"{B}/action", perform, "backup:get", body=always(obj({}, more=True, minProperties=1))),
]
