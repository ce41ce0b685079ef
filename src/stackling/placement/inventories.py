"""What providers have. A host's processors, memory and disk are what it reports: reserves and ratios can be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import bindparam, delete, insert

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.placement import labels, providers
from stackling.placement.model import INVENTORY_IN_USE, Inventory, Provider, World, changed_meanwhile
from stackling.store.tables.placement import provider_inventories
from stackling.store.transaction import Tx

_DELETE = delete(provider_inventories).where(provider_inventories.c.provider_id == bindparam("id_"))
Inventories = Mapping[str, Inventory]


def replace_all(tx: Tx, known: World, one: Provider, wanted: Inventories) -> Provider:
    """Give the provider exactly *wanted*; as it is then. Raises ``Invalid`` for a class that isn't there, ``Conflict``
    for one that goes and is in use."""
    labels.check_classes(tx, wanted)
    if one.is_host:
        return _of_host(tx, known, one, wanted)
    _check_going(known, one, set(known.inventories[one.id]) - set(wanted))
    return _write(tx, known, one, wanted)


def _check_going(known: World, one: Provider, going: set[str]) -> None:
    used = sorted(name for name in going if known.used[one.id].get(name))
    if used:
        raise in_use(one, used)


def in_use(one: Provider, classes: list[str]) -> Conflict:
    """The refusal to take a class away."""
    return Conflict(f"update conflict: Inventory for '{', '.join(classes)}' on resource provider '{one.id}' in use.",
                    code=INVENTORY_IN_USE)


def _write(tx: Tx, known: World, one: Provider, wanted: Inventories) -> Provider:
    tx.guard(compute.RESOURCES_GUARD)
    generation = providers.raise_generation(tx, one)
    _rewrite(tx, one.id, wanted)
    known.inventories[one.id] = dict(wanted)
    return replace(one, generation=generation)


def _rewrite(tx: Tx, id: str, wanted: Inventories) -> None:
    tx.execute(_DELETE, {"id_": id})
    if wanted:
        tx.execute(insert(provider_inventories), [{
            "provider_id": id, "resource_class": name, "total": found.total, "reserved": found.reserved,
            "min_unit": found.min_unit, "max_unit": found.max_unit, "step_size": found.step_size,
            "allocation_ratio": found.allocation_ratio} for name, found in wanted.items()])


def _of_host(tx: Tx, known: World, one: Provider, wanted: Inventories) -> Provider:
    """A host's own classes stay; more classes are as any provider's."""
    there = known.inventories[one.id]
    gone = [name for name in compute.HOST_CLASSES if name in there and name not in wanted]
    if gone:
        raise Conflict(f"update conflict: {', '.join(gone)} of compute host {one.name} is what the host reports, and "
                       "can't be taken away: reserve it, or disable the host's compute service.", code=INVENTORY_IN_USE)
    parts: dict[str, compute.Part] = {}
    for name in compute.HOST_CLASSES:
        if name in wanted:
            parts[name] = _part(one, name, there.get(name), wanted[name])
    more = {name: found for name, found in wanted.items() if name not in compute.HOST_CLASSES}
    _check_going(known, one, set(there) - set(wanted))
    tx.guard(compute.RESOURCES_GUARD)
    if not compute.change_host(tx, providers.host(tx, one.id), parts):
        raise changed_meanwhile("update conflict: Another thread concurrently updated the data. Please retry your "
                                "update")
    _rewrite(tx, one.id, more)
    for name, part in parts.items():
        known.inventories[one.id][name] = replace(there[name], reserved=part.reserved, allocation_ratio=part.ratio)
    known.inventories[one.id] = {
        **{name: found for name, found in known.inventories[one.id].items() if name in parts}, **more}
    return replace(one, generation=one.generation + 1)


def _part(one: Provider, name: str, there: Inventory | None, wanted: Inventory) -> compute.Part:
    if there is None or wanted.total != there.total:
        raise Conflict(f"update conflict: compute host {one.name} reports a total of {there.total if there else 0} "
                       f"{name}; reserved and allocation_ratio can be set.")
    if wanted.min_unit != 1 or wanted.step_size != 1 or wanted.max_unit < there.total:
        raise Conflict(f"update conflict: min_unit, max_unit and step_size of {name} of compute host {one.name} can't "
                       "be changed; reserved and allocation_ratio can.")
    if wanted.allocation_ratio <= 0:
        raise Invalid(f"The allocation_ratio of {name} of compute host {one.name} must be more than 0.")
    return compute.Part(there.total, wanted.reserved, wanted.allocation_ratio, 0)


def put(tx: Tx, known: World, one: Provider, name: str, wanted: Inventory, *, new: bool) -> Provider:
    """Add a class (*new*), or change one that is there."""
    there = known.inventories[one.id]
    labels.check_classes(tx, [name])
    if new and name in there:
        raise changed_meanwhile("Update conflict: Another thread concurrently updated the data. Please retry your "
                                "update")
    if not new and name not in there:
        raise Invalid(f"No inventory record with resource class for resource provider {one.id}: No inventory of class "
                      f"{name} found.")
    return replace_all(tx, known, one, {**there, name: wanted})


def remove(tx: Tx, known: World, one: Provider, name: str) -> None:
    """Raises ``NotFound`` for a class that it hasn't, ``Conflict`` for one in use."""
    there = known.inventories[one.id]
    if name not in there:
        missing = "No inventory of class" if labels.is_class(tx, name) else "No such resource class"
        raise NotFound(f"No inventory of class {name} found for delete: {missing} {name}"
                       f"{' found for delete' if missing.endswith('of class') else '.'}")
    if known.used[one.id].get(name):
        raise changed_meanwhile(f"Unable to delete inventory of class {name}: Inventory for '{name}' on resource "
                                f"provider '{one.id}' in use.")
    replace_all(tx, known, one, {key: found for key, found in there.items() if key != name})
