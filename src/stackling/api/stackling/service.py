"""The service at ``/stackling/v1``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.api.stackling import machines
from stackling.api.stackling.explain import Explain, explain_handler
from stackling.api.stackling.policy import RULES
from stackling.core.errors import StacklingError
from stackling.ha import facade as ha


def service(explain: Explain, owner: Callable[..., str | None], settings: ha.Settings | None = None) -> Service:
    """*explain* and *owner* are the store's (``store.timeline``)."""
    return Service("stackling", "/stackling/v1", [
        Route("GET", "/explain/{kind}/{id}", explain_handler(explain, owner, ha.why), "stackling:any"),
        *machines.routes(settings or ha.Settings()),
    ], Policy(RULES), _error_body)


def _error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    return {"error": {"code": error.status, "title": error.title, "message": error.message,
                      "request_id": request_id}}, "application/json"
