"""Attribute tables: what each resource has, who may set it and when. The tables are in ``definitions``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackling.api.network import values
from stackling.core.errors import Invalid


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNSET = _Marker("UNSET")
REQUIRED = _Marker("REQUIRED")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. ``default`` UNSET: left out of the specification; REQUIRED: must be given.

    ``column``: where it is stored under another name. ``filter``/``sort``: whether lists filter or sort by it.
    """

    convert: values.Converter = values.TEXT
    post: bool = False
    put: bool = False
    default: Any = UNSET
    filter: bool = False
    sort: bool = False
    column: str | None = None


Table = Mapping[str, Attribute]
_ERROR_TYPES = {
    values.UnknownProtocol: "SecurityGroupRuleInvalidProtocol", values.InvalidPort: "SecurityGroupInvalidPortValue",
    values.UnknownEthertype: "SecurityGroupRuleInvalidEtherType",
}


def seen(convert: values.Converter = values.TEXT, *, sort: bool = True, column: str | None = None) -> Attribute:
    """Chosen by the service, shown, searchable."""
    return Attribute(convert, filter=True, sort=sort, column=column)


def settable(convert: values.Converter, default: Any = UNSET, *, filter: bool = False, sort: bool = False,
             column: str | None = None) -> Attribute:
    """Given at creation and changed later."""
    return Attribute(convert, True, True, default, filter, sort, column)


def once(convert: values.Converter, default: Any = UNSET, *, filter: bool = False, sort: bool = False,
         column: str | None = None) -> Attribute:
    """Given at creation only."""
    return Attribute(convert, True, False, default, filter, sort, column)


STANDARD: Table = {
    "id": seen(values.uuid),
    "project_id": once(values.project, filter=True, sort=True),
    "tenant_id": once(values.project, filter=True, sort=True, column="project_id"),
    "description": settable(values.description, "", filter=True, sort=True),
    "tags": once(values.tags),
    "revision_number": Attribute(values.integer, filter=True, sort=True),
    "created_at": Attribute(sort=True),
    "updated_at": Attribute(sort=True),
}


def convert(name: str, attribute: Attribute, value: Any) -> Any:
    """The canonical value; raises InvalidInput in Neutron's words."""
    try:
        return attribute.convert(value)
    except ValueError as error:
        for kind, type_ in _ERROR_TYPES.items():
            if isinstance(error, kind):
                raise Invalid(str(error), type=type_) from None
        raise Invalid(f"Invalid input for {name}. Reason: {error}.", type="HTTPBadRequest") from None


def for_create(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of a new resource: converted, defaults filled in."""
    _refuse_unknown(table, body)
    spec: dict[str, Any] = {}
    for name, attribute in table.items():
        if name in body:
            if not attribute.post:
                raise Invalid(f"Attribute '{name}' not allowed in POST", type="HTTPBadRequest")
            spec[name] = convert(name, attribute, body[name])
        elif attribute.default is REQUIRED:
            raise Invalid(f"Failed to parse request. Required attribute '{name}' not specified", type="HTTPBadRequest")
        elif attribute.default is not UNSET and attribute.post:
            spec[name] = attribute.default
    return spec


def for_update(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that are asked for, converted."""
    _refuse_unknown(table, body)
    for name in body:
        if not table[name].put:
            raise Invalid(f"Cannot update read-only attribute {name}", type="HTTPBadRequest")
    return {name: convert(name, table[name], value) for name, value in body.items()}


def _refuse_unknown(table: Table, body: Mapping[str, Any]) -> None:
    unknown = [name for name in body if name not in table]
    if unknown:
        raise Invalid(f"Unrecognized attribute(s) '{', '.join(sorted(unknown))}'", type="HTTPBadRequest")


def without_post(attribute: Attribute) -> Attribute:
    """The same, not given at creation."""
    return replace(attribute, post=False)
