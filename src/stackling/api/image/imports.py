"""Import of staged data, and the tasks that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from stackling.api.call import Call, Reply
from stackling.api.image import remote
from stackling.api.image.downloads import Downloads, Source
from stackling.api.image.policy import authorize
from stackling.core.clock import seconds_z
from stackling.core.errors import Conflict, Invalid, MethodNotAllowed
from stackling.core.ids import is_id, new_id
from stackling.image import images, imports, rules, tasks
from stackling.image.model import Image, ImportTask
from stackling.image.settings import ImageSettings
from stackling.ports.web import WebRefused

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_CHECKS: Mapping[str, Callable[[Image], None]] = {
    "glance-direct": rules.check_can_import, "web-download": rules.check_can_download,
    "copy-image": rules.check_can_copy, remote.METHOD: lambda image: rules.check_can_download(image, remote.METHOD),
}
_STATUSES = ("pending", "processing", "success", "failure")


class Imports:
    """The handlers."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self.downloads = Downloads(settings)

    def start(self, tx: Tx, call: Call) -> Reply:
        """Checks in Glance's order: the image's state, then who asks, then the stores."""
        body = call.body
        method = self._method(body)
        image = images.visible(tx, call.ctx, call.params["image_id"])
        _CHECKS[method](image)
        if method == remote.METHOD:
            remote.check(body["method"])
        authorize(call, image, "copy_image" if method == "copy-image" else "modify_image")
        stores, must = self._stores(call, body), body.get("all_stores_must_succeed", True)
        images.check_size_quota(tx, image, 0, self._settings)
        match method:
            case "copy-image":
                self._copy(tx, call, image, stores)
            case "web-download":
                return self._download(tx, call, image, stores, self._url(call))
            case remote.METHOD:
                return self._download(tx, call, image, stores, remote.source(tx, call, body["method"]))
            case _:
                imports.begin(tx, call.ctx, image, new_id(), body, stores, must=must)
        return Reply(status=202)

    def _copy(self, tx: Tx, call: Call, image: Image, stores: Sequence[str]) -> None:
        body = call.body
        left = rules.to_be_copied(image, stores, every=body.get("all_stores", False))
        if left:        # otherwise it is everywhere, and Glance says nothing of it
            imports.begin_copy(tx, call.ctx, image, new_id(), body, left,
                               must=body.get("all_stores_must_succeed", True))

    def _url(self, call: Call) -> Source:
        web, uri = call.cloud.web, call.body["method"].get("uri")
        if web is None:
            raise Conflict("The import method 'web-download' isn't offered by this cloud.")
        if not isinstance(uri, str) or not uri:
            raise Invalid("URI is required if using 'web-download' import method.")
        try:
            web.check(uri)
        except WebRefused as error:
            raise Invalid(f"URI for web-download does not pass filtering: {uri[:500]} ({error})") from None
        return Source(web, uri)

    def _download(self, tx: Tx, call: Call, image: Image, stores: Sequence[str], source: Source) -> Reply:
        begun = imports.begin_download(tx, call.ctx, image, new_id(), call.body, stores,
                                       self._settings.download_timeout,
                                       must=call.body.get("all_stores_must_succeed", True))
        return Reply(status=202, then=self.downloads.start(call, begun, source))

    def image_tasks(self, tx: Tx, call: Call) -> Any:
        image = images.visible(tx, call.ctx, call.params["image_id"])
        authorize(call, image, "get_image")
        return {"tasks": [view(task) for task in tasks.of_image(tx, image.id)]}

    def index(self, tx: Tx, call: Call) -> Any:
        query = {key: values[0] for key, values in call.query.items() if values}
        limit = _limit(query.get("limit"), self._settings)
        marker = query.get("marker") or None
        if marker is not None and not is_id(marker):
            raise Invalid("Invalid marker format")
        direction = query.get("sort_dir", "desc")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid sort direction: {direction}")
        if "status" in query and query["status"] not in _STATUSES:
            raise Invalid(f"Invalid status value: {query['status']}")
        found = tasks.page(tx, limit=limit, marker=marker, sort_key=query.get("sort_key", "created_at"),
                           sort_dir=direction, filters=query)
        rest = {key: value for key, value in query.items() if key != "marker"}
        answer: dict[str, Any] = {"tasks": [stub(task) for task in found], "first": _link(rest),
                                  "schema": "/v2/schemas/tasks"}
        if found and len(found) == limit:
            answer["next"] = _link({**rest, "marker": found[-1].id})
        return answer

    def show(self, tx: Tx, call: Call) -> Any:
        return view(tasks.get(tx, call.params["task_id"]))

    def create(self, tx: Tx, call: Call) -> Any:
        body = call.body
        for name in ("type", "input"):
            if not isinstance(body, dict) or name not in body:
                raise Invalid(f"Task '{name}' is required")
        raise Invalid("Tasks of this type are not offered by this cloud: it fetches nothing from elsewhere. Upload the "
                      "data, or stage it and import it with the method glance-direct.")

    def delete(self, tx: Tx, call: Call) -> Any:
        raise MethodNotAllowed("This operation is currently not permitted on Glance Tasks. They are auto deleted after "
                               "reaching the time based on their expires_at property.", headers={"Allow": "GET"})

    # -- how

    def _method(self, body: Any) -> str:
        if not isinstance(body, dict) or "method" not in body:
            raise Invalid("Import request requires a 'method' field.")
        method: Any = body["method"]    # pyright: ignore[reportUnknownVariableType]
        if not isinstance(method, dict) or "name" not in method:
            raise Invalid("Import request requires a 'name' field.")
        name: Any = method["name"]      # pyright: ignore[reportUnknownVariableType]
        if name not in self._settings.import_methods:
            raise Invalid(f"Unknown import method name '{name}'.")
        for flag in ("all_stores_must_succeed", "all_stores"):
            if not isinstance(body.get(flag, False), bool):     # pyright: ignore[reportUnknownMemberType]
                raise Invalid(f"'{flag}' must be boolean value only")
        return name

    def _stores(self, call: Call, body: dict[str, Any]) -> tuple[str, ...]:
        """The stores that the data is to be in. Raises ``Invalid``, ``Conflict``."""
        header = call.header("X-Image-Meta-Store")
        if body.get("all_stores", False):
            if "stores" in body or header is not None:
                raise Invalid("All_stores parameter can't be used with x-image-meta-store header or stores parameter")
            return self._settings.store_names
        if "stores" in body and header is not None:
            raise Invalid("Stores parameter and x-image-meta-store header can't be both specified")
        stores: Any = body.get("stores", [header or self._settings.default_store])
        if not isinstance(stores, list) or not stores:
            raise Invalid("'stores' must be a list of store identifiers")
        for store in stores:    # pyright: ignore[reportUnknownVariableType]
            if store not in self._settings.store_names:
                raise Conflict(f"Unknown store {store}; see /v2/info/stores.")
        return tuple(dict.fromkeys(stores))     # pyright: ignore[reportUnknownArgumentType]


def view(task: ImportTask) -> dict[str, Any]:
    """The task as the API shows it."""
    return {**stub(task), "input": task.input, "result": task.result, "message": task.message,
            **{name: value for name in ("image_id", "request_id", "user_id") if (value := getattr(task, name))}}


def stub(task: ImportTask) -> dict[str, Any]:
    """The task in a list."""
    found: dict[str, Any] = {
        "id": task.id, "type": task.type, "status": task.status, "owner": task.owner,
        "created_at": seconds_z(task.created_at), "updated_at": seconds_z(task.updated_at),
        "self": f"/v2/tasks/{task.id}", "schema": "/v2/schemas/task"}
    if task.expires_at is not None:
        found["expires_at"] = seconds_z(task.expires_at)
    return found


def _limit(text: str | None, settings: ImageSettings) -> int:
    if text is None:
        return settings.limit_param_default
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 18):
        raise Invalid("limit param must be an integer")
    if int(text) < 0:
        raise Invalid("limit param must be positive")
    return min(int(text), settings.api_limit_max)


def _link(query: dict[str, str]) -> str:
    return f"/v2/tasks?{urlencode(query)}" if query else "/v2/tasks"
