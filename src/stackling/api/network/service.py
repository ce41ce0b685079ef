"""The Network API as a service: ``/network``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.network import (
    address_group_actions,
    extensions,
    flavors,
    others,
    port_forwardings,
    qos,
    quotas,
    resource,
    router_actions,
    subnet_pool_actions,
    tags,
    trunk_actions,
)
from stackling.api.network.catalog import RESOURCES
from stackling.api.network.errors import STATUSES, error_body
from stackling.api.network.policy import RULES
from stackling.api.policy import Policy
from stackling.api.route import Route, Service

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

PREFIX = "/network"
_MORE = (("extension", "extensions"), ("quota", "quotas"), ("agent", "agents"),
         ("availability_zone", "availability_zones"), ("service_provider", "service-providers"),
         ("network_ip_availability", "network-ip-availabilities"),
         ("auto_allocated_topology", "auto-allocated-topology"))


def service(policy: Mapping[str, str] | None = None) -> Service:
    """The service; *policy* overrides rules by name."""
    routes: list[Route] = [
        Route("GET", "", _versions, None), Route("GET", "/v2.0", _resources, None),
        *quotas.routes(), *extensions.routes(), *others.routes(), *router_actions.routes(),
        *address_group_actions.routes(), *qos.routes(), *port_forwardings.routes(),
        *flavors.routes(), *trunk_actions.routes(), *subnet_pool_actions.routes(),
    ]
    for one in RESOURCES:
        routes += resource.routes(one)
        if "tags" in one.table:
            routes += tags.routes(one)
    return Service(name="network", prefix=PREFIX, routes=routes,
                   policy=Policy(RULES, policy, message="rule:{rule} is disallowed by policy"),
                   error_body=error_body, statuses=STATUSES, of_projects=True, conceals=True)


def _versions(tx: Tx, call: Call) -> Any:
    return {"versions": [{"id": "v2.0", "status": "CURRENT",
                          "links": [{"rel": "self", "href": f"{call.base}{PREFIX}/v2.0/"}]}]}


def _resources(tx: Tx, call: Call) -> Any:
    names = [*((one.name, one.path) for one in RESOURCES), *_MORE]
    return {"resources": [
        {"name": name, "collection": path.replace("-", "_"),
         "links": [{"rel": "self", "href": f"{call.base}{PREFIX}/v2.0/{path}"}]} for name, path in sorted(names)]}
