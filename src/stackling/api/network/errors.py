"""Errors in Neutron's shape: ``{"NeutronError": {"type", "message", "detail"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.core.errors import QuotaExceeded, StacklingError, Unauthorized

STATUSES: Mapping[type[StacklingError], int] = {QuotaExceeded: 409}
_TYPES = {
    "StacklingError": "HTTPInternalServerError",
    "Invalid": "HTTPBadRequest", "NotFound": "HTTPNotFound", "Forbidden": "HTTPForbidden", "Conflict": "HTTPConflict",
    "MethodNotAllowed": "HTTPMethodNotAllowed", "TooLarge": "HTTPRequestEntityTooLarge", "QuotaExceeded": "OverQuota",
    "UnsupportedMediaType": "HTTPUnsupportedMediaType", "Unavailable": "HTTPServiceUnavailable",
    "NotImplementedHere": "HTTPNotImplemented", "PreconditionFailed": "HTTPPreconditionFailed",
}


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """The body and its media type; a missing token is answered as keystonemiddleware does."""
    if isinstance(error, Unauthorized):
        return {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, "application/json"
    name = _TYPES.get(error.type, error.type)
    return {"NeutronError": {"type": name, "message": error.message, "detail": ""}}, "application/json"
