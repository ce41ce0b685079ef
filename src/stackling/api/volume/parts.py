"""What the resources of this API share: routes, schemas, filters, pages, links."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from stackling.api.call import Call, Reply, Version
from stackling.api.compute.parts import BOOLEAN, Json, array, is_true, obj, only
from stackling.api.route import Mode, Route
from stackling.core.clock import FORMAT
from stackling.core.errors import Forbidden, Invalid
from stackling.volume import lists
from stackling.volume.lists import Condition, Listing

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

__all__ = ["BOOLEAN", "Json", "array", "is_true", "obj", "only"]
LOWEST, HIGHEST = (3, 0), (3, 71)
PROJECT = "stackling.project"
"""Where the application keeps the project that stood in the path (``api.app``)."""
MAX_LIMIT = 1000
NAME: Json = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}
SOME_NAME: Json = {"type": "string", "minLength": 1, "maxLength": 255, "format": "name_with_leading_trailing_spaces"}
DESCRIPTION: Json = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}
UUID: Json = {"type": "string", "format": "uuid"}
UUID_OR_NULL: Json = {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}
TEXT: Json = {"type": "string"}
TEXT_OR_NULL: Json = {"type": ["string", "null"]}
METADATA: Json = {"type": "object", "additionalProperties": False, "patternProperties": {
    "^[a-zA-Z0-9-_:. /]{1,255}$": {"type": "string", "maxLength": 255}}}
METADATA_OR_NULL: Json = {**METADATA, "type": ["object", "null"]}
EXTRA_SPECS: Json = {"type": "object", "additionalProperties": False, "patternProperties": {
    "^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "null"], "minLength": 0, "maxLength": 255}}}
_COMPARISONS = ("gt", "gte", "eq", "neq", "lt", "lte")


def route(method: str, path: str, handler: Callable[..., Any], rule: str | None, **rest: Any) -> Route:
    """A route below ``/v3``. GET reads, the others write."""
    mode: Mode = rest.pop("mode", "read" if method == "GET" else "write")

    @functools.wraps(handler)
    def checked(tx: Tx, call: Call) -> Any:
        named = call.request.scope.get(PROJECT)
        if named is not None and named != call.ctx.project_id:
            raise Invalid("Malformed request url")
        if call.ctx.project_id is None and not call.ctx.is_admin:
            raise Forbidden("Volumes are a project's: ask with a token for one.")
        return handler(tx, call)

    return Route(method, f"/v3{path}", checked, rule, mode=mode, **rest)


def target(row: Mapping[str, Any]) -> Json:
    """What a rule about a row is checked against."""
    return {"project_id": row["project_id"], "user_id": row.get("user_id")}


def permits(call: Call, rule: str) -> bool:
    """Whether the caller may in their own project; for what belongs to nobody's."""
    return call.allowed(rule, {"project_id": call.ctx.project_id, "user_id": call.ctx.user_id})


def authorize(call: Call, row: Mapping[str, Any], rule: str) -> None:
    """Raises ``Forbidden``."""
    call.authorize(target(row), rule)



def links(call: Call, collection: str, id: str) -> list[Json]:
    """``self`` and ``bookmark``."""
    base, project = f"{call.base}{call.service.prefix}", call.ctx.project_id
    inside = f"/{project}" if call.request.scope.get(PROJECT) else ""
    return [{"rel": "self", "href": f"{base}/v3{inside}/{collection}/{id}"},
            {"rel": "bookmark", "href": f"{base}{inside}/{collection}/{id}"}]


# -- pages

