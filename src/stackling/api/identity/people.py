"""Users and groups as the API shows them and as rules see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.view import with_links
from stackling.core.errors import Invalid, NotFound
from stackling.identity import federated, groups, users
from stackling.identity.model import Group, User

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_OPERATORS = ("eq", "neq", "lt", "lte", "gt", "gte")


def show_user(call: Call, user: User) -> dict[str, Any]:
    """A user as the API shows it."""
    shown = {**user.extra, "id": user.id, "name": user.name, "domain_id": user.domain_id, "enabled": user.enabled,
             "password_expires_at": user.password_expires_at, "options": dict(user.options)}
    if user.default_project_id is not None:
        shown["default_project_id"] = user.default_project_id
    return with_links(call, "users", shown)


def with_federated(tx: Tx, shown: dict[str, Any]) -> dict[str, Any]:
    """Add how identity providers know the user, where any does."""
    by_provider: dict[str, list[dict[str, str]]] = {}
    for one in federated.objects(tx, [shown["id"]]):
        by_provider.setdefault(one.idp_id, []).append({"protocol_id": one.protocol_id, "unique_id": one.unique_id})
    if by_provider:
        shown["federated"] = [{"idp_id": id_, "protocols": known} for id_, known in by_provider.items()]
    return shown


def show_group(call: Call, group: Group) -> dict[str, Any]:
    """A group as the API shows it."""
    return with_links(call, "groups", {**group.extra, "id": group.id, "name": group.name,
                                       "domain_id": group.domain_id, "description": group.description})


def user_target(tx: Tx, user_id: str) -> dict[str, Any]:
    """What rules say of a user; empty where there is none."""
    try:
        found = users.get_user(tx, user_id)
    except NotFound:
        return {}
    return {"id": found.id, "name": found.name, "domain_id": found.domain_id}


def group_target(tx: Tx, group_id: str) -> dict[str, Any]:
    """What rules say of a group; empty where there is none."""
    try:
        found = groups.get_group(tx, group_id)
    except NotFound:
        return {}
    return {"id": found.id, "name": found.name, "domain_id": found.domain_id}


def expiry_filter(call: Call) -> tuple[str, str] | None:
    """``password_expires_at=lt:2026-01-01T00:00:00Z`` as operator and instant. Raises ``Invalid``."""
    text = call.query.last("password_expires_at")
    if text is None:
        return None
    operator, colon, instant = text.partition(":")
    if not colon or operator not in _OPERATORS:
        raise Invalid(f"The given operator {operator[:20]} is not valid. It must be one of the following: 'eq', 'neq', "
                      "'lt', 'lte', 'gt', or 'gte'.")
    try:
        moment = datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ")   # noqa: DTZ007
    except ValueError:
        raise Invalid("Timestamp not in expected format. The server could not comply with the request since it is "
                      "either malformed or otherwise incorrect. The client is assumed to be in error.") from None
    return operator, moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
