"""``PUT /address-groups/{id}/add_addresses`` and ``…/remove_addresses``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, convert
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.resource import check_revision, fetch
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.network import address_groups
from stackling.network.errors import forbidden

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_GROUP = BY_NAME["address_group"]


def routes() -> list[Route]:
    """Both actions."""
    path = "/v2.0/address-groups/{id}/"
    return [Route("PUT", path + name, partial(_change, name, change), "authenticated", "write")
            for name, change in (("add_addresses", address_groups.add), ("remove_addresses", address_groups.remove))]


def _change(rule: str, change: Any, tx: Tx, call: Call) -> Any:
    record, target = fetch(tx, call, _GROUP, call.params["id"])
    if not call.allowed(rule, target):
        raise forbidden(f"rule:{rule}")
    check_revision(call, _GROUP.name, record)
    body: Any = call.body
    if isinstance(body, dict) and isinstance(body.get("address_group"), dict):    # pyright: ignore
        body = body["address_group"]    # pyright: ignore[reportUnknownVariableType]
    if not isinstance(body, dict) or not isinstance(body.get("addresses"), list):    # pyright: ignore
        raise Invalid("Invalid input for addresses. Reason: a list of addresses is needed.", type="HTTPBadRequest")
    record = change(tx, call.ctx, record, convert("addresses", Attribute(values.ranges), body["addresses"]))
    return {"address_group": _GROUP.view(tx, call.ctx, [record])[0]}
