"""``/allocation_candidates``: which hosts could take what is asked for.

Hosts are trees of one provider each, so that every group of a request (``resources``, ``resources1`` …) is of the same
host, and groups that must be apart can't be had.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stackling.api.call import Query, Version
from stackling.core.errors import Invalid

_KEY = re.compile(r"(resources|required|member_of|in_tree)([A-Za-z0-9_-]{0,64})\Z")
_OTHERS = frozenset(("limit", "group_policy", "root_required", "same_subtree"))
_NAME = re.compile(r"[A-Z0-9_]{1,255}\Z")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z", re.IGNORECASE)


@dataclass
class Group:
    """One numbered part of a request (``""``: the part without a number)."""

    resources: dict[str, int] = field(default_factory=dict[str, int])
    required: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    """Each: any of these traits."""
    forbidden: set[str] = field(default_factory=set[str])
    aggregates: bool = False
    """Whether it must be in some aggregate, which no host is."""
    tree: str | None = None


@dataclass
class Request:
    """What is asked for."""

    groups: dict[str, Group]
    limit: int | None = None
    isolate: bool = False


def parse(query: Query, version: Version) -> Request:
    """The request in *query*. Raises ``Invalid``."""
    groups: dict[str, Group] = {}
    root = Group()
    for key, values in query.items():
        match = _KEY.match(key)
        if key == "root_required":
            _traits(root, values[-1], version)
        elif key not in _OTHERS and match is None:
            raise Invalid(f"Invalid query string parameters: Additional properties are not allowed ('{key}' was "
                          "unexpected)")
        elif match is not None:
            group = groups.setdefault(match[2], Group())
            for value in values:
                _add(group, match[1], key, value, version)
    if not any(group.resources for group in groups.values()):
        raise Invalid("Invalid query string parameters: 'resources' is a required property")
    policy = query.last("group_policy")
    if policy not in (None, "none", "isolate"):
        raise Invalid(f"Invalid query string parameters: '{policy}' is not one of ['none', 'isolate']")
    numbered = [name for name, group in groups.items() if name and group.resources]
    if len(numbered) > 1 and policy is None:
        raise Invalid('The "group_policy" parameter is required when specifying more than one "resources{N}" '
                      "parameter.")
    if root.required or root.forbidden:
        groups.setdefault("", Group()).required += root.required
        groups[""].forbidden |= root.forbidden
    return Request(groups, _limit(query.last("limit")), policy == "isolate" and len(numbered) > 1)


def _add(group: Group, what: str, key: str, value: str, version: Version) -> None:
    if what == "resources":
        group.resources = amounts(value, key)
    elif what == "required":
        _traits(group, value, version)
    elif what == "member_of":
        group.aggregates = not value.startswith("!")
    elif not _UUID.match(value):
        raise Invalid(f"Invalid query string parameters: '{value}' is not a 'uuid'")
    else:
        group.tree = value


def amounts(text: str, key: str = "resources") -> dict[str, int]:
    """``VCPU:2,MEMORY_MB:512``. Raises ``Invalid``."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, colon, amount = part.partition(":")
        if not colon or not _NAME.match(name) or not amount.isdecimal() or not 0 < len(amount) < 10 or int(amount) < 1:
            raise Invalid(f"Badly formed {key} parameter. Expected {key} query string parameter in form: "
                          f"?{key}=VCPU:2,MEMORY_MB:1024. Got: {text}.")
        found[name] = int(amount)
    return found


def _traits(group: Group, text: str, version: Version) -> None:
    names = text.removeprefix("in:").split(",")
    any_of = text.startswith("in:") and version >= (1, 39)
    if not all(_NAME.match(name.removeprefix("!")) for name in names):
        raise Invalid(f"Invalid query string parameters: Expected 'required' parameter value of the form: "
                      f"HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: '{text}'")
    if any_of:
        group.required.append(frozenset(names))
        return
    for name in names:
        if name.startswith("!"):
            group.forbidden.add(name[1:])
        else:
            group.required.append(frozenset((name,)))


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 0 < len(text) < 10 or int(text) < 1:
        raise Invalid(f"Invalid query string parameters: '{text}' does not match '^[1-9][0-9]*$'")
    return int(text)


def fits(group: Group, host: Mapping[str, Any], traits: Collection[str]) -> bool:
    """Whether a host may be what the group asks for, its room aside."""
    if group.aggregates or (group.tree is not None and group.tree != host["id"]):
        return False
    return all(wanted & set(traits) for wanted in group.required) and not group.forbidden & set(traits)


def total(request: Request) -> dict[str, int]:
    """All groups' resources together."""
    found: dict[str, int] = {}
    for group in request.groups.values():
        for name, amount in group.resources.items():
            found[name] = found.get(name, 0) + amount
    return found
