"""What isn't a load balancer: quotas, providers, and what the provider doesn't have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.loadbalancer import definitions
from stackling.api.loadbalancer.attributes import Table
from stackling.api.loadbalancer.policy import API
from stackling.api.loadbalancer.requests import authorize, body, fields, visible_project
from stackling.api.route import Mode, Route
from stackling.loadbalancer import changes, quotas
from stackling.loadbalancer.errors import PROVIDER, invalid_option, not_enabled, not_found, unavailable

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SPELLINGS = {"loadbalancer": "load_balancer", "healthmonitor": "health_monitor"}


def routes() -> list[Route]:
    """All of them."""
    return [
        _route("GET", "/lbaas/quotas", _list_quotas, "quota:get_all"),
        _route("GET", "/lbaas/quotas/defaults", _default_quota, "quota:get_defaults"),
        _route("GET", "/lbaas/quotas/{project}", _show_quota, "quota:get_one"),
        _route("GET", "/lbaas/quotas/{project}/default", _default_quota, "quota:get_defaults"),
        _route("PUT", "/lbaas/quotas/{project}", _update_quota, "quota:put", "write", 202),
        _route("DELETE", "/lbaas/quotas/{project}", _reset_quota, "quota:delete", "write", 202),
        _route("GET", "/lbaas/providers", _providers, "provider:get_all"),
        _route("GET", "/lbaas/providers/{provider}/flavor_capabilities", _flavor_capabilities,
               "provider-flavor:get_all"),
        _route("GET", "/lbaas/providers/{provider}/availability_zone_capabilities", _zone_capabilities,
               "provider-availability-zone:get_all"),
        *_nothing("l7policy", "l7policies", "L7 Policy", _no_policy),
        _route("GET", "/lbaas/l7policies/{id}/rules", _no_rules, "l7rule:get_all"),
        _route("POST", "/lbaas/l7policies/{id}/rules", _no_rules, "l7rule:post", "write"),
        *(_route(method, "/lbaas/l7policies/{id}/rules/{rule}", _no_rules, f"l7rule:{action}")
          for method, action in (("GET", "get_one"), ("PUT", "put"), ("DELETE", "delete"))),
        *_nothing("flavor", "flavors", "Flavor", _no_flavor),
        *_nothing("flavor-profile", "flavorprofiles", "Flavor Profile", _no_flavor_profile),
        *_nothing("availability-zone", "availabilityzones", "Availability Zone", _no_zone),
        *_nothing("availability-zone-profile", "availabilityzoneprofiles", "Availability Zone Profile",
                  _no_zone_profile),
        *(_route(method, f"/octavia/amphorae{path}", _amphora if path else _amphorae, f"amphora:{action}")
          for method, path, action in (
              ("GET", "", "get_all"), ("GET", "/{id}", "get_one"), ("DELETE", "/{id}", "delete"),
              ("GET", "/{id}/stats", "get_stats"), ("PUT", "/{id}/failover", "put_failover"),
              ("PUT", "/{id}/config", "put_config"))),
    ]


def _route(method: str, path: str, handler: Any, rule: str, mode: Mode = "read", status: int = 200) -> Route:
    return Route(method, path, handler, f"{API}:{rule}", mode, status=status)


# -- quotas

def _shown_quota(limits: dict[str, int], project_id: str | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {**limits, **{new: limits[old] for new, old in _SPELLINGS.items()}}
    return {**shown, "project_id": project_id, "tenant_id": project_id} if project_id else shown


def _list_quotas(tx: Tx, call: Call) -> Any:
    found = quotas.every(tx, visible_project(call, "quota"))
    return {"quotas": [_shown_quota(limits, project) for project, limits in found.items()], "quotas_links": []}


def _show_quota(tx: Tx, call: Call) -> Any:
    project = call.params["project"]
    authorize(call, "quota", "get_one", project)
    return {"quota": _shown_quota(quotas.limits(tx, project))}


def _default_quota(tx: Tx, call: Call) -> Any:
    authorize(call, "quota", "get_defaults", call.params.get("project", call.ctx.project_id))
    return {"quota": _shown_quota(quotas.defaults())}


def _update_quota(tx: Tx, call: Call) -> Any:
    project = call.params["project"]
    authorize(call, "quota", "put", project)
    given = body(call, "quota", definitions.QUOTA)
    limits = quotas.update(tx, project, {_SPELLINGS.get(name, name): value for name, value in given.items()})
    return {"quota": _shown_quota(limits)}


def _reset_quota(tx: Tx, call: Call) -> Any:
    project = call.params["project"]
    authorize(call, "quota", "delete", project)
    quotas.reset(tx, project)
    return {"quota": _shown_quota(quotas.defaults())}


# -- the provider

def _providers(tx: Tx, call: Call) -> Any:
    return {"providers": [fields(call, {"name": PROVIDER, "description": "OVN provider driver"})]}


def _provider(name: str) -> None:
    if name != PROVIDER:
        raise not_enabled(name)


def _flavor_capabilities(tx: Tx, call: Call) -> Any:
    _provider(call.params["provider"])
    raise unavailable("getting the supported flavor metadata")


def _zone_capabilities(tx: Tx, call: Call) -> Any:
    _provider(call.params["provider"])
    raise unavailable("getting the supported availability zone metadata")


# -- what it doesn't have

def _nothing(rule: str, path: str, shown: str, refuse: Any) -> list[Route]:
    """Lists that are empty, and ids that nobody knows; *refuse* says why none can be made."""
    collection = {"flavor-profile": "flavorprofiles", "availability-zone": "availability_zones",
                  "availability-zone-profile": "availability_zone_profiles"}.get(rule, path)
    links = {"flavor-profile": "flavorprofile_links",
             "availability-zone-profile": "availability_zone_profile_links"}.get(rule, f"{collection}_links")

    def empty(tx: Tx, call: Call) -> Any:
        return {collection: [], links: []}

    def unknown(tx: Tx, call: Call) -> Any:
        raise not_found(shown, call.params["id"])

    return [_route("GET", f"/lbaas/{path}", empty, f"{rule}:get_all"),
            _route("POST", f"/lbaas/{path}", refuse, f"{rule}:post", "write"),
            *(_route(method, f"/lbaas/{path}/{{id}}", unknown, f"{rule}:{action}")
              for method, action in (("GET", "get_one"), ("PUT", "put"), ("DELETE", "delete")))]


def _no_policy(tx: Tx, call: Call) -> Any:
    given: Any = call.body.get("l7policy") if isinstance(call.body, dict) else None    # pyright: ignore
    wanted = str(given.get("listener_id", "")) if isinstance(given, dict) else ""    # pyright: ignore
    listener = changes.listener(tx, wanted)
    authorize(call, "l7policy", "post", listener["project_id"])
    raise unavailable("creating l7policies")


def _no_rules(tx: Tx, call: Call) -> Any:
    raise not_found("L7 Policy", call.params["id"])


def _profile(call: Call, name: str, table: Table, data: str, what: str) -> Any:
    given = body(call, name, table)
    try:
        json.loads(given[data])
    except ValueError:
        raise invalid_option(given[data], data) from None
    _provider(given["provider_name"])
    raise unavailable(what)


def _no_flavor_profile(tx: Tx, call: Call) -> Any:
    return _profile(call, "flavorprofile", definitions.FLAVOR_PROFILE, "flavor_data", "validating flavors")


def _no_zone_profile(tx: Tx, call: Call) -> Any:
    return _profile(call, "availability_zone_profile", definitions.ZONE_PROFILE, "availability_zone_data",
                    "validating availability zones")


def _no_flavor(tx: Tx, call: Call) -> Any:
    given = body(call, "flavor", definitions.FLAVOR)
    raise invalid_option(given["flavor_profile_id"], "flavor_profile_id")


def _no_zone(tx: Tx, call: Call) -> Any:
    given = body(call, "availability_zone", definitions.ZONE)
    raise invalid_option(given["availability_zone_profile_id"], "availability_zone_profile_id")


def _amphorae(tx: Tx, call: Call) -> Any:
    return {"amphorae": [], "amphorae_links": []}


def _amphora(tx: Tx, call: Call) -> Reply:
    raise not_found("Amphora", call.params["id"])
