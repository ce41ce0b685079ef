"""What the service tells of itself: versions, import methods, stores, usage, schemas; and locations of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.image.policy import authorize
from stackling.api.image.schemas import published
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound
from stackling.image import images
from stackling.image.settings import MIB, ImageSettings

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

CURRENT = "2.17"
VERSIONS = ("2.15", "2.13", "2.12", "2.11", "2.10", "2.9", "2.8", "2.17", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2",
            "2.1", "2.0")
"""As Glance 33 with several stores and no cache of its own lists them, in its order."""


class Discovery:
    """The handlers; *store* is the name of the only store."""

    def __init__(self, settings: ImageSettings, store: str) -> None:
        self._settings = settings
        self._store = store
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
        return {"stores": [{"id": self._store, "default": "true"}]}

    def stores_detail(self, tx: Tx, call: Call) -> Any:
        return {"stores": [{"id": self._store, "default": "true", "type": "file", "weight": 0, "properties": {}}]}

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
        if image.location is None:
            return []
        return [{"url": f"stackling://{self._store}/{image.location}", "metadata": {"store": self._store}}]

    def add_location(self, tx: Tx, call: Call) -> Any:
        if not isinstance(call.body, dict) or not isinstance(call.body.get("url"), str):    # pyright: ignore[reportUnknownMemberType]
            raise Invalid("A location needs a 'url'.")
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "add_image_location")
        raise Forbidden("http store must be enabled to use location API by normal user.")

    def delete_from_store(self, tx: Tx, call: Call) -> Any:
        if call.params["store_id"] != self._store:
            raise Conflict(f"The selected store {call.params['store_id']} is not available on this node.")
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "get_image_location")
        authorize(call, image, "delete_image_location")
        if image.status != "active":
            raise Conflict("It's not allowed to remove image data from store if image status is not 'active'")
        raise Forbidden("Cannot delete image data from the only store containing it. Consider deleting the image "
                        "instead.")


def _versions(call: Call) -> dict[str, Any]:
    href = f"{call.base}/image/v2/"
    return {"versions": [{"id": f"v{version}", "status": "CURRENT" if version == CURRENT else "SUPPORTED",
                          "links": [{"rel": "self", "href": href}]} for version in VERSIONS]}
