"""``/os-aggregates`` and ``/os-server-groups``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import COUNT, HOST, NAME, POSITIVE, TEXT, UUID, Json, array, obj, only, query, route
from stackling.api.schema import Schemas, always
from stackling.compute import aggregates, groups
from stackling.compute.aggregates import Aggregate
from stackling.compute.groups import Group
from stackling.core.errors import Forbidden, Invalid
from stackling.core.ids import new_id

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def _shown(call: Call, aggregate: Aggregate) -> Json:
    shown: Json = {
        "id": aggregate.id, "name": aggregate.name, "availability_zone": aggregate.zone, "hosts": list(aggregate.hosts),
        "metadata": dict(aggregate.metadata), "created_at": aggregate.created_at, "updated_at": aggregate.updated_at,
        "deleted": False, "deleted_at": None}
    if call.version >= (2, 41):
        shown["uuid"] = aggregate.uuid
    return shown


def _id(call: Call) -> int:
    text = call.params["aggregate"]
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise Invalid(f"Invalid input received: id must be an integer: {text}")
    return int(text)


def list_aggregates(tx: Tx, call: Call) -> Reply:
    """GET /os-aggregates."""
    return Reply({"aggregates": [_shown(call, aggregate) for aggregate in aggregates.list_aggregates(tx)]})


def create_aggregate(tx: Tx, call: Call) -> Reply:
    """POST /os-aggregates."""
    given: Json = call.body["aggregate"]
    made = _shown(call, aggregates.create_aggregate(tx, given["name"], given.get("availability_zone")))
    del made["hosts"], made["metadata"]
    return Reply({"aggregate": made})


def show_aggregate(tx: Tx, call: Call) -> Reply:
    """GET /os-aggregates/{id}."""
    return Reply({"aggregate": _shown(call, aggregates.get_aggregate(tx, _id(call)))})


def update_aggregate(tx: Tx, call: Call) -> Reply:
    """PUT /os-aggregates/{id}."""
    given: Json = call.body["aggregate"]
    zone = given.get("availability_zone")
    changed = aggregates.update_aggregate(tx, _id(call), given.get("name"), zone, set_zone="availability_zone" in given)
    return Reply({"aggregate": _shown(call, changed)})


def delete_aggregate(tx: Tx, call: Call) -> Reply:
    """DELETE /os-aggregates/{id}."""
    aggregates.delete_aggregate(tx, _id(call))
    return Reply()


def aggregate_action(tx: Tx, call: Call) -> Reply:
    """POST /os-aggregates/{id}/action: add_host, remove_host, set_metadata."""
    id = _id(call)
    action = next((name for name in _ACTIONS if isinstance(call.body, dict) and name in call.body), None)
    if action is None:
        raise Invalid("There is no such action.")
    call.authorize(None, f"os_compute_api:os-aggregates:{action}")
    _ACTIONS[action].check(call.body, call.version)
    value: Json = call.body[action]
    if action == "add_host":
        changed = aggregates.add_host(tx, call.ctx, id, value["host"])
    elif action == "remove_host":
        changed = aggregates.remove_host(tx, call.ctx, id, value["host"])
    else:
        if not value["metadata"]:
            raise Invalid("Unacceptable parameters.")
        changed = aggregates.set_metadata(tx, id, value["metadata"])
    return Reply({"aggregate": _shown(call, changed)})


def cache_images(tx: Tx, call: Call) -> Reply:
    """POST /os-aggregates/{id}/images: hosts fetch images when they need them; asking ahead changes nothing."""
    aggregates.get_aggregate(tx, _id(call))
    ids = [image["id"] for image in call.body["cache"]]
    if len(set(ids)) != len(ids):
        raise Invalid("Duplicate images in request")
    return Reply(status=202)


# -- server groups

def _shown_group(call: Call, group: Group) -> Json:
    shown: Json = {"id": group.id, "name": group.name, "members": [id for id, _ in group.members]}
    if call.version >= (2, 64):
        shown["policy"] = group.policy
        shown["rules"] = {"max_server_per_host": group.max_per_host} if group.policy == "anti-affinity" else {}
    else:
        shown.update(policies=[group.policy], metadata={})
    if call.version >= (2, 13):
        shown.update(project_id=group.project_id, user_id=group.user_id)
    return shown


def list_groups(tx: Tx, call: Call) -> Reply:
    """GET /os-server-groups."""
    everybody = "all_projects" in call.query
    if everybody and not call.ctx.is_admin:
        raise Forbidden("Policy doesn't allow os_compute_api:os-server-groups:index:all_projects to be performed.")
    limit, offset = call.query.last("limit"), call.query.last("offset")
    found = groups.list_groups(tx, call.ctx, all_projects=everybody, limit=min(int(limit), 1000) if limit else 1000,
                               offset=int(offset or 0))
    return Reply({"server_groups": [_shown_group(call, group) for group in found]})


def create_group(tx: Tx, call: Call) -> Reply:
    """POST /os-server-groups."""
    given: Json = call.body["server_group"]
    if call.ctx.project_id is None:
        raise Forbidden("A server group belongs to a project: ask with a token for one.")
    policy = given["policy"] if call.version >= (2, 64) else given["policies"][0]
    if call.version < (2, 15) and policy.startswith("soft-"):
        raise Invalid(f"Invalid input for field/attribute policies. Value: {given['policies']}.")
    rules: Json = given.get("rules") or {}
    if rules and policy != "anti-affinity":
        raise Invalid("Only anti-affinity policy supports rules.")
    most = int(rules.get("max_server_per_host", 1))
    made = groups.create_group(tx, call.ctx, new_id(), given["name"], policy, most)
    return Reply({"server_group": _shown_group(call, made)})


def show_group(tx: Tx, call: Call) -> Reply:
    """GET /os-server-groups/{id}."""
    return Reply({"server_group": _shown_group(call, groups.get_group(tx, call.ctx, call.params["group"]))})


def delete_group(tx: Tx, call: Call) -> Reply:
    """DELETE /os-server-groups/{id}."""
    groups.delete_group(tx, call.ctx, call.params["group"])
    return Reply(status=204)


_ZONE = {"oneOf": [{"type": "string", "format": "az_name", "minLength": 1, "maxLength": 255}, {"type": "null"}]}
_META = {"type": "object", "additionalProperties": False, "patternProperties": {
    "^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}}}
_ACTIONS = {
    "add_host": always(only("add_host", only("host", HOST))),
    "remove_host": always(only("remove_host", only("host", HOST))),
    "set_metadata": always(only("set_metadata", only("metadata", _META))),
}
_RENAMED = {"type": "string", "minLength": 1, "maxLength": 255, "format": "name_with_leading_trailing_spaces"}
_SOFT = {"type": "string", "enum": ["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]}
_HARD = {"type": "string", "enum": ["anti-affinity", "affinity"]}


def _group(policy: Json) -> Json:
    policies = {"type": "array", "prefixItems": [policy], "items": False, "minItems": 1, "maxItems": 1,
                "uniqueItems": True}
    return only("server_group", obj({"name": NAME, "policies": policies}, "name", "policies"))


_CREATE_GROUP = Schemas({(2, 0): _group(_HARD), (2, 15): _group(_SOFT), (2, 64): only("server_group", obj(
    {"name": NAME, "policy": _SOFT, "rules": obj({"max_server_per_host": POSITIVE})}, "name", "policy"))})
_GROUPS = {"all_projects": TEXT, "limit": COUNT, "offset": COUNT}
_A = "/os-aggregates/{aggregate}"
ROUTES = [
    route("GET", "/os-aggregates", list_aggregates, "os-aggregates:index"),
    route("POST", "/os-aggregates", create_aggregate, "os-aggregates:create", body=always(
        only("aggregate", obj({"name": NAME, "availability_zone": _ZONE}, "name")))),
    route("GET", _A, show_aggregate, "os-aggregates:show"),
    route("PUT", _A, update_aggregate, "os-aggregates:update", body=always(
        only("aggregate", obj({"name": _RENAMED, "availability_zone": _ZONE}, minProperties=1)))),
    route("DELETE", _A, delete_aggregate, "os-aggregates:delete"),
    route("POST", f"{_A}/action", aggregate_action, "os-aggregates:index"),
    route("POST", f"{_A}/images", cache_images, "compute:aggregates:images", min=(2, 81), body=always(
        only("cache", array(only("id", UUID), minItems=1)))),
    route("GET", "/os-server-groups", list_groups, "os-server-groups:index", query=Schemas({
        (2, 0): query(_GROUPS), (2, 75): query(_GROUPS, more=False)})),
    route("POST", "/os-server-groups", create_group, "os-server-groups:create", body=_CREATE_GROUP),
    route("GET", "/os-server-groups/{group}", show_group, "os-server-groups:show"),
    route("DELETE", "/os-server-groups/{group}", delete_group, "os-server-groups:delete"),
]
