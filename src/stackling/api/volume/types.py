"""``/types``: volume types, extra specs, access, encryption; ``/default-types``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.schema import always
from stackling.api.volume.parts import (
    BOOLEAN,
    DESCRIPTION,
    EXTRA_SPECS,
    SOME_NAME,
    TEXT,
    Json,
    boolean,
    obj,
    one_action,
    only,
    permits,
    route,
    truth,
    value_of,
)
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_id
from stackling.volume import types
from stackling.volume.model import VolumeType

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

VISIBLE = ("RESKEY:availability_zones", "multiattach", "replication_enabled")
"""Extra specs that everybody may see."""


def _find(tx: Tx, call: Call) -> VolumeType:
    return types.by_id(tx, call.ctx, call.params["id"])


def shown(call: Call, type: VolumeType, *, brief: bool = False) -> Json:
    """A type as Cinder shows it."""
    found: Json = {"id": type.id, "name": type.name, "is_public": type.is_public, "description": type.description}
    if permits(call, "volume_extension:access_types_extra_specs"):
        found["extra_specs"] = _visible(call, type)
    if permits(call, "volume_extension:access_types_qos_specs_id"):
        found["qos_specs_id"] = type.qos_specs_id
    if not brief and permits(call, "volume_extension:volume_type_access"):
        found["os-volume-type-access:is_public"] = type.is_public
    return found


def _visible(call: Call, type: VolumeType) -> dict[str, str]:
    """The extra specs that the caller may know of."""
    if permits(call, "volume_extension:types_extra_specs:read_sensitive"):
        return dict(type.extra_specs)
    return {key: value for key, value in type.extra_specs.items() if key in VISIBLE}


def index(tx: Tx, call: Call) -> Reply:
    """GET /types."""
    asked = call.query.last("is_public")
    wanted: bool | None = True
    if asked is not None:
        wanted = None if asked.lower() == "none" else truth("is_public", asked)
    found = types.list_types(tx, call.ctx, is_public=wanted)
    for key, direction in _sorting(call):
        found.sort(key=lambda one: str(getattr(one, key) or ""), reverse=direction == "desc")
    if call.version >= (3, 52) and (text := call.query.last("extra_specs")) is not None:
        from stackling.api.volume.parts import literal

        items = literal("extra_specs", text).items()
        found = [one for one in found if items <= _visible(call, one).items()]
    found, more = _page(call, found)
    body: Json = {"volume_types": [shown(call, one) for one in found]}
    if more:
        from stackling.api.volume.parts import links

        base = links(call, "types", "")[0]["href"].rstrip("/")
        body["volume_type_links"] = [
            {"rel": "next", "href": f"{base}?limit={len(found)}&marker={found[-1].id}"}]
    return Reply(body)


def _sorting(call: Call) -> list[tuple[str, str]]:
    from stackling.volume import lists

    if not ({"sort", "sort_key", "sort_dir"} & set(call.query)):
        return []
    keys = {"id": "id", "name": "name", "is_public": "is_public", "description": "description"}
    pairs = lists.sort_of(call.query.last("sort"), call.query.all("sort_key") or ["id"], call.query.all("sort_dir"),
                          {**keys, "created_at": "id", "updated_at": "id"}) if "sort" not in call.query else (
        lists.sort_of(call.query.last("sort"), (), (), {**keys, "created_at": "id", "updated_at": "id"}))
    return [pair for pair in reversed(pairs) if pair[0] in keys]


def _page(call: Call, found: list[VolumeType]) -> tuple[list[VolumeType], bool]:
    marker, limit = call.query.last("marker"), call.query.last("limit")
    if marker is not None:
        ids = [one.id for one in found]
        if marker not in ids:
            raise NotFound(f"marker [{marker}] not found")
        found = found[ids.index(marker) + 1:]
    if limit is None:
        return found, False
    if not limit.isdecimal():
        raise Invalid("limit param must be an integer >= 0")
    return found[:int(limit)], 0 < int(limit) <= len(found)


def show(tx: Tx, call: Call) -> Reply:
    """GET /types/{id}."""
    return Reply({"volume_type": shown(call, _find(tx, call))})


def show_default(tx: Tx, call: Call) -> Reply:
    """GET /types/default."""
    return Reply({"volume_type": shown(call, types.default_type(tx, call.ctx))})


def create(tx: Tx, call: Call) -> Reply:
    """POST /types."""
    body: Json = call.body["volume_type"]
    name = body["name"].strip()
    if not name:
        raise Invalid("Volume type name can not be empty.")
    public = boolean("is_public", body.get("os-volume-type-access:is_public", True))
    made = types.create_type(tx, name, body.get("description"), public, body.get("extra_specs") or {}, new_id())
    return Reply({"volume_type": _without_qos(shown(call, made))})


def _without_qos(found: Json) -> Json:
    """Cinder shows a type's QoS specs only where it is asked for."""
    return {key: value for key, value in found.items() if key != "qos_specs_id"}


