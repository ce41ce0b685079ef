"""Metadata definitions: namespaces and resource types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stackling.api.call import Call, Reply
from stackling.api.image.metadef_schemas import PUBLISHED, check
from stackling.core.clock import seconds_z
from stackling.core.errors import Invalid, NotFound
from stackling.image import metadefs
from stackling.image.metadefs import Item, Kind, Listing, Namespace
from stackling.image.settings import ImageSettings

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

NAMESPACES = "/v2/metadefs/namespaces"
_SCHEMAS = "/v2/schemas/metadefs"
_OWN = ("display_name", "description")


# -- who may


def target(call: Call, namespace: Namespace | None = None) -> Mapping[str, Any]:
    """What rules about metadata definitions are checked against."""
    if namespace is None:
        return {"project_id": call.ctx.project_id}
    return {"project_id": namespace.owner, "visibility": namespace.visibility}


def authorized(tx: Tx, call: Call, *rules: str) -> Namespace:
    """The namespace of the path, if the caller may do all that. Raises ``NotFound`` where they can't even see it."""
    namespace = metadefs.visible(tx, call.ctx, call.params["namespace"])
    what = target(call, namespace)
    if not call.allowed("get_metadef_namespace", what):
        raise metadefs.missing(namespace.namespace)
    for rule in rules:
        call.authorize(what, rule)
    return namespace


# -- how they are shown


def dates(one: Namespace | Item) -> dict[str, str]:
    return {"created_at": seconds_z(one.created_at), "updated_at": seconds_z(one.updated_at)}


def show_namespace(namespace: Namespace) -> dict[str, Any]:
    shown: dict[str, Any] = {"namespace": namespace.namespace}
    shown |= {name: value for name in _OWN if (value := getattr(namespace, name)) is not None}
    shown |= {"visibility": namespace.visibility, "protected": namespace.protected}
    if namespace.owner is not None:
        shown["owner"] = namespace.owner
    return {**shown, **dates(namespace), "self": f"{NAMESPACES}/{namespace.namespace}",
            "schema": f"{_SCHEMAS}/namespace"}


def show_association(one: Item) -> dict[str, Any]:
    return {"name": one.name, **one.content, **dates(one)}


def show_object(namespace: Namespace, one: Item) -> dict[str, Any]:
    return {"name": one.name, **one.content, **dates(one),
            "self": f"{NAMESPACES}/{namespace.namespace}/objects/{one.name}", "schema": f"{_SCHEMAS}/object"}


def _show_all(namespace: Namespace, items: Sequence[Item], resource_type: str | None) -> dict[str, Any]:
    """The namespace with all that it defines, as the properties are called on *resource_type*."""
    kinds: dict[Kind, list[Item]] = {"object": [], "property": [], "tag": [], "resource_type": []}
    for one in items:
        kinds[one.kind].append(one)
    prefix = next((str(one.content.get("prefix") or "") for one in kinds["resource_type"]
                   if one.name == resource_type), "")
    shown = show_namespace(namespace)
    parts: dict[str, Any] = {
        "resource_type_associations": [show_association(one) for one in kinds["resource_type"]],
        "properties": {prefix + one.name: dict(one.content) for one in kinds["property"]},
        "objects": [_prefixed(show_object(namespace, one), prefix) for one in kinds["object"]],
        "tags": [{"name": one.name} for one in kinds["tag"]],
    }
    return {**shown, **{name: part for name, part in parts.items() if part}}


def _prefixed(shown: dict[str, Any], prefix: str) -> dict[str, Any]:
    if prefix and "properties" in shown:
        shown["properties"] = {prefix + name: value for name, value in shown["properties"].items()}
    if prefix and shown.get("required"):
        shown["required"] = [prefix + name for name in shown["required"]]
    return shown


# -- handlers


def schema(tx: Tx, call: Call) -> Any:
    found = PUBLISHED.get(call.params["name"])
    if found is None:
        raise NotFound("The resource could not be found.")
    return found


def resource_types(tx: Tx, call: Call) -> Any:
    call.authorize(target(call), "list_metadef_resource_types")
    return {"resource_types": [{"name": name, "created_at": seconds_z(created), "updated_at": seconds_z(updated)}
                               for name, created, updated in metadefs.resource_types(tx)]}


