"""Nova's error bodies: ``{"badRequest": {"code": 400, "message": …}}``."""

from __future__ import annotations

from typing import Any

from stackling.core.errors import StacklingError

_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
    409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit", 501: "notImplemented",
    503: "serviceUnavailable",
}


def error_body(error: StacklingError, _request_id: str) -> tuple[Any, str]:
    """(body, media type) of a refusal."""
    if error.status == 401:
        return {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, "application/json"
    name = _NAMES.get(error.status, "computeFault")
    return {name: {"code": error.status, "message": error.message}}, "application/json"
