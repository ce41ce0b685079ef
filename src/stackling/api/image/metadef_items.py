"""What a namespace of metadata definitions defines: objects, properties and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.image.metadef_schemas import check
from stackling.api.image.metadefs import authorized, dates, named, show_object
from stackling.core.errors import Invalid, NotFound
from stackling.image import metadefs
from stackling.image.metadefs import Item, Kind, Namespace

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_TRUE = ("1", "t", "true", "on", "y", "yes")


def _page(tx: Tx, call: Call, namespace: Namespace, kind: Kind) -> list[Item]:
    """Items as ``sort_key``, ``sort_dir``, ``marker`` and ``limit`` ask. Raises ``Invalid``, ``NotFound``."""
    key, direction = call.query.first("sort_key", "created_at"), call.query.first("sort_dir", "desc")
    if key not in ("created_at", "updated_at", "name"):
        raise Invalid(f"Invalid sort key: {key}. It must be one of the following: created_at, updated_at, name.")
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction}")
    found = sorted(metadefs.items(tx, namespace, kind), key=lambda one: (getattr(one, key), one.name),
                   reverse=direction == "desc")
    marker, limit = call.query.first("marker"), call.query.first("limit")
    if marker is not None:
        last = metadefs.item(tx, namespace, kind, marker)
        found = found[[one.name for one in found].index(last.name) + 1:]
    if limit is None:
        return found
    if not (limit.isascii() and limit.removeprefix("-").isdigit() and len(limit) <= 18):
        raise Invalid("limit param must be an integer")
    if int(limit) < 0:
        raise Invalid("limit param must be positive")
    return found[:int(limit)]


# -- objects


def list_objects(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_objects")
    shown = [show_object(namespace, one) for one in _page(tx, call, namespace, "object")]
    return {"objects": shown, "first": f"/v2/metadefs/namespaces/{namespace.namespace}/objects",
            "schema": "/v2/schemas/metadefs/objects"}


def _object(call: Call) -> tuple[str, dict[str, Any]]:
    body = check("object", call.body)
    for one in body.get("properties", {}).values():
        check("property", {"name": "any", **one})
    return named(body)


def create_object(tx: Tx, call: Call) -> Any:
    name, content = _object(call)
    namespace = authorized(tx, call, "add_metadef_object")
    return show_object(namespace, metadefs.add(tx, namespace, "object", name, content))


def show_one_object(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_object")
    return show_object(namespace, metadefs.item(tx, namespace, "object", call.params["name"]))


def change_object(tx: Tx, call: Call) -> Any:
    name, content = _object(call)
    namespace = authorized(tx, call, "modify_metadef_object")
    old = metadefs.item(tx, namespace, "object", call.params["name"])
    return show_object(namespace, metadefs.change_item(tx, namespace, old, name, content))


def remove_object(tx: Tx, call: Call) -> None:
    namespace = authorized(tx, call, "delete_metadef_object")
    metadefs.remove_item(tx, namespace, metadefs.item(tx, namespace, "object", call.params["name"]))


def clear_objects(tx: Tx, call: Call) -> None:
    metadefs.clear(tx, authorized(tx, call, "delete_metadef_namespace"), "object")


# -- properties


def _show_property(one: Item) -> dict[str, Any]:
    return {**one.content, "name": one.name}


def list_properties(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_properties")
    return {"properties": {one.name: _show_property(one) for one in metadefs.items(tx, namespace, "property")}}


def create_property(tx: Tx, call: Call) -> Any:
    name, content = named(check("property", call.body))
    namespace = authorized(tx, call, "add_metadef_property")
    return _show_property(metadefs.add(tx, namespace, "property", name, content))


def show_property(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_property")
    name, resource_type = call.params["name"], call.query.first("resource_type")
    if resource_type:
        call.authorize({"project_id": namespace.owner, "visibility": namespace.visibility},
                       "get_metadef_resource_type")
        prefix = metadefs.item(tx, namespace, "resource_type", resource_type).content.get("prefix")
        if not prefix or not name.startswith(prefix):
            raise NotFound(f"Property {name} does not start with the expected resource type association prefix of "
                           f"'{prefix}'.")
        name = name.removeprefix(prefix)
    return _show_property(metadefs.item(tx, namespace, "property", name))


def change_property(tx: Tx, call: Call) -> Any:
    name, content = named(check("property", call.body))
    namespace = authorized(tx, call, "modify_metadef_property")
    old = metadefs.item(tx, namespace, "property", call.params["name"])
    return _show_property(metadefs.change_item(tx, namespace, old, name, content))


def remove_property(tx: Tx, call: Call) -> None:
    namespace = authorized(tx, call, "remove_metadef_property")
    metadefs.remove_item(tx, namespace, metadefs.item(tx, namespace, "property", call.params["name"]))


def clear_properties(tx: Tx, call: Call) -> None:
    metadefs.clear(tx, authorized(tx, call, "delete_metadef_namespace"), "property")


# -- tags


def _show_tag(one: Item) -> dict[str, Any]:
    return {"name": one.name, **dates(one)}


def list_tags(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_tags")
    return {"tags": [{"name": one.name} for one in _page(tx, call, namespace, "tag")]}


def create_tags(tx: Tx, call: Call) -> Any:
    body = check("tags", call.body)
    namespace = authorized(tx, call, "add_metadef_tags")
    keep = (call.header("X-Openstack-Append") or "").strip().lower() in _TRUE
    made = metadefs.replace_tags(tx, namespace, [named(one)[0] for one in body["tags"]], keep=keep)
    return {"tags": [{"name": one.name} for one in made]}


def create_tag(tx: Tx, call: Call) -> Any:
    name = check("tag", {"name": call.params["name"]})["name"]
    namespace = authorized(tx, call, "add_metadef_tag")
    return _show_tag(metadefs.add(tx, namespace, "tag", name, {}))


def show_tag(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "get_metadef_tag")
    return _show_tag(metadefs.item(tx, namespace, "tag", call.params["name"]))


def change_tag(tx: Tx, call: Call) -> Any:
    name, _ = named(check("tag", call.body))
    namespace = authorized(tx, call, "modify_metadef_tag")
    old = metadefs.item(tx, namespace, "tag", call.params["name"])
    return _show_tag(metadefs.change_item(tx, namespace, old, name, {}))


def remove_tag(tx: Tx, call: Call) -> None:
    namespace = authorized(tx, call, "delete_metadef_tag")
    metadefs.remove_item(tx, namespace, metadefs.item(tx, namespace, "tag", call.params["name"]))


def clear_tags(tx: Tx, call: Call) -> Reply:
    metadefs.clear(tx, authorized(tx, call, "delete_metadef_namespace", "delete_metadef_tags"), "tag")
    return Reply(status=204)
