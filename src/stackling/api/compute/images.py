"""``/images``: the image service's images in Compute's old form (lists and images to 2.35, their metadata to 2.38)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import METADATA, POSITIVE, Json, limit_of, link_base, next_links, only, query, route
from stackling.api.schema import always
from stackling.core.clock import seconds_z
from stackling.core.errors import Forbidden, Invalid, NotFound
from stackling.image import images, lists
from stackling.image.filters import Condition, Listing
from stackling.image.model import Image
from stackling.image.settings import ImageSettings

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_STATUSES = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "importing": "SAVING", "uploading": "SAVING",
             "deleted": "DELETED", "pending_delete": "DELETED", "killed": "ERROR", "deactivated": "ACTIVE"}
_PROGRESS = {"queued": 25, "saving": 50, "uploading": 50, "importing": 50, "active": 100}
_LAST, _LAST_METADATA = (2, 35), (2, 38)


def _links(call: Call, id: str) -> list[Json]:
    base = link_base(call)
    return [{"rel": "self", "href": f"{base}/v2.1/images/{id}"}, {"rel": "bookmark", "href": f"{base}/images/{id}"},
            {"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{call.base}/image/images/{id}"}]


def _shown(call: Call, found: Mapping[str, object], properties: Mapping[str, str]) -> Json:
    status = str(found["status"])
    return {
        "id": found["id"], "name": found["name"], "status": _STATUSES.get(status, "UNKNOWN"),
        "progress": _PROGRESS.get(status, 0), "minDisk": found["min_disk"], "minRam": found["min_ram"],
        "created": seconds_z(str(found["created_at"]).rstrip("Z")),
        "updated": seconds_z(str(found["updated_at"]).rstrip("Z")), "OS-EXT-IMG-SIZE:size": found["size"] or 0,
        "metadata": dict(properties), "links": _links(call, str(found["id"]))}


def _one(call: Call, image: Image) -> Json:
    return _shown(call, {name: getattr(image, name) for name in (
        "id", "name", "status", "min_disk", "min_ram", "created_at", "updated_at", "size")}, image.properties)


_KNOWN = frozenset((
    "id", "name", "status", "min_disk", "min_ram", "created_at", "updated_at", "size", "owner", "visibility",
    "disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value", "os_hidden", "file", "self",
    "schema", "tags", "protected", "virtual_size", "stores", "direct_url", "locations"))


def list_images(detail: bool) -> Callable[[Tx, Call], Reply]:
    """GET /images and /images/detail."""
    def handler(tx: Tx, call: Call) -> Reply:
        limit = limit_of(call.query)
        newest = (("created_at", "desc"), ("id", "desc"))
        asked = Listing(limit, call.query.last("marker"), newest, "accepted", None, False, (), _conditions(call))
        found: list[Json] = [msgspec.json.decode(row.document) for row in lists.page(tx, call.ctx, asked)]
        shown = [_shown(call, one, {k: v for k, v in one.items() if k not in _KNOWN}) if detail else
                 {"id": one["id"], "name": one["name"], "links": _links(call, one["id"])} for one in found]
        body: Json = {"images": shown}
        if more := next_links(call, "images/detail" if detail else "images", shown, limit, lambda: found[-1]["id"]):
            body["images_links"] = more
        return Reply(body)

    return handler


def _conditions(call: Call) -> tuple[Condition, ...]:
    found: list[Condition] = []
    if (name := call.query.last("name")) is not None:
        found.append(Condition("name", "eq", name))
    if (status := call.query.last("status")) is not None:
        known = next((theirs for theirs, ours in _STATUSES.items() if ours == status.upper()), "none")
        found.append(Condition("status", "eq", known))
    for ours, theirs in (("server", "instance_uuid"), ("type", "image_type")):
        if (wanted := call.query.last(ours)) is not None:
            found.append(Condition(theirs, "property", wanted.rstrip("/").rsplit("/", 1)[-1]))
    for ours, theirs in (("minDisk", "min_disk"), ("minRam", "min_ram")):
        if (least := call.query.last(ours)) is not None:
            if not least.isdecimal() or len(least) > 9:
                raise Invalid(f"Invalid {ours} filter [{least}]")
            found.append(Condition(theirs, "gte", int(least)))
    return tuple(found)


def _find(tx: Tx, call: Call) -> Image:
    try:
        return images.visible(tx, call.ctx, call.params["image"])
    except NotFound:
        raise NotFound("Image not found.") from None


def _own(tx: Tx, call: Call) -> Image:
    image = _find(tx, call)
    if not call.allowed("os_compute_api:images:change", {"project_id": image.owner}):
        raise Forbidden("You are not allowed to change the image.")
    return image


def show_image(tx: Tx, call: Call) -> Reply:
    """GET /images/{id}."""
    return Reply({"image": _one(call, _find(tx, call))})


def delete_image(tx: Tx, call: Call) -> Reply:
    """DELETE /images/{id}."""
    images.delete(tx, call.ctx, _own(tx, call))
    return Reply(status=204)


# -- metadata

def list_metadata(tx: Tx, call: Call) -> Reply:
    """GET /images/{id}/metadata."""
    return Reply({"metadata": dict(_find(tx, call).properties)})


def _write(tx: Tx, call: Call, properties: Mapping[str, str]) -> dict[str, str]:
    image = _own(tx, call)
    return dict(images.save(tx, image, replace(image, properties=dict(properties)), ImageSettings()).properties)


def add_metadata(tx: Tx, call: Call) -> Reply:
    """POST /images/{id}/metadata."""
    return Reply({"metadata": _write(tx, call, {**_find(tx, call).properties, **call.body["metadata"]})})


def replace_metadata(tx: Tx, call: Call) -> Reply:
    """PUT /images/{id}/metadata."""
    return Reply({"metadata": _write(tx, call, call.body["metadata"])})


def show_item(tx: Tx, call: Call) -> Reply:
    """GET /images/{id}/metadata/{key}."""
    key, properties = call.params["key"], _find(tx, call).properties
    if key not in properties:
        raise NotFound("Metadata item was not found")
    return Reply({"meta": {key: properties[key]}})


def set_item(tx: Tx, call: Call) -> Reply:
    """PUT /images/{id}/metadata/{key}."""
    meta: Json = call.body["meta"]
    if call.params["key"] not in meta:
        raise Invalid("Request body and URI mismatch")
    _write(tx, call, {**_find(tx, call).properties, **meta})
    return Reply({"meta": meta})


def delete_item(tx: Tx, call: Call) -> Reply:
    """DELETE /images/{id}/metadata/{key}."""
    key, properties = call.params["key"], _find(tx, call).properties
    if key not in properties:
        raise NotFound("Invalid metadata key")
    _write(tx, call, {name: value for name, value in properties.items() if name != key})
    return Reply(status=204)


_QUERY = always(query(dict.fromkeys(("limit", "page_size", "offset"), POSITIVE)))
_ITEM = always(only("meta", {**METADATA, "minProperties": 1, "maxProperties": 1}))
_ALL = always(only("metadata", METADATA))
_I = "/images/{image}"
ROUTES = [
    route("GET", "/images", list_images(False), "images", max=_LAST, query=_QUERY),
    route("GET", "/images/detail", list_images(True), "images", max=_LAST, query=_QUERY),
    route("GET", _I, show_image, "images", max=_LAST),
    route("DELETE", _I, delete_image, "images", max=_LAST),
    route("GET", f"{_I}/metadata", list_metadata, "images", max=_LAST_METADATA),
    route("POST", f"{_I}/metadata", add_metadata, "images", max=_LAST_METADATA, body=_ALL),
    route("PUT", f"{_I}/metadata", replace_metadata, "images", max=_LAST_METADATA, body=_ALL),
    route("GET", f"{_I}/metadata/{{key}}", show_item, "images", max=_LAST_METADATA),
    route("PUT", f"{_I}/metadata/{{key}}", set_item, "images", max=_LAST_METADATA, body=_ITEM),
    route("DELETE", f"{_I}/metadata/{{key}}", delete_item, "images", max=_LAST_METADATA),
]
