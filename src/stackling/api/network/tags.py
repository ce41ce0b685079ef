"""``/{resource}/{id}/tags``: Neutron's tag API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values
from stackling.api.network.resource import Resource, check_revision, fetch
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import tags
from stackling.network.errors import forbidden, not_found
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def routes(resource: Resource) -> list[Route]:
    """All of a resource's tags, and one by one."""
    path = f"/v2.0/{resource.path.rpartition('/')[2]}/{{id}}/tags"      # of QoS policies without their prefix
    return [
        Route("GET", path, lambda tx, call: _list(tx, call, resource), "authenticated"),
        Route("POST", path, lambda tx, call: _add_several(tx, call, resource), "authenticated", "write"),
        Route("PUT", path, lambda tx, call: _replace(tx, call, resource), "authenticated", "write"),
        Route("DELETE", path, lambda tx, call: _clear(tx, call, resource), "authenticated", "write", status=204),
        Route("GET", path + "/{tag}", lambda tx, call: _show(tx, call, resource), "authenticated", status=204),
        Route("PUT", path + "/{tag}", lambda tx, call: _add(tx, call, resource), "authenticated", "write", status=201),
        Route("DELETE", path + "/{tag}", lambda tx, call: _remove(tx, call, resource), "authenticated", "write",
              status=204),
    ]


def _given(call: Call) -> list[str]:
    body = call.body
    if not isinstance(body, dict) or "tags" not in body:
        raise Invalid("Invalid tags body", type="HTTPBadRequest")
    try:
        return values.tags(body["tags"])    # pyright: ignore[reportUnknownArgumentType]
    except ValueError as error:
        raise Invalid(f"Invalid input for tags. Reason: {error}.", type="HTTPBadRequest") from None


def _tag(call: Call) -> str:
    try:
        return values.tag(call.params["tag"])
    except ValueError as error:
        raise Invalid(f"Invalid input for tag. Reason: {error}.", type="HTTPBadRequest") from None


def _found(tx: Tx, call: Call, resource: Resource, action: str) -> Record:
    """The resource, which the caller sees; 403 where *action* on its tags isn't the caller's."""
    record, target = fetch(tx, call, resource, call.params["id"], writing=action != "get")
    rule = f"{action}_{resource.name}:tags"
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    return record


def _list(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "get")
    return {"tags": record["tags"] or []}


def _show(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "get")
    if call.params["tag"] not in (record["tags"] or []):
        raise not_found("tag", call.params["tag"])
    return Reply(None, 204)


def _replace(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "update")
    check_revision(call, resource.name, record)
    return {"tags": tags.replace(tx, resource.name, record, _given(call))["tags"]}


def _add_several(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "create")
    return {"tags": tags.replace(tx, resource.name, record, [*(record["tags"] or []), *_given(call)])["tags"]}


def _clear(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "delete")
    tags.replace(tx, resource.name, record, [])
    return Reply(None, 204)


def _add(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "update")
    tags.replace(tx, resource.name, record, [*(record["tags"] or []), _tag(call)])
    return Reply(None, 201)


def _remove(tx: Tx, call: Call, resource: Resource) -> Any:
    record = _found(tx, call, resource, "delete")
    if call.params["tag"] not in (record["tags"] or []):
        raise not_found("tag", call.params["tag"])
    tags.replace(tx, resource.name, record, [one for one in record["tags"] if one != call.params["tag"]])
    return Reply(None, 204)
