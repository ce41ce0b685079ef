"""Allocations, usages, and the reshaper."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.placement import schema
from stackling.api.placement.providers import parsed
from stackling.api.placement.shown import check_query, dated, found
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.core.ids import is_id
from stackling.placement import allocations, providers
from stackling.placement.allocations import NOBODY, UNKNOWN, Claim, Taken

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

GENERATIONS = (1, 28)
TYPES = (1, 38)
_TYPE = re.compile(r"(?:[A-Z0-9_]+|all|unknown)\Z")


def show_of_provider(tx: Tx, call: Call) -> Reply:
    """GET /resource_providers/{uuid}/allocations: by consumer."""
    _, one = found(tx, call)
    shown: dict[str, Any] = {}
    for taken in allocations.of_provider(tx, one.id):
        shown[taken.consumer_id] = {"resources": taken.amounts}
        if call.version >= GENERATIONS:
            shown[taken.consumer_id]["consumer_generation"] = taken.generation
    return Reply({"allocations": shown, "resource_provider_generation": one.generation})


def show_of_consumer(tx: Tx, call: Call) -> Reply:
    """GET /allocations/{consumer}: by provider; nothing of a consumer that isn't there."""
    taken = allocations.of_consumer(tx, call.params["consumer"])
    if not taken:
        return Reply({"allocations": {}})
    known = providers.world(tx).providers
    shown: dict[str, Any] = {"allocations": {
        one.provider_id: {"resources": one.amounts, "generation": known[one.provider_id].generation}
        for one in taken if one.provider_id in known}}
    if call.version >= (1, 12):
        shown.update(project_id=taken[0].project_id, user_id=taken[0].user_id)
    if call.version >= GENERATIONS:
        shown["consumer_generation"] = taken[0].generation
    if call.version >= TYPES:
        shown["consumer_type"] = taken[0].type or UNKNOWN
    return Reply(shown)


def _claim(consumer: str, body: Mapping[str, Any]) -> Claim:
    given = body["allocations"]
    if isinstance(given, list):             # until 1.12
        given = {one["resource_provider"]["uuid"]: one for one in given}
    return Claim(consumer, body.get("project_id") or NOBODY, body.get("user_id") or NOBODY,
                 {id: one["resources"] for id, one in given.items()}, body.get("consumer_generation"),
                 body.get("consumer_type"))


def put_allocations(tx: Tx, call: Call) -> Reply:
    """PUT /allocations/{consumer}: exactly these."""
    consumer = call.params["consumer"]
    if not is_id(consumer):
        raise Invalid(f"Malformed consumer_uuid: {consumer}")
    claim = _claim(str(uuid.UUID(consumer)), call.body)
    allocations.put(tx, [claim], generations=call.version >= GENERATIONS)
    return Reply(status=204)


def post_allocations(tx: Tx, call: Call) -> Reply:
    """POST /allocations: those of several consumers, all or none."""
    allocations.put(tx, [_claim(id, body) for id, body in call.body.items()], generations=call.version >= GENERATIONS)
    return Reply(status=204)


def delete_allocations(tx: Tx, call: Call) -> Reply:
    """DELETE /allocations/{consumer}."""
    allocations.remove(tx, call.params["consumer"])
    return Reply(status=204)


def reshape(tx: Tx, call: Call) -> Reply:
    """POST /reshaper: inventories and allocations at once."""
    wanted = {id: (body["resource_provider_generation"], {
        name: parsed(call, id, name, inventory) for name, inventory in body["inventories"].items()})
        for id, body in call.body["inventories"].items()}
    allocations.reshape(tx, wanted, [_claim(id, body) for id, body in call.body["allocations"].items()])
    return Reply(status=204)


def show_usages(tx: Tx, call: Call) -> Reply:
    """GET /usages?project_id=…: what a project's consumers take; by their types since 1.38."""
    query = call.query
    project, user, wanted = query.last("project_id"), query.last("user_id"), query.last("consumer_type")
    call.authorize({"project_id": project}, "placement:usages")
    check_query(query, ("project_id", "user_id", *(["consumer_type"] if call.version >= TYPES else [])))
    if project is None:
        raise Invalid("Invalid query string parameters: 'project_id' is a required property")
    for name, value in (("project_id", project), ("user_id", user)):
        if value is not None and not 0 < len(value) < 256:
            raise Invalid(f"Invalid query string parameters: {name} must have 1 to 255 characters")
    if wanted is not None and (not _TYPE.match(wanted) or len(wanted) > 255):
        raise Invalid(f"Invalid query string parameters: '{wanted}' is not a type of consumers, 'all' or 'unknown'")
    taken = [one for one in allocations.of_project(tx, project) if user in (None, one.user_id)]
    if call.version < TYPES:
        return Reply({"usages": _sum(taken)})
    if wanted == "all":
        return Reply({"usages": {"all": _counted(taken)} if taken else {}})
    by_type: dict[str, list[Taken]] = {}
    for one in taken:
        by_type.setdefault(one.type or UNKNOWN, []).append(one)
    return Reply({"usages": {type: _counted(some) for type, some in by_type.items() if wanted in (None, type)}})


def _sum(taken: list[Taken]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in taken:
        for name, amount in one.amounts.items():
            found[name] = found.get(name, 0) + amount
    return found


def _counted(taken: list[Taken]) -> dict[str, int]:
    return {**_sum(taken), "consumer_count": len({one.consumer_id for one in taken})}


_A = "placement:allocations"
ROUTES = [
    Route("GET", "/resource_providers/{uuid}/allocations", dated(show_of_provider),
          "placement:resource_providers:allocations:list"),
    Route("GET", "/allocations/{consumer}", dated(show_of_consumer), f"{_A}:list"),
    Route("PUT", "/allocations/{consumer}", put_allocations, f"{_A}:update", "write", schema.ALLOCATIONS),
    Route("DELETE", "/allocations/{consumer}", delete_allocations, f"{_A}:delete", "write"),
    Route("POST", "/allocations", post_allocations, f"{_A}:manage", "write", schema.MANY_ALLOCATIONS, min=(1, 13)),
    Route("POST", "/reshaper", reshape, "placement:reshaper:reshape", "write", schema.RESHAPE, min=(1, 30)),
    Route("GET", "/usages", dated(show_usages), "placement:usages", min=(1, 9)),
]