def _number(call: Call, name: str, default: int) -> int:
    text = call.query.last(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise Invalid(f"{name} param must be an integer") from None
    if value < 0:
        raise Invalid(f"{name} param must be positive")
    if value > 0x7FFFFFFF:
        raise Invalid(f"{name} param is out of range")
    return value


def listing(call: Call, sort_keys: Mapping[str, str], conditions: Sequence[Condition], *, everybodys: bool,
            project_column: str = "project_id") -> Listing:
    """The page that the query asks for. *everybodys*: with ``all_tenants`` administrators see all projects'."""
    project = call.ctx.project_id or ""
    everything = everybodys and call.ctx.is_admin and is_true(call.query.last("all_tenants") or "0")
    if call.query.last("all_tenants") is not None and str(call.query.last("all_tenants")).lower() not in (
            "0", "1", "true", "false", "t", "f", "yes", "no", "on", "off", "y", "n", ""):
        raise Invalid(f"all_tenants must be a boolean, not {call.query.last('all_tenants')}.")
    wanted = call.query.last("project_id")
    if everything and wanted:
        conditions = [*conditions, Condition(project_column, "eq", wanted)]
    sort = lists.sort_of(call.query.last("sort"), call.query.all("sort_key"), call.query.all("sort_dir"), sort_keys)
    return Listing(None if everything else project, min(_number(call, "limit", MAX_LIMIT), MAX_LIMIT),
                   _number(call, "offset", 0), call.query.last("marker"), sort, tuple(conditions), project_column)


def paged(call: Call, collection: str, key: str, shown: list[Json], asked: Listing, *, path: str = "") -> Json:
    """The page's body, with a link to the next one where this is full."""
    body: Json = {key: shown}
    if shown and asked.limit and len(shown) >= asked.limit:
        base = links(call, collection, "")[0]["href"].rstrip("/")
        kept = [(name, value) for name, values in call.query.items() if name not in ("marker", "offset")
                for value in values]
        href = f"{base}{path}?{urlencode([*kept, ('marker', shown[-1]['id'])])}"
        body[f"{key}_links"] = [{"rel": "next", "href": href}]
    return body


# -- filters

def literal(name: str, text: str) -> dict[str, str]:
    """``{'key': 'value'}`` as Cinder's clients write it. Raises ``Invalid``."""
    try:
        found = ast.literal_eval(text) if len(text) < 10_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"Invalid input received: {name} must be a dictionary, as {{'key': 'value'}}.")
    items = cast("dict[object, object]", found)
    return {str(key): str(value) for key, value in items.items()}


def instants(call: Call, since: Version = (3, 60)) -> list[Condition]:
    """``created_at=gt:2026-…,lt:…`` and ``updated_at``."""
    conditions: list[Condition] = []
    for name in ("created_at", "updated_at"):
        text = call.query.last(name)
        if text is None:
            continue
        if call.version < since:
            conditions.append(Condition(name, "eq", text))
            continue
        for part in text.split(","):
            operator, colon, value = part.partition(":")
            if operator not in _COMPARISONS or not colon:
                operator, value = "eq", part
            conditions.append(Condition(name, operator, instant(name, value)))
    return conditions


def instant(name: str, text: str) -> str:
    """As it is stored. Raises ``Invalid``."""
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise Invalid(f"Invalid input received: '{name}' must be an ISO 8601 time, as 2026-11-22T10:00:00.") from None
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)).strftime(FORMAT)


def like(call: Call, name: str, column: str, conditions: list[Condition]) -> None:
    """``name`` and, from 3.31 on, ``name~``."""
    if (value := call.query.last(name)) is not None:
        conditions.append(Condition(column, "eq", value))
    if call.version >= (3, 31) and (value := call.query.last(f"{name}~")) is not None:
        conditions.append(Condition(column, "like", value))



def truth(name: str, text: str) -> bool:
    """A boolean in a query. Raises ``Invalid``."""
    lowered = text.strip().lower()
    if lowered in ("1", "t", "true", "on", "y", "yes"):
        return True
    if lowered in ("0", "f", "false", "off", "n", "no"):
        return False
    raise Invalid(f"Invalid input received: {name} must be true or false, not {text}.")


def number(name: str, text: str) -> int:
    """An integer in a query. Raises ``Invalid``."""
    try:
        return max(-(2**31), min(int(text), 2**31 - 1))
    except ValueError:
        raise Invalid(f"Invalid input received: {name} must be an integer, not {text}.") from None


def one_action(call: Call, actions: Mapping[str, Callable[..., Any]], tx: Tx, row: Any) -> Reply:
    """Run the action that the body names. Raises ``Invalid`` for none, several, or one that isn't there."""
    body: Json = call.body
    known = [name for name in body if name in actions]
    if len(body) != 1 or not known:
        raise Invalid("There is no such action: " + ", ".join(sorted(body)) if body else "Malformed request body")
    return actions[known[0]](tx, call, row, body[known[0]])


def value_of(body: Any, key: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
    """A checked entry of an action's body. Raises ``Invalid``."""
    found: Any = cast("Json", body).get(key, default) if isinstance(body, dict) else default
    if found is ...:
        raise Invalid(f"Invalid input for field/attribute {key}: it is missing.")
    if found is not default and not isinstance(found, kind):
        raise Invalid(f"Invalid input for field/attribute {key}. Value: {found}.")
    return found


def boolean(name: str, value: Any) -> bool:
    """A boolean as clients write it. Raises ``Invalid``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return truth(name, value)
    raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. {value} is not a boolean.")
