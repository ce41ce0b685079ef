"""The Load Balancer API as a service: ``/load-balancer``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.loadbalancer import others, resources
from stackling.api.loadbalancer.errors import error_body
from stackling.api.loadbalancer.policy import MESSAGE, RULES
from stackling.api.policy import Policy
from stackling.api.route import Route, Service

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

PREFIX = "/load-balancer"
_VERSIONS = (
    "2016-12-11T00:00:00Z", "2018-04-20T00:00:00Z", "2018-07-31T00:00:00Z", "2018-12-18T00:00:00Z",
    "2018-12-19T00:00:00Z", "2019-01-21T00:00:00Z", "2019-01-25T00:00:00Z", "2018-01-25T12:00:00Z",
    "2019-02-12T00:00:00Z", "2019-03-04T00:00:00Z", "2019-03-05T00:00:00Z", "2019-06-24T00:00:00Z",
    "2019-09-11T00:00:00Z", "2019-09-13T00:00:00Z", "2019-11-10T00:00:00Z", "2020-03-10T00:00:00Z",
    "2020-03-15T00:00:00Z", "2020-04-29T00:00:00Z", "2020-04-29T01:00:00Z", "2020-05-12T00:00:00Z",
    "2020-08-02T00:00:00Z", "2020-09-03T00:00:00Z", "2020-09-04T00:00:00Z", "2020-09-07T00:00:00Z",
    "2020-10-15T00:00:00Z", "2021-10-02T00:00:00Z", "2022-08-29T00:00:00Z", "2023-05-05T00:00:00Z",
    "2023-11-08T00:00:00Z", "2024-10-15T00:00:00Z", "2025-02-26T00:00:00Z",
)
"""When each minor version came, from 2.0; by them clients know what they may ask for."""
_ROOTS = ("/v2.0", "/v2")


def service(policy: Mapping[str, str] | None = None) -> Service:
    """The service; *policy* overrides rules by name."""
    found: list[Route] = [Route("GET", "", _versions, None), *(
        Route("GET", root, _version, "load-balancer:read") for root in _ROOTS)]
    for route in (*resources.routes(), *others.routes()):
        for root in _ROOTS:
            found.append(replace(route, path=root + route.path))
    return Service(name="load-balancer", prefix=PREFIX, routes=found, policy=Policy(RULES, policy, message=MESSAGE),
                   error_body=error_body, of_projects=True)


def _versions(tx: Tx, call: Call) -> Any:
    last = len(_VERSIONS) - 1
    return {"versions": [{
        "id": f"v2.{minor}", "status": "CURRENT" if minor == last else "SUPPORTED", "updated": at,
        "links": [{"href": f"{call.base}{PREFIX}/v2", "rel": "self"}]} for minor, at in enumerate(_VERSIONS)]}


def _version(tx: Tx, call: Call) -> Any:
    return "v2"
