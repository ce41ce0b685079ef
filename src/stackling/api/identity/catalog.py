"""``/v3/regions``, ``/v3/services`` and ``/v3/endpoints``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.operation import operation
from stackling.api.identity.schema import BOOLEAN, DESCRIPTION, NAME, TEXT, URL, member, nullable
from stackling.api.identity.view import collection, listing, merged, own_id, split, with_links
from stackling.core.errors import Invalid, NotFound
from stackling.core.ids import new_hex
from stackling.identity import catalog
from stackling.identity.model import CatalogService, Endpoint, Listing, Region

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_REGION_ID = {"type": "string", "maxLength": 255}
_REGION = {"description": DESCRIPTION, "parent_region_id": nullable(_REGION_ID)}
_SERVICE = {"type": NAME, "name": {"type": "string", "maxLength": 255}, "description": DESCRIPTION,
            "enabled": BOOLEAN}
_ENDPOINT = {"service_id": TEXT, "region_id": nullable(_REGION_ID), "interface": {
    "type": "string", "enum": ["admin", "internal", "public"]}, "url": URL, "enabled": BOOLEAN}


# -- regions


def _show_region(call: Call, region: Region) -> dict[str, Any]:
    return with_links(call, "regions", {**region.extra, "id": region.id, "description": region.description,
                                        "parent_region_id": region.parent_region_id})


def list_regions(tx: Tx, call: Call) -> Any:
    page = listing(call, ("parent_region_id",))
    return collection(call, "regions", [_show_region(call, one) for one in catalog.list_regions(tx, page)], page)


def show_region(tx: Tx, call: Call) -> Any:
    return {"region": _show_region(call, catalog.get_region(tx, call.params["region_id"]))}


def create_region(tx: Tx, call: Call) -> Any:
    body = call.body["region"]
    values, extra = split(body, _REGION)
    return {"region": _show_region(call, catalog.create_region(
        tx, body.get("id") or new_hex(), {**values, "extra": extra}))}


def put_region(tx: Tx, call: Call) -> Any:
    """Make a region with the id in the path."""
    id_ = call.params["region_id"]
    if call.body["region"].get("id", id_) != id_:
        raise Invalid(f"Conflicting region IDs specified: \"{id_}\" != \"{call.body['region']['id']}\"")
    values, extra = split(call.body["region"], _REGION)
    return {"region": _show_region(call, catalog.create_region(tx, id_, {**values, "extra": extra}))}


def update_region(tx: Tx, call: Call) -> Any:
    region = catalog.get_region(tx, call.params["region_id"])
    own_id(call.body["region"], region.id, "region")
    values, extra = split(call.body["region"], _REGION)
    return {"region": _show_region(call, catalog.update_region(tx, region, merged(values, extra, region.extra)))}


def delete_region(tx: Tx, call: Call) -> None:
    catalog.delete_region(tx, catalog.get_region(tx, call.params["region_id"]))


# -- services


def _show_service(call: Call, service: CatalogService) -> dict[str, Any]:
    shown = {**service.extra, "id": service.id, "type": service.type, "enabled": service.enabled,
             "name": service.name or ""}
    if service.description is not None:
        shown["description"] = service.description
    return with_links(call, "services", shown)


def list_services(tx: Tx, call: Call) -> Any:
    page = listing(call, ("type", "name"))
    return collection(call, "services", [_show_service(call, one) for one in catalog.list_services(tx, page)], page)


def show_service(tx: Tx, call: Call) -> Any:
    return {"service": _show_service(call, catalog.get_service(tx, call.params["service_id"]))}


def create_service(tx: Tx, call: Call) -> Any:
    values, extra = split(call.body["service"], _SERVICE)
    return {"service": _show_service(call, catalog.create_service(tx, new_hex(), {**values, "extra": extra}))}


def update_service(tx: Tx, call: Call) -> Any:
    service = catalog.get_service(tx, call.params["service_id"])
    own_id(call.body["service"], service.id, "service")
    values, extra = split(call.body["service"], _SERVICE)
    return {"service": _show_service(call, catalog.update_service(tx, service, merged(values, extra, service.extra)))}


def delete_service(tx: Tx, call: Call) -> None:
    catalog.delete_service(tx, catalog.get_service(tx, call.params["service_id"]))


# -- endpoints


def show_endpoint_of(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as the API shows it."""
    return with_links(call, "endpoints", {
        **endpoint.extra, "id": endpoint.id, "service_id": endpoint.service_id, "interface": endpoint.interface,
        "region_id": endpoint.region_id, "region": endpoint.region_id, "enabled": endpoint.enabled,
        "url": catalog.public(endpoint.url, call.cloud.public_url)})


