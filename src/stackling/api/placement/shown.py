"""What the Placement API's answers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Query, Reply
from stackling.core.errors import Invalid
from stackling.placement import providers
from stackling.placement.model import Provider, World

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

DATED = (1, 15)
"""The microversion since which answers say when what they show was changed; upstream often says "now"."""


def dated(handler: Callable[[Tx, Call], Reply]) -> Callable[[Tx, Call], Reply]:
    """*handler*, with ``Last-Modified`` and ``Cache-Control`` where the microversion has them."""
    def answer(tx: Tx, call: Call) -> Reply:
        reply = handler(tx, call)
        if call.version >= DATED:
            reply.headers.update({"Last-Modified": formatdate(tx.time, usegmt=True), "Cache-Control": "no-cache"})
        return reply

    return answer


def check_query(query: Query, known: Iterable[str]) -> None:
    """Raises ``Invalid`` for a parameter that isn't known."""
    unknown = sorted(set(query) - set(known))
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        raise Invalid(f"Invalid query string parameters: Additional properties are not allowed ({names} "
                      f"{'was' if len(unknown) == 1 else 'were'} unexpected)")


def provider(call: Call, one: Provider) -> dict[str, Any]:
    """A provider as the API shows it."""
    path = f"{call.service.prefix}/resource_providers/{one.id}"
    relations = ["inventories", "usages", *(["aggregates"] if call.version >= (1, 1) else []),
                 *(["traits"] if call.version >= (1, 6) else []), *(["allocations"] if call.version >= (1, 11) else [])]
    shown: dict[str, Any] = {
        "uuid": one.id, "name": one.name, "generation": one.generation,
        "links": [{"rel": "self", "href": path}, *({"rel": name, "href": f"{path}/{name}"} for name in relations)]}
    if call.version >= (1, 14):
        shown.update(root_provider_uuid=one.root_id, parent_provider_uuid=one.parent_id)
    return shown


def found(tx: Tx, call: Call) -> tuple[World, Provider]:
    """The provider that the path names, and all others. Raises ``NotFound``."""
    known = providers.world(tx)
    return known, providers.find(known, call.params["uuid"])
