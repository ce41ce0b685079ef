"""``GET /allocation_candidates``: who could give what is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Query, Reply, Version
from stackling.api.placement.shown import check_query, dated
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.core.ids import is_id
from stackling.placement import labels, providers
from stackling.placement.candidates import Candidate, Group, Request, search, summarised
from stackling.placement.model import BAD_VALUE, DUPLICATE_KEY, MISSING_VALUE, World

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_KEY = re.compile(r"(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{0,64})\Z")
_NUMBERED = re.compile(r"(resources|required|member_of|in_tree)((?:[1-9][0-9]*)?)\Z")
_PLAIN = re.compile(r"(resources|required|member_of)()\Z")
_SINCE = {"resources": (1, 10), "required": (1, 17), "member_of": (1, 21), "in_tree": (1, 31), "limit": (1, 16),
          "group_policy": (1, 25), "root_required": (1, 35), "same_subtree": (1, 36)}
SUBTREES = (1, 36)


# -- reading the query

def parse(query: Query, version: Version) -> Request:
    """The request in *query*. Raises ``Invalid``."""
    keys = _KEY if version >= (1, 33) else _NUMBERED if version >= (1, 25) else _PLAIN
    matched = {key: match for key in query if (match := keys.match(key))}
    known = [key for key, match in matched.items() if version >= _SINCE[match[1]]]
    check_query(query, [*known, *(key for key, since in _SINCE.items() if version >= since)])
    groups: dict[str, Group] = {}
    for suffix in dict.fromkeys(match[2] for match in matched.values()):
        group = groups[suffix] = Group()
        fill(group, query, suffix, version)
        group.tree = _tree(query.last(f"in_tree{suffix}"))
    request = Request(groups, _limit(query.first("limit")), query.first("group_policy") == "isolate")
    if (policy := query.first("group_policy")) not in (None, "none", "isolate"):
        raise Invalid(f"Invalid query string parameters: '{policy}' is not one of ['none', 'isolate']")
    request.same_subtree = [_suffixes(value) for value in query.all("same_subtree")]
    _root(request.root, query.all("root_required"))
    _check(request, version)
    if policy is None and sum(1 for name, group in groups.items() if name and group.resources) > 1:
        raise Invalid('The "group_policy" parameter is required when specifying more than one "resources{N}" '
                      "parameter.")
    return request


def _root(root: Group, values: list[str]) -> None:
    if len(values) > 1:
        raise Invalid("Query parameter 'root_required' may be specified only once.", code=DUPLICATE_KEY)
    for value in values:
        _labels(root, value, forbid=True, any_of=False)
    if both := sorted(name for any_of in root.required for name in any_of & root.forbidden):
        raise Invalid("Conflicting required and forbidden traits found in root_required: " + ", ".join(both),
                      code=BAD_VALUE)


def fill(group: Group, query: Query, suffix: str, version: Version) -> None:
    """What a group asks for: resources, traits and aggregates. Raises ``Invalid``."""
    text = query.last(f"resources{suffix}")
    if text is not None:
        group.resources = amounts(text)
    values = query.all(f"required{suffix}")
    for value in values if version >= (1, 39) else values[-1:]:
        _labels(group, value, forbid=version >= (1, 22), any_of=version >= (1, 39))
    values = query.all(f"member_of{suffix}")
    if len(values) > 1 and version < (1, 24):
        raise Invalid(f"Multiple member_of{suffix} parameters are not supported")
    for value in values:
        _members(group, value, suffix, forbid=version >= (1, 32))


def amounts(text: str) -> dict[str, int]:
    """``VCPU:2,MEMORY_MB:512``. Raises ``Invalid``."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, *more = part.split(":")
        if len(more) != 1 or not text.strip():
            raise Invalid("Badly formed resources parameter. Expected resources query string parameter in form: "
                          f"?resources=VCPU:2,MEMORY_MB:1024. Got: {part or 'empty string'}.")
        sign, digits = more[0][:1] == "-", more[0].removeprefix("-")
        if not digits.isdecimal() or not digits.isascii() or len(digits) > 18:
            raise Invalid(f"Requested resource {name} expected positive integer amount. Got: {more[0]}.")
        if sign or int(digits) < 1:
            raise Invalid(f"Requested resource {name} requires amount >= 1. Got: {more[0]}.")
        found[name] = int(digits)
    return found


def _labels(group: Group, text: str, *, forbid: bool, any_of: bool) -> None:
    if text.startswith("in:"):
        names = [name.strip() for name in text[3:].split(",")]
        why = ("only supported since microversion 1.39." if not any_of else
               "does not support forbidden traits." if any(name.startswith("!") for name in names) else None)
        if why:
            raise Invalid(f"Invalid query string parameters: The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' {why} "
                          f"Got: {text}")
        if not all(names):
            raise Invalid("Invalid query string parameters: Expected 'required' parameter value of the form: "
                          f"in:HW_CPU_X86_VMX,CUSTOM_MAGIC. Got an empty trait in: {text}")
        group.required.append(frozenset(names))
        return
    names = [name.strip() for name in text.split(",")]
    form = "HW_CPU_X86_VMX,!CUSTOM_MAGIC" if forbid else "HW_CPU_X86_VMX,CUSTOM_MAGIC"
    expected = f"Invalid query string parameters: Expected 'required' parameter value of the form: {form}. Got"
    if not all(name.lstrip("!") for name in names):
        raise Invalid(f"{expected} an empty trait in: {text}")
    if not forbid and any(name.startswith("!") for name in names):
        raise Invalid(f"{expected}: {text}")
    group.forbidden |= {name.lstrip("!") for name in names if name.startswith("!")}
    group.required += [frozenset((name,)) for name in names if not name.startswith("!")]


