"""Request bodies, checked as upstream checks them; the message is Keystone's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.api.call import Version
from stackling.api.schema import Schema, Schemas
from stackling.core.errors import Invalid

NAME = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"[\S]+"}
SHORT_NAME = {**NAME, "maxLength": 64}
ID = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[a-zA-Z0-9-]+$"}
TEXT = {"type": "string"}
DESCRIPTION = {"type": ["string", "null"]}
BOOLEAN = {"type": "boolean", "enum": [True, False]}
INTEGER = {"type": "integer"}
TAG = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^,/]*$"}
TAGS = {"type": "array", "items": TAG, "maxItems": 80, "uniqueItems": True}
URL = {"type": "string", "minLength": 0, "maxLength": 225, "pattern": "^[a-zA-Z0-9+.-]+:.+"}
IMMUTABLE = {"type": "object", "properties": {"immutable": {"type": ["boolean", "null"]}},
             "additionalProperties": False}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """*schema*, or null."""
    found = dict(schema)
    types = found["type"] if isinstance(found["type"], list) else [found["type"]]
    found["type"] = [*types, "null"]
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


class Body(Schemas):
    """The schema of a body whose one member is *key*."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        super().__init__({(0, 0): schema})
        self._schema = Schema(schema)

    def check(self, value: Any, version: Version, *, query: bool = False) -> None:
        """Raises ``Invalid`` in Keystone's words."""
        if self._schema.holds(value):
            return
        path, message = self._schema.first_error(value)
        raise Invalid(f"Invalid input for field '{'/'.join(path)}': {message}" if path else message,
                      type="SchemaValidationError")


def member(key: str, properties: Mapping[str, Any], required: tuple[str, ...] = (), *, open_: bool = True,
           at_least: int = 0) -> Body:
    """``{key: {…}}``; *open_*: attributes that aren't named are kept too; *at_least*: how many there must be."""
    inner: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": open_}
    if required:
        inner["required"] = list(required)
    if at_least:
        inner["minProperties"] = at_least
    return Body({"type": "object", "properties": {key: inner}, "required": [key]})
