"""``GET /audit``: who did what and when, for administrators, from every resource's timeline."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from stackling.api.call import Call, Reply
from stackling.core import clock
from stackling.core.errors import Invalid
from stackling.identity import facade as identity

MOST, USUAL = 1000, 100
EXACT = ("kind", "resource_id", "project_id", "user_id", "request_id", "source", "event")
KNOWN = frozenset({*EXACT, "since", "before", "marker", "limit", "by_people"})
Find = Callable[..., list[dict[str, Any]]]
"""As ``store.audit.find``."""
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def handler(find: Find) -> Callable[[Call], Awaitable[Reply]]:
    """GET /audit. A long search must not hold up others, so it runs beside them on every database."""
    async def index(call: Call) -> Reply:
        if unknown := sorted(set(call.query) - KNOWN):
            raise Invalid(f"There is no filter {unknown[0]}; there are {', '.join(sorted(KNOWN))}.")
        exact = {name: value for name in EXACT if (value := call.query.last(name))}
        limit = _number(call, "limit", MOST) or USUAL
        wanted = {"since": _instant(call, "since"), "before": _instant(call, "before"), "limit": limit,
                  "below": _number(call, "marker", 10**18), "by_people": _yes(call, "by_people")}
        found = await call.cloud.blocking(call.cloud.database.read, _look, find, exact, wanted)
        return Reply({"events": found, "next": found[-1]["seq"] if len(found) == limit else None})

    return index


def _look(tx: Any, find: Find, exact: dict[str, str], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    found = find(tx, exact, **wanted)
    users, projects = identity.names_of(tx, *(
        {line[name] for line in found if line[name] is not None} for name in ("user_id", "project_id")))
    return [line | {"at": f"{line['at']}Z", "user_name": users.get(line["user_id"]),
                    "project_name": projects.get(line["project_id"])} for line in found]


def _number(call: Call, name: str, most: int) -> int | None:
    text = call.query.last(name)
    if not text:
        return None
    if not _NUMBER.match(text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name} must be a number between 1 and {most}.")
    return int(text)


def _yes(call: Call, name: str) -> bool:
    text = (call.query.last(name) or "false").lower()
    if text not in ("true", "false"):
        raise Invalid(f"{name} must be true or false.")
    return text == "true"


def _instant(call: Call, name: str) -> str | None:
    text = call.query.last(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is None else found.astimezone(UTC)).strftime(clock.FORMAT)
    except (ValueError, OverflowError):
        raise Invalid(f"{name} must be an instant, as 2026-11-23T06:00:00Z.") from None
