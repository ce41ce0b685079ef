"""What a flavor or an image asks of hosts besides room: traits, and resources of classes that an administrator counts.

Flavors say ``trait:HW_CPU_X86_AVX2=required`` (or ``forbidden``) and ``resources:CUSTOM_LICENSE=1``, images
``trait:…``, as https://docs.openstack.org/nova/latest/user/flavors.html describes. Only what a host itself has counts,
not what providers beneath it or shared with it have. What servers take of such classes is counted from their flavors
whenever somebody asks for one; a guard row makes two who do so wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, func, select

from stackling.compute import placing
from stackling.compute.model import Need, ServerRow
from stackling.store.tables.fleet import hosts
from stackling.store.tables.placement import allocations, provider_inventories, provider_traits
from stackling.store.transaction import Tx

TRAIT = "trait:"
GUARD = "placement.resources"
"""Held by whoever takes resources that rows of Placement count."""
_HOSTS = select(hosts.c.id)
_TRAITS = select(provider_traits.c.provider_id, provider_traits.c.trait).where(
    provider_traits.c.trait.in_(bindparam("names", expanding=True)))
_INVENTORIES = select(provider_inventories).where(
    provider_inventories.c.resource_class.in_(bindparam("names", expanding=True)))
_USED = select(
    allocations.c.provider_id, allocations.c.resource_class, func.sum(allocations.c.used).label("used"),
).where(allocations.c.resource_class.in_(bindparam("names", expanding=True))).group_by(
    allocations.c.provider_id, allocations.c.resource_class)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Traits that a host must have and must not have; amounts by class."""

    required: frozenset[str]
    forbidden: frozenset[str]
    resources: Mapping[str, int]

    def __str__(self) -> str:
        parts = [*(f"trait {name}" for name in sorted(self.required)),
                 *(f"no trait {name}" for name in sorted(self.forbidden)),
                 *(f"{amount} {name}" for name, amount in sorted(self.resources.items()))]
        return ", ".join(parts)


def wanted(extra_specs: Mapping[str, Any], properties: Mapping[str, Any] | None = None) -> Wanted | None:
    """What they ask for; None when that is nothing. What Nova ignores with a warning is ignored."""
    traits = [(key[len(TRAIT):], value) for source in (extra_specs, properties or {}) for key, value in source.items()
              if key.startswith(TRAIT)]
    found = Wanted(frozenset(name for name, value in traits if value == "required"),
                   frozenset(name for name, value in traits if value == "forbidden"), placing.custom(extra_specs))
    return found if found.required or found.forbidden or found.resources else None


def narrowed(tx: Tx, need: Need, extra_specs: Mapping[str, Any], properties: Mapping[str, Any] | None = None, *,
             but: str | None = None, placed: Iterable[str] = ()) -> Need:
    """*need*, without the hosts that lack what is asked for.

    *but* is a server that isn't counted; *placed* are hosts to which this transaction has given such a flavor already.
    """
    found = wanted(extra_specs, properties)
    if found is None:
        return replace(need, unfit=frozenset()) if need.unfit else need
    everywhere = {str(row.id) for row in tx.all(_HOSTS)}
    fit = everywhere & _with_traits(tx, found, everywhere)
    if found.resources:
        tx.guard(GUARD)
        fit &= _with_room(tx, found.resources, but, list(placed))
    return replace(need, unfit=frozenset(everywhere - fit), unfit_reason=f"lacks what is asked for ({found})")


def for_server(tx: Tx, need: Need, server: ServerRow, flavor: Mapping[str, Any] | None = None) -> Need:
    """``narrowed`` for a server that is there, with its flavor or a new one."""
    image: Mapping[str, Any] = server["image"] or {}
    return narrowed(tx, need, (flavor or server["flavor"])["extra_specs"], image.get("properties"), but=server["id"])


def _with_traits(tx: Tx, found: Wanted, everywhere: set[str]) -> set[str]:
    having: dict[str, set[str]] = {name: set() for name in found.required | found.forbidden}
    for row in tx.all(_TRAITS, names=sorted(having)) if having else ():
        having[row.trait].add(row.provider_id)
    if placing.NODE in having:
        having[placing.NODE] = everywhere
    fit = set(everywhere)
    for name in found.required:
        fit &= having[name]
    for name in found.forbidden:
        fit -= having[name]
    return fit


def _with_room(tx: Tx, resources: Mapping[str, int], but: str | None, placed: list[str]) -> set[str]:
    names = sorted(resources)
    used = {(row.provider_id, row.resource_class): int(row.used) for row in tx.all(_USED, names=names)}
    for one in placing.taken(tx, custom_only=True):
        for name, amount in one.amounts.items() if one.server_id != but else ():
            used[one.host_id, name] = used.get((one.host_id, name), 0) + amount
    fit: dict[str, int] = {}
    for row in tx.all(_INVENTORIES, names=names):
        amount = resources[row.resource_class]
        taken = used.get((row.provider_id, row.resource_class), 0) + placed.count(row.provider_id) * amount
        room = int((row.total - row.reserved) * row.allocation_ratio) - taken
        if amount <= room and row.min_unit <= amount <= row.max_unit and amount % row.step_size == 0:
            fit[row.provider_id] = fit.get(row.provider_id, 0) + 1
    return {id for id, count in fit.items() if count == len(names)}
