"""``/os-keypairs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import NAME, PAGE, TEXT, Json, limit_of, next_links, obj, only, query, route
from stackling.api.schema import Schemas
from stackling.compute import keypairs

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def _owner(call: Call, given: str | None, rule: str) -> str:
    """Whose keys: the caller's, or with the right and from 2.10 on somebody else's."""
    user = given if given is not None and call.version >= (2, 10) else call.ctx.user_id or ""
    call.authorize({"user_id": user}, f"os_compute_api:os-keypairs:{rule}")
    return user


def _basic(call: Call, row: Any) -> Json:
    shown: Json = {"name": row.name, "public_key": row.public_key, "fingerprint": row.fingerprint}
    if call.version >= (2, 2):
        shown["type"] = row.type
    return shown


def list_keypairs(tx: Tx, call: Call) -> Reply:
    """GET /os-keypairs."""
    user = _owner(call, call.query.last("user_id"), "index")
    paged = call.version >= (2, 35)
    limit = limit_of(call.query) if paged else 1 << 30
    rows = keypairs.list_keypairs(tx, user, limit=limit, marker=call.query.last("marker") if paged else None)
    body: Json = {"keypairs": [{"keypair": _basic(call, row)} for row in rows]}
    if paged and (more := next_links(call, "os-keypairs", rows, limit, lambda: rows[-1].name)):
        body["keypairs_links"] = more
    return Reply(body)


def show_keypair(tx: Tx, call: Call) -> Reply:
    """GET /os-keypairs/{name}."""
    user = _owner(call, call.query.last("user_id"), "show")
    row = keypairs.get_keypair(tx, user, call.params["name"])
    return Reply({"keypair": {**_basic(call, row), "user_id": row.user_id, "id": row.id, "created_at": row.created_at,
                              "deleted": False, "deleted_at": None, "updated_at": None}})


def create_keypair(tx: Tx, call: Call) -> Reply:
    """POST /os-keypairs: import a key, or (before 2.92) have one made."""
    given: Json = call.body["keypair"]
    user = _owner(call, given.get("user_id"), "create")
    kind, public = given.get("type", "ssh"), given.get("public_key")
    if public is not None:
        material = keypairs.import_ssh(public) if kind == "ssh" else keypairs.import_x509(public)
    else:
        material = keypairs.generate_ssh() if kind == "ssh" else keypairs.generate_x509(user)
    row = keypairs.create_keypair(tx, call.ctx, user, given["name"], kind, material)
    shown = {**_basic(call, row), "user_id": user}
    if material.private is not None:
        shown["private_key"] = material.private
    return Reply({"keypair": shown}, status=201 if call.version >= (2, 2) else 200)


def delete_keypair(tx: Tx, call: Call) -> Reply:
    """DELETE /os-keypairs/{name}."""
    user = _owner(call, call.query.last("user_id"), "delete")
    keypairs.delete_keypair(tx, user, call.params["name"])
    return Reply(status=204 if call.version >= (2, 2) else 202)


def _name(pattern: str) -> Json:
    return {"allOf": [NAME, {"type": "string", "pattern": pattern, "minLength": 1, "maxLength": 255}]}


_OLD, _NEW = _name(r"^[_\- a-zA-Z0-9]+$"), _name(r"^[_\-\@\. a-zA-Z0-9]+$")
_TYPE = {"type": "string", "enum": ["ssh", "x509"]}
_CREATE = Schemas({
    (2, 0): only("keypair", obj({"name": _OLD, "public_key": TEXT}, "name")),
    (2, 2): only("keypair", obj({"name": _OLD, "type": _TYPE, "public_key": TEXT}, "name")),
    (2, 10): only("keypair", obj({"name": _OLD, "type": _TYPE, "public_key": TEXT, "user_id": TEXT}, "name")),
    (2, 92): only("keypair", obj({"name": _NEW, "type": _TYPE, "public_key": TEXT, "user_id": TEXT}, "name",
                                 "public_key")),
})
_USER = {"user_id": TEXT}
_LIST = Schemas({(2, 0): query({}), (2, 10): query(_USER), (2, 35): query({**_USER, **PAGE}),
                 (2, 75): query({**_USER, **PAGE}, more=False)})
_ONE = Schemas({(2, 0): query({}), (2, 10): query(_USER), (2, 75): query(_USER, more=False)})
# The rules' target is the key's owner, which the handlers know: the routes only ask for a token.
ROUTES = [
    route("GET", "/os-keypairs", list_keypairs, "servers:action", query=_LIST),
    route("POST", "/os-keypairs", create_keypair, "servers:action", body=_CREATE),
    route("GET", "/os-keypairs/{name}", show_keypair, "servers:action", query=_ONE),
    route("DELETE", "/os-keypairs/{name}", delete_keypair, "servers:action", query=_ONE),
]
