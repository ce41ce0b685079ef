"""What the service tells of itself: versions, import methods, stores, usage, schemas; where data is, and leaving a
store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.image.policy import authorize
from stackling.api.image.schemas import published
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from stackling.image import images
from stackling.image.settings import MIB, ImageSettings, StoreFacts
from stackling.image.stores import ANSWER, members

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

CURRENT = "2.17"
VERSIONS = ("2.15", "2.13", "2.12", "2.11", "2.10", "2.9", "2.8", "2.17", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2",
            "2.1", "2.0")
"""As Glance 33 with several stores and no cache of its own lists them, in its order."""


class Discovery:
    """The handlers."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._schemas = published(settings)

    def choices(self, tx: Tx, call: Call) -> Reply:
        return Reply(_versions(call), 300)

    def versions(self, tx: Tx, call: Call) -> Reply:
        return Reply(_versions(call), 200)

    def schema(self, tx: Tx, call: Call) -> Any:
        found = self._schemas.get(call.params["name"])
        if found is None:
            raise NotFound("The resource could not be found.")
        return found

    def import_methods(self, tx: Tx, call: Call) -> Any:
        return {"import-methods": {"description": "Import methods available.", "type": "array",
                                   "value": list(self._settings.import_methods)}}

    def stores(self, tx: Tx, call: Call) -> Any:
        return {"stores": [self._store(one) for one in self._settings.stores]}

    def stores_detail(self, tx: Tx, call: Call) -> Reply:
        async def detail() -> Reply:
            return Reply({"stores": [await self._detail(call, one) for one in self._settings.stores]})

        return Reply(then=detail)

    def _store(self, one: StoreFacts) -> dict[str, Any]:
        return {"id": one.id, **({"description": one.description} if one.description else {}),
                **({"default": "true"} if one.id == self._settings.default_store else {})}

    async def _detail(self, call: Call, one: StoreFacts) -> dict[str, Any]:
        properties = dict(one.properties)
        if one.type == "rbd":
            properties["fsid"] = await _fsid(call, one.id)
        return {**self._store(one), "type": one.type, "properties": properties, "weight": one.weight}

    def usage(self, tx: Tx, call: Call) -> Any:
        count, size = images.usage(tx, call.ctx.project_id or "")
        limits = self._settings
        return {"usage": {
            "image_size_total": {"usage": -(-size // MIB), "limit": limits.image_size_total},
            "image_stage_total": {"usage": 0, "limit": -1},
            "image_count_total": {"usage": count, "limit": limits.image_count_total},
            "image_count_uploading": {"usage": 0, "limit": -1}}}

    def locations(self, tx: Tx, call: Call) -> Any:
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "fetch_image_location")
        return [{"url": f"stackling://{store}/{location}", "metadata": {"store": store}}
                for store, location in image.places]

    def add_location(self, tx: Tx, call: Call) -> Any:
        if not isinstance(call.body, dict) or not isinstance(call.body.get("url"), str):    # pyright: ignore[reportUnknownMemberType]
            raise Invalid("A location needs a 'url'.")
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "add_image_location")
        raise Forbidden("http store must be enabled to use location API by normal user.")

    def delete_from_store(self, tx: Tx, call: Call) -> None:
        store = call.params["store_id"]
        known = members(call.cloud.image_store) if call.cloud.image_store is not None else {}
        if store not in known and store not in self._settings.store_names:
            raise Conflict(f"The selected store {store} is not available on this node.")
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "get_image_location")
        authorize(call, image, "delete_image_location")
        images.delete_copy(tx, call.ctx, image, store)


async def _fsid(call: Call, store: str) -> str | None:
    """The id of the cluster that the store is in; None while it doesn't answer."""
    one = members(call.cloud.image_store).get(store) if call.cloud.image_store is not None else None
    try:
        async with asyncio.timeout(ANSWER):
            return await call.cloud.blocking(getattr, one, "fsid", None)
    except (Unavailable, TimeoutError):
        return None


def _versions(call: Call) -> dict[str, Any]:
    href = f"{call.base}/image/v2/"
    return {"versions": [{"id": f"v{version}", "status": "CURRENT" if version == CURRENT else "SUPPORTED",
                          "links": [{"rel": "self", "href": href}]} for version in VERSIONS]}
