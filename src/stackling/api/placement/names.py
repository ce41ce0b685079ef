"""Resource classes and traits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.placement import schema
from stackling.api.placement.shown import check_query, dated
from stackling.api.route import Route
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.placement import labels, providers

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_CUSTOM = re.compile(r"CUSTOM_[A-Z0-9_]+\Z")


def _path(call: Call, kind: str, name: str) -> str:
    return f"{call.service.prefix}/{kind}/{name}"


def _class(call: Call, name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": _path(call, "resource_classes", name)}]}


def list_classes(tx: Tx, call: Call) -> Reply:
    """GET /resource_classes."""
    return Reply({"resource_classes": [_class(call, name) for name in labels.classes(tx)]})


def create_class(tx: Tx, call: Call) -> Reply:
    """POST /resource_classes."""
    name = call.body["name"]
    if not labels.add_class(tx, name):
        raise Conflict(f"Conflicting resource class already exists: {name}")
    return Reply(None, 201, {"Location": call.base + _path(call, "resource_classes", name)})


def show_class(tx: Tx, call: Call) -> Reply:
    """GET /resource_classes/{name}."""
    labels.find_class(tx, call.params["name"])
    return Reply(_class(call, call.params["name"]))


def rename_class(tx: Tx, call: Call) -> Reply:
    """PUT /resource_classes/{name} until 1.6: another name."""
    labels.rename_class(tx, call.params["name"], call.body["name"])
    return Reply(_class(call, call.body["name"]))


def put_class(tx: Tx, call: Call) -> Reply:
    """PUT /resource_classes/{name} since 1.7: 201 where it is new, 204 where it was there."""
    name = call.params["name"]
    schema.NEW_CLASS.check({"name": name}, call.version)
    return Reply(None, 201 if labels.add_class(tx, name) else 204,
                 {"Location": call.base + _path(call, "resource_classes", name)})


def delete_class(tx: Tx, call: Call) -> Reply:
    """DELETE /resource_classes/{name}."""
    labels.remove_class(tx, call.params["name"])
    return Reply(status=204)


def list_traits(tx: Tx, call: Call) -> Reply:
    """GET /traits?name=in:A,B or startswith:A, ?associated=true."""
    check_query(call.query, ("name", "associated"))
    text = call.query.last("name")
    way, colon, value = ("startswith", ":", "") if text is None else text.partition(":")
    if not colon:
        raise Invalid('Badly formatted name parameter. Expected name query string parameter in form: '
                      f'?name=[in|startswith]:[name1,name2|prefix]. Got: "{text}"')
    names = labels.traits(tx)
    if way == "in":
        names = [name for name in names if name in value.split(",")]
    elif way == "startswith":
        names = [name for name in names if name.startswith(value)]
    used = call.query.last("associated")
    if used is not None:
        if used.lower() not in ("true", "false"):
            raise Invalid('The query parameter "associated" only accepts "true" or "false"')
        known = set[str]().union(*providers.world(tx).traits.values())
        names = [name for name in names if (name in known) == (used.lower() == "true")]
    return Reply({"traits": names})


def show_trait(tx: Tx, call: Call) -> Reply:
    """GET /traits/{name}: whether there is such a trait."""
    if not labels.is_trait(tx, call.params["name"]):
        raise NotFound(f"No such trait(s): {call.params['name']}.")
    return Reply(status=204)


def put_trait(tx: Tx, call: Call) -> Reply:
    """PUT /traits/{name}: 201 where it is new, 204 where it was there."""
    name = call.params["name"]
    if not _CUSTOM.match(name) or len(name) > 255:
        raise Invalid('The trait is invalid. A valid trait must be no longer than 255 characters, start with the '
                      'prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"')
    return Reply(None, 201 if labels.add_trait(tx, name) else 204,
                 {"Location": call.base + _path(call, "traits", name)})


def delete_trait(tx: Tx, call: Call) -> Reply:
    """DELETE /traits/{name}."""
    labels.remove_trait(tx, call.params["name"])
    return Reply(status=204)


_C, _T = "placement:resource_classes", "placement:traits"
ROUTES = [
    Route("GET", "/resource_classes", dated(list_classes), f"{_C}:list", min=(1, 2)),
    Route("POST", "/resource_classes", create_class, f"{_C}:create", "write", schema.NEW_CLASS, min=(1, 2)),
    Route("GET", "/resource_classes/{name}", dated(show_class), f"{_C}:show", min=(1, 2)),
    Route("PUT", "/resource_classes/{name}", put_class, f"{_C}:update", "write", min=(1, 7)),
    Route("PUT", "/resource_classes/{name}", rename_class, f"{_C}:update", "write", schema.NEW_CLASS, min=(1, 2),
          max=(1, 6)),
    Route("DELETE", "/resource_classes/{name}", delete_class, f"{_C}:delete", "write", min=(1, 2)),
    Route("GET", "/traits", dated(list_traits), f"{_T}:list", min=(1, 6)),
    Route("GET", "/traits/{name}", dated(show_trait), f"{_T}:show", min=(1, 6)),
    Route("PUT", "/traits/{name}", dated(put_trait), f"{_T}:update", "write", min=(1, 6)),
    Route("DELETE", "/traits/{name}", delete_trait, f"{_T}:delete", "write", min=(1, 6)),
]
