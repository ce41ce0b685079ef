"""Regions, services and endpoints, and the catalog that a token shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, or_, select, update

from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound
from stackling.identity import state
from stackling.identity.listing import select_page
from stackling.identity.model import CatalogService, Endpoint, Listing, Region
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import (
    endpoint_groups,
    endpoints,
    policy_associations,
    project_endpoint_groups,
    project_endpoints,
    regions,
    services,
)
from stackling.store.transaction import Tx

_REGION = (regions.c.id, regions.c.description, regions.c.parent_region_id, regions.c.extra)
_SERVICE = (services.c.id, services.c.type, services.c.name, services.c.description, services.c.enabled,
            services.c.extra)
_ENDPOINT = (endpoints.c.id, endpoints.c.service_id, endpoints.c.region_id, endpoints.c.interface, endpoints.c.url,
             endpoints.c.enabled, endpoints.c.extra)
_ONE_REGION = select(*_REGION).where(regions.c.id == bindparam("id"))
_ONE_SERVICE = select(*_SERVICE).where(services.c.id == bindparam("id"))
_ONE_ENDPOINT = select(*_ENDPOINT).where(endpoints.c.id == bindparam("id"))
_VISIBLE = select(
    services.c.id, services.c.type, services.c.name, endpoints.c.id, endpoints.c.interface, endpoints.c.region_id,
    endpoints.c.url, or_(exists(select(project_endpoints.c.endpoint_id)),
                         exists(select(project_endpoint_groups.c.project_id))).label("filtered"),
).select_from(services.outerjoin(endpoints, (endpoints.c.service_id == services.c.id) & endpoints.c.enabled.is_(True))
              ).where(services.c.enabled.is_(True)).order_by(services.c.type, services.c.id, endpoints.c.id)
_CHOSEN = select(project_endpoints.c.project_id, project_endpoints.c.endpoint_id)
_CHOSEN_BY_GROUP = select(project_endpoint_groups.c.project_id, endpoint_groups.c.filters).select_from(
    project_endpoint_groups.join(endpoint_groups, endpoint_groups.c.id == project_endpoint_groups.c.endpoint_group_id))
_SUBSTITUTE = re.compile(r"[$%]\((\w+)\)s")
KNOWN_SUBSTITUTIONS = frozenset({"public_url", "project_id", "tenant_id", "user_id"})


class Catalog:
    """The catalog as stored, ready to be shown to any project."""

    def __init__(self, tx: Tx) -> None:
        self._rows: list[tuple[Any, ...]] = [tuple(row) for row in tx.all(_VISIBLE)]
        self.personal = any("_id)s" in (row[6] or "") for row in self._rows)
        """Whether it differs by project or user."""
        self._chosen = _chosen(tx, self._rows) if self._rows and self._rows[0][7] else {}

    def show(self, public_url: str, project_id: str | None, user_id: str | None) -> list[dict[str, Any]]:
        """As a token shows it. An endpoint that needs a project is left out where there is none."""
        values = {"public_url": public_url.rstrip("/"), "project_id": project_id, "tenant_id": project_id,
                  "user_id": user_id}
        shown: dict[str, dict[str, Any]] = {}
        chosen = self._chosen.get(project_id) if project_id is not None else None
        for service_id, type_, name, endpoint_id, interface, region_id, url, _ in self._rows:
            if chosen is not None and endpoint_id not in chosen:
                continue
            service = shown.get(service_id)
            if service is None:
                service = shown[service_id] = {"endpoints": [], "id": service_id, "type": type_, "name": name or ""}
            if endpoint_id is not None and (filled := substitute(url, values)) is not None:
                service["endpoints"].append({"id": endpoint_id, "interface": interface, "region_id": region_id,
                                             "url": filled, "region": region_id})
        return [one for one in shown.values() if one["endpoints"]] if chosen is not None else list(shown.values())


def _chosen(tx: Tx, rows: list[tuple[Any, ...]]) -> dict[str, set[str]]:
    """The endpoints that each project with a filter sees."""
    found: dict[str, set[str]] = {}
    for chosen in tx.all(_CHOSEN):
        found.setdefault(chosen.project_id, set()).add(chosen.endpoint_id)
    place = {"service_id": 0, "interface": 4, "region_id": 5}
    for group in tx.all(_CHOSEN_BY_GROUP):
        filters: Mapping[str, str] = group.filters
        fitting = {row[3] for row in rows if row[3] is not None and all(
            row[place[name]] == value for name, value in filters.items())}
        if fitting:
            found.setdefault(group.project_id, set()).update(fitting)
    return found


def substitute(url: str, values: Mapping[str, str | None]) -> str | None:
    """*url* with ``$(name)s`` filled in; None where a value is missing."""
    names = _SUBSTITUTE.findall(url)
    if any(values.get(name) is None for name in names):
        return None
    return _SUBSTITUTE.sub(lambda match: str(values[match.group(1)]), url)


def public(url: str, public_url: str) -> str:
    """*url* as administrators see it: with our address, other substitutions as they are."""
    return url.replace("$(public_url)s", public_url.rstrip("/"))


def _check_url(url: str) -> None:
    unknown = set(_SUBSTITUTE.findall(url)) - KNOWN_SUBSTITUTIONS
    if unknown or re.search(r"[$%]\((?!\w+\)s)", url):
        raise Invalid(f"Cannot create an endpoint with an invalid URL: {url}.", type="URLValidationError")


# -- regions


def get_region(tx: Tx, region_id: str) -> Region:
    row = tx.one(_ONE_REGION, id=region_id)
    if row is None:
        raise not_found("region", region_id)
    return Region(*row)


def list_regions(tx: Tx, listing: Listing) -> list[Region]:
    return [Region(*row) for row in tx.execute(select_page(select(*_REGION), regions, listing))]


def create_region(tx: Tx, id_: str, values: Mapping[str, Any]) -> Region:
    state.bump(tx)
    if tx.one(_ONE_REGION, id=id_) is not None:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id_}..")
    parent = values.get("parent_region_id")
    if parent:
        get_region(tx, parent)
    tx.execute(insert(regions), {"id": id_, "description": values.get("description") or "",
                                 "parent_region_id": parent, "extra": values.get("extra", {})})
    return get_region(tx, id_)


def update_region(tx: Tx, region: Region, values: Mapping[str, Any]) -> Region:
    state.bump(tx)
    row = dict(values)
    if "description" in row:
        row["description"] = row["description"] or ""
    above = row.get("parent_region_id")
    while above:
        if above == region.id:
            raise Invalid(f"The specified parent region {row['parent_region_id']} would create a circular region "
                          "hierarchy.")
        above = get_region(tx, above).parent_region_id
    if row:
        tx.execute(update(regions).where(regions.c.id == region.id).values(row))
    return get_region(tx, region.id)


def delete_region(tx: Tx, region: Region) -> None:
    """A region and those below it; refused while endpoints are in any of them."""
    state.bump(tx)
    doomed, level = [region.id], [region.id]
    while level:
        level = list(tx.execute(select(regions.c.id).where(regions.c.parent_region_id.in_(level))).scalars())
        doomed += level
    if tx.count(endpoints, endpoints.c.region_id.in_(doomed)):
        raise Forbidden(f"Unable to delete region {region.id} because it or its child regions have associated "
                        "endpoints.")
    _forget_policies(tx, policy_associations.c.region_id.in_(doomed))
    tx.execute(delete(regions).where(regions.c.id.in_(doomed)))


# -- services


def get_service(tx: Tx, service_id: str) -> CatalogService:
    row = tx.one(_ONE_SERVICE, id=service_id)
    if row is None:
        raise not_found("service", service_id)
    return CatalogService(*row)


def list_services(tx: Tx, listing: Listing) -> list[CatalogService]:
    return [CatalogService(*row) for row in tx.execute(select_page(select(*_SERVICE), services, listing))]


def create_service(tx: Tx, id_: str, values: Mapping[str, Any]) -> CatalogService:
    state.bump(tx)
    tx.execute(insert(services), {"name": "", "description": None, "enabled": True, "extra": {}, **values, "id": id_})
    return get_service(tx, id_)


def update_service(tx: Tx, service: CatalogService, values: Mapping[str, Any]) -> CatalogService:
    state.bump(tx)
    if values:
        tx.execute(update(services).where(services.c.id == service.id).values(dict(values)))
    return get_service(tx, service.id)


def delete_service(tx: Tx, service: CatalogService) -> None:
    """A service with its endpoints."""
    state.bump(tx)
    own = list(tx.execute(select(endpoints.c.id).where(endpoints.c.service_id == service.id)).scalars())
    _remove_endpoints(tx, own)
    _forget_policies(tx, policy_associations.c.service_id == service.id)
    tx.execute(delete(services).where(services.c.id == service.id))


# -- endpoints


def get_endpoint(tx: Tx, endpoint_id: str) -> Endpoint:
    row = tx.one(_ONE_ENDPOINT, id=endpoint_id)
    if row is None:
        raise not_found("endpoint", endpoint_id)
    return Endpoint(*row)


def list_endpoints(tx: Tx, listing: Listing) -> list[Endpoint]:
    return [Endpoint(*row) for row in tx.execute(select_page(select(*_ENDPOINT), endpoints, listing))]


def create_endpoint(tx: Tx, id_: str, values: Mapping[str, Any]) -> Endpoint:
    """*values*: ``service_id``, ``interface``, ``url``, ``region_id``, ``enabled``, ``extra``.

    A region that doesn't exist is made, as upstream does for the attribute ``region``.
    """
    state.bump(tx)
    _check_url(values["url"])
    _check_service(tx, values["service_id"])
    row: dict[str, Any] = {"region_id": None, "enabled": True, "extra": {}, **values, "id": id_}
    _check_region(tx, row["region_id"])
    tx.execute(insert(endpoints), row)
    return get_endpoint(tx, id_)


def update_endpoint(tx: Tx, endpoint: Endpoint, values: Mapping[str, Any]) -> Endpoint:
    state.bump(tx)
    if "url" in values:
        _check_url(values["url"])
    if "service_id" in values:
        _check_service(tx, values["service_id"])
    if "region_id" in values:
        _check_region(tx, values["region_id"])
    if values:
        tx.execute(update(endpoints).where(endpoints.c.id == endpoint.id).values(dict(values)))
    return get_endpoint(tx, endpoint.id)


def delete_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    state.bump(tx)
    _remove_endpoints(tx, [endpoint.id])


def _remove_endpoints(tx: Tx, ids: list[str]) -> None:
    if ids:
        tx.execute(delete(project_endpoints).where(project_endpoints.c.endpoint_id.in_(ids)))
        _forget_policies(tx, policy_associations.c.endpoint_id.in_(ids))
        tx.execute(delete(endpoints).where(endpoints.c.id.in_(ids)))


def _forget_policies(tx: Tx, which: Any) -> None:
    tx.execute(delete(policy_associations).where(which))


def _check_service(tx: Tx, service_id: str) -> None:
    try:
        get_service(tx, service_id)
    except NotFound as error:
        raise Invalid(error.message) from None


def _check_region(tx: Tx, region_id: str | None) -> None:
    if region_id is not None and tx.one(_ONE_REGION, id=region_id) is None:
        raise Invalid(f"Could not find region: {region_id}.")