def update(tx: Tx, call: Call) -> Reply:
    """PUT /types/{id}."""
    type, body = _find(tx, call), call.body["volume_type"]
    values: Json = {}
    if "name" in body and body["name"] is not None:
        values["name"] = body["name"].strip()
        if not values["name"]:
            raise Invalid("Volume type name can not be empty.")
    if "description" in body and body["description"] is not None:
        values["description"] = body["description"]
    if "is_public" in body and body["is_public"] is not None:
        values["is_public"] = boolean("is_public", body["is_public"])
    if not values:
        raise Invalid("Specify volume type name, description, is_public or a combination thereof.")
    return Reply({"volume_type": _without_qos(shown(call, types.update_type(tx, type, values), brief=True))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /types/{id}."""
    types.delete_type(tx, _find(tx, call))
    return Reply(status=202)


# -- extra specs

def list_specs(tx: Tx, call: Call) -> Reply:
    """GET …/extra_specs."""
    return Reply({"extra_specs": shown(call, _find(tx, call))["extra_specs"]})


def _check_may_change(tx: Tx, type: VolumeType, keys: Any) -> None:
    if any(key in ("multiattach", "encryption") for key in keys) and types.in_use(tx, type.id):
        raise Invalid(f"Volume Type {type.id} is in use: such an extra spec can't be changed.")


def add_specs(tx: Tx, call: Call) -> Reply:
    """POST …/extra_specs."""
    type, items = _find(tx, call), call.body["extra_specs"]
    _check_may_change(tx, type, items)
    types.update_type(tx, type, {"extra_specs": {**type.extra_specs, **items}})
    return Reply({"extra_specs": items})


def _spec(type: VolumeType, key: str) -> str:
    if key not in type.extra_specs:
        raise NotFound(f"Volume Type {type.id} has no extra specs with key {key}.")
    return type.extra_specs[key]


def show_spec(tx: Tx, call: Call) -> Reply:
    """GET …/extra_specs/{key}."""
    type, key = _find(tx, call), call.params["key"]
    if not call.ctx.is_admin and key not in VISIBLE:
        raise NotFound(f"Volume Type {type.id} has no extra specs with key {key}.")
    return Reply({key: _spec(type, key)})


def set_spec(tx: Tx, call: Call) -> Reply:
    """PUT …/extra_specs/{key}."""
    type, key = _find(tx, call), call.params["key"]
    if key not in call.body:
        raise Invalid("Request body and URI mismatch")
    if len(call.body) > 1:
        raise Invalid("Request body contains too many items")
    _check_may_change(tx, type, (key,))
    types.update_type(tx, type, {"extra_specs": {**type.extra_specs, **call.body}})
    return Reply(call.body)


def delete_spec(tx: Tx, call: Call) -> Reply:
    """DELETE …/extra_specs/{key}."""
    type, key = _find(tx, call), call.params["key"]
    _spec(type, key)
    _check_may_change(tx, type, (key,))
    types.update_type(tx, type, {"extra_specs": {k: v for k, v in type.extra_specs.items() if k != key}})
    return Reply(status=202)


# -- access

def list_access(tx: Tx, call: Call) -> Reply:
    """GET …/os-volume-type-access."""
    type = _find(tx, call)
    if type.is_public:
        raise NotFound("Access list not available for public volume types.")
    return Reply({"volume_type_access": [{"volume_type_id": type.id, "project_id": project}
                                         for project in types.access(tx, type)]})


def perform(tx: Tx, call: Call) -> Reply:
    """POST …/action."""
    return one_action(call, _ACTIONS, tx, _find(tx, call))


def _allow(tx: Tx, call: Call, type: VolumeType, body: Any) -> Reply:
    call.authorize(None, "volume_extension:volume_type_access:addProjectAccess")
    types.allow(tx, type, value_of(body, "project", str))
    return Reply(status=202)


def _disallow(tx: Tx, call: Call, type: VolumeType, body: Any) -> Reply:
    call.authorize(None, "volume_extension:volume_type_access:removeProjectAccess")
    types.disallow(tx, type, value_of(body, "project", str))
    return Reply(status=202)


_ACTIONS = {"addProjectAccess": _allow, "removeProjectAccess": _disallow}


# -- encryption

def show_encryption(tx: Tx, call: Call) -> Reply:
    """GET …/encryption: nothing where there is none."""
    return Reply(_find(tx, call).encryption or {})


def show_encryption_item(tx: Tx, call: Call) -> Reply:
    """GET …/encryption/{key}."""
    found, key = _find(tx, call).encryption or {}, call.params["key"]
    if key not in found:
        raise NotFound("The resource could not be found.")
    return Reply({key: found[key]})


def create_encryption(tx: Tx, call: Call) -> Reply:
    """POST …/encryption."""
    type, body = _find(tx, call), call.body["encryption"]
    if types.in_use(tx, type.id):
        raise Invalid("Cannot create encryption specs. Volume type in use.")
    if type.encryption:
        raise Conflict(f"Volume type encryption for type {type.id} already exists.")
    found = _encryption(body, {})
    stored = {**found, "volume_type_id": type.id, "encryption_id": new_id(), "deleted": False, "deleted_at": None,
              "created_at": tx.now, "updated_at": None}
    types.update_type(tx, type, {"encryption": stored})
    return Reply({"encryption": {**found, "volume_type_id": type.id, "encryption_id": stored["encryption_id"]}})


def _encryption(body: Json, old: Json) -> Json:
    found = {"provider": body.get("provider", old.get("provider")),
             "control_location": body.get("control_location", old.get("control_location", "front-end")),
             "cipher": body.get("cipher", old.get("cipher")),
             "key_size": body.get("key_size", old.get("key_size"))}
    found["key_size"] = int(found["key_size"]) if found["key_size"] is not None else None
    return found


def update_encryption(tx: Tx, call: Call) -> Reply:
    """PUT …/encryption/{key}."""
    type, body = _find(tx, call), call.body["encryption"]
    if not type.encryption or call.params["key"] != type.encryption["encryption_id"]:
        raise NotFound(f"Volume type encryption for type {type.id} does not exist.")
    if types.in_use(tx, type.id):
        raise Invalid("Cannot update encryption specs. Volume type in use.")
    types.update_type(tx, type, {"encryption": {**type.encryption, **_encryption(body, dict(type.encryption)),
                                                "updated_at": tx.now}})
    return Reply({"encryption": body})


def delete_encryption(tx: Tx, call: Call) -> Reply:
    """DELETE …/encryption/{key}."""
    type = _find(tx, call)
    if not type.encryption:
        raise NotFound(f"Volume type encryption for type {type.id} does not exist.")
    if types.in_use(tx, type.id):
        raise Invalid("Cannot delete encryption specs. Volume type in use.")
    types.update_type(tx, type, {"encryption": None})
    return Reply(status=202)


# -- defaults of projects

def set_default(tx: Tx, call: Call) -> Reply:
    """PUT /default-types/{project}."""
    project = call.params["project"]
    found = types.set_default(tx, call.ctx, project, call.body["default_type"]["volume_type"])
    return Reply({"default_type": {"project_id": project, "volume_type_id": found.id}})


def get_default(tx: Tx, call: Call) -> Reply:
    """GET /default-types/{project}."""
    project = call.params["project"]
    return Reply({"default_type": {"project_id": project, "volume_type_id": types.get_default(tx, project)}})


def list_defaults(tx: Tx, call: Call) -> Reply:
    """GET /default-types."""
    return Reply({"default_types": [{"project_id": project, "volume_type_id": type}
                                    for project, type in types.list_defaults(tx)]})


def unset_default(tx: Tx, call: Call) -> Reply:
    """DELETE /default-types/{project}."""
    types.unset_default(tx, call.params["project"])
    return Reply(status=204)


_X = "volume_extension:"
_TYPE: Json = {"name": SOME_NAME, "description": DESCRIPTION, "extra_specs": EXTRA_SPECS,
               "os-volume-type-access:is_public": BOOLEAN}
_CHANGE: Json = {"name": {"type": ["string", "null"], "minLength": 0, "maxLength": 255}, "description": DESCRIPTION,
                 "is_public": {"anyOf": [BOOLEAN, {"type": "null"}]}}
_ENCRYPTION: Json = {
    "provider": {"type": "string", "minLength": 0, "maxLength": 255},
    "control_location": {"enum": ["front-end", "back-end"]},
    "cipher": {"type": ["string", "null"], "minLength": 0, "maxLength": 255},
    "key_size": {"type": ["string", "integer", "null"], "pattern": "^[0-9]*$", "minimum": 0, "maximum": 0x7FFFFFFF,
                 "minLength": 1}}
T = "/types/{id}"
ROUTES = [
    route("GET", "/types", index, f"{_X}type_get_all"),
    route("POST", "/types", create, f"{_X}type_create",
          body=always(only("volume_type", obj(_TYPE, "name", more=False)))),
    route("GET", "/types/default", show_default, f"{_X}type_get"),
    route("GET", T, show, f"{_X}type_get"),
    route("PUT", T, update, f"{_X}type_update", body=always(only("volume_type", obj(_CHANGE)))),
    route("DELETE", T, delete, f"{_X}type_delete", status=202),
    route("GET", f"{T}/extra_specs", list_specs, f"{_X}types_extra_specs:index"),
    route("POST", f"{T}/extra_specs", add_specs, f"{_X}types_extra_specs:create",
          body=always(only("extra_specs", {**EXTRA_SPECS, "minProperties": 0}))),
    route("GET", f"{T}/extra_specs/{{key}}", show_spec, f"{_X}types_extra_specs:show"),
    route("PUT", f"{T}/extra_specs/{{key}}", set_spec, f"{_X}types_extra_specs:update", body=always(EXTRA_SPECS)),
    route("DELETE", f"{T}/extra_specs/{{key}}", delete_spec, f"{_X}types_extra_specs:delete", status=202),
    route("GET", f"{T}/os-volume-type-access", list_access, f"{_X}volume_type_access:get_all_for_type"),
    route("POST", f"{T}/action", perform, f"{_X}type_get", body=always(obj({}, more=True, minProperties=1))),
    route("GET", f"{T}/encryption", show_encryption, f"{_X}volume_type_encryption:get"),
    route("POST", f"{T}/encryption", create_encryption, f"{_X}volume_type_encryption:create",
          body=always(only("encryption", obj(_ENCRYPTION, "provider", "control_location", more=True)))),
    route("GET", f"{T}/encryption/{{key}}", show_encryption_item, f"{_X}volume_type_encryption:get"),
    route("PUT", f"{T}/encryption/{{key}}", update_encryption, f"{_X}volume_type_encryption:update",
          body=always(only("encryption", obj(_ENCRYPTION, more=True)))),
    route("DELETE", f"{T}/encryption/{{key}}", delete_encryption, f"{_X}volume_type_encryption:delete", status=202),
    route("GET", "/default-types", list_defaults, f"{_X}default_get_all", min=(3, 62)),
    route("GET", "/default-types/{project}", get_default, f"{_X}default_get", min=(3, 62)),
    route("PUT", "/default-types/{project}", set_default, f"{_X}default_set_or_update", min=(3, 62),
          body=always(only("default_type", obj({"volume_type": TEXT}, "volume_type")))),
    route("DELETE", "/default-types/{project}", unset_default, f"{_X}default_unset", min=(3, 62), status=204),
]
