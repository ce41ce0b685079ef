"""The shape of Identity's errors: ``{"error": {"code", "message", "title"}}``."""

from __future__ import annotations

from typing import Any

from stackling.core.errors import StacklingError


def error_body(error: StacklingError, request_id: str) -> tuple[Any, str]:
    """As Keystone renders an error; some 401 tell which methods exist."""
    shown: dict[str, Any] = {"code": error.status, "message": error.message, "title": error.title}
    if "identity" in error.details:
        shown["identity"] = error.details["identity"]
    return {"error": shown}, "application/json"
