"""``/flavors/{id}/service_profiles`` and ``/flavors/{id}/next_providers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.resource import fetch, render
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import flavors
from stackling.network.errors import forbidden
from stackling.network.rows import Record

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FLAVOR = BY_NAME["flavor"]


def routes() -> list[Route]:
    """What is below a flavor."""
    one = "/v2.0/flavors/{id}"
    return [
        Route("POST", f"{one}/service_profiles", _bind, "authenticated", "write", status=201),
        Route("GET", f"{one}/service_profiles/{{profile}}", _bound, "authenticated"),
        Route("DELETE", f"{one}/service_profiles/{{profile}}", _unbind, "authenticated", "write", status=204),
        Route("GET", f"{one}/next_providers", _next, "authenticated"),
    ]


def _flavor(tx: Tx, call: Call, rule: str) -> Record:
    record, target = fetch(tx, call, _FLAVOR, call.params["id"])
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    return record


def _bind(tx: Tx, call: Call) -> Any:
    record = _flavor(tx, call, "create_flavor_service_profile")
    body: Any = call.body.get("service_profile") if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(body, dict) or set(body) != {"id"}:    # pyright: ignore[reportUnknownArgumentType]
        raise Invalid("Failed to parse request. Required attribute 'id' not specified", type="HTTPBadRequest")
    flavors.bind(tx, call.ctx, record, convert("id", Attribute(values.uuid), body["id"]))
    return {"service_profile": render(tx, call, _FLAVOR, [record])[0]}


def _bound(tx: Tx, call: Call) -> Any:
    record, profile = _flavor(tx, call, "get_flavor_service_profile"), call.params["profile"]
    flavors.check_bound(tx, record["id"], profile)
    return {"service_profile": {"service_profile_id": profile, "flavor_id": record["id"]}}


def _unbind(tx: Tx, call: Call) -> Any:
    flavors.unbind(tx, call.ctx, _flavor(tx, call, "delete_flavor_service_profile"), call.params["profile"])
    return Reply(None, 204)


def _next(tx: Tx, call: Call) -> Any:
    return {"next_providers": [flavors.next_provider(tx, _flavor(tx, call, "get_flavor")["id"])]}
