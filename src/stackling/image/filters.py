"""What a list is asked for, read from its query parameters. Pure.

Parameters and messages follow https://docs.openstack.org/api-ref/image/v2/#list-images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stackling.core.clock import FORMAT
from stackling.core.errors import Invalid
from stackling.image.settings import ImageSettings

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_IN = ("name", "id", "status", "container_format", "disk_format")
_INSTANTS = ("created_at", "updated_at")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_TEXTS = ("owner", "checksum", "os_hash_algo", "os_hash_value")
_COMPARISONS = ("gt", "gte", "lt", "lte", "neq", "eq")
_VISIBILITIES = ("community", "public", "private", "shared", "all")
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
_ITEM = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)",?|([^,]+),?|,')
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Condition:
    """``operator`` is one of eq, neq, gt, gte, lt, lte, in (a list), property (``name`` is its name)."""

    name: str
    operator: str
    value: object


@dataclass(frozen=True, slots=True)
class Listing:
    """One page to show. ``sort`` are (key, direction); the last keys are always created_at and id."""

    limit: int
    marker: str | None
    sort: tuple[tuple[str, str], ...]
    member_status: str
    visibility: str | None
    hidden: bool
    tags: tuple[str, ...]
    conditions: tuple[Condition, ...]


def listing(query: Mapping[str, Sequence[str]], settings: ImageSettings) -> Listing:
    """Raises ``Invalid`` for what Glance refuses."""
    rest = {key: values[0] for key, values in query.items() if values}
    limit = _limit(rest.pop("limit", None), settings)
    marker = rest.pop("marker", None)
    member_status = _one_of(rest.pop("member_status", "accepted"), _MEMBER_STATUSES, "Invalid status: {}")
    rest.pop("tag", None)
    tags = tuple(tag.strip() for tag in query.get("tag", ()))
    sort = _sort(query)
    for key in ("sort", "sort_key", "sort_dir"):
        rest.pop(key, None)
    visibility = rest.pop("visibility", None) or None
    if visibility is not None:
        _one_of(visibility, _VISIBILITIES, "Invalid visibility value: {}")
    if rest.pop("changes-since", None):
        raise Invalid('The "changes-since" filter is no longer available on v2.')
    hidden = _boolean("os_hidden", rest.pop("os_hidden", "false").lower())
    conditions: list[Condition] = []
    if "protected" in rest:
        conditions.append(Condition("protected", "eq", _boolean("protected", rest.pop("protected"))))
    conditions += [_condition(key, value) for key, value in rest.items()]
    return Listing(limit, marker, sort, member_status, visibility, hidden, tags, tuple(conditions))


def _limit(text: str | None, settings: ImageSettings) -> int:
    if text is None:
        return settings.limit_param_default
    try:
        limit = int(text)
    except ValueError:
        raise Invalid("limit param must be an integer") from None
    if limit < 0:
        raise Invalid("limit param must be positive")
    return min(limit, settings.api_limit_max)


def _one_of(value: str, allowed: Sequence[str], message: str) -> str:
    if value not in allowed:
        raise Invalid(message.format(value))
    return value


def _boolean(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise Invalid(f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return value == "true"


def _sort(query: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise Invalid("Old and new sorting syntax cannot be combined")
        pairs = [(key.strip(), direction.strip() or "desc") for key, _, direction in
                 (part.partition(":") for part in query["sort"][0].strip().split(","))]
        last = "desc"
    else:
        keys = [key.strip() for key in query.get("sort_key", ())] or ["created_at"]
        directions = [direction.strip() for direction in query.get("sort_dir", ())] or ["desc"]
        if len(directions) == 1:
            directions *= len(keys)
        if len(directions) != len(keys):
            raise Invalid("Number of sort dirs does not match the number of sort keys")
        pairs, last = list(zip(keys, directions, strict=True)), directions[0]
    for key, direction in pairs:
        _one_of(key, SORT_KEYS, f"Invalid sort key: {{}}. It must be one of the following: {', '.join(SORT_KEYS)}.")
        _one_of(direction, ("asc", "desc"), "Invalid sort direction: {}")
    named = {key for key, _ in pairs}
    return tuple(dict(pairs).items()) + tuple((key, last) for key in ("created_at", "id") if key not in named)


def _condition(key: str, value: str) -> Condition:
    if key in _IN:
        operator, operand = split_operator(value)
        if operator == "in":
            return Condition(key, "in", split_list(operand))
        if operator != "eq":
            raise Invalid(f"Unable to filter by unknown operator '{operator}'.")
        return Condition(key, "eq", operand)
    if key in _INSTANTS:
        operator, operand = split_operator(value)
        if operator not in _COMPARISONS:
            raise Invalid("Unable to filter on a unknown operator.")
        return Condition(key, operator, _instant(key, operand))
    if key[-4:] in ("_min", "_max") and key[:-4] in _NUMBERS:
        return Condition(key[:-4], "gte" if key.endswith("_min") else "lte", _number(
            value, "Unable to filter on a range with a non-numeric value."))
    if key in _NUMBERS:
        return Condition(key, "eq", _number(value, f"Unable to filter {key} by a value that isn't a number."))
    if key in _TEXTS:
        return Condition(key, "eq", value)
    return Condition(key, "property", value)


def _number(text: str, message: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Invalid(message) from None
    return max(-_LARGEST, min(number, _LARGEST))


def split_operator(expression: str) -> tuple[str, str]:
    """``gte:2026-01-01T00:00:00Z`` → (gte, 2026-…); without an operator it is eq; a bare instant has none."""
    left, colon, right = expression.partition(":")
    if not colon or _parsed(expression) is not None:
        return "eq", expression
    return left, right


def split_list(value: str) -> list[str]:
    """``a,"b,c"`` → [a, b,c]. Raises ``Invalid`` for quotes that don't pair."""
    opening = True
    for i, character in enumerate(value):
        if character != '"' or (i and value[i - 1] == "\\"):
            continue
        if opening and i and value[i - 1] != ",":
            raise Invalid(f"Invalid filter value {value}. There is no comma before opening quotation mark.")
        if not opening and i + 1 != len(value) and value[i + 1] != ",":
            raise Invalid(f"Invalid filter value {value}. There is no comma after closing quotation mark.")
        opening = not opening
    if not opening:
        raise Invalid(f"Invalid filter value {value}. The quote is not closed.")
    return [quoted or plain for quoted, plain in _ITEM.findall(value)]


def _parsed(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if "T" in text or " " in text or "-" in text else None


def _instant(key: str, text: str) -> str:
    found = _parsed(text)
    if found is None:
        raise Invalid(f'Bad "{key}" query filter format. Use ISO 8601 DateTime notation.')
    return (found.astimezone(UTC) if found.tzinfo else found).strftime(FORMAT)