def _members(group: Group, text: str, suffix: str, *, forbid: bool) -> None:
    if "," in text and not text.startswith(("in:", "!in:")):
        raise Invalid("Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the "
                      f"valid microversion. Got: {text}")
    ids = text.removeprefix("!").removeprefix("in:").split(",")
    for id in ids:
        if not is_id(id):
            raise Invalid("Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). "
                          f"Got: {id}")
    if not text.startswith("!"):
        group.member_of.append(frozenset(ids))
    elif forbid:
        group.not_member_of |= set(ids)
    else:
        raise Invalid(f"Forbidden member_of{suffix} parameters are not supported in the specified microversion")


def _tree(text: str | None) -> str | None:
    if text is not None and not is_id(text.strip()):
        raise Invalid("Invalid query string parameters: Expected 'in_tree' parameter to be a format of uuid. "
                      f"Got: {text}")
    return None if text is None else text.strip()


def _suffixes(text: str) -> frozenset[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise Invalid("Empty string (unsuffixed group) can not be specified in `same_subtree` ", code=BAD_VALUE)
    return frozenset(names)


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise Invalid(f"Invalid query string parameters: '{text}' does not match '^[1-9][0-9]*$'")
    return int(text)


def _check(request: Request, version: Version) -> None:
    groups = request.groups
    empty = [name for name, group in groups.items() if not group.resources]
    if version >= SUBTREES:
        named = frozenset[str]().union(*request.same_subtree)
        if len(empty) == len(groups):
            raise Invalid("There must be at least one resources or resources[$S] parameter.", code=MISSING_VALUE)
        if bad := sorted(set(empty) - named):
            raise Invalid("Resourceless suffixed group request should be specified in `same_subtree` query param: bad "
                          f"group(s) - {bad}.", code=BAD_VALUE)
        if bad := sorted(named - set(groups)):
            raise Invalid(f"Real suffixes should be specified in `same_subtree`: {bad} not found in {list(groups)}.",
                          code=BAD_VALUE)
    elif not groups:
        raise Invalid("Invalid query string parameters: 'resources' is a required property" if version < (1, 25) else
                      "At least one request group (`resources` or `resources{$S}`) is required.")
    elif empty:
        _refuse_orphans(groups, empty)
    bad = sorted(f"required{name}: ({', '.join(sorted(any_of))})" for name, group in groups.items()
                 for any_of in group.required if any_of <= group.forbidden)
    if bad:
        raise Invalid("Conflicting required and forbidden traits found in the following traits keys: "
                      + ", ".join(bad))


def _refuse_orphans(groups: Mapping[str, Group], empty: Iterable[str]) -> None:
    if traits := [f"required{name}" for name in empty if groups[name].required]:
        raise Invalid("All traits parameters must be associated with resources.  Found the following orphaned traits "
                      f"keys: {', '.join(traits)}")
    if members := [f"member_of{name}" for name in empty if groups[name].member_of or groups[name].not_member_of]:
        raise Invalid("All member_of parameters must be associated with resources. Found the following orphaned "
                      f"member_of keys: {', '.join(members)}")
    raise Invalid("All request groups must specify resources.")


def check_names(tx: Tx, groups: Iterable[Group], text: str = "{}") -> None:
    """Raises ``Invalid`` for a class or a trait that isn't there; *text* frames what is said of traits."""
    all_of = list(groups)
    try:
        labels.check_classes(tx, {name for group in all_of for name in group.resources})
    except Invalid as error:
        raise Invalid(f"Invalid resource class in resources parameter: {error.message}") from None
    names = set[str]().union(*(any_of for group in all_of for any_of in group.required),
                             *(group.forbidden for group in all_of))
    labels.check_traits(tx, names, text.format("No such trait(s): {}."))


# -- answering

def list_candidates(tx: Tx, call: Call) -> Reply:
    """GET /allocation_candidates."""
    request = parse(call.query, call.version)
    check_names(tx, [*request.groups.values(), request.root])
    known, nested = providers.world(tx), call.version >= (1, 29)
    found = search(known, request, nested=nested)
    wanted = {name for group in request.groups.values() for name in group.resources}
    return Reply({"allocation_requests": [_shown(call, candidate) for candidate in found],
                  "provider_summaries": {one.id: _summary(call, known, one.id, wanted)
                                         for one in summarised(known, found, nested=nested)}})


def _shown(call: Call, candidate: Candidate) -> dict[str, Any]:
    if call.version < (1, 12):
        return {"allocations": [{"resource_provider": {"uuid": id}, "resources": resources}
                                for id, resources in candidate.amounts.items()]}
    shown: dict[str, Any] = {"allocations": {id: {"resources": resources}
                                             for id, resources in candidate.amounts.items()}}
    return {**shown, "mappings": candidate.mappings} if call.version >= (1, 34) else shown


def _summary(call: Call, known: World, id: str, wanted: set[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"resources": {
        name: {"capacity": inventory.capacity, "used": known.used[id].get(name, 0)}
        for name, inventory in known.inventories[id].items() if call.version >= (1, 27) or name in wanted}}
    if call.version >= (1, 17):
        shown["traits"] = sorted(known.traits[id])
    if call.version >= (1, 29):
        one = known.providers[id]
        shown.update(root_provider_uuid=one.root_id, parent_provider_uuid=one.parent_id)
    return shown


ROUTES = [Route("GET", "/allocation_candidates", dated(list_candidates), "placement:allocation_candidates:list",
                min=(1, 10))]
