"""The Image API as routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.api.image.data import Data
from stackling.api.image.discovery import Discovery
from stackling.api.image.images import Images
from stackling.api.image.imports import Imports
from stackling.api.image.members import Members
from stackling.api.image.patch import V20, V21
from stackling.api.image.policy import MESSAGE, RULES
from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.core.errors import QuotaExceeded, StacklingError
from stackling.image.settings import ImageSettings

_ANY = "default"
"""The policy of routes whose handler checks a rule against the image itself."""
_STATUSES: Mapping[type[StacklingError], int] = {QuotaExceeded: 413}


def service(settings: ImageSettings | None = None, *, store: str = "local",
            policies: Mapping[str, str] | None = None) -> Service:
    """The Image API under ``/image``; *store* is the name of the image store, *policies* override rules."""
    settings = settings or ImageSettings()
    return Service(
        name="image", prefix="/image", routes=_routes(settings, store), error_body=error_body, statuses=_STATUSES,
        policy=Policy(RULES, policies, message=MESSAGE))


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """``{"error": {…}}`` in JSON, of which python-glanceclient, openstacksdk and tempest all show the message.

    Glance itself answers HTML (``<html><head><title>404 Not Found</title>…``) unless JSON is preferred, and then
    ``{"message", "code", "title"}``, at which python-glanceclient stumbles.
    """
    status = _STATUSES.get(type(error), error.status)
    return {"error": {"code": status, "title": error.title, "message": error.message}}, "application/json"


def _routes(settings: ImageSettings, store: str) -> list[Route]:
    return [*_discovery(Discovery(settings, store)), *_images(Images(settings, store)), *_data(Data(settings)),
            *_members(Members(settings)), *_imports(Imports(settings, store))]


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
        Route("DELETE", "/v2/stores/{store_id}/{image_id}", handlers.delete_from_store, _ANY, "write"),
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


