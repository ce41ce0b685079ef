"""Which providers could give what is asked for: the search behind ``GET /allocation_candidates``. Pure.

A candidate is of one tree, and of providers that share with it by an aggregate. A group without a name may be spread
over the tree, class by class, and its traits are fulfilled by all of its providers together; one with a name is of a
single provider (https://docs.openstack.org/placement/latest/user/provider-tree.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product

from stackling.placement.model import SHARES, Provider, World

MOST = 20_000
"""Combinations that one search looks at."""


@dataclass(slots=True)
class Group:
    """One part of a request. ``required`` and ``member_of``: any of each set."""

    resources: dict[str, int] = field(default_factory=dict[str, int])
    required: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    forbidden: set[str] = field(default_factory=set[str])
    member_of: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    not_member_of: set[str] = field(default_factory=set[str])
    tree: str | None = None


@dataclass(slots=True)
class Request:
    """What is asked for; groups by name, "" for the one without."""

    groups: dict[str, Group]
    limit: int | None = None
    isolate: bool = False
    root: Group = field(default_factory=Group)
    same_subtree: list[frozenset[str]] = field(default_factory=list[frozenset[str]])


@dataclass(frozen=True, slots=True)
class Candidate:
    """Amounts by provider and class, and the providers of each group."""

    amounts: Mapping[str, Mapping[str, int]]
    mappings: Mapping[str, list[str]]


Option = tuple[tuple[str, str], ...]
"""(class, provider) of one group; the class is "" where it asks for none."""


def search(known: World, request: Request, *, nested: bool) -> list[Candidate]:
    """The candidates, at most ``request.limit``; without *nested* (before 1.29) those with one provider a tree."""
    found: dict[tuple[tuple[str, str, int], ...], Candidate] = {}
    left = MOST
    for root in [one for one in known.providers.values() if one.root_id == one.id]:
        if not _labelled(request.root, known.traits[root.id]):
            continue
        there = _reachable(known, root)
        options = [_options(known, name, group, there) for name, group in request.groups.items()]
        for combination in product(*options):
            left -= 1
            if left < 0:
                return list(found.values())
            candidate = _candidate(known, request, combination, nested=nested)
            if candidate is None:
                continue
            key = tuple(sorted((id, name, amount) for id, amounts in candidate.amounts.items()
                               for name, amount in amounts.items()))
            found.setdefault((*key, *((name, ",".join(ids), 0) for name, ids in candidate.mappings.items())), candidate)
            if len(found) == request.limit:
                return list(found.values())
    return list(found.values())


def _reachable(known: World, root: Provider) -> list[Provider]:
    tree = known.tree(root.id)
    aggregates = set[str]().union(*(known.aggregates[one.id] for one in tree))
    return [*tree, *(one for one in known.providers.values() if one.root_id != root.id
                     and SHARES in known.traits[one.id] and known.aggregates[one.id] & aggregates)]


def fits(known: World, group: Group, one: Provider, *, tree: bool = False) -> bool:
    """Whether the provider is where the group wants it: in an aggregate (or, with *tree*, its root), in a tree."""
    if group.tree is not None:
        wanted = known.providers.get(group.tree)
        if wanted is None or wanted.root_id != one.root_id:
            return False
    within = known.aggregates[one.id] | (known.aggregates[one.root_id] if tree else set[str]())
    return all(any_of & within for any_of in group.member_of) and not group.not_member_of & within


def _labelled(group: Group, traits: set[str]) -> bool:
    return all(any_of & traits for any_of in group.required) and not group.forbidden & traits


def matches(known: World, group: Group, one: Provider) -> bool:
    """Whether the provider alone fulfils the group."""
    return fits(known, group, one) and _labelled(group, known.traits[one.id]) and known.has(one.id, group.resources)


def _options(known: World, name: str, group: Group, there: list[Provider]) -> Iterator[Option] | list[Option]:
    if name:
        return [tuple((one, found.id) for one in group.resources or [""]) for found in there
                if matches(known, group, found)]
    able = [found for found in there if fits(known, group, found, tree=True)
            and not group.forbidden & known.traits[found.id]]
    by_class = [[(one, found.id) for found in able if known.has(found.id, {one: amount})]
                for one, amount in group.resources.items()]
    return (option for option in islice(product(*by_class), MOST) if _labelled(
        group, set[str]().union(*(known.traits[id] for _, id in option))))


def _candidate(known: World, request: Request, combination: tuple[Option, ...], *, nested: bool) -> Candidate | None:
    mappings = {name: list(dict.fromkeys(id for _, id in option))
                for name, option in zip(request.groups, combination, strict=True)}
    if request.isolate:
        apart = [ids[0] for name, ids in mappings.items() if name]
        if len(set(apart)) < len(apart):
            return None
    for names in request.same_subtree:
        ids = {id for name in names for id in mappings.get(name, [])}
        if not any(all(top in known.ancestors(id) for id in ids) for top in ids):
            return None
    sums: Counter[tuple[str, str]] = Counter()
    for group, option in zip(request.groups.values(), combination, strict=True):
        for name, id in option:
            if name:
                sums[id, name] += group.resources[name]
    amounts: dict[str, dict[str, int]] = {}
    for (id, name), amount in sums.items():
        if amount > known.room(id, name) or amount > known.inventories[id][name].max_unit:
            return None
        amounts.setdefault(id, {})[name] = amount
    if not amounts or (not nested and len({known.providers[id].root_id for id in amounts}) < len(amounts)):
        return None
    return Candidate(amounts, mappings)


def summarised(known: World, found: list[Candidate], *, nested: bool) -> list[Provider]:
    """The providers to be described with the candidates: their whole trees, or without *nested* only themselves."""
    used = dict.fromkeys(id for candidate in found for id in candidate.amounts)
    if not nested:
        return [known.providers[id] for id in used]
    roots = dict.fromkeys(known.providers[id].root_id for id in used)
    return [one for root in roots for one in known.tree(root)]
