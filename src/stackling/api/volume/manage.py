"""``/manageable_volumes`` and ``/os-volume-manage``; ``/manageable_snapshots`` and ``/os-snapshot-manage``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume import views
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    METADATA_OR_NULL,
    NAME,
    TEXT_OR_NULL,
    UUID,
    Json,
    boolean,
    number,
    obj,
    only,
    route,
)
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_id
from stackling.volume import lists, manage, services, volumes

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def manage_volume(tx: Tx, call: Call) -> Reply:
    """POST: make a volume of what lies in a backend."""
    body: Json = call.body["volume"]
    host = body.get("host")
    if not host:
        raise Invalid("Invalid input for field/attribute host: it is missing.")
    name = _name_there(body["ref"])
    values = {"name": body.get("name"), "description": body.get("description"),
              "metadata": body.get("metadata") or {}, "bootable": boolean("bootable", body.get("bootable") or False)}
    made = manage.manage_volume(tx, call.ctx, new_id(), host, name, values, body.get("volume_type"))
    return Reply({"volume": views.volume(call, made, views.Around(tx, [made]), extended=False)}, 202)


def manage_snapshot(tx: Tx, call: Call) -> Reply:
    """POST: make a snapshot of what a volume's backend has."""
    body: Json = call.body["snapshot"]
    volume = volumes.get_volume(tx, call.ctx, body["volume_id"])
    values = {"name": body.get("name"), "description": body.get("description"), "metadata": body.get("metadata")}
    made = manage.manage_snapshot(tx, call.ctx, new_id(), volume, _name_there(body["ref"]), values)
    return Reply({"snapshot": views.snapshot_summary(call, made)}, 202)


def _name_there(reference: Any) -> str:
    name = reference.get("source-name") if isinstance(reference, dict) else reference    # pyright: ignore
    if not isinstance(name, str) or not name:
        raise Invalid("Invalid input received: the reference must have a source-name.")
    return name


def _manageable(kind: str) -> Callable[[Tx, Call], Reply]:
    def listed(tx: Tx, call: Call) -> Reply:
        cluster = call.query.last("cluster") if call.version >= _BY_CLUSTER else None
        host = call.query.last("host")
        if bool(host) == bool(cluster):
            raise Invalid("Invalid input received: One and only one of cluster and host must be set."
                          if call.version >= _BY_CLUSTER else "Invalid input received: Host field is missing.")
        sort, keys = call.query.last("sort"), call.query.all("sort_key")
        lists.sort_of(sort, keys or ([] if sort else ["reference"]), call.query.all("sort_dir"), _SORT)
        for name in ("limit", "offset"):
            if (text := call.query.last(name)) is not None and number(name, text) < 0:
                raise Invalid(f"{name} param must be positive")
        if cluster:
            raise NotFound(f"Service {cluster} could not be found.")
        services.usable(tx, host or "")
        return Reply({f"manageable-{kind}": []})

    listed.__doc__ = f"GET /manageable_{kind}: as with a driver that can't tell (see docs/volumes.md)."
    return listed


list_volumes, list_snapshots = _manageable("volumes"), _manageable("snapshots")
_BY_CLUSTER = (3, 17)
_SORT = {"reference": "reference", "size": "size"}
_NEW: Json = {"name": NAME, "description": DESCRIPTION, "volume_type": TEXT_OR_NULL, "metadata": METADATA_OR_NULL,
              "host": TEXT_OR_NULL, "cluster": TEXT_OR_NULL, "ref": {"type": ["object", "string"]},
              "availability_zone": TEXT_OR_NULL, "bootable": {"anyOf": [BOOLEAN, {"type": "null"}]}}
_BODY = always(only("volume", obj(_NEW, "ref", more=True)))
_NEW_SNAPSHOT: Json = {"name": NAME, "description": DESCRIPTION, "metadata": METADATA_OR_NULL, "volume_id": UUID,
                       "ref": {"type": ["object", "string"]}}
_SNAPSHOT = always(only("snapshot", obj(_NEW_SNAPSHOT, "volume_id", "ref")))
_V, _S = "volume_extension:volume_manage", "snapshot_extension:snapshot_manage"
_VL, _SL = "volume_extension:list_manageable", "snapshot_extension:list_manageable"
ROUTES = [
    *(route("GET", f"/manageable_volumes{end}", list_volumes, _VL, min=(3, 8)) for end in ("", "/detail")),
    *(route("GET", f"/manageable_snapshots{end}", list_snapshots, _SL, min=(3, 8)) for end in ("", "/detail")),
    route("POST", "/manageable_volumes", manage_volume, _V, min=(3, 8), status=202, body=_BODY),
    route("POST", "/os-volume-manage", manage_volume, _V, status=202, body=_BODY),
    route("POST", "/manageable_snapshots", manage_snapshot, _S, min=(3, 8), status=202, body=_SNAPSHOT),
    route("POST", "/os-snapshot-manage", manage_snapshot, _S, status=202, body=_SNAPSHOT),
]
