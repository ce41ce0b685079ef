"""``POST /volumes/{id}/action``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume import views
from stackling.api.volume.parts import Json, authorize, boolean, obj, one_action, route, value_of
from stackling.api.volume.volumes import find
from stackling.core.errors import Invalid
from stackling.core.ids import is_id, new_id
from stackling.volume import actions, attachments, rules, types, volumes
from stackling.volume.model import Attached, VolumeRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_ATTACH = "volume_extension:volume_actions:"
_ADMIN = "volume_extension:volume_admin_actions:"


def perform(tx: Tx, call: Call) -> Reply:
    """POST …/action."""
    return one_action(call, _ACTIONS, tx, find(tx, call))


# -- the volume itself

def extend(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-extend."""
    authorize(call, row, "volume:extend")
    size = rules.size_of(value_of(body, "new_size", (int, str)))
    if row["status"] == "in-use" and call.version >= (3, 42):
        authorize(call, row, "volume:extend_attached_volume")
        actions.extend(tx, call.ctx, row, size, attached=True)
    else:
        actions.extend(tx, call.ctx, row, size)
    return Reply(status=202)


def set_bootable(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-set_bootable."""
    authorize(call, row, "volume:update")
    volumes.update_volume(tx, row, {"bootable": boolean("bootable", value_of(body, "bootable", (bool, str)))})
    return Reply(status=200)


def set_readonly(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-update_readonly_flag."""
    authorize(call, row, "volume:update_readonly_flag")
    readonly = boolean("readonly", value_of(body, "readonly", (bool, str)))
    if row["status"] != "available":
        raise Invalid(f"Invalid volume: Volume {row['id']} status must be available to update readonly flag, but "
                      f"current status is: {row['status']}.")
    volumes.update_volume(tx, row, {"readonly": readonly})
    return Reply(status=202)


def set_image_metadata(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-set_image_metadata."""
    authorize(call, row, "volume_extension:volume_image_metadata:set")
    items: Json = value_of(body, "metadata", dict)
    for key, value in items.items():
        if not isinstance(value, str) or not 0 < len(key) <= 255 or len(value) > 255:
            raise Invalid("Invalid metadata: keys and values are texts of at most 255 characters.")
    merged = {**(row["image_metadata"] or {}), **items}
    volumes.update_volume(tx, row, {"image_metadata": merged})
    return Reply({"metadata": merged}, 200)


def unset_image_metadata(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-unset_image_metadata."""
    from stackling.core.errors import NotFound

    authorize(call, row, "volume_extension:volume_image_metadata:remove")
    key = value_of(body, "key", str)
    if key not in (row["image_metadata"] or {}):
        raise NotFound("Metadata does not exist.")
    volumes.update_volume(tx, row, {"image_metadata": {k: v for k, v in row["image_metadata"].items() if k != key}})
    return Reply(status=200)


def show_image_metadata(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-show_image_metadata."""
    authorize(call, row, "volume_extension:volume_image_metadata:show")
    return Reply({"metadata": row["image_metadata"] or {}}, 200)


def upload(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-volume_upload_image."""
    authorize(call, row, f"{_ATTACH}upload_image")
    name = value_of(body, "image_name", str)
    if not 0 < len(name) <= 255:
        raise Invalid("Invalid input for field/attribute image_name: it has 1 to 255 characters.")
    visibility = value_of(body, "visibility", str, "private") if call.version >= (3, 1) else "private"
    if visibility == "public":
        authorize(call, row, f"{_ATTACH}upload_public")
    image = actions.upload(
        tx, call.ctx, row, new_id(), name, disk_format=value_of(body, "disk_format", str, "raw") or "raw",
        container_format=value_of(body, "container_format", str, "bare") or "bare",
        force=boolean("force", value_of(body, "force", (bool, str), False)), visibility=visibility,
        protected=boolean("protected", value_of(body, "protected", (bool, str), False)))
    type = views.Around(tx, [row]).types.get(row["type_id"] or "")
    shown: Json = {
        "id": row["id"], "updated_at": row["updated_at"], "status": "uploading",
        "display_description": row["description"], "size": row["size_gib"],
        "volume_type": None if type is None else {
            "id": type.id, "name": type.name, "description": type.description, "is_public": type.is_public,
            "extra_specs": dict(type.extra_specs), "qos_specs_id": type.qos_specs_id},
        "image_id": image.id, "container_format": image.container_format, "disk_format": image.disk_format,
        "image_name": name}
    if call.version >= (3, 1):
        shown.update(visibility=visibility, protected=image.protected)
    return Reply({"os-volume_upload_image": shown}, 202)


def revert(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """revert (3.40)."""
    if call.version < (3, 40):
        raise Invalid("There is no such action: revert")
    authorize(call, row, "volume:revert_to_snapshot")
    actions.revert(tx, call.ctx, row, value_of(body, "snapshot_id", str))
    return Reply(status=202)


def reimage(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-reimage (3.68)."""
    if call.version < (3, 68):
        raise Invalid("There is no such action: os-reimage")
    authorize(call, row, "volume:reimage")
    if row["status"] == "reserved":
        authorize(call, row, "volume:reimage_reserved")
    actions.reimage(tx, call.ctx, row, value_of(body, "image_id", str),
                    reserved=boolean("reimage_reserved", value_of(body, "reimage_reserved", (bool, str), False)))
    return Reply(status=202)


def retype(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-retype."""
    authorize(call, row, "volume:retype")
    policy = value_of(body, "migration_policy", (str, type(None)), "never") or "never"
    if policy not in ("on-demand", "never"):
        raise Invalid("Invalid input received: migration_policy must be 'on-demand' or 'never', passed: " + policy)
    wanted = value_of(body, "new_type", str)
    actions.retype(tx, call.ctx, row, wanted, may_move=policy == "on-demand")
    if not row["multiattach"] and types.get_type(tx, call.ctx, wanted).wants("multiattach"):
        authorize(call, row, "volume:multiattach")
    return Reply(status=202)


# -- administrators'

def reset_status(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-reset_status."""
    authorize(call, row, f"{_ADMIN}reset_status")
    actions.reset_status(tx, call.ctx, row, value_of(body, "status", (str, type(None)), None),
                         value_of(body, "attach_status", (str, type(None)), None),
                         value_of(body, "migration_status", (str, type(None)), None))
    return Reply(status=202)


def force_delete(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-force_delete."""
    authorize(call, row, f"{_ADMIN}force_delete")
    volumes.delete_volume(tx, call.ctx, row, force=True)
    return Reply(status=202)


def force_detach(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-force_detach."""
    authorize(call, row, f"{_ADMIN}force_detach")
    id = value_of(body, "attachment_id", (str, type(None)), None)
    actions.force_detach(tx, call.ctx, row, id)
    return Reply(status=202)


def migrate(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-migrate_volume."""
    authorize(call, row, f"{_ADMIN}migrate_volume")
    host, cluster = (value_of(body, name, (str, type(None)), None) for name in ("host", "cluster"))
    if call.version < (3, 16):
        cluster = None
    if bool(host) == bool(cluster):
        missing = "Host field is missing." if call.version < (3, 16) else (
            "One and only one of cluster and host must be set.")
        raise Invalid(f"Invalid input received: {missing}")
    actions.migrate(tx, call.ctx, row, host or cluster or "")
    return Reply(status=202)


def unmanage(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-unmanage."""
    authorize(call, row, "volume_extension:volume_unmanage")
    actions.unmanage(tx, call.ctx, row)
    return Reply(status=202)


# -- attaching, old style

def reserve(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-reserve."""
    authorize(call, row, f"{_ATTACH}reserve")
    attachments.reserve(tx, row, None, status=Attached.ATTACHING)
    return Reply(status=202)


def unreserve(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-unreserve."""
    authorize(call, row, f"{_ATTACH}unreserve")
    if row["status"] not in ("attaching", "reserved"):
        raise Invalid(f"Invalid volume: Volume {row['id']} status must be attaching to unreserve, but current status "
                      f"is: {row['status']}.")
    for one in attachments.of(tx, row):
        if one["server_id"] is None and one["status"] == Attached.ATTACHING:
            attachments.remove(tx, one["id"])
    return Reply(status=202)


def begin_detaching(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-begin_detaching."""
    authorize(call, row, f"{_ATTACH}begin_detaching")
    _shift(tx, row, Attached.ATTACHED, Attached.DETACHING)
    return Reply(status=202)


def roll_detaching(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-roll_detaching."""
    authorize(call, row, f"{_ATTACH}roll_detaching")
    _shift(tx, row, Attached.DETACHING, Attached.ATTACHED)
    return Reply(status=202)


def _shift(tx: Tx, row: VolumeRow, old: Attached, new: Attached) -> None:
    found = [one for one in attachments.of(tx, row) if one["status"] == old]
    if not found and old is Attached.ATTACHED:
        raise Invalid(f"Invalid volume: Volume {row['id']} status must be in-use to detach, but current status is: "
                      f"{row['status']}.")
    for one in found:
        attachments.change(tx, one, {"status": new.value})


def attach(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-attach."""
    authorize(call, row, f"{_ATTACH}attach")
    server, host = value_of(body, "instance_uuid", str, None), value_of(body, "host_name", str, None)
    mode, mountpoint = value_of(body, "mode", str, "rw"), value_of(body, "mountpoint", str)
    if server is not None and not is_id(server):
        raise Invalid("Invalid UUID for attaching.")
    if mode not in ("rw", "ro"):
        raise Invalid("Invalid request to attach volume to an instance and/or a host: mode must be rw or ro.")
    actions.attach(tx, call.ctx, row, server, host, mountpoint, mode)
    return Reply(status=202)


def detach(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-detach."""
    authorize(call, row, f"{_ATTACH}detach")
    actions.detach(tx, call.ctx, row, value_of(body, "attachment_id", (str, type(None)), None))
    return Reply(status=202)


def initialize(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-initialize_connection."""
    authorize(call, row, f"{_ATTACH}initialize_connection")
    value_of(body, "connector", dict)
    return Reply({"connection_info": attachments.connection(tx, row, None)}, 200)


def terminate(tx: Tx, call: Call, row: VolumeRow, body: Any) -> Reply:
    """os-terminate_connection: nothing is exported for anybody, so nothing has to end."""
    authorize(call, row, f"{_ATTACH}terminate_connection")
    value_of(body, "connector", dict)
    for one in attachments.of(tx, row):
        attachments.check_not_computes(call.ctx, one)
    return Reply(status=202)


_ACTIONS = {
    "os-extend": extend, "os-set_bootable": set_bootable, "os-update_readonly_flag": set_readonly,
    "os-set_image_metadata": set_image_metadata, "os-unset_image_metadata": unset_image_metadata,
    "os-show_image_metadata": show_image_metadata, "os-volume_upload_image": upload, "revert": revert,
    "os-reimage": reimage, "os-retype": retype, "os-reset_status": reset_status, "os-force_delete": force_delete,
    "os-force_detach": force_detach, "os-migrate_volume": migrate, "os-unmanage": unmanage, "os-reserve": reserve,
    "os-unreserve": unreserve, "os-begin_detaching": begin_detaching, "os-roll_detaching": roll_detaching,
    "os-attach": attach, "os-detach": detach, "os-initialize_connection": initialize,
    "os-terminate_connection": terminate}
ROUTES = [route("POST", "/volumes/{id}/action", perform, "volume:get", status=202,
                body=always(obj({}, more=True, minProperties=1)))]
