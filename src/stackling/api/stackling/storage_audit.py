"""``/storage_audit``: what lies in the volumes' backends and isn't known, or is known and doesn't lie there."""

from __future__ import annotations

from typing import Any

from stackling.api.call import Call, Reply
from stackling.api.route import Route
from stackling.api.schema import always
from stackling.volume import audit

ASK = always({"type": "object", "additionalProperties": False, "properties": {"fix": {"type": "boolean"}}})


def _ask(tx: Any, call: Call) -> Reply:
    """POST /storage_audit: have one done; ``fix`` removes what is left of what was deleted."""
    return Reply({"storage_audit": {"number": audit.ask(tx, fix=call.body.get("fix", False)), "done": False}}, 202)


def _show(tx: Any, call: Call) -> Reply:
    """GET /storage_audit: the last one that was done."""
    found = audit.result(tx)
    return Reply({"storage_audit": None if found is None else {**found, "done": True}})


ROUTES = (
    Route("GET", "/storage_audit", _show, "stackling:storage_audit"),
    Route("POST", "/storage_audit", _ask, "stackling:storage_audit", mode="write", body=ASK),
)
