"""What a mapping of a federation may look like, by its schema version, as Keystone checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from stackling.api.call import Version
from stackling.api.identity.schema import Body
from stackling.core.errors import Invalid
from stackling.identity.mapping import EPHEMERAL, LOCAL, SYNC_PROJECTS, VERSIONS

_TEXT = {"type": "string"}
_DOMAIN = {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}, "additionalProperties": False}
_ROLES = {"type": "array", "items": {
    "type": "object", "required": ["name"], "properties": {"name": _TEXT}, "additionalProperties": False}}
_USER = {"type": "object", "additionalProperties": False, "properties": {
    "id": _TEXT, "name": _TEXT, "email": _TEXT, "domain": _DOMAIN, "type": {"type": "string",
                                                                            "enum": [EPHEMERAL, LOCAL]}}}
_GROUP = {"type": "object", "oneOf": [
    {"properties": {"id": _TEXT}, "additionalProperties": False, "required": ["id"]},
    {"properties": {"name": _TEXT, "domain": _DOMAIN}, "additionalProperties": False, "required": ["name", "domain"]}]}


def _requirement(kind: str) -> dict[str, Any]:
    return {"additionalProperties": False, "required": ["type", kind],
            "properties": {"type": _TEXT, kind: {"type": "array"}, "regex": {"type": "boolean"}}}


_REMOTE = {"type": "object", "oneOf": [
    {"required": ["type"], "properties": {"type": _TEXT}, "additionalProperties": False},
    *(_requirement(kind) for kind in ("any_one_of", "not_any_of", "blacklist", "whitelist"))]}


def _schema(version: str) -> dict[str, Any]:
    project: dict[str, Any] = {"name": _TEXT, "roles": _ROLES}
    if version != VERSIONS[0]:
        project["domain"] = _DOMAIN
    local: dict[str, Any] = {
        "user": _USER, "group": _GROUP, "groups": _TEXT, "group_ids": _TEXT, "domain": _DOMAIN,
        "projects": {"type": "array", "items": {"type": "object", "required": ["name", "roles"],
                                                "properties": project, "additionalProperties": False}}}
    if version == SYNC_PROJECTS:
        local["projects_json"] = _TEXT
    rule = {"type": "object", "required": ["local", "remote"], "additionalProperties": False, "properties": {
        "local": {"type": "array", "items": {"type": "object", "properties": local, "additionalProperties": False}},
        "remote": {"type": "array", "minItems": 1, "items": _REMOTE}}}
    return {"type": "object", "required": ["mapping"], "properties": {"mapping": {
        "type": "object", "required": ["rules"], "properties": {
            "rules": {"type": "array", "minItems": 1, "items": rule}, "schema_version": {"type": ["string", "null"]}}}}}


class MappingBody(Body):
    """The body that has a mapping in it; each version has a schema of its own."""

    def __init__(self) -> None:
        super().__init__(_schema(SYNC_PROJECTS))
        self._by_version = {version: Body(_schema(version)) for version in VERSIONS}

    def check(self, value: Any, version: Version, *, query: bool = False) -> None:
        """Raises ``Invalid``."""
        mapping = cast(Mapping[str, Any], value).get("mapping") if isinstance(value, Mapping) else None
        wanted = cast(Mapping[str, Any], mapping).get("schema_version") if isinstance(mapping, Mapping) else None
        asked = wanted or VERSIONS[0]
        if not isinstance(asked, str) or asked not in self._by_version:
            raise Invalid(f"Invalid input for field 'mapping/schema_version': {str(asked)[:50]!r} isn't one of "
                          f"{', '.join(VERSIONS)}", type="SchemaValidationError")
        self._by_version[asked].check(value, version)
