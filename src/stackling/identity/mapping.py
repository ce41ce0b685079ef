"""The mapping engine: from what an identity provider says of a person to a user, groups and projects. Pure.

Rules as Keystone documents them (``admin/federation/mapping_combinations``), schema versions 1.0, 2.0 and 3.0. Two
things are stricter than upstream's engine. A claim with several values stays a list all the way, and is never written
out as text and read again, so that nobody who may choose their own display name becomes a member of a group by one that
looks like a list. And ``{0}`` in a rule stands for a value and for nothing else that Python's formatting could reach.
"""

from __future__ import annotations

import ast
import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from stackling.core.errors import Unauthorized

Assertion = Mapping[str, Sequence[str]]
"""Attributes with their values; empty ones count as missing."""
EPHEMERAL, LOCAL = "ephemeral", "local"
HONOUR_DOMAIN, SYNC_PROJECTS = "2.0", "3.0"
VERSIONS = ("1.0", HONOUR_DOMAIN, SYNC_PROJECTS)
_PLACE = re.compile(r"\{(\d+)\}\Z")
_JSON = "JSON:"
_NO_RESULT = ("Could not map any federated user properties to identity values. Check debug logs or the mapping used "
              "for additional details.")


class MappingFailed(Unauthorized):
    """The mapping gives no user from this assertion. The message is for the person and names what is wrong."""


@dataclass(frozen=True, slots=True)
class GroupName:
    """A group by name; ``domain`` has ``id`` or ``name``."""

    name: str
    domain: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProjectName:
    """A project to be made where it is missing, and the roles on it by name; no ``domain``: the provider's."""

    name: str
    roles: tuple[str, ...]
    domain: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What the rules gave. ``user`` has some of ``id``, ``name``, ``email``, ``domain``."""

    user: Mapping[str, Any]
    local: bool
    group_ids: tuple[str, ...]
    groups: tuple[GroupName, ...]
    projects: tuple[ProjectName, ...]
    sync_projects: bool
    """Whether roles on projects that aren't named any more are taken away."""


@dataclass(slots=True)
class _Found:
    user: dict[str, Any] = field(default_factory=dict[str, Any])
    group_ids: dict[str, None] = field(default_factory=dict[str, None])
    groups: dict[tuple[str, str], GroupName] = field(default_factory=dict[tuple[str, str], GroupName])
    projects: tuple[ProjectName, ...] = ()
    domain: Any = None


def apply(mapping_id: str, rules: Sequence[Mapping[str, Any]], version: str, assertion: Assertion) -> Mapped:
    """Evaluate *rules*. Raises ``MappingFailed``."""
    found, any_rule = _Found(), False
    for rule in rules:
        values = _values(mapping_id, rule["remote"], assertion)
        if values is None:
            continue
        for local in rule["local"]:
            any_rule = True
            _collect(found, _filled(mapping_id, local, values, version), version)
    if not any_rule:
        raise MappingFailed(_NO_RESULT)
    kind = found.user.pop("type", None) or EPHEMERAL
    if kind not in (EPHEMERAL, LOCAL):
        raise MappingFailed(f"User type {kind} not supported")
    if version != "1.0" and not found.user.get("domain") and found.domain:
        found.user["domain"] = found.domain
    return Mapped(found.user, kind == LOCAL, tuple(found.group_ids), tuple(found.groups.values()), found.projects,
                  version == SYNC_PROJECTS)


# -- remote


def _values(mapping_id: str, remote: Sequence[Mapping[str, Any]], assertion: Assertion) -> list[list[str]] | None:
    """What ``{0}``, ``{1}`` … stand for; None where a requirement isn't met."""
    found: list[list[str]] = []
    for requirement in remote:
        given = list(assertion.get(requirement["type"]) or ())
        if not given:
            return None
        for name in ("any_one_of", "not_any_of", "blacklist", "whitelist"):
            if requirement.get(name) is not None:
                matches = _matches(mapping_id, requirement[name], given, bool(requirement.get("regex")))
                break
        else:
            found.append(given)
            continue
        if (name == "any_one_of" and not matches) or (name == "not_any_of" and matches):
            return None
        if name == "blacklist":
            found.append([one for one in given if one not in matches])
        elif name == "whitelist":
            found.append(matches)
    return found


def _matches(mapping_id: str, wanted: Sequence[Any], given: Sequence[str], regex: bool) -> list[str]:
    if not regex:
        return list(dict.fromkeys(one for one in given if one in wanted))
    try:
        patterns = [re.compile(str(pattern)) for pattern in wanted]
    except re.error as error:
        raise MappingFailed(f"Mapping {mapping_id} has an invalid regular expression: {error}") from None
    return [one for one in given if any(pattern.search(one) for pattern in patterns)]


# -- local