def list_endpoints(tx: Tx, call: Call) -> Any:
    page = listing(call, ("interface", "service_id", "region_id"))
    if "region" in call.query and "region_id" not in page.equal:
        page = Listing({**page.equal, "region_id": call.query.last("region")}, page.like, page.limit, page.marker)
    found = catalog.list_endpoints(tx, page)
    return collection(call, "endpoints", [show_endpoint_of(call, one) for one in found], page)


def show_endpoint(tx: Tx, call: Call) -> Any:
    return {"endpoint": show_endpoint_of(call, catalog.get_endpoint(tx, call.params["endpoint_id"]))}


def _endpoint_values(tx: Tx, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A ``region`` is an older word for ``region_id``; one that doesn't exist is made."""
    values, extra = split(body, _ENDPOINT)
    region = extra.pop("region", None)
    if region is not None and "region_id" not in values:
        try:
            catalog.get_region(tx, region)
        except NotFound:
            catalog.create_region(tx, region, {})
        values["region_id"] = region
    return values, extra


def create_endpoint(tx: Tx, call: Call) -> Any:
    values, extra = _endpoint_values(tx, call.body["endpoint"])
    return {"endpoint": show_endpoint_of(call, catalog.create_endpoint(tx, new_hex(), {**values, "extra": extra}))}


def update_endpoint(tx: Tx, call: Call) -> Any:
    endpoint = catalog.get_endpoint(tx, call.params["endpoint_id"])
    own_id(call.body["endpoint"], endpoint.id, "endpoint")
    values, extra = _endpoint_values(tx, call.body["endpoint"])
    changed = catalog.update_endpoint(tx, endpoint, merged(values, extra, endpoint.extra))
    return {"endpoint": show_endpoint_of(call, changed)}


def delete_endpoint(tx: Tx, call: Call) -> None:
    catalog.delete_endpoint(tx, catalog.get_endpoint(tx, call.params["endpoint_id"]))


_WITH_REGION = {**_ENDPOINT, "region": _REGION_ID}
_NEW_REGION = {**_REGION, "id": nullable(_REGION_ID)}
_R, _S, _E = "/regions/{region_id}", "/services/{service_id}", "/endpoints/{endpoint_id}"
ROUTES = (
    operation("GET", "/regions", list_regions, "list_regions"),
    operation("POST", "/regions", create_region, "create_region", status=201, body=member("region", _NEW_REGION)),
    operation("GET", _R, show_region, "get_region"),
    operation("PUT", _R, put_region, "create_region", status=201, body=member("region", _NEW_REGION)),
    operation("PATCH", _R, update_region, "update_region", body=member("region", _REGION, at_least=1)),
    operation("DELETE", _R, delete_region, "delete_region", status=204),
    operation("GET", "/services", list_services, "list_services"),
    operation("POST", "/services", create_service, "create_service", status=201,
              body=member("service", _SERVICE, ("type",))),
    operation("GET", _S, show_service, "get_service"),
    operation("PATCH", _S, update_service, "update_service", body=member("service", _SERVICE, at_least=1)),
    operation("DELETE", _S, delete_service, "delete_service", status=204),
    operation("GET", "/endpoints", list_endpoints, "list_endpoints"),
    operation("POST", "/endpoints", create_endpoint, "create_endpoint", status=201,
              body=member("endpoint", _WITH_REGION, ("interface", "service_id", "url"))),
    operation("GET", _E, show_endpoint, "get_endpoint"),
    operation("PATCH", _E, update_endpoint, "update_endpoint", body=member("endpoint", _WITH_REGION, at_least=1)),
    operation("DELETE", _E, delete_endpoint, "delete_endpoint", status=204),
)
