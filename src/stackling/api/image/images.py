"""Image resources: create, list, show, update, delete, deactivate, reactivate, tags."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stackling.api.call import Call, Query, Reply
from stackling.api.image import patch
from stackling.api.image.policy import MESSAGE, RULES, authorize, authorize_visibility, target
from stackling.api.image.schemas import ImageSchema
from stackling.core.errors import Forbidden, Invalid, MethodNotAllowed, NotFound
from stackling.core.ids import new_id
from stackling.image import filters, images, lists, rows, rules
from stackling.image.document import document
from stackling.image.model import BASE, Image, NewImage
from stackling.image.settings import ImageSettings

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_DISALLOWED = ("direct_url", "self", "file", "schema", "stores")
_FACTS = ("created_at", "updated_at", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value")


class Images:
    """The handlers."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._schema = ImageSchema(settings)
        self._asked = lru_cache(512)(self._read_query)      # clients ask the same again and again

    def create(self, tx: Tx, call: Call) -> Reply:
        new = self._new(call)
        what = {"project_id": new.owner, "owner": new.owner, "visibility": new.visibility, "member_id": None}
        if not call.allowed("add_image", what):
            if new.owner != call.ctx.project_id:
                raise Forbidden(f"You are not permitted to create images owned by '{new.owner}'")
            raise Forbidden(MESSAGE.format(rule="add_image"))
        authorize_visibility(call, new.visibility, what)
        image = images.create(tx, call.ctx, new, self._settings)
        return Reply(document(image).encode(), 201, {
            "Location": f"{call.base}/image/v2/images/{image.id}",
            "OpenStack-image-import-methods": ",".join(self._settings.import_methods),
            "OpenStack-image-store-ids": ",".join(self._settings.store_names)})

    def _new(self, call: Call) -> NewImage:
        body = call.body
        if not isinstance(body, dict):
            raise Invalid("Body expected in request: an object with the attributes of the image.")
        for name in _DISALLOWED:
            if name in body:
                raise Forbidden(f"Attribute '{name}' is read-only.")
        self._schema.check(body)    # pyright: ignore[reportUnknownArgumentType]
        values: dict[str, Any] = dict(body)     # pyright: ignore[reportUnknownArgumentType]
        for name in values:
            if name in _FACTS:
                raise Forbidden(f"Attribute '{name}' is read-only.")
            if len(name) > patch.MOST_NAME:
                raise Invalid("Custom property should not be greater than 255 characters.")
            if name == "locations":
                raise Forbidden("Attribute 'locations' is reserved.")
            if name != "id":
                patch.check_settable(name)
        image_id = values.pop("id", None) or new_id()
        base = {name: values.pop(name) for name in BASE if name in values}
        base["tags"] = tuple(base.get("tags", ()))
        base.setdefault("owner", call.ctx.project_id)
        return NewImage(id=image_id, properties=values, **base)

    def index(self, tx: Tx, call: Call) -> Reply:
        _refuse_empty_id(call)
        call.authorize({"project_id": call.ctx.project_id}, "get_images")
        asked, first = self._asked(call.request.query_string)
        found = lists.page(tx, call.ctx, asked)
        shown = found
        if call.service.policy.rules["get_image"] != RULES["get_image"]:    # else the query decides the same
            shown = [row for row in found if call.allowed("get_image", {
                "project_id": row.owner, "owner": row.owner, "visibility": row.visibility,
                "member_id": call.ctx.project_id})]
        links = f'"first":"{first}","schema":"/v2/schemas/images"'
        if found and len(found) == asked.limit:
            links += f',"next":"{first}{"&" if "?" in first else "?"}marker={found[-1].id}"'
        return Reply(f'{{"images":[{",".join([row.document for row in shown])}],{links}}}'.encode())

    def _read_query(self, text: str) -> tuple[filters.Listing, str]:
        query = Query.parse(text)
        pairs = [(key, value) for key, values in query.items() if key != "marker" for value in values]
        first = f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"
        return filters.listing(query, self._settings), first

    def refuse_delete(self, tx: Tx, call: Call) -> Reply:
        _refuse_empty_id(call)
        raise MethodNotAllowed("DELETE isn't possible here; allowed: GET, POST.", headers={"Allow": "GET, POST"})

    def show(self, tx: Tx, call: Call) -> Reply:
        image_id, ctx = call.params["image_id"], call.ctx
        row = rows.document_for(tx, image_id, ctx.project_id)
        if row is None or row.deleting or not images.may_see(ctx, row.owner, row.visibility, row.status):
            raise images.missing(image_id)
        member = ctx.project_id if row.visibility == "shared" and row.owner != ctx.project_id else None
        if not call.allowed("get_image", {"project_id": row.owner, "owner": row.owner, "visibility": row.visibility,
                                          "member_id": member}):
            raise images.missing(image_id)
        return Reply(row.document.encode())

    def update(self, tx: Tx, call: Call) -> Reply:
        media = (call.request.content_type or "").split(";")[0].strip().lower()
        changes = patch.changes(call.body, media, self._schema.check)
        image = images.visible(tx, call.ctx, call.params["image_id"])
        for change in changes:
            if change.name == "visibility" and change.op != "remove":
                authorize_visibility(call, change.value, target(call, image))
        authorize(call, image, "modify_image" if changes else "get_image")
        if not changes:
            return Reply(document(image).encode())
        changed = rules.apply(image, changes, is_admin=call.ctx.is_admin)
        return Reply(document(images.save(tx, image, changed, self._settings)).encode())

    def delete(self, tx: Tx, call: Call) -> None:
        image = self._authorized(tx, call, "delete_image")
        images.delete(tx, call.ctx, image)

    def deactivate(self, tx: Tx, call: Call) -> None:
        images.set_deactivated(tx, call.ctx, self._authorized(tx, call, "deactivate"), True)

    def reactivate(self, tx: Tx, call: Call) -> None:
        images.set_deactivated(tx, call.ctx, self._authorized(tx, call, "reactivate"), False)

    def add_tag(self, tx: Tx, call: Call) -> None:
        tag = call.params["tag_value"]
        self._schema.check({"tags": [tag]})
        image = self._authorized(tx, call, "modify_image")
        if tag not in image.tags:
            self._save_tags(tx, image, (*image.tags, tag))

    def remove_tag(self, tx: Tx, call: Call) -> None:
        tag = call.params["tag_value"]
        image = self._authorized(tx, call, "modify_image")
        if tag not in image.tags:
            raise NotFound(f"Image {image.id} has no tag {tag}.")
        self._save_tags(tx, image, tuple(other for other in image.tags if other != tag))

    def _save_tags(self, tx: Tx, image: Image, tags: tuple[str, ...]) -> None:
        changed = rules.apply(image, [patch.Change("replace", "tags", tags)], is_admin=False)
        images.save(tx, image, changed, self._settings)

    def _authorized(self, tx: Tx, call: Call, rule: str) -> Image:
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, rule)
        return image


def _refuse_empty_id(call: Call) -> None:
    """``/v2/images/`` names an image without an id, which isn't the list."""
    if call.request.scope["path"].endswith("/"):
        raise NotFound("The resource could not be found.")
