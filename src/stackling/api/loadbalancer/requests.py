"""What every request has: its body, its filters and pages, and who may make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from stackling.api.call import Call
from stackling.api.loadbalancer import attributes
from stackling.api.loadbalancer.attributes import Table
from stackling.api.loadbalancer.policy import API
from stackling.core.errors import Invalid
from stackling.loadbalancer.errors import forbidden
from stackling.loadbalancer.lists import TAG_FILTERS, Listed, ListQuery

MOST = 1000
_PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "fields", "page_reverse"})
_FLAGS = frozenset({"admin_state_up", "backup", "tls_enabled", "hsts_include_subdomains", "hsts_preload"})


def body(call: Call, name: str, table: Table) -> dict[str, Any]:
    """The converted body under its *name*."""
    given: Any = call.body.get(name) if isinstance(call.body, dict) else None    # pyright: ignore
    if not isinstance(given, dict):
        raise Invalid(f"Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing.")
    found = attributes.read(table, given)    # pyright: ignore[reportUnknownArgumentType]
    if found.get("tenant_id") and not found.get("project_id"):
        found["project_id"] = found["tenant_id"]
    found.pop("tenant_id", None)
    return found


# -- who may

def authorize(call: Call, resource: str, action: str, project_id: str | None) -> None:
    """Raises ``Forbidden`` unless the caller may do it in that project."""
    if not call.allowed(f"{API}:{resource}:{action}", {"project_id": project_id}):
        raise forbidden()


def visible_project(call: Call, resource: str) -> str | None:
    """Whose resources a list shows; None: everybody's."""
    wanted = call.query.last("project_id") or call.query.last("tenant_id")
    if call.allowed(f"{API}:{resource}:get_all-global", {"project_id": wanted}):
        return wanted
    project = wanted or call.ctx.project_id
    if project is None:
        raise forbidden()
    authorize(call, resource, "get_all", project)
    return project


# -- lists

def list_query(call: Call, listed: Listed) -> ListQuery:
    """What a list asks for; raises ``Invalid``."""
    query = ListQuery(limit=limit(call), marker=call.query.last("marker"),
                      reverse=call.query.last("page_reverse") == "True", sorts=_sorts(call, listed))
    for name, values in call.query.items():
        if name in _PAGING or name in ("project_id", "tenant_id"):
            continue
        if name in TAG_FILTERS:
            query.tags[name] = values
        elif name in listed.columns:
            query.filters[listed.columns[name]] = [_value(listed, name, value) for value in values]
        elif name in listed.same:
            query.nothing |= all(_same(name, value) != listed.same[name] for value in values)
        else:
            raise Invalid("One or more arguments are either duplicate or invalid")
    return query


def _same(name: str, value: str) -> Any:
    return _flag(name, value) if name in _FLAGS else value


def _flag(name: str, value: str) -> bool:
    try:
        return attributes.boolean(value)
    except ValueError as error:
        raise _unreadable(name, value, error) from None


def _unreadable(name: str, value: str, error: ValueError) -> Invalid:
    return Invalid(f"Invalid input for field/attribute {name}. Value: '{value[:200]}'. {error}")


def _value(listed: Listed, name: str, value: str) -> Any:
    if name in _FLAGS:
        return _flag(name, value)
    try:
        kind = listed.rows.table.c[listed.columns[name]].type.python_type
        return attributes.integer()(value) if kind is int else value
    except ValueError as error:
        raise _unreadable(name, value, error) from None


def limit(call: Call) -> int:
    """How many at most."""
    text = call.query.last("limit")
    if text is None or text == "infinite":
        return MOST
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
        raise Invalid(f"Supplied pagination limit '{text}' is not valid.")
    return min(int(text), MOST) if int(text) >= 1 else MOST


def _sorts(call: Call, listed: Listed) -> list[tuple[str, bool]]:
    pairs: list[tuple[str, str]] = []
    if call.query.last("sort"):
        for part in (call.query.last("sort") or "").split(","):
            key, _, way = part.partition(":")
            pairs.append((key, way or "asc"))
    elif call.query.last("sort_key"):
        keys = ",".join(call.query.all("sort_key")).split(",")
        ways = ",".join(call.query.all("sort_dir")).split(",") if call.query.all("sort_dir") else []
        pairs = [(key, ways[at] if at < len(ways) else "asc") for at, key in enumerate(keys)]
    found: list[tuple[str, bool]] = []
    for key, way in pairs:
        if way.lower() not in ("asc", "desc"):
            raise Invalid(f"Supplied sort direction '{way.lower()}' is not valid.")
        if key in listed.same:
            continue
        if key not in listed.columns:
            raise Invalid(f"Supplied sort key '{key}' is not valid.")
        found.append((listed.columns[key], way.lower() == "desc"))
    return found


def page(call: Call, collection: str, shown: Sequence[Mapping[str, Any]], query: ListQuery) -> dict[str, Any]:
    """A list's answer, with links to the next page and the previous one."""
    base = f"{call.base}{call.request.path}"
    kept = [("limit", str(query.limit)), *((name, value) for name in ("sort", "sort_key")
                                           if (value := call.query.last(name)))]
    links: list[dict[str, str]] = []
    if shown and query.marker is not None:
        previous = [*kept, ("marker", shown[0]["id"]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": f"{base}?{urlencode(previous)}"})
    if shown and len(shown) >= (query.limit or MOST):
        links.append({"rel": "next", "href": f"{base}?{urlencode([*kept, ('marker', shown[-1]['id'])])}"})
    return {collection: [fields(call, one) for one in shown], f"{collection}_links": links}


def fields(call: Call, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that the request asks for."""
    wanted = {name for value in call.query.all("fields") for name in value.split(",")}
    return {name: value for name, value in shown.items() if not wanted or name in wanted}
