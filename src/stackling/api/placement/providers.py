"""Resource providers, what they have, their traits and aggregates."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.placement import candidates, schema
from stackling.api.placement.shown import check_query, dated, found, provider
from stackling.api.route import Route
from stackling.core.errors import Invalid, MethodNotAllowed, NotFound
from stackling.core.ids import is_id, new_id
from stackling.placement import inventories, labels, providers
from stackling.placement.candidates import Group, matches
from stackling.placement.model import Inventory, Provider, World, changed_meanwhile

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_KNOWN = (("name", (1, 0)), ("uuid", (1, 0)), ("member_of", (1, 3)), ("resources", (1, 4)), ("in_tree", (1, 14)),
          ("required", (1, 18)))


def list_providers(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers."""
    query = call.query
    check_query(query, [name for name, since in _KNOWN if call.version >= since])
    for name in ("uuid", "in_tree"):
        value = query.last(name)
        if value is not None and not is_id(value):
            raise Invalid(f"Invalid query string parameters: '{value}' is not a 'uuid'")
    group = Group(tree=query.last("in_tree"))
    candidates.fill(group, query, "", call.version)
    candidates.check_names(tx, [group], "Invalid trait(s) in \"required\" parameter: {}")
    known = providers.world(tx)
    name, id = query.last("name"), query.last("uuid")
    return Reply({"resource_providers": [
        provider(call, one) for one in known.providers.values()
        if name in (None, one.name) and id in (None, one.id) and matches(known, group, one)]})


def create_provider(tx: Tx, call: Call) -> Reply:
    """POST /resource_providers: 201 without a body until 1.20."""
    given = call.body.get("uuid")
    id = str(uuid.UUID(given)) if given else new_id()
    one = providers.create(tx, id, call.body["name"], call.body.get("parent_provider_uuid"))
    where = {"Location": f"{call.base}{call.service.prefix}/resource_providers/{one.id}"}
    if call.version < (1, 20):
        return Reply(None, 201, where)
    return Reply(provider(call, one), 200, where)


def show_provider(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}."""
    return Reply(provider(call, found(tx, call)[1]))


def update_provider(tx: Tx, call: Call) -> Reply:
    """PUT /resource_providers/{uuid}."""
    values = {"name": call.body["name"]}
    if "parent_provider_uuid" in call.body:
        values["parent_id"] = call.body["parent_provider_uuid"]
    return Reply(provider(call, providers.rename(tx, call.params["uuid"], values, free=call.version >= (1, 37))))


def delete_provider(tx: Tx, call: Call) -> Reply:
    """DELETE /resource_providers/{uuid}."""
    providers.remove(tx, call.params["uuid"])
    return Reply(status=204)


# -- inventories

def _shown(one: Inventory) -> dict[str, Any]:
    return {"total": one.total, "reserved": one.reserved, "min_unit": one.min_unit, "max_unit": one.max_unit,
            "step_size": one.step_size, "allocation_ratio": one.allocation_ratio}


def _all(known: World, one: Provider) -> Reply:
    return Reply({"resource_provider_generation": one.generation,
                  "inventories": {name: _shown(inventory) for name, inventory in known.inventories[one.id].items()}})


def _one(known: World, one: Provider, name: str, **more: Any) -> Reply:
    shown = _shown(known.inventories[one.id][name])
    return Reply({**shown, "resource_provider_generation": one.generation} if one.generation else shown, **more)


def parsed(call: Call, one: str, name: str, body: dict[str, Any], doing: str = "update") -> Inventory:
    """The inventory in *body*. Raises ``Invalid`` where nothing would be left."""
    values = {key: body[key] for key in Inventory.__dataclass_fields__ if key in body}
    inventory = Inventory(**values)
    least, text = (0, "greater than") if call.version >= (1, 26) else (1, "greater than or equal to")
    try:
        left = inventory.capacity
    except OverflowError:
        raise Invalid(f"Inventory for '{name}' on resource provider '{one}' invalid: it is too much.") from None
    if left < least:
        raise Invalid(f"Unable to {doing} inventory for resource provider {one}: Invalid inventory for '{name}' on "
                      f"resource provider '{one}'. The reserved value is {text} total.")
    return inventory


def show_inventories(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/inventories."""
    return _all(*found(tx, call))


def _check_generation(one: Provider, given: int, text: str = "resource provider generation conflict") -> None:
    if given != one.generation:
        raise changed_meanwhile(text)


def put_inventories(tx: Tx, call: Call) -> Reply:
    """PUT /resource_providers/{uuid}/inventories: exactly these."""
    known, one = found(tx, call)
    _check_generation(one, call.body["resource_provider_generation"])
    wanted = {name: parsed(call, one.id, name, body) for name, body in call.body["inventories"].items()}
    try:
        one = inventories.replace_all(tx, known, one, wanted)
    except Invalid as error:
        raise Invalid(f"Unknown resource class in inventory for resource provider {one.id}: {error.message}") from None
    return _all(known, one)


def delete_inventories(tx: Tx, call: Call) -> Reply:
    """DELETE /resource_providers/{uuid}/inventories (since 1.5; before, there was no such method)."""
    if call.version < (1, 5):
        raise MethodNotAllowed("The method specified is not allowed for this resource.",
                               headers={"Allow": "GET, PUT, POST"})
    known, one = found(tx, call)
    inventories.replace_all(tx, known, one, {})
    return Reply(status=204)


def post_inventory(tx: Tx, call: Call) -> Reply:
    """POST /resource_providers/{uuid}/inventories: one more."""
    known, one = found(tx, call)
    name = call.body["resource_class"]
    one = _put(tx, call, known, one, name, new=True)
    return _one(known, one, name, status=201, headers={
        "Location": f"{call.base}{call.service.prefix}/resource_providers/{one.id}/inventories/{name}"})


