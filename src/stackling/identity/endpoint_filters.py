"""Which endpoints a project's catalog shows: those associated with it, one by one or by groups.

A project without any association sees them all (upstream's ``return_all_endpoints_if_no_filter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import Conflict, NotFound
from stackling.identity import catalog, projects, state
from stackling.identity.listing import select_page
from stackling.identity.model import Endpoint, Listing, Project
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import endpoint_groups, project_endpoint_groups, project_endpoints
from stackling.store.transaction import Tx

_g, _pg, _pe = endpoint_groups.c, project_endpoint_groups.c, project_endpoints.c
_GROUP = (_g.id, _g.name, _g.description, _g.filters)
_ONE_GROUP = select(*_GROUP).where(_g.id == bindparam("id"))
_GROUPS_OF = select(*_GROUP).select_from(endpoint_groups.join(
    project_endpoint_groups, _pg.endpoint_group_id == _g.id)).where(_pg.project_id == bindparam("project_id")).order_by(
    _g.id)
_PROJECTS_OF_GROUP = select(_pg.project_id).where(_pg.endpoint_group_id == bindparam("id"))
_ENDPOINTS_OF = select(_pe.endpoint_id).where(_pe.project_id == bindparam("project_id"))
_PROJECTS_OF_ENDPOINT = select(_pe.project_id).where(_pe.endpoint_id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class EndpointGroup:
    """The endpoints whose attributes are as ``filters`` says (``service_id``, ``region_id``, ``interface``)."""

    id: str
    name: str
    description: str | None
    filters: Mapping[str, str]


# -- groups


def get_group(tx: Tx, id_: str) -> EndpointGroup:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_GROUP, id=id_)
    if row is None:
        raise not_found("endpoint group", id_)
    return EndpointGroup(*row)


def list_groups(tx: Tx, listing: Listing) -> list[EndpointGroup]:
    return [EndpointGroup(*row) for row in tx.execute(select_page(select(*_GROUP), endpoint_groups, listing))]


def create_group(tx: Tx, id_: str, values: Mapping[str, Any]) -> EndpointGroup:
    """*values*: ``name``, ``description``, ``filters``."""
    state.bump(tx)
    tx.execute(insert(endpoint_groups), {"description": None, **values, "id": id_})
    return get_group(tx, id_)


def update_group(tx: Tx, group: EndpointGroup, values: Mapping[str, Any]) -> EndpointGroup:
    state.bump(tx)
    if values:
        tx.execute(update(endpoint_groups).where(_g.id == group.id).values(dict(values)))
    return get_group(tx, group.id)


def delete_group(tx: Tx, group: EndpointGroup) -> None:
    """A group with its associations."""
    state.bump(tx)
    tx.execute(delete(project_endpoint_groups).where(_pg.endpoint_group_id == group.id))
    tx.execute(delete(endpoint_groups).where(_g.id == group.id))


def endpoints_of_group(tx: Tx, group: EndpointGroup) -> list[Endpoint]:
    return catalog.list_endpoints(tx, Listing(dict(group.filters)))


def projects_of_group(tx: Tx, group: EndpointGroup) -> list[Project]:
    return projects.some(tx, [row.project_id for row in tx.all(_PROJECTS_OF_GROUP, id=group.id)])


def groups_of_project(tx: Tx, project_id: str) -> list[EndpointGroup]:
    return [EndpointGroup(*row) for row in tx.all(_GROUPS_OF, project_id=project_id)]


# -- associations


def has_group(tx: Tx, group_id: str, project_id: str) -> bool:
    return bool(tx.count(project_endpoint_groups, _pg.endpoint_group_id == group_id, _pg.project_id == project_id))


def check_group(tx: Tx, group_id: str, project_id: str) -> None:
    """Raises ``NotFound`` where the group isn't the project's."""
    if not has_group(tx, group_id, project_id):
        raise NotFound("Endpoint Group Project Association not found")


def add_group(tx: Tx, group_id: str, project_id: str) -> None:
    """Raises ``Conflict`` where it is so already."""
    state.bump(tx)
    if has_group(tx, group_id, project_id):
        raise Conflict("Conflict occurred attempting to store project_endpoint_group - Duplicate entry.")
    tx.execute(insert(project_endpoint_groups), {"endpoint_group_id": group_id, "project_id": project_id})


def remove_group(tx: Tx, group_id: str, project_id: str) -> None:
    """Raises ``NotFound``."""
    state.bump(tx)
    check_group(tx, group_id, project_id)
    tx.execute(delete(project_endpoint_groups).where(_pg.endpoint_group_id == group_id, _pg.project_id == project_id))


def has_endpoint(tx: Tx, endpoint_id: str, project_id: str) -> bool:
    return bool(tx.count(project_endpoints, _pe.endpoint_id == endpoint_id, _pe.project_id == project_id))


def check_endpoint(tx: Tx, endpoint_id: str, project_id: str) -> None:
    """Raises ``NotFound`` where the endpoint isn't associated with the project."""
    if not has_endpoint(tx, endpoint_id, project_id):
        raise NotFound(f"Endpoint {endpoint_id} not found in project {project_id}")


def add_endpoint(tx: Tx, endpoint_id: str, project_id: str) -> None:
    """Raises ``Conflict`` where it is so already."""
    state.bump(tx)
    if has_endpoint(tx, endpoint_id, project_id):
        raise Conflict("Conflict occurred attempting to store project_endpoint - Duplicate entry.")
    tx.execute(insert(project_endpoints), {"endpoint_id": endpoint_id, "project_id": project_id})


def remove_endpoint(tx: Tx, endpoint_id: str, project_id: str) -> None:
    """Raises ``NotFound``."""
    state.bump(tx)
    check_endpoint(tx, endpoint_id, project_id)
    tx.execute(delete(project_endpoints).where(_pe.endpoint_id == endpoint_id, _pe.project_id == project_id))


def projects_of_endpoint(tx: Tx, endpoint_id: str) -> list[Project]:
    """Those that the endpoint itself is associated with."""
    return projects.some(tx, [row.project_id for row in tx.all(_PROJECTS_OF_ENDPOINT, id=endpoint_id)])


def endpoints_of_project(tx: Tx, project_id: str) -> list[Endpoint]:
    """Associated endpoints, one by one and by groups."""
    own = {row.endpoint_id for row in tx.all(_ENDPOINTS_OF, project_id=project_id)}
    groups = groups_of_project(tx, project_id)
    if not own and not groups:
        return []
    every = catalog.list_endpoints(tx, Listing())
    return [one for one in every if one.id in own or any(_fits(one, group.filters) for group in groups)]


def _fits(endpoint: Endpoint, filters: Mapping[str, str]) -> bool:
    return all(getattr(endpoint, name) == value for name, value in filters.items())
