"""The JSON schemas of metadata definitions (https://docs.openstack.org/api-ref/image/v2/metadefs-index.html)."""

from __future__ import annotations

from typing import Any

from stackling.api.schema import Schema
from stackling.core.errors import Forbidden, Invalid

Properties = dict[str, Any]
_TYPES = ["array", "boolean", "integer", "number", "object", "string", None]
_TEXT: Properties = {"type": "string"}
_NAME: Properties = {"type": "string", "maxLength": 80}
_COUNT: Properties = {"$ref": "#/definitions/positiveInteger"}
_COUNT_0: Properties = {"$ref": "#/definitions/positiveIntegerDefault0"}
_READ_ONLY: Properties = {"readOnly": True, "type": "string"}
READ_ONLY = ("self", "schema", "created_at", "updated_at")


def _date(what: str) -> Properties:
    return {"type": "string", "readOnly": True, "description": f"Date and time of {what}", "format": "date-time"}


_DATES = {kind: {"created_at": _date(f"{kind} creation"), "updated_at": _date(f"the last {kind} modification")}
          for kind in ("namespace", "object", "tag", "resource type association")}
PROPERTY: Properties = {
    "name": _NAME,
    "title": _TEXT,
    "description": _TEXT,
    "operators": {"type": "array", "items": _TEXT},
    "type": {"type": "string", "enum": _TYPES},
    "required": {"$ref": "#/definitions/stringArray"},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _COUNT,
    "minLength": _COUNT_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {"type": "object", "properties": {"type": {"type": "string", "enum": _TYPES},
                                               "enum": {"type": "array"}}},
    "maxItems": _COUNT,
    "minItems": _COUNT_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}
_NUMBERS: Properties = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [{"$ref": "#/definitions/positiveInteger"}, {"default": 0}]},
    "stringArray": {"type": "array", "items": _TEXT, "uniqueItems": True},
}
_DEFINITIONS: Properties = {
    **_NUMBERS,
    "property": {"type": "object", "additionalProperties": {
        "type": "object", "required": ["title", "type"], "properties": PROPERTY}},
}
_IN_PROPERTIES: Properties = {**_NUMBERS, "stringArray": {**_NUMBERS["stringArray"], "minItems": 1}}
_ASSOCIATION: Properties = {
    "name": {**_NAME, "description": "Resource type names should be aligned with Heat resource types whenever possible"
                                     ": https://docs.openstack.org/heat/latest/template_guide/openstack.html"},
    "prefix": {**_NAME, "description": "Specifies the prefix to use for the given resource type. Any properties in "
                                       "the namespace should be prefixed with this prefix when being applied to the "
                                       "specified resource type. Must include prefix separator (e.g. a colon :)."},
    "properties_target": {**_NAME, "description": "Some resource types allow more than one key / value pair per "
                                                  "instance. This allows a namespace target to remove the ambiguity."},
    **_DATES["resource type association"],
}
OBJECT: Properties = {
    "name": _NAME, "description": _TEXT, "required": {"$ref": "#/definitions/stringArray"},
    "properties": {"$ref": "#/definitions/property"}, "schema": _READ_ONLY, "self": _READ_ONLY, **_DATES["object"],
}
_TAG: Properties = {"name": _NAME, **_DATES["tag"]}
NAMESPACE: Properties = {
    "namespace": {**_NAME, "description": "The unique namespace text."},
    "display_name": {**_NAME, "description": "The user friendly name for the namespace. Used by UI if available."},
    "description": {"type": "string", "maxLength": 500,
                    "description": "Provides a user friendly description of the namespace."},
    "visibility": {"type": "string", "enum": ["public", "private"],
                   "description": "Scope of namespace accessibility."},
    "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
    "owner": {"type": "string", "maxLength": 255, "description": "Owner of the namespace."},
    **_DATES["namespace"], "schema": _READ_ONLY, "self": _READ_ONLY,
    "resource_type_associations": {"type": "array", "items": {"type": "object", "properties": {
        "name": _TEXT, "prefix": _TEXT, "properties_target": _TEXT}}},
    "properties": {"$ref": "#/definitions/property"},
    "objects": {"type": "array", "items": {"type": "object", "properties": {
        "name": _TEXT, "description": _TEXT, "required": {"$ref": "#/definitions/stringArray"},
        "properties": {"$ref": "#/definitions/property"}}}},
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _TEXT}}},
}
_LINKS = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"},
          {"rel": "describedby", "href": "{schema}"}]


def _one(name: str, properties: Properties, required: list[str], definitions: Properties | None = None) -> Properties:
    found: Properties = {"name": name, "properties": properties, "additionalProperties": False, "required": required}
    if definitions:
        found["definitions"] = definitions
    return found


def _many(name: str, item: Properties, *, by_name: bool = False) -> Properties:
    inner = {key: value for key, value in item.items() if key != "definitions"}
    shape = {"type": "object", "additionalProperties": inner} if by_name else {"type": "array", "items": inner}
    found: Properties = {"name": name, "properties": {name: shape, "first": _TEXT, "next": _TEXT, "schema": _TEXT},
                         "links": _LINKS}
    if "definitions" in item:
        found["definitions"] = item["definitions"]
    return found


_PUBLISHED: dict[str, Properties] = {
    "namespace": _one("namespace", NAMESPACE, ["namespace"], _DEFINITIONS),
    "resource_type": _one("resource_type_association", _ASSOCIATION, ["name"]),
    "property": _one("property", PROPERTY, ["type", "title", "name"], _IN_PROPERTIES),
    "object": _one("object", OBJECT, ["name"], _DEFINITIONS),
    "tag": _one("tag", _TAG, ["name"]),
}
PUBLISHED: dict[str, Properties] = {
    **_PUBLISHED,
    "namespaces": _many("namespaces", _PUBLISHED["namespace"]),
    "resource_types": _many("resource_type_associations", _PUBLISHED["resource_type"]),
    "properties": _many("properties", {**_PUBLISHED["property"], "required": ["type", "title"]}, by_name=True),
    "objects": _many("objects", _PUBLISHED["object"]),
    "tags": _many("tags", _PUBLISHED["tag"]),
}
"""Every schema by its name in the path."""
_TAGS = _one("tags", {"tags": {"type": "array", "items": {
    "type": "object", "properties": {"name": _NAME}, "required": ["name"], "additionalProperties": False}}}, ["tags"])
_CHECKED = {name: Schema({"type": "object", **schema}) for name, schema in {**_PUBLISHED, "tags": _TAGS}.items()}


def check(kind: str, body: Any) -> dict[str, Any]:
    """*body* if it is such a definition. Raises ``Forbidden`` for what is read-only, ``Invalid``."""
    if not isinstance(body, dict):
        raise Invalid("Body expected in request.")
    given: dict[str, Any] = body    # pyright: ignore[reportUnknownVariableType]
    for name in READ_ONLY:
        if name in given:
            raise Forbidden(f"Attribute '{name}' is read-only.")
    try:
        _CHECKED[kind].check(given)
    except Invalid as error:
        raise Invalid(f"Provided object does not match schema '{PUBLISHED[kind]['name']}': {error.message}") from None
    return given
