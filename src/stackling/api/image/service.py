"""The Image API as routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.api.image import metadef_items, metadefs
from stackling.api.image.data import Data
from stackling.api.image.discovery import Discovery
from stackling.api.image.images import Images
from stackling.api.image.imports import Imports
from stackling.api.image.members import Members
from stackling.api.image.patch import V20, V21
from stackling.api.image.policy import MESSAGE, RULES
from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.core.errors import NotFound, QuotaExceeded, StacklingError
from stackling.image.settings import ImageSettings

_ANY = "authenticated"
"""The policy of routes whose handler checks a rule against the image itself."""
_STATUSES: Mapping[type[StacklingError], int] = {QuotaExceeded: 413}


def service(settings: ImageSettings | None = None, *, policies: Mapping[str, str] | None = None) -> Service:
    """The Image API under ``/image``; *policies* override rules."""
    settings = settings or ImageSettings()
    return Service(
        name="image", prefix="/image", routes=_routes(settings), error_body=error_body, statuses=_STATUSES,
        policy=Policy(RULES, policies, message=MESSAGE), of_projects=True, conceals=True)


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """``{"error": {…}}`` in JSON, of which python-glanceclient, openstacksdk and tempest all show the message.

    Glance itself answers HTML (``<html><head><title>404 Not Found</title>…``) unless JSON is preferred, and then
    ``{"message", "code", "title"}``, at which python-glanceclient stumbles.
    """
    status = _STATUSES.get(type(error), error.status)
    return {"error": {"code": status, "title": error.title, "message": error.message}}, "application/json"


def _routes(settings: ImageSettings) -> list[Route]:
    return [*_discovery(Discovery(settings)), *_images(Images(settings)), *_data(Data(settings)),
            *_members(Members(settings)), *_imports(Imports(settings)), *_metadefs(settings), *_cache()]


def _discovery(handlers: Discovery) -> list[Route]:
    return [
        Route("GET", "", handlers.choices, None),
        Route("GET", "/versions", handlers.versions, None),
        Route("GET", "/v2/schemas/{name}", handlers.schema, _ANY),
        Route("GET", "/v2/info/import", handlers.import_methods, _ANY),
        Route("GET", "/v2/info/stores", handlers.stores, _ANY),
        Route("GET", "/v2/info/stores/detail", handlers.stores_detail, "stores_info_detail"),
        Route("GET", "/v2/info/usage", handlers.usage, _ANY),
        Route("GET", "/v2/images/{image_id}/locations", handlers.locations, _ANY),
        Route("POST", "/v2/images/{image_id}/locations", handlers.add_location, _ANY, "write"),
        Route("DELETE", "/v2/stores/{store_id}/{image_id}", handlers.delete_from_store, _ANY, "write", status=204),
    ]


def _images(handlers: Images) -> list[Route]:
    one, tag = "/v2/images/{image_id}", "/v2/images/{image_id}/tags/{tag_value}"
    return [
        Route("GET", "/v2/images", handlers.index, _ANY),
        Route("POST", "/v2/images", handlers.create, _ANY, "write"),
        Route("DELETE", "/v2/images", handlers.refuse_delete, _ANY),
        Route("GET", one, handlers.show, _ANY),
        Route("PATCH", one, handlers.update, _ANY, "write", content_types=(V21, V20)),
        Route("DELETE", one, handlers.delete, _ANY, "write", status=204),
        Route("POST", f"{one}/actions/deactivate", handlers.deactivate, _ANY, "write", status=204),
        Route("POST", f"{one}/actions/reactivate", handlers.reactivate, _ANY, "write", status=204),
        Route("PUT", tag, handlers.add_tag, _ANY, "write", status=204),
        Route("DELETE", tag, handlers.remove_tag, _ANY, "write", status=204),
    ]


def _data(handlers: Data) -> list[Route]:
    return [
        Route("PUT", "/v2/images/{image_id}/file", handlers.upload, _ANY, "stream"),
        Route("GET", "/v2/images/{image_id}/file", handlers.download, _ANY, "stream"),
        Route("PUT", "/v2/images/{image_id}/stage", handlers.stage, _ANY, "stream"),
    ]


def _members(handlers: Members) -> list[Route]:
    every, one = "/v2/images/{image_id}/members", "/v2/images/{image_id}/members/{member_id}"
    return [
        Route("GET", every, handlers.index, _ANY),
        Route("POST", every, handlers.create, _ANY, "write"),
        Route("GET", one, handlers.show, _ANY),
        Route("PUT", one, handlers.update, _ANY, "write"),
        Route("DELETE", one, handlers.delete, _ANY, "write", status=204),
    ]


def _imports(handlers: Imports) -> list[Route]:
    access = "tasks_api_access"
    return [
        Route("POST", "/v2/images/{image_id}/import", handlers.start, _ANY, "write"),
        Route("GET", "/v2/images/{image_id}/tasks", handlers.image_tasks, _ANY),
        Route("GET", "/v2/tasks", handlers.index, access),
        Route("POST", "/v2/tasks", handlers.create, access, "write"),
        Route("GET", "/v2/tasks/{task_id}", handlers.show, access),
        Route("DELETE", "/v2/tasks/{task_id}", handlers.delete, access, "write"),
    ]


def _metadefs(settings: ImageSettings) -> list[Route]:
    every, one = "/v2/metadefs/namespaces", "/v2/metadefs/namespaces/{namespace}"
    types = f"{one}/resource_types"
    return [
        Route("GET", "/v2/schemas/metadefs/{name}", metadefs.schema, _ANY),
        Route("GET", "/v2/metadefs/resource_types", metadefs.resource_types, _ANY),
        Route("GET", every, metadefs.Namespaces(settings).index, _ANY),
        Route("POST", every, metadefs.create, _ANY, "write", status=201),
        Route("GET", one, metadefs.show, _ANY),
        Route("PUT", one, metadefs.change, _ANY, "write"),
        Route("DELETE", one, metadefs.remove, _ANY, "write", status=204),
        Route("GET", types, metadefs.associations, _ANY),
        Route("POST", types, metadefs.associate, _ANY, "write", status=201),
        Route("DELETE", f"{types}/{{name}}", metadefs.dissociate, _ANY, "write", status=204),
        *_metadef_items(one),
    ]


def _metadef_items(namespace: str) -> list[Route]:
    found: list[Route] = []
    for word, kind in (("objects", "object"), ("properties", "property"), ("tags", "tag")):
        every, one = f"{namespace}/{word}", f"{namespace}/{word}/{{name}}"
        show = metadef_items.show_one_object if kind == "object" else getattr(metadef_items, f"show_{kind}")
        create = metadef_items.create_tags if kind == "tag" else getattr(metadef_items, f"create_{kind}")
        found += [
            Route("GET", every, getattr(metadef_items, f"list_{word}"), _ANY),
            Route("POST", every, create, _ANY, "write", status=201),
            Route("DELETE", every, getattr(metadef_items, f"clear_{word}"), _ANY, "write", status=204),
            Route("GET", one, show, _ANY),
            Route("PUT", one, getattr(metadef_items, f"change_{kind}"), _ANY, "write"),
            Route("DELETE", one, getattr(metadef_items, f"remove_{kind}"), _ANY, "write", status=204),
        ]
    return [*found, Route("POST", f"{namespace}/tags/{{name}}", metadef_items.create_tag, _ANY, "write", status=201)]


def _cache() -> list[Route]:
    """Glance's answers where it has no cache of its own."""
    def absent(tx: object, call: object) -> None:
        raise NotFound("Caching is disabled on the image service.")

    every, one = "/v2/cache", "/v2/cache/{image_id}"
    return [Route("GET", every, absent, _ANY), Route("DELETE", every, absent, _ANY),
            Route("PUT", one, absent, _ANY), Route("DELETE", one, absent, _ANY),
            Route("POST", f"{every}/clean", absent, _ANY), Route("POST", f"{every}/prune", absent, _ANY)]
