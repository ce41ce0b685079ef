"""The service at ``/stackling/v1``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.api.stackling import audit, events, machines, metrics, settings, storage_audit, work
from stackling.api.stackling.audit import Find
from stackling.api.stackling.explain import Explain, explain_handler
from stackling.api.stackling.feed import Feed
from stackling.api.stackling.policy import RULES
from stackling.api.stackling.settings import Setting
from stackling.api.stackling.work import Work
from stackling.core.errors import StacklingError
from stackling.ha import facade as ha


def service(explain: Explain, owner: Callable[..., str | None], availability: ha.Settings | None = None, *,
            feed: Feed | None = None, lines: Find | None = None, configured: Sequence[Setting] = (),
            in_hand: Work | None = None) -> Service:
    """*explain* and *owner* are the store's (``store.timeline``), *lines* and *in_hand* too (``store.audit.find``,
    ``store.in_hand.find``)."""
    routes = [
        Route("GET", "/explain/{kind}/{id}", explain_handler(explain, owner, ha.why), "stackling:any"),
        *machines.routes(availability or ha.Settings()),
        *storage_audit.ROUTES,
        *metrics.ROUTES,
        Route("GET", "/settings", settings.handler(configured), "stackling:settings"),
    ]
    if feed is not None:
        routes.append(Route("GET", "/events", events.handler(feed), "stackling:events", mode="stream"))
    if lines is not None:
        routes.append(Route("GET", "/audit", audit.handler(lines), "stackling:audit", mode="stream"))
    if in_hand is not None:
        routes.append(Route("GET", "/work", work.handler(in_hand), "stackling:work"))
    return Service("stackling", "/stackling/v1", routes, Policy(RULES), _error_body)


def _error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    return {"error": {"code": error.status, "title": error.title, "message": error.message,
                      "request_id": request_id}}, "application/json"
