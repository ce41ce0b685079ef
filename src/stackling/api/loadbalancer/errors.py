"""Errors as Octavia's WSME answers them: ``{"faultcode", "faultstring", "debuginfo"}``."""

from __future__ import annotations

from typing import Any

from stackling.core.errors import StacklingError, Unauthorized


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """The body and its media type; a missing token is answered as keystonemiddleware does."""
    if isinstance(error, Unauthorized):
        return {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, "application/json"
    return {"faultcode": "Client" if 400 <= error.status < 500 else "Server", "faultstring": error.message,
            "debuginfo": None}, "application/json"
