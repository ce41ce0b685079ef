"""``/v3/OS-EP-FILTER``: which endpoints a project's catalog shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.catalog import show_endpoint_of
from stackling.api.identity.operation import operation
from stackling.api.identity.projects import show_project
from stackling.api.identity.schema import DESCRIPTION, NAME, member
from stackling.api.identity.view import collection, listing, own_id, root
from stackling.core.errors import Invalid
from stackling.core.ids import new_hex
from stackling.identity import catalog, endpoint_filters, projects
from stackling.identity.endpoint_filters import EndpointGroup

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_FILTERS = {"type": "object", "additionalProperties": False, "properties": {
    "interface": {"type": "string", "enum": ["admin", "internal", "public"]},
    "service_id": {"type": "string"}, "region_id": {"type": "string"}}}
_GROUP = {"name": NAME, "description": DESCRIPTION, "filters": _FILTERS}


def _show(call: Call, group: EndpointGroup) -> dict[str, Any]:
    return {"id": group.id, "name": group.name, "description": group.description, "filters": dict(group.filters),
            "links": {"self": f"{root(call)}/OS-EP-FILTER/endpoint_groups/{group.id}"}}


def _group(tx: Tx, call: Call) -> EndpointGroup:
    return endpoint_filters.get_group(tx, call.params["endpoint_group_id"])


# -- groups


def list_groups(tx: Tx, call: Call) -> Any:
    page = listing(call, ("name",))
    return collection(call, "endpoint_groups",
                      [_show(call, one) for one in endpoint_filters.list_groups(tx, page)], page)


def create_group(tx: Tx, call: Call) -> Any:
    values = {k: v for k, v in call.body["endpoint_group"].items() if k in _GROUP}
    if not values["filters"]:
        raise Invalid("filters field is required and cannot be empty")
    return {"endpoint_group": _show(call, endpoint_filters.create_group(tx, new_hex(), values))}


def show_group(tx: Tx, call: Call) -> Any:
    return {"endpoint_group": _show(call, _group(tx, call))}


def update_group(tx: Tx, call: Call) -> Any:
    group = _group(tx, call)
    own_id(call.body["endpoint_group"], group.id, "endpoint_group")
    values = {k: v for k, v in call.body["endpoint_group"].items() if k in _GROUP}
    return {"endpoint_group": _show(call, endpoint_filters.update_group(tx, group, values))}


def delete_group(tx: Tx, call: Call) -> None:
    endpoint_filters.delete_group(tx, _group(tx, call))


def group_endpoints(tx: Tx, call: Call) -> Any:
    found = endpoint_filters.endpoints_of_group(tx, _group(tx, call))
    return collection(call, "endpoints", [show_endpoint_of(call, one) for one in found])


def group_projects(tx: Tx, call: Call) -> Any:
    found = endpoint_filters.projects_of_group(tx, _group(tx, call))
    return collection(call, "projects", [show_project(call, one) for one in found])


# -- groups of projects


def _group_and_project(tx: Tx, call: Call) -> tuple[str, str]:
    project = projects.get_project(tx, call.params["project_id"])
    return _group(tx, call).id, project.id


def show_group_of_project(tx: Tx, call: Call) -> Any:
    group_id, project_id = _group_and_project(tx, call)
    endpoint_filters.check_group(tx, group_id, project_id)
    link = f"{root(call)}/OS-EP-FILTER/endpoint_groups/{group_id}/projects/{project_id}"
    return {"project_endpoint_group": {"endpoint_group_id": group_id, "project_id": project_id,
                                       "links": {"self": link}}}


def add_group(tx: Tx, call: Call) -> None:
    endpoint_filters.add_group(tx, *_group_and_project(tx, call))


def remove_group(tx: Tx, call: Call) -> None:
    endpoint_filters.remove_group(tx, *_group_and_project(tx, call))


def project_groups(tx: Tx, call: Call) -> Any:
    found = endpoint_filters.groups_of_project(tx, projects.get_project(tx, call.params["project_id"]).id)
    return collection(call, "endpoint_groups", [_show(call, one) for one in found])


# -- endpoints of projects


def _endpoint_and_project(tx: Tx, call: Call) -> tuple[str, str]:
    endpoint = catalog.get_endpoint(tx, call.params["endpoint_id"])
    return endpoint.id, projects.get_project(tx, call.params["project_id"]).id


def check_endpoint(tx: Tx, call: Call) -> None:
    endpoint_filters.check_endpoint(tx, *_endpoint_and_project(tx, call))


def add_endpoint(tx: Tx, call: Call) -> None:
    endpoint_filters.add_endpoint(tx, *_endpoint_and_project(tx, call))


def remove_endpoint(tx: Tx, call: Call) -> None:
    endpoint_filters.remove_endpoint(tx, call.params["endpoint_id"], call.params["project_id"])


def project_endpoints(tx: Tx, call: Call) -> Any:
    project = projects.get_project(tx, call.params["project_id"])
    found = endpoint_filters.endpoints_of_project(tx, project.id)
    return collection(call, "endpoints", [show_endpoint_of(call, one) for one in found])


def endpoint_projects(tx: Tx, call: Call) -> Any:
    endpoint = catalog.get_endpoint(tx, call.params["endpoint_id"])
    found = endpoint_filters.projects_of_endpoint(tx, endpoint.id)
    return collection(call, "projects", [show_project(call, one) for one in found])


_F = "/OS-EP-FILTER"
_G = f"{_F}/endpoint_groups/{{endpoint_group_id}}"
_GP = f"{_G}/projects/{{project_id}}"
_PE = f"{_F}/projects/{{project_id}}/endpoints"
ROUTES = (
    operation("GET", f"{_F}/endpoint_groups", list_groups, "list_endpoint_groups"),
    operation("POST", f"{_F}/endpoint_groups", create_group, "create_endpoint_group", status=201,
              body=member("endpoint_group", _GROUP, ("name", "filters"))),
    operation("GET", _G, show_group, "get_endpoint_group"),
    operation("PATCH", _G, update_group, "update_endpoint_group", body=member("endpoint_group", _GROUP, at_least=1)),
    operation("DELETE", _G, delete_group, "delete_endpoint_group", status=204),
    operation("GET", f"{_G}/endpoints", group_endpoints, "list_endpoints_associated_with_endpoint_group"),
    operation("GET", f"{_G}/projects", group_projects, "list_projects_associated_with_endpoint_group"),
    operation("GET", _GP, show_group_of_project, "get_endpoint_group_in_project"),
    operation("PUT", _GP, add_group, "add_endpoint_group_to_project", status=204),
    operation("DELETE", _GP, remove_group, "remove_endpoint_group_from_project", status=204),
    operation("GET", f"{_F}/projects/{{project_id}}/endpoint_groups", project_groups,
              "list_endpoint_groups_for_project"),
    operation("GET", _PE, project_endpoints, "list_endpoints_for_project"),
    operation("GET", f"{_PE}/{{endpoint_id}}", check_endpoint, "check_endpoint_in_project", status=204),
    operation("PUT", f"{_PE}/{{endpoint_id}}", add_endpoint, "add_endpoint_to_project", status=204),
    operation("DELETE", f"{_PE}/{{endpoint_id}}", remove_endpoint, "remove_endpoint_from_project", status=204),
    operation("GET", f"{_F}/endpoints/{{endpoint_id}}/projects", endpoint_projects, "list_projects_for_endpoint"),
)