class Namespaces:
    """The handlers that a page's limits concern."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    def index(self, tx: Tx, call: Call) -> Any:
        call.authorize(target(call), "get_metadef_namespaces")
        call.authorize(target(call), "list_metadef_resource_types")
        query = {key: values[0] for key, values in call.query.items() if values}
        asked = self._asked(query)
        found = metadefs.page(tx, call.ctx, asked)
        associations = metadefs.associations_of(tx, found)
        shown: list[dict[str, Any]] = []
        for one in found:
            if call.allowed("get_metadef_namespace", target(call, one)):
                own = [show_association(item) for item in associations.get(one.id, ())]
                shown.append({**show_namespace(one), **({"resource_type_associations": own} if own else {})})
        query.pop("marker", None)
        answer: dict[str, Any] = {"namespaces": shown, "first": _link(query), "schema": f"{_SCHEMAS}/namespaces"}
        if found and len(found) == asked.limit:
            answer["next"] = _link({**query, "marker": found[-1].namespace})
        return answer

    def _asked(self, query: Mapping[str, str]) -> Listing:
        text = query.get("limit", str(self._settings.limit_param_default))
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 18):
            raise Invalid("limit param must be an integer")
        if int(text) < 0:
            raise Invalid("limit param must be positive")
        direction = query.get("sort_dir", "desc")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid sort direction: {direction}")
        equal = {name: query[name] for name in ("visibility", "owner", "namespace", "display_name") if name in query}
        if equal.get("visibility", "public") not in ("public", "private"):
            raise Invalid(f"Invalid visibility value: {equal['visibility']}")
        types = tuple(part for part in query.get("resource_types", "").split(",") if part)
        return Listing(min(int(text), self._settings.api_limit_max), query.get("marker"),
                       query.get("sort_key", "created_at"), direction, equal, types)


def create(tx: Tx, call: Call) -> Reply:
    body = check("namespace", call.body)
    call.authorize(target(call), "add_metadef_namespace")
    for part, rule in (("resource_type_associations", "add_metadef_resource_type_association"),
                       ("objects", "add_metadef_object"), ("properties", "add_metadef_property"),
                       ("tags", "add_metadef_tag")):
        if body.get(part):
            call.authorize(target(call), rule)
    made = metadefs.create(tx, {"owner": call.ctx.project_id, **{name: body[name] for name in (
        "namespace", "display_name", "description", "visibility", "protected", "owner") if name in body}})
    parts = {name: body[name] for name in ("resource_type_associations", "objects", "properties", "tags")
             if name in body}
    for one in parts.get("resource_type_associations", ()):
        metadefs.add(tx, made, "resource_type", *named(one))
    for one in parts.get("objects", ()):
        metadefs.add(tx, made, "object", *named(one))
    for name, one in parts.get("properties", {}).items():
        _check_name(name)
        metadefs.add(tx, made, "property", name, one)
    for one in parts.get("tags", ()):
        metadefs.add(tx, made, "tag", named(one)[0], {})
    shown = show_namespace(made)
    return Reply({**shown, **parts}, 201, {"Location": shown["self"]})


def named(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An item's name and the rest. Raises ``Invalid``."""
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid("'name' is a required property")
    _check_name(name)
    return name, {key: value for key, value in body.items() if key != "name" and value is not None}


def _check_name(name: str) -> None:
    if len(name) > 80:
        raise Invalid(f"The name {name[:100]}… has more than 80 characters.")


def show(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties",
                           "get_metadef_tags")
    return _show_all(namespace, metadefs.items(tx, namespace), call.query.first("resource_type"))


def change(tx: Tx, call: Call) -> Any:
    body = check("namespace", call.body)
    namespace = authorized(tx, call, "modify_metadef_namespace")
    changed = metadefs.change(tx, namespace, {
        "namespace": body["namespace"], "display_name": body.get("display_name"),
        "description": body.get("description"), "visibility": body.get("visibility") or "private",
        "protected": body.get("protected") or False, "owner": body.get("owner") or call.ctx.project_id})
    return show_namespace(changed)


def remove(tx: Tx, call: Call) -> None:
    metadefs.remove(tx, authorized(tx, call, "delete_metadef_namespace"))


# -- resource types of a namespace


def associations(tx: Tx, call: Call) -> Any:
    namespace = authorized(tx, call, "list_metadef_resource_types")
    shown = [show_association(one) for one in metadefs.items(tx, namespace, "resource_type")
             if call.allowed("get_metadef_resource_type", target(call, namespace))]
    return {"resource_type_associations": shown}


def associate(tx: Tx, call: Call) -> Any:
    name, content = named(check("resource_type", call.body))
    namespace = authorized(tx, call, "add_metadef_resource_type_association")
    return show_association(metadefs.add(tx, namespace, "resource_type", name, content))


def dissociate(tx: Tx, call: Call) -> None:
    namespace = authorized(tx, call, "remove_metadef_resource_type_association")
    name = call.params["name"]
    try:
        found = metadefs.item(tx, namespace, "resource_type", name)
    except NotFound:
        raise NotFound(f"Failed to find resource type {name} to delete") from None
    metadefs.remove_item(tx, namespace, found)


def _link(query: Mapping[str, str]) -> str:
    return f"{NAMESPACES}?{urlencode(query)}" if query else NAMESPACES
