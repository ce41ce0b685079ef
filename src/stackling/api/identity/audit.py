"""Writes down who changed what in Identity, as every other service writes its timelines: one line a request that
changed something, in the same transaction. What a request says isn't kept, since it may be a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from stackling.api.call import Call, Reply
from stackling.api.route import Route
from stackling.core.errors import StacklingError
from stackling.identity import projects, roles, users

log = logging.getLogger(__name__)
_CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_ASKS = re.compile(r"/v3/(auth/.*|ec2tokens|s3tokens)\Z|.*/auth\Z")
"""What signs in or looks at a token."""
_VERBS = {"POST": "create", "PUT": "create", "PATCH": "update", "DELETE": "delete"}
_SINGULAR = {"policies": "policy", "implies": "implied_role"}
LONGEST = 64


def audited(routes: Iterable[Route]) -> list[Route]:
    """*routes*, those that change something with a line for the timeline."""
    return [_audited(route) if _is_audited(route) else route for route in routes]


def _is_audited(route: Route) -> bool:
    own = route.policy is not None or route.path.endswith("/password")
    return route.method in _CHANGING and route.mode != "read" and own and not _ASKS.match(route.path)


def _audited(route: Route) -> Route:
    inner = route.handler

    def write(tx: Any, call: Call) -> Any:
        names = _names(tx, call.params)         # before: afterwards it may be gone
        reply = inner(tx, call)
        _note(tx, call, reply, names)
        return reply

    async def stream(call: Call) -> Any:
        reply = await inner(call)
        try:
            await call.cloud.transact(lambda tx: _note(tx, call, reply, _names(tx, call.params)))
        except StacklingError as error:         # it is done; that can't be taken back for want of a line
            log.warning("%s %s isn't in the audit: %s", route.method, call.request.path, error.message)
        return reply

    return replace(route, handler=write if route.mode == "write" else stream)


def _note(tx: Any, call: Call, reply: Any, names: Mapping[str, str]) -> None:
    """Add the line of a request that was answered with *reply*."""
    body = reply.body if isinstance(reply, Reply) else reply
    kind, id, event, message = described(call.route, call.params, body, names)
    ctx = call.ctx if call.ctx.user_id is not None else replace(call.ctx, user_id=call.params.get("user_id"))
    tx.event(ctx, kind, id[:LONGEST], event, message)


def _names(tx: Any, params: Mapping[str, str]) -> dict[str, str]:
    """What those are called whom *params* name, by the parameter."""
    found: dict[str, str] = {}
    for place, id in params.items():
        known = _known(tx, place, id)
        if known is not None:
            found[place] = known
    return found


def _known(tx: Any, place: str, id: str) -> str | None:
    if place in ("project_id", "domain_id"):
        return projects.names(tx, [id]).get(id)
    if place == "user_id":
        return users.names(tx, [id]).get(id)
    return next((role.name for role in roles.some(tx, [id])), None) if place == "role_id" else None


def described(route: Route, params: Mapping[str, str], body: Any, names: Mapping[str, str],
              ) -> tuple[str, str, str, str | None]:
    """(kind, id, event, message) of a request; *body* is its answer, which tells of what was made; *names* are by the
    parameters of the path."""
    parts = [part for part in route.path.split("/")[2:] if not part.startswith("OS-")]
    kind, rest = _one(parts[0]), parts[1:]
    id, name = _made(body)
    if rest and rest[0].startswith("{"):
        place = rest[0][1:-1]
        id, name, rest = params[place], names.get(place, name), rest[1:]
    elif kind == "system":
        id = "all"
    named = [f"{_one(what)} {names.get(place[1:-1], params[place[1:-1]])}" for what, place in pairwise(rest)
             if place.startswith("{") and not what.startswith("{")]
    if "roles" in rest:
        return kind, id, "grant" if route.method == "PUT" else "revoke", ", ".join(reversed(named))
    words = [_one(part) for part in rest if not part.startswith("{")]
    verb = "change" if words == ["password"] else "add" if words and route.method == "PUT" else _VERBS[route.method]
    return kind, id, "_".join((verb, *words)), ", ".join(named) or name


def _one(collection: str) -> str:
    return _SINGULAR.get(collection, collection.removesuffix("s"))


def _made(body: Any) -> tuple[str, str | None]:
    """The id and the name of the one thing that an answer shows."""
    shown: Any = next(iter(body.values()), None) if isinstance(body, dict) and len(body) == 1 else None    # pyright: ignore
    if not isinstance(shown, dict):
        return "-", None
    id, name = shown.get("id"), shown.get("name")       # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return id if isinstance(id, str) else "-", name if isinstance(name, str) else None
