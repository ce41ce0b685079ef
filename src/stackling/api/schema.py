"""Request schemas: JSON Schema by microversion, checked by a compiled validator."""

from __future__ import annotations

import base64
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jsonschema_rs

from stackling.api.call import Version
from stackling.core.errors import Invalid


def _is(check: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            return check(text) is not False
        except ValueError:
            return False

    return holds


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z")
FORMATS: dict[str, Callable[[str], bool]] = {
    "uuid": _is(uuid.UUID),
    "ip": _is(ipaddress.ip_address),
    "ipv4": _is(ipaddress.IPv4Address),
    "ipv6": _is(ipaddress.IPv6Address),
    "cidr": _is(lambda text: ipaddress.ip_network(text, strict=False)),
    "host": _is(lambda text: _HOST.match(text) is not None and len(text) <= 253),
    "name": _is(lambda text: text == text.strip() and text.isprintable() and bool(text)),
    "name_with_leading_trailing_spaces": _is(lambda text: text.isprintable() and bool(text.strip())),
    "az_name": _is(lambda text: text == text.strip() and text.isprintable() and bool(text) and ":" not in text),
    "printable": _is(str.isprintable),
    "base64": _is(lambda text: base64.b64decode("".join(text.split()), validate=True) is not None),
    "date-time": _is(lambda text: datetime.fromisoformat(text) is not None),
}


class Schema:
    """One JSON Schema (draft 2020-12, formats asserted)."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(dict(schema), formats=FORMATS, validate_formats=True)

    def holds(self, value: Any) -> bool:
        """Whether *value* is valid."""
        return self._validator.is_valid(value)

    def first_error(self, value: Any) -> tuple[list[str], str]:
        """Where the first error of an invalid *value* is, and what it is."""
        error = next(iter(self._validator.iter_errors(value)))
        return [str(part) for part in error.instance_path], error.message

    def first_failure(self, value: Any) -> tuple[str, list[str | int]]:
        """What the first error is, and what of the schema it doesn't fulfil."""
        error = next(iter(self._validator.iter_errors(value)))
        return error.message, list(error.schema_path)

    def check(self, value: Any, *, query: bool = False) -> None:
        """Raises ``Invalid`` with the first error in Nova's wording, which other APIs' clients read as well.

        A *query* holds a list of values by name, so there the name comes first, and then which of its values it is.
        """
        if self._validator.is_valid(value):
            return
        error = next(iter(self._validator.iter_errors(value)))
        path = [str(part) for part in error.instance_path]
        if not path:
            raise Invalid(error.message)
        what = f"query parameters {path[0]}" if query else f"field/attribute {path[-1]}"
        raise Invalid(f"Invalid input for {what}. Value: {_shown(value, error.instance_path)}. {error.message}")


def _shown(value: Any, path: list[str | int]) -> str:
    for part in path:
        value = value[part]
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "…"


class Schemas:
    """Schemas by the microversion from which each is valid; ``always(schema)`` where there is only one."""

    def __init__(self, by_version: Mapping[Version, Mapping[str, Any]]) -> None:
        self._steps = sorted(by_version.items(), reverse=True)
        self._compiled: dict[Version, Schema] = {}

    @property
    def newest(self) -> Mapping[str, Any]:
        """The schema of the highest version."""
        return self._steps[0][1]

    def check(self, value: Any, version: Version, *, query: bool = False) -> None:
        """Check *value* by the schema that is in force at *version*; raises ``Invalid``."""
        for since, schema in self._steps:
            if version >= since:
                found = self._compiled.get(since)
                if found is None:
                    found = self._compiled[since] = Schema(schema)
                found.check(value, query=query)
                return


def always(schema: Mapping[str, Any]) -> Schemas:
    """The same schema at every version."""
    return Schemas({(0, 0): schema})
