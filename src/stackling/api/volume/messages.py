"""``/messages`` (3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.volume.parts import Json, authorize, links, listing, paged, route
from stackling.core.errors import NotFound
from stackling.volume import facade, lists, messages
from stackling.volume.lists import Condition
from stackling.volume.rows import AnyRow

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SORT_KEYS = {"id": "id", "created_at": "created_at", "message_level": "level", "resource_type": "resource_type",
              "resource_uuid": "resource_uuid", "event_id": "detail_id"}


def _shown(call: Call, row: AnyRow) -> Json:
    return {"id": row["id"], "event_id": f"VOLUME_{row['resource_type']}_{row['action_id']}_{row['detail_id']}",
            "user_message": row["text"], "message_level": row["level"], "created_at": row["created_at"],
            "guaranteed_until": row["expires_at"], "request_id": row["request_id"],
            "resource_type": row["resource_type"], "resource_uuid": row["resource_uuid"],
            "links": links(call, "messages", row["id"])}


def index(tx: Tx, call: Call) -> Reply:
    """GET /messages."""
    conditions = [Condition(column, "eq", value) for key, column in (
        ("resource_uuid", "resource_uuid"), ("resource_type", "resource_type"), ("message_level", "level"),
        ("request_id", "request_id")) if (value := call.query.last(key)) is not None]
    asked = listing(call, _SORT_KEYS, conditions, everybodys=False)
    shown = [_shown(call, row) for row in lists.page(tx, facade.MESSAGES, asked)]
    return Reply(paged(call, "messages", "messages", shown, asked))


def _find(tx: Tx, call: Call, rule: str) -> AnyRow:
    row = messages.get(tx, call.params["id"])
    if row is None or (row["project_id"] != call.ctx.project_id and not call.ctx.is_admin):
        raise NotFound(f"Message {call.params['id']} could not be found.")
    authorize(call, row, rule)
    return row


def show(tx: Tx, call: Call) -> Reply:
    """GET /messages/{id}."""
    return Reply({"message": _shown(call, _find(tx, call, "message:get"))})


def delete(tx: Tx, call: Call) -> Reply:
    """DELETE /messages/{id}."""
    messages.forget(tx, _find(tx, call, "message:delete")["id"])
    return Reply(status=204)


ROUTES = [
    route("GET", "/messages", index, "message:get_all", min=(3, 3)),
    route("GET", "/messages/{id}", show, "message:get", min=(3, 3)),
    route("DELETE", "/messages/{id}", delete, "message:delete", min=(3, 3), status=204),
]
