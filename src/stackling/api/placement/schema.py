"""Request schemas by microversion (https://docs.openstack.org/api-ref/placement/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackling.api.call import Version
from stackling.api.schema import Schema, Schemas
from stackling.core.errors import Invalid

Json = dict[str, Any]
MOST = (1 << 31) - 1
UUID: Json = {"type": "string", "format": "uuid"}
NAME: Json = {"type": "string", "minLength": 1, "maxLength": 255}
CLASS_PATTERN = "^[A-Z0-9_]+$"
CUSTOM_PATTERN = "^CUSTOM_[A-Z0-9_]+$"
UUID_PATTERN = "^[0-9a-fA-F-]{36}$"


class Checked(Schemas):
    """Schemas whose refusals are worded as upstream's are, which names what failed."""

    def __init__(self, by_version: Mapping[Version, Json]) -> None:
        super().__init__(by_version)
        self._all = sorted(((since, Schema(schema)) for since, schema in by_version.items()), reverse=True,
                           key=lambda step: step[0])

    def check(self, value: Any, version: Version, *, query: bool = False) -> None:
        """Raises ``Invalid``."""
        schema = next((schema for since, schema in self._all if version >= since), None)
        if schema is not None and not schema.holds(value):
            raise Invalid(worded(*schema.first_failure(value)))


def worded(message: str, path: list[str | int]) -> str:
    """A failed check in the words of the validator that upstream uses, which its clients show."""
    where = "".join(f"[{part!r}]" for part in path[:-1])
    text = message.replace('"', "'").replace("has less than 1 property", "does not have enough properties")
    return f"JSON does not validate: {text}\n\nFailed validating '{path[-1]}' in schema{where}"


def always(schema: Json) -> Checked:
    """The same at every microversion."""
    return Checked({(0, 0): schema})


def _object(properties: Json, *required: str, **more: Any) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False,
            **more}


def _mapped(pattern: str, value: Json, **more: Any) -> Json:
    return {"type": "object", "patternProperties": {pattern: value}, "additionalProperties": False, **more}


def _steps(*steps: tuple[Version, Json]) -> Checked:
    return Checked(dict(steps))


# -- providers

_PROVIDER: Json = {"name": {"type": "string", "maxLength": 200}}
_PARENT: Json = {"parent_provider_uuid": {"anyOf": [UUID, {"type": "null"}]}}
NEW_PROVIDER = _steps(((1, 0), _object({**_PROVIDER, "uuid": UUID}, "name")),
                      ((1, 14), _object({**_PROVIDER, **_PARENT, "uuid": UUID}, "name")))
PROVIDER = _steps(((1, 0), _object(_PROVIDER, "name")), ((1, 14), _object({**_PROVIDER, **_PARENT}, "name")))

# -- what they have

_GENERATION: Json = {"resource_provider_generation": {"type": "integer"}}


def _count(least: int) -> Json:
    return {"type": "integer", "minimum": least, "maximum": MOST}


_INVENTORY: Json = {
    **_GENERATION, "total": _count(1), "reserved": _count(0), "min_unit": _count(1), "max_unit": _count(1),
    "step_size": _count(1), "allocation_ratio": {"type": "number", "maximum": 3.40282e+38}}
INVENTORY = always(_object(_INVENTORY, "total", "resource_provider_generation"))
NEW_INVENTORY = always(_object({**_INVENTORY, "resource_class": {"type": "string", "pattern": CLASS_PATTERN}},
                               "total", "resource_class"))
_INVENTORIES = _object({
    **_GENERATION, "inventories": {"type": "object", "patternProperties": {CLASS_PATTERN: _object(_INVENTORY, "total")},
                                   "propertyNames": {"pattern": CLASS_PATTERN}}},
    "resource_provider_generation", "inventories")
INVENTORIES = always(_INVENTORIES)

# -- names

NEW_CLASS = always(_object({"name": {"type": "string", "pattern": CUSTOM_PATTERN, "maxLength": 255}}, "name"))
PROVIDER_TRAITS = always(_object({**_GENERATION, "traits": {"type": "array", "items": NAME}},
                                 "traits", "resource_provider_generation"))
_AGGREGATES: Json = {"type": "array", "items": UUID, "uniqueItems": True}
AGGREGATES = _steps(((1, 1), _AGGREGATES), ((1, 19), _object({**_GENERATION, "aggregates": _AGGREGATES},
                                                             "aggregates", "resource_provider_generation")))

# -- who takes what

_AMOUNTS = _mapped(CLASS_PATTERN, {"type": "integer", "minimum": 1}, minProperties=1)
_LIST: Json = {"allocations": {"type": "array", "minItems": 1, "items": _object(
    {"resource_provider": _object({"uuid": UUID}, "uuid"), "resources": _AMOUNTS}, "resource_provider", "resources")}}
_OWNER: Json = {"project_id": NAME, "user_id": NAME}
_BY_PROVIDER = _mapped(UUID_PATTERN, _object({"generation": {"type": "integer"}, "resources": _AMOUNTS}, "resources"))
_SINCE_12: Json = {"allocations": _BY_PROVIDER, **_OWNER}
_SINCE_28: Json = {**_SINCE_12, "consumer_generation": {"type": ["integer", "null"]}}
_SINCE_34: Json = {**_SINCE_28, "mappings": {
    "type": "object", "minProperties": 1,
    "patternProperties": {"[a-zA-Z0-9_-]{1,64}": {"type": "array", "minItems": 1, "items": UUID}}}}
_SINCE_38: Json = {**_SINCE_34, "consumer_type": {**NAME, "pattern": CLASS_PATTERN}}
_BASE = ("allocations", "project_id", "user_id")
_CLAIM_12 = _object(_SINCE_12, *_BASE)
_CLAIM_28 = _object(_SINCE_28, *_BASE, "consumer_generation")
_CLAIM_34 = _object(_SINCE_34, *_BASE, "consumer_generation")
_CLAIM_38 = _object(_SINCE_38, *_BASE, "consumer_generation", "consumer_type")
ALLOCATIONS = _steps(
    ((1, 0), _object(_LIST, "allocations")), ((1, 8), _object({**_LIST, **_OWNER}, *_BASE)),
    ((1, 12), _object({**_SINCE_12, "allocations": {**_BY_PROVIDER, "minProperties": 1}}, *_BASE)),
    ((1, 28), _CLAIM_28), ((1, 34), _CLAIM_34), ((1, 38), _CLAIM_38))


def _claims(claim: Json, least: int = 1) -> Json:
    return _mapped(UUID_PATTERN, claim, minProperties=least)


MANY_ALLOCATIONS = _steps(((1, 13), _claims(_CLAIM_12)), ((1, 28), _claims(_CLAIM_28)), ((1, 34), _claims(_CLAIM_34)),
                          ((1, 38), _claims(_CLAIM_38)))


def _reshape(claim: Json) -> Json:
    return _object({"inventories": _mapped(UUID_PATTERN, _INVENTORIES, minProperties=1),
                    "allocations": _claims(claim, 0)}, "inventories", "allocations")


RESHAPE = _steps(((1, 30), _reshape(_CLAIM_28)), ((1, 34), _reshape(_CLAIM_34)), ((1, 38), _reshape(_CLAIM_38)))
