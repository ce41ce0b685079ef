"""Attribute tables: what each request may say, converted as Octavia's WSME types do."""

from __future__ import annotations

import ipaddress
import re
import uuid as uuids
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackling.core.errors import Invalid

Converter = Callable[[Any], Any]


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNSET, REQUIRED = _Marker("UNSET"), _Marker("REQUIRED")


@dataclass(frozen=True, slots=True)
class Attribute:
    """``default`` UNSET: left out where it isn't given; REQUIRED: must be given, and not null."""

    convert: Converter
    default: Any = UNSET


Table = Mapping[str, Attribute]


def read(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """The converted request. A null stays None; raises ``Invalid`` in WSME's words."""
    unknown = sorted(name for name in body if name not in table)
    if unknown:
        raise Invalid(f"Unknown attribute:\n {', '.join(unknown)}")
    found: dict[str, Any] = {}
    for name, attribute in table.items():
        if name in body and not (body[name] is None and attribute.default is REQUIRED):
            found[name] = None if body[name] is None else _convert(name, attribute, body[name])
        elif attribute.default is REQUIRED:
            raise Invalid(f"Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing.")
        elif attribute.default is not UNSET:
            found[name] = attribute.default
    return found


def optional(table: Table) -> dict[str, Attribute]:
    """The same with nothing that must be given and no defaults, as updates have it."""
    return {name: Attribute(one.convert) for name, one in table.items()}


def _convert(name: str, attribute: Attribute, value: Any) -> Any:
    try:
        return attribute.convert(value)
    except ValueError as error:
        text = str(value)
        raise Invalid(f"Invalid input for field/attribute {name}. Value: '{text[:200]}'. {error}") from None


def text(most: int = 255, pattern: str | None = None) -> Converter:
    """A string."""
    compiled = re.compile(pattern) if pattern else None

    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"Wrong type. Expected '<class 'str'>', got '{type(value)}'")
        if len(value) > most:
            raise ValueError(f"Value should have a maximum character requirement of {most}")
        if compiled is not None and not compiled.match(value):
            raise ValueError(f"Value should match the pattern {pattern}")
        return value

    return convert


def boolean(value: Any) -> bool:
    """True or false, also as a word or a digit."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int)):
        plain = str(value).strip().lower()
        if plain in ("true", "on", "yes", "y", "1", "t"):
            return True
        if plain in ("false", "off", "no", "n", "0", "f"):
            return False
    raise ValueError(f"Wrong type. Expected '<class 'bool'>', got '{type(value)}'")


def integer(least: int | None = None, most: int | None = 2**31 - 1) -> Converter:
    """A whole number, also as digits."""
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not (isinstance(value, int) or (
                isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value))):
            raise ValueError(f"Wrong type. Expected '<class 'int'>', got '{type(value)}'")
        number = int(value)
        if least is not None and number < least:
            raise ValueError(f"Value should be greater or equal to {least}")
        if most is not None and number > most:
            raise ValueError(f"Value should be lower or equal to {most}")
        return number

    return convert


def number(value: Any) -> float:
    """A version of HTTP."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or str(value) not in ("1.0", "1.1", "1"):
        raise ValueError("Value should be one of: 1.0, 1.1")
    return float(value)


def one_of(*choices: str) -> Converter:
    """One of some words."""
    def convert(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"Value should be one of: {', '.join(sorted(choices))}")
        return value

    return convert


def uuid(value: Any) -> str:
    """A UUID."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(uuids.UUID(value))
    except ValueError:
        raise ValueError("Value should be UUID format") from None


def address(value: Any) -> str:
    """An address in its shortest form."""
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("Value should be IPv4 or IPv6 format") from None


def spelled_address(value: Any) -> str:
    """An address, kept as the request spells it: Octavia shows members so."""
    address(value)
    return value


def cidr(value: Any) -> str:
    """A prefix."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return ipaddress.ip_network(value, strict=False).with_prefixlen
    except ValueError:
        raise ValueError("Value should be IPv4 or IPv6 CIDR format") from None


def list_of(convert: Converter) -> Converter:
    """A list."""
    def whole(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"Wrong type. Expected a list, got '{type(value)}'")
        return [convert(one) for one in value]    # pyright: ignore[reportUnknownVariableType]

    return whole


def tags(value: Any) -> list[str]:
    """Tags; none has a comma, which separates them in filters."""
    found = list_of(text())(value)
    if any(not tag or "," in tag for tag in found):
        raise ValueError("A tag is one or more characters, none of which is a comma")
    return found


def mapping(value: Any) -> dict[str, Any]:
    """An object of strings."""
    if not isinstance(value, dict):
        raise ValueError(f"Wrong type. Expected '<class 'dict'>', got '{type(value)}'")
    return value    # pyright: ignore[reportUnknownVariableType]


def nested(table: Callable[[], Table], **fixed: Callable[[], Any]) -> Converter:
    """An object with attributes of its own. *fixed* makes what the service chooses (its id)."""
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"Wrong type. Expected an object, got '{type(value)}'")
        made = {name: make() for name, make in fixed.items()}
        return {**read(table(), value), **made}    # pyright: ignore[reportUnknownArgumentType]

    return convert
