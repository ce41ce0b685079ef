"""Our request schemas accept and refuse what Nova's do, route by route and microversion by microversion.

``nova-requests.json.gz`` holds the request and query schemas of OpenStack 2026.2's compute API (nova 34.0.0, licensed
under the Apache License 2.0) as its own code declares them. Samples are made from those: valid ones, and each of them
with one thing wrong.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.api.compute import server_actions
from stackling.api.compute.service import service
from stackling.api.route import Route
from stackling.api.schema import Schema, Schemas
from stackling.core.errors import Invalid

_FACTS = json.loads(gzip.decompress((Path(__file__).parent / "nova-requests.json.gz").read_bytes()))
_ROUTES: dict[tuple[str, str], list[Route]] = {}
for _route in service().routes:
    _shape = "/".join("{}" if part.startswith("{") else part for part in _route.path.removeprefix("/v2.1").split("/"))
    _ROUTES.setdefault((_route.method, _shape), []).append(_route)
_HIGHEST = 104
_OURS = {
    "addFloatingIp": "takes ids too", "removeFloatingIp": "takes ids too",
}


def _minor(text: str | None, default: int) -> int:
    return default if text is None else int(text.split(".")[1])


def _shape_of(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _route(method: str, path: str, minor: int) -> Route | None:
    for route in _ROUTES.get((method, _shape_of(path)), ()):
        if (route.min is None or (2, minor) >= route.min) and (route.max is None or (2, minor) <= route.max):
            return route
    return None


def _pairs() -> Iterator[Any]:
    """(name, minor, Nova's schema, our schemas) for every route that we serve."""
    for fact in _FACTS:
        for part in ("request_body", "query"):
            for version in fact.get(part, ()):
                for minor in {max(1, _minor(version["min"], 1), _minor(fact["min"], 1)),
                              min(_minor(version["max"], _HIGHEST), _minor(fact["max"], _HIGHEST))}:
                    ours = _ours(fact, part, minor)
                    if ours is not None and fact["action"] not in _OURS:
                        name = f"{fact['method']} {fact['path']} {fact['action'] or ''} {part} 2.{minor}"
                        yield pytest.param(version["schema"], ours, minor, id=name)


def _ours(fact: dict[str, Any], part: str, minor: int) -> Schemas | None:
    if fact["action"] is not None and fact["path"] == "/servers/{id}/action":
        action = server_actions.ACTIONS.get(fact["action"])
        return action.body if action else None
    route = _route(fact["method"], fact["path"], minor)
    if route is None or fact["action"] is not None:
        return None
    return route.body if part == "request_body" else route.query


# -- samples

_FORMATS = {
    "uuid": "9d1d2c1e-3a4b-4c5d-8e6f-001122334455", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "base64": "aGVsbG8=",
    "date-time": "2026-01-02T03:04:05Z", "cidr": "192.0.2.0/24", "regex": "web.*", "name": "a name",
    "name_with_leading_trailing_spaces": "a name", "az_name": "zone", "printable": "text",
}
_TEXTS = ("abc", "1", "a", "ssh", "active", "/dev/vda", "/0")


def _valid(schema: Any, *, full: bool) -> Any:
    """A value that *schema* accepts, with all properties if *full*."""
    if schema is True or schema == {}:
        return None
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("oneOf", "anyOf"):
        if word in schema:
            base = {k: v for k, v in schema.items() if k != word}
            return _valid({**base, **schema[word][0]}, full=full)
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged.update(part)
        return _valid(merged, full=full)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: _valid(value, full=full) for name, value in schema.get("properties", {}).items()
                if full or name in schema.get("required", ())}
    if kind == "array":
        items = schema.get("prefixItems", [schema.get("items", {})])[:1]
        wanted = full or schema.get("minItems")
        return [_valid(item, full=full) for item in items if item is not False] if wanted else []
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema)


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("maxLength") == 0:
        return ""
    return next((text for text in _TEXTS if _checker(schema).holds(text)), "abc")


def _checker(schema: dict[str, Any]) -> Schema:
    return Schema(schema)


_WRONG: tuple[Any, ...] = (
    None, 5, -1, 2.5, True, "", " ", "x" * 300, "é\n", [], [1], {}, {"x": 1}, "no/such,thing", "1", "-1", "TRUE",
    "maybe", "9d1d2c1e-3a4b-4c5d-8e6f-001122334455", "2001:db8::1", "10.0.0.1")


def _mutations(value: Any) -> Iterator[Any]:
    """*value* with one thing changed: a property gone, one too many, one replaced."""
    for path in _paths(value):
        for wrong in _WRONG:
            yield _replaced(value, path, wrong)
        found = _at(value, path)
        if isinstance(found, dict):
            yield _replaced(value, path, {**found, "surplus": "x"})
            for name in found:
                yield _replaced(value, path, {k: v for k, v in found.items() if k != name})
        if isinstance(found, list) and found:
            yield _replaced(value, path, found * 2)
            yield _replaced(value, path, found * 60)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    result = copy.deepcopy(value)
    _at(result, path[:-1])[path[-1]] = new
    return result


def _accepts(schemas: Schemas, value: Any, minor: int) -> bool:
    try:
        schemas.check(value, (2, minor))
    except Invalid:
        return False
    return True


@pytest.mark.parametrize(("nova", "ours", "minor"), list(_pairs()))
def test_the_same_samples_are_accepted(nova: dict[str, Any], ours: Schemas, minor: int) -> None:
    theirs = Schema(nova)
    differences: list[str] = []
    for full in (False, True):
        sample = _valid(nova, full=full)
        for value in (sample, *_mutations(sample)):
            if theirs.holds(value) != _accepts(ours, value, minor):
                differences.append(f"Nova {'accepts' if theirs.holds(value) else 'refuses'} {json.dumps(value)[:300]}")
    assert not differences, "\n".join(differences[:12])
