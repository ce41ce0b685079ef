"""Routes as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stackling.api.call import Version
from stackling.api.policy import Policy
from stackling.core.errors import StacklingError

if TYPE_CHECKING:
    from stackling.api.schema import Schemas

Mode = Literal["read", "write", "stream"]
JSON = ("application/json",)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    ``read`` and ``write`` handlers are plain functions ``handler(tx, call)`` run in one transaction (a reading one
    inside the event loop where the database is SQLite). A ``stream`` handler is ``async handler(call)`` and opens
    its own transactions through ``call.cloud``; its JSON body is read only where it has a schema. A handler returns a
    ``Reply`` or a JSON-able body (None: no body).

    ``policy`` None makes the operation public: no token is asked for. ``status`` answers where a ``Reply`` names
    none. ``min``/``max`` bound the microversion; outside them the route doesn't exist (404). ``limit`` is the most
    bytes that a body may have.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    policy: str | None
    mode: Mode = "read"
    body: Schemas | None = None
    query: Schemas | None = None
    status: int = 200
    min: Version | None = None
    max: Version | None = None
    limit: int = 1 << 20
    content_types: tuple[str, ...] = JSON
    unscoped: bool = False
    """Whether a token without any scope is good enough (Identity's own calls)."""


@dataclass(frozen=True, slots=True)
class Microversions:
    """A service's range and the headers by which it is asked for."""

    service_type: str
    lowest: Version
    highest: Version
    default: Version
    legacy_header: str | None = None


ErrorBody = Callable[[StacklingError, str], tuple[Any, str]]
"""(error, request id) → (body, content type)."""


@dataclass(frozen=True, slots=True)
class Service:
    """One API under its path."""

    name: str
    prefix: str
    routes: Sequence[Route]
    policy: Policy
    error_body: ErrorBody
    microversions: Microversions | None = None
    request_id_headers: tuple[str, ...] = ("X-Openstack-Request-Id",)
    head: bool = False
    """Whether every GET also answers HEAD (Identity)."""
    hides_methods: bool = False
    """Whether another method of a path that exists is 404 (Nova) instead of 405."""
    of_projects: bool = False
    """Whether a token must be a project's (``scope_types=["project"]`` of all policies upstream)."""
    conceals: bool = False
    """Whether another token is told of one resource that it isn't there, instead of that it is forbidden."""
    statuses: Mapping[type[StacklingError], int] = field(default_factory=dict[type[StacklingError], int])
    """Where this API's status differs from the error's own (Network's quota is 409)."""
