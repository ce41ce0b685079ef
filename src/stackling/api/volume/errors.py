"""Cinder's error bodies: ``{"badRequest": {"code": 400, "message": …}}``."""

from __future__ import annotations

from typing import Any

from stackling.core.errors import QuotaExceeded, StacklingError

_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
    406: "computeFault", 409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit",
    501: "notImplemented", 503: "serviceUnavailable",
}
STATUSES: dict[type[StacklingError], int] = {QuotaExceeded: 413}


def error_body(error: StacklingError, _request_id: str) -> tuple[Any, str]:
    """(body, media type) of a refusal."""
    status = STATUSES.get(type(error), error.status)
    if status == 401:
        return {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, "application/json"
    return {_NAMES.get(status, "computeFault"): {"code": status, "message": error.message}}, "application/json"
