"""What the resources of this API share: pieces of schemas, routes, links, pages."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stackling.api.call import Call, Query, Version
from stackling.api.route import Mode, Route
from stackling.api.schema import Schemas
from stackling.core.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 1000
Json = dict[str, Any]

# -- schemas

BOOLEAN: Json = {"type": ["boolean", "string"], "enum": [
    True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
    False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"]}
ANY: Json = {}
TEXT: Json = {"type": "string"}
UUID: Json = {"type": "string", "format": "uuid"}
NAME: Json = {"type": "string", "format": "name", "minLength": 1, "maxLength": 255}
IP: Json = {"type": "string", "oneOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
IPV4: Json = {"type": "string", "format": "ipv4"}
IPV6: Json = {"type": "string", "format": "ipv6"}
HOST: Json = {"type": "string", "pattern": "^[a-zA-Z0-9-._]*$", "minLength": 1, "maxLength": 255}
DISK_CONFIG: Json = {"type": "string", "enum": ["AUTO", "MANUAL"]}
DESCRIPTION: Json = {"type": ["string", "null"], "format": "printable", "minLength": 0, "maxLength": 255}
TAG: Json = {"type": "string", "pattern": "^[^,/]*$", "minLength": 1, "maxLength": 60}
PLAIN: Json = {"type": "string", "minLength": 1, "maxLength": 255}
METADATA: Json = {"type": "object", "additionalProperties": False, "patternProperties": {
    "^[a-zA-Z0-9-_:. ]{1,255}$": {"type": "string", "maxLength": 255}}}
COUNT: Json = {"type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 0, "minLength": 1}
POSITIVE: Json = {"type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 1, "minLength": 1}


def number(least: int, most: int = 0x7FFFFFFF) -> Json:
    """An integer, perhaps written as a string."""
    return {"type": ["integer", "string"], "pattern": "^-?[0-9]+$" if least < 0 else "^[0-9]+$", "minimum": least,
            "maximum": most}


def obj(properties: Mapping[str, Any], *required: str, more: bool = False, **rest: Any) -> Json:
    """An object with these properties, *more* only if so said."""
    return {"type": "object", "properties": dict(properties), "required": list(required),
            "additionalProperties": more, **rest}


def array(items: Json, **rest: Any) -> Json:
    """An array of *items*."""
    return {"type": "array", "items": items, **rest}


def only(key: str, value: Json, **rest: Any) -> Json:
    """An object whose one property is *key*."""
    return obj({key: value}, key, **rest)


def query(properties: Mapping[str, Json], *, more: bool = True) -> Json:
    """A query string: every key may come several times. A JSON schema over ``Query``."""
    return obj({name: array(value) for name, value in properties.items()}, more=more)


def single_query(properties: Mapping[str, Json]) -> Json:
    """A query string whose keys come once at most and are no others."""
    return obj({name: array(value, maxItems=1) for name, value in properties.items()})


def strict_from(version: Version, properties: Mapping[str, Json]) -> Schemas:
    """A query whose unknown keys are ignored before *version* and refused from it on."""
    return Schemas({(2, 0): query(properties), version: query(properties, more=False)})


PAGE = {"limit": COUNT, "marker": TEXT}


def is_true(value: Any) -> bool:
    """Nova's words for yes."""
    return value is True or str(value).strip().lower() in ("1", "t", "true", "on", "y", "yes")


def canonical_ip(text: str | None) -> str | None:
    """A checked IP address as RFC 5952 writes it."""
    return str(ipaddress.ip_address(text)) if text else text


# -- routes

def route(method: str, path: str, handler: Callable[..., Any], rule: str | None, **rest: Any) -> Route:
    """A route below ``/v2.1``; *rule* without the usual prefix. GET reads, the others write."""
    mode: Mode = rest.pop("mode", "read" if method == "GET" else "write")
    name = rule if rule is None or rule.startswith(("compute:", "os_compute_api:")) else f"os_compute_api:{rule}"
    return Route(method, f"/v2.1{path}", handler, name, mode=mode, **rest)


# -- pages and links

def link_base(call: Call) -> str:
    """The service's address as the client wrote it, without the version."""
    return f"{call.base}{call.service.prefix}"


def links(call: Call, collection: str, id: str) -> list[Json]:
    """``self`` and ``bookmark``."""
    base = link_base(call)
    return [{"rel": "self", "href": f"{base}/v2.1/{collection}/{id}"},
            {"rel": "bookmark", "href": f"{base}/{collection}/{id}"}]


def limit_of(found: Query, most: int = MAX_LIMIT) -> int:
    """``limit``, at most *most*. Raises ``Invalid``."""
    text = found.last("limit")
    if text is None:
        return most
    if not text.isdecimal():
        raise Invalid("limit must be an integer >= 0" if text.lstrip("-").isdecimal() else
                      f"limit param must be an integer: {text}")
    return min(int(text), most)


def next_links(call: Call, collection: str, items: list[Any], limit: int, last: Callable[[], str]) -> list[Json]:
    """The link to the next page, if this one is full."""
    if not items or len(items) < limit or limit == 0:
        return []
    from urllib.parse import urlencode

    kept = [(key, value) for key, values in call.query.items() if key != "marker" for value in values]
    href = f"{link_base(call)}/v2.1/{collection}?{urlencode([*kept, ('marker', last())])}"
    return [{"rel": "next", "href": href}]
