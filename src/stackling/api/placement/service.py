"""The Placement API as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.placement import candidates, consumers, names, providers
from stackling.api.placement.policy import RULES
from stackling.api.placement.shown import dated
from stackling.api.policy import Policy
from stackling.api.route import Microversions, Route, Service
from stackling.core.errors import StacklingError

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

LOWEST, HIGHEST = (1, 0), (1, 39)


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """``{"errors": […]}``, as https://specs.openstack.org/openstack/api-sig/guidelines/errors.html says."""
    shown: dict[str, Any] = {"status": error.status, "title": error.title, "detail": error.message,
                             "request_id": request_id, "code": error.details.get("code", "placement.undefined_code")}
    if error.status == 406:
        shown.update(max_version="1.39", min_version="1.0")
    return {"errors": [shown]}, "application/json"


def show_versions(tx: Tx, call: Call) -> Reply:
    """GET /."""
    return Reply({"versions": [{"id": "v1.0", "max_version": "1.39", "min_version": "1.0", "status": "CURRENT",
                                "links": [{"rel": "self", "href": ""}]}]})


ROUTES = [Route("GET", "", dated(show_versions), None), *providers.ROUTES, *consumers.ROUTES, *candidates.ROUTES,
          *names.ROUTES]


def service(overrides: Mapping[str, str] | None = None) -> Service:
    """The service for ``api.app.build_app``."""
    return Service("placement", "/placement", ROUTES, Policy(RULES, overrides), error_body,
                   Microversions("placement", LOWEST, HIGHEST, LOWEST), of_projects=True)
