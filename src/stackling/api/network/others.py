"""What doesn't fit the pipeline: agents, zones, topology, availability and providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.network import values
from stackling.api.network.attributes import Attribute, Table, for_update
from stackling.api.network.catalog import BY_NAME
from stackling.api.network.resource import body_of, render
from stackling.api.route import Route
from stackling.core.errors import Invalid, NotFound
from stackling.network import agents, flavors, ip_availability, topology
from stackling.network.errors import bad_request, conflict, forbidden, not_found

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_PAGING = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})


def routes() -> list[Route]:
    """All of them."""
    one = "/v2.0/auto-allocated-topology/{project}"
    return [
        Route("GET", "/v2.0/agents", _agents, "list"),
        Route("GET", "/v2.0/agents/{id}", _agent, "authenticated"),
        Route("PUT", "/v2.0/agents/{id}", _update_agent, "authenticated", "write"),
        Route("DELETE", "/v2.0/agents/{id}", _delete_agent, "authenticated", "write", status=204),
        Route("GET", "/v2.0/agents/{id}/l3-routers", _agent_routers, "get_l3-routers"),
        Route("GET", "/v2.0/routers/{id}/l3-agents", _router_agents, "get_l3-agents"),
        Route("GET", "/v2.0/availability_zones", _zones, "get_availability_zone"),
        Route("GET", one, _topology, "authenticated", "write"),
        Route("DELETE", one, _remove_topology, "authenticated", "write", status=204),
        Route("GET", "/v2.0/network-ip-availabilities", _availabilities, "list"),
        Route("GET", "/v2.0/network-ip-availabilities/{id}", _availability, "authenticated"),
        Route("GET", "/v2.0/service-providers", _providers, "get_service_provider"),
    ]


def select(call: Call, rows: Sequence[dict[str, Any]], known: Sequence[str]) -> list[dict[str, Any]]:
    """Filter and cut *rows* as a list request asks."""
    found = list(rows)
    for name, wanted in call.query.items():
        if name in _PAGING:
            continue
        if name not in known:
            raise Invalid(f"['{name}'] is invalid attribute for filtering", type="HTTPBadRequest")
        found = [row for row in found if str(row[name]).lower() in [one.lower() for one in wanted]]
    fields = call.query.all("fields")
    return [{name: row[name] for name in fields if name in row} for row in found] if fields else found


_AGENT_TABLE: Table = {"admin_state_up": Attribute(values.boolean, put=True),
                       "description": Attribute(values.nullable(values.text(255)), put=True)}
_AGENT = ("id", "agent_type", "binary", "host", "admin_state_up", "alive", "topic", "availability_zone", "description")


def _agents(tx: Tx, call: Call) -> Any:
    return {"agents": select(call, agents.agents(tx) if call.allowed("get_agent") else [], _AGENT)}


def _found_agent(tx: Tx, call: Call) -> dict[str, Any]:
    found = next((one for one in agents.agents(tx) if one["id"] == call.params["id"]), None)
    if found is None or not call.allowed("get_agent"):
        raise not_found("agent", call.params["id"])
    return found


def _agent(tx: Tx, call: Call) -> Any:
    return {"agent": select(call, [_found_agent(tx, call)], _AGENT)[0]}


def _update_agent(tx: Tx, call: Call) -> Any:
    changes = for_update(_AGENT_TABLE, body_of(call, "agent"))
    found = _found_agent(tx, call)
    if not call.allowed("update_agent"):
        raise forbidden("rule:update_agent")
    if not changes.get("admin_state_up", True):
        raise bad_request("agent", "OVN agent status cannot be updated: disable the host's compute service instead")
    if "description" in changes:
        agents.describe(tx, found["id"], changes["description"])
    return {"agent": {**found, **changes}}


def _delete_agent(tx: Tx, call: Call) -> Any:
    found = _found_agent(tx, call)
    if not call.allowed("delete_agent"):
        raise forbidden("rule:delete_agent")
    raise conflict("AgentInUse", f"Agent {found['id']} goes with its host {found['host']}.")


def _agent_routers(tx: Tx, call: Call) -> Any:
    found = next((one for one in agents.agents(tx) if one["id"] == call.params["id"]), None)
    if found is None:
        raise NotFound(f"Agent {call.params['id']} is not a L3 Agent or has been disabled", type="InvalidL3Agent")
    router = BY_NAME["router"]
    records = sorted(router.listed.rows.several(tx, agents.routers_of(tx, found)), key=lambda one: one["id"])
    return {"routers": render(tx, call, router, records)}


def _router_agents(tx: Tx, call: Call) -> Any:
    return {"agents": agents.of_router(tx, call.params["id"].replace("\0", ""))}


def _zones(tx: Tx, call: Call) -> Any:
    return {"availability_zones": select(call, agents.zones(tx), ("name", "resource", "state"))}


def _project(call: Call, rule: str) -> str:
    project = call.params["project"]
    project = call.ctx.project_id or "" if project in ("None", "null") else project
    if project != call.ctx.project_id and not call.ctx.is_admin:
        raise forbidden(f"rule:{rule}")
    if not call.allowed(rule, {"project_id": project}):
        raise forbidden(f"rule:{rule}")
    return project


def _topology(tx: Tx, call: Call) -> Any:
    project = _project(call, "get_auto_allocated_topology")
    if "dry-run" in call.query.all("fields"):
        missing = topology.requirements(tx)
        if missing:
            raise Invalid("Deployment error: " + ", ".join(missing) + ".", type="AutoAllocationFailure")
        return {"auto_allocated_topology": {"id": "dry-run=pass", "tenant_id": project, "project_id": project}}
    network = topology.get(tx, call.ctx, project)
    return {"auto_allocated_topology": {"id": network, "tenant_id": project, "project_id": project}}


def _remove_topology(tx: Tx, call: Call) -> Any:
    topology.remove(tx, call.ctx, _project(call, "delete_auto_allocated_topology"))
    return Reply(None, 204)


def _availabilities(tx: Tx, call: Call) -> Any:
    query = call.query
    unknown = sorted(set(query) - _PAGING - {"network_id", "network_name", "tenant_id", "project_id", "ip_version"})
    if unknown:
        raise Invalid(f"{unknown} is invalid attribute for filtering", type="HTTPBadRequest")
    version = query.last("ip_version")
    try:
        wanted = None if version is None else values.one_of(4, 6)(values.integer(version))
    except ValueError as error:
        raise Invalid(f"Invalid input for ip_version. Reason: {error}.", type="HTTPBadRequest") from None
    if not call.allowed("get_network_ip_availability"):
        return {"network_ip_availabilities": []}
    found = ip_availability.availability(
        tx, network_id=query.last("network_id"), network_name=query.last("network_name"),
        project_id=query.last("project_id") or query.last("tenant_id"), ip_version=wanted)
    return {"network_ip_availabilities": found}


def _availability(tx: Tx, call: Call) -> Any:
    found = ip_availability.availability(tx, network_id=call.params["id"])
    if not found or not call.allowed("get_network_ip_availability"):
        raise not_found("network", call.params["id"])
    return {"network_ip_availability": found[0]}


def _providers(tx: Tx, call: Call) -> Any:
    rows = [dict(flavors.PROVIDER)]
    return {"service_providers": select(call, rows, ("service_type", "name", "default"))}

