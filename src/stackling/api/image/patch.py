"""JSON patches as Glance reads them: media types ``application/openstack-images-v2.{0,1}-json-patch``. Pure.

Version 2.1 is ``{"op": "replace", "path": "/name", "value": …}``, 2.0 is ``{"replace": "/name", "value": …}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stackling.core.errors import Forbidden, Invalid
from stackling.image.model import RESERVED, Change

V20, V21 = "application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"
OPERATIONS = ("add", "remove", "replace")
READ_ONLY = ("created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self", "file",
             "schema", "id", "os_hash_algo", "os_hash_value", "stores")
RESERVED_NAMES = ("location", "deleted", "deleted_at")
MOST_NAME = 255


def changes(body: Any, media_type: str, check: Callable[[dict[str, Any]], None]) -> list[Change]:
    """The operations; *check* is given each new value under its name. Raises ``Invalid`` or ``Forbidden``."""
    if not isinstance(body, list):
        raise Invalid("Request body must be a JSON array of operation objects.")
    return [_change(raw, media_type == V20, check) for raw in body]     # pyright: ignore[reportUnknownVariableType]


def check_settable(name: str) -> None:
    """Raises ``Forbidden`` for attributes that only the cloud sets."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED_NAMES or name.startswith(RESERVED):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def _change(raw: Any, old: bool, check: Callable[[dict[str, Any]], None]) -> Change:
    if not isinstance(raw, dict):
        raise Invalid("Operations must be JSON objects.")
    op, path = _old_operation(raw) if old else _operation(raw)   # pyright: ignore[reportUnknownArgumentType]
    parts = pointer(path)
    name = parts[0]
    depth = {"add": 2, "remove": 2, "replace": 1}[op] if name == "locations" else 1
    if len(parts) != depth:
        raise Invalid(f"Invalid JSON pointer for this resource: '/{'/'.join(parts)}'")
    if op != "remove" and "value" not in raw:
        raise Invalid(f'Operation "{op}" requires a member named "value".')
    check_settable(name)
    if name == "locations":
        raise Forbidden("It's not allowed to update locations if locations are invisible.")
    if op == "remove":
        return Change(op, name)
    if len(name) > MOST_NAME:
        raise Invalid("Custom property should not be greater than 255 characters.")
    value: Any = raw["value"]       # pyright: ignore[reportUnknownVariableType]
    check({name: value})
    return Change(op, name, value, strict=old)


def _operation(raw: dict[str, Any]) -> tuple[str, Any]:
    op = raw.get("op")
    if op is None:
        raise Invalid("Unable to find `op` in JSON Schema change. It must be one of the following: "
                      f"{', '.join(OPERATIONS)}.")
    if op not in OPERATIONS:
        raise Invalid(f"Invalid operation: `{op}`. It must be one of the following: {', '.join(OPERATIONS)}.")
    if "path" not in raw:
        raise Invalid("Unable to find 'path' in JSON Schema change")
    return op, raw["path"]


def _old_operation(raw: dict[str, Any]) -> tuple[str, Any]:
    found = [op for op in OPERATIONS if op in raw]
    if len(found) > 1:
        raise Invalid('Operation objects must contain only one member named "add", "remove", or "replace".')
    if not found:
        raise Invalid('Operation objects must contain exactly one member named "add", "remove", or "replace".')
    return found[0], raw[found[0]]


def pointer(text: Any) -> list[str]:
    """The parts of a JSON pointer (RFC 6901, of which Glance takes a limited form). Raises ``Invalid``."""
    if not isinstance(text, str):
        raise Invalid("A JSON pointer is a string.")
    if not text.startswith("/"):
        raise Invalid(f'Pointer `{text}` does not start with "/".')
    if re.search(r"/\s*?/", text[1:]):
        raise Invalid(f'Pointer `{text}` contains adjacent "/".')
    if len(text) > 1 and text.endswith("/"):
        raise Invalid(f'Pointer `{text}` end with "/".')
    if not text[1:].strip():
        raise Invalid(f"Pointer `{text}` does not contains valid token.")
    if re.search(r"~[^01]", text) or text.endswith("~"):
        raise Invalid(f'Pointer `{text}` contains "~" not part of a recognized escape sequence.')
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in text[1:].split("/")]