def _filled(mapping_id: str, rule: Any, values: Sequence[list[str]], version: str, key: str = "") -> Any:
    """*rule* with ``{0}`` … replaced. ``groups`` and ``group_ids`` that are one place and nothing else become lists."""
    if isinstance(rule, Mapping):
        inside = cast(Mapping[str, Any], rule)
        return {name: _filled(mapping_id, one, values, version, name) for name, one in inside.items()}
    if isinstance(rule, list):
        return [_filled(mapping_id, one, values, version) for one in cast(list[Any], rule)]
    if not isinstance(rule, str):
        return rule
    place = _PLACE.match(rule)
    if key == "projects_json" or (key == "projects" and version == SYNC_PROJECTS):
        if place is None:
            raise MappingFailed(f"The rule [{rule}] for key [{key}] does not match the expected pattern "
                                r"[\{?(\d+)\}?].")
        return _projects_json(_value(mapping_id, values, int(place[1])))
    if key in ("groups", "group_ids"):
        return _value(mapping_id, values, int(place[1])) if place else _list(_formatted(mapping_id, rule, values))
    return _formatted(mapping_id, rule, values)


def _value(mapping_id: str, values: Sequence[list[str]], place: int) -> list[str]:
    if place >= len(values):
        raise MappingFailed(f"Local section in mapping {mapping_id} refers to a remote match that doesn't exist "
                            "(e.g. {0} in a local section).")
    return values[place]


def _formatted(mapping_id: str, text: str, values: Sequence[list[str]]) -> str:
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise MappingFailed(f"Mapping {mapping_id} has an invalid rule: {error}") from None
    found, next_place = "", 0
    for literal, name, format_, conversion in parts:
        found += literal
        if name is None:
            continue
        if format_ or conversion or not (name == "" or name.isdigit()):
            raise MappingFailed(f"Mapping {mapping_id} has an invalid rule: {{{name[:50]}}} isn't the number of a "
                                "remote match")
        value = _value(mapping_id, values, int(name) if name else next_place)
        next_place += 1
        found += value[0] if len(value) == 1 else str(value)
    return found


def _list(text: str) -> list[str]:
    """What an administrator wrote as a list, or as one name."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [text]
    return [str(one) for one in cast(list[Any], found)] if isinstance(found, list) else [text]


def _collect(found: _Found, local: Mapping[str, Any], version: str) -> None:
    found.domain = local.get("domain")
    if local.get("user") and not found.user:
        found.user = dict(local["user"])
    group = local.get("group")
    if group is not None:
        if "id" in group:
            found.group_ids.setdefault(group["id"])
        else:
            _add_group(found, group["name"], group["domain"])
    if "groups" in local:
        _add_groups(found, local["groups"], local.get("domain"))
    for group_id in local.get("group_ids", ()):
        found.group_ids.setdefault(group_id)
    if "projects" in local or "projects_json" in local:
        default = local.get("domain") if version != "1.0" else None
        found.projects = tuple(
            ProjectName(one["name"], tuple(role["name"] for role in one["roles"]), one.get("domain") or default)
            for one in [*local.get("projects", ()), *local.get("projects_json", ())])


def _add_groups(found: _Found, names: Sequence[str], domain: Any) -> None:
    for name in names:
        if name.startswith(_JSON):
            try:
                group = json.loads(name.removeprefix(_JSON))
                _add_group(found, str(group["name"]), dict(group["domain"]))
            except (ValueError, TypeError, KeyError, RecursionError):
                raise MappingFailed("Invalid rule: a group in JSON needs 'name' and 'domain'.") from None
        elif not domain:
            raise MappingFailed("Invalid rule: Both 'groups' and 'domain' keywords must be specified.")
        else:
            _add_group(found, name, domain)


def _add_group(found: _Found, name: str, domain: Mapping[str, str]) -> None:
    found.groups[(name, str(domain.get("id") or domain.get("name")))] = GroupName(name, domain)


def _projects_json(values: Sequence[str]) -> list[dict[str, Any]]:
    """Projects as the provider lists them in JSON: one list, or one project a value."""
    try:
        found = [json.loads(one) for one in values]
    except (ValueError, RecursionError):
        raise MappingFailed("The projects in the assertion aren't JSON.") from None
    if len(found) == 1 and isinstance(found[0], list):
        found = cast(list[Any], found[0])
    if not all(_is_project(one) for one in found):
        raise MappingFailed("The projects in the assertion must be objects with 'name' and 'roles', a list of objects "
                            "with 'name'; 'domain' may have 'id' or 'name'.")
    return found


def _is_project(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    project = cast(dict[str, Any], value)
    roles, domain = project.get("roles"), project.get("domain", {})
    return (isinstance(project.get("name"), str) and set(project) <= {"name", "roles", "domain"}
            and isinstance(roles, list) and all(_is_named(role) for role in cast(list[Any], roles))
            and isinstance(domain, dict) and set(cast(dict[str, Any], domain)) <= {"id", "name"}
            and all(isinstance(one, str) for one in cast(dict[str, Any], domain).values()))


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and set(cast(dict[str, Any], value)) == {"name"} and isinstance(value["name"], str)