def _put(tx: Tx, call: Call, known: World, one: Provider, name: str, *, new: bool) -> Provider:
    inventory = parsed(call, one.id, name, call.body, "create" if new else "update")
    try:
        return inventories.put(tx, known, one, name, inventory, new=new)
    except Invalid as error:
        if new:
            raise Invalid(f"Unable to create inventory for resource provider {one.id}: {error.message}") from None
        raise


def show_inventory(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/inventories/{class}."""
    known, one = found(tx, call)
    name = call.params["name"]
    if name not in known.inventories[one.id]:
        raise NotFound(f"No inventory of class {name} for {one.id}")
    return _one(known, one, name)


def put_inventory(tx: Tx, call: Call) -> Reply:
    """PUT /resource_providers/{uuid}/inventories/{class}: one that is there."""
    known, one = found(tx, call)
    name = call.params["name"]
    _check_generation(one, call.body["resource_provider_generation"])
    return _one(known, _put(tx, call, known, one, name, new=False), name)


def delete_inventory(tx: Tx, call: Call) -> Reply:
    """DELETE /resource_providers/{uuid}/inventories/{class}."""
    known, one = found(tx, call)
    inventories.remove(tx, known, one, call.params["name"])
    return Reply(status=204)


def show_usages(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/usages."""
    known, one = found(tx, call)
    return Reply({"resource_provider_generation": one.generation, "usages": {
        name: known.used[one.id].get(name, 0) for name in known.inventories[one.id]}})


# -- traits and aggregates

_STALE = "Resource provider's generation already changed. Please update the generation and try again."


def _traits(known: World, one: Provider) -> Reply:
    return Reply({"traits": sorted(known.traits[one.id]), "resource_provider_generation": one.generation})


def show_traits(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/traits."""
    return _traits(*found(tx, call))


def put_traits(tx: Tx, call: Call) -> Reply:
    """PUT /resource_providers/{uuid}/traits: exactly these."""
    known, one = found(tx, call)
    _check_generation(one, call.body["resource_provider_generation"], _STALE)
    return _traits(known, labels.set_traits(tx, known, one, call.body["traits"]))


def delete_traits(tx: Tx, call: Call) -> Reply:
    """DELETE /resource_providers/{uuid}/traits."""
    known, one = found(tx, call)
    labels.set_traits(tx, known, one, [])
    return Reply(status=204)


def _aggregates(call: Call, one: Provider, aggregates: list[str]) -> Reply:
    shown: dict[str, Any] = {"aggregates": aggregates}
    if call.version >= (1, 19):
        shown["resource_provider_generation"] = one.generation
    return Reply(shown)


def show_aggregates(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/aggregates."""
    known, one = found(tx, call)
    return _aggregates(call, one, sorted(known.aggregates[one.id]))


def put_aggregates(tx: Tx, call: Call) -> Reply:
    """PUT /resource_providers/{uuid}/aggregates: exactly these; a plain list until 1.19."""
    known, one = found(tx, call)
    count = call.version >= (1, 19)
    if count:
        _check_generation(one, call.body["resource_provider_generation"], _STALE)
    wanted = call.body["aggregates"] if count else call.body
    one = labels.set_aggregates(tx, known, one, wanted, count=count)
    return _aggregates(call, one, wanted)


_P = "/resource_providers"
_ONE = f"{_P}/{{uuid}}"
_R = "placement:resource_providers"
ROUTES = [
    Route("GET", _P, dated(list_providers), f"{_R}:list"),
    Route("POST", _P, dated(create_provider), f"{_R}:create", "write", schema.NEW_PROVIDER),
    Route("GET", _ONE, dated(show_provider), f"{_R}:show"),
    Route("PUT", _ONE, dated(update_provider), f"{_R}:update", "write", schema.PROVIDER),
    Route("DELETE", _ONE, delete_provider, f"{_R}:delete", "write"),
    Route("GET", f"{_ONE}/inventories", dated(show_inventories), f"{_R}:inventories:list"),
    Route("POST", f"{_ONE}/inventories", dated(post_inventory), f"{_R}:inventories:create", "write",
          schema.NEW_INVENTORY),
    Route("PUT", f"{_ONE}/inventories", dated(put_inventories), f"{_R}:inventories:update", "write",
          schema.INVENTORIES),
    Route("DELETE", f"{_ONE}/inventories", delete_inventories, f"{_R}:inventories:delete", "write"),
    Route("GET", f"{_ONE}/inventories/{{name}}", dated(show_inventory), f"{_R}:inventories:show"),
    Route("PUT", f"{_ONE}/inventories/{{name}}", dated(put_inventory), f"{_R}:inventories:update", "write",
          schema.INVENTORY),
    Route("DELETE", f"{_ONE}/inventories/{{name}}", delete_inventory, f"{_R}:inventories:delete", "write"),
    Route("GET", f"{_ONE}/usages", dated(show_usages), f"{_R}:usages"),
    Route("GET", f"{_ONE}/traits", dated(show_traits), f"{_R}:traits:list", min=(1, 6)),
    Route("PUT", f"{_ONE}/traits", dated(put_traits), f"{_R}:traits:update", "write", schema.PROVIDER_TRAITS,
          min=(1, 6)),
    Route("DELETE", f"{_ONE}/traits", delete_traits, f"{_R}:traits:delete", "write", min=(1, 6)),
    Route("GET", f"{_ONE}/aggregates", dated(show_aggregates), f"{_R}:aggregates:list", min=(1, 1)),
    Route("PUT", f"{_ONE}/aggregates", dated(put_aggregates), f"{_R}:aggregates:update", "write", schema.AGGREGATES,
          min=(1, 1)),
]
