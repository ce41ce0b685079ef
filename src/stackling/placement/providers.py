"""Resource providers: reading the whole of them, and making, changing and deleting those that aren't hosts.

Theory of operation. Whoever writes something of a provider raises its generation by a compare-and-set on the one that
was read in the same transaction. A host's generation is that of Compute's row, which every placement raises as well, so
that what is written here and what servers take exclude each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.placement.model import (
    CANNOT_DELETE_PARENT,
    DUPLICATE_NAME,
    PROVIDER_IN_USE,
    Inventory,
    Provider,
    World,
    changed_meanwhile,
)
from stackling.store.tables.placement import (
    allocations,
    provider_aggregates,
    provider_inventories,
    provider_traits,
    resource_providers,
)
from stackling.store.transaction import Tx

_PROVIDERS = select(resource_providers).order_by(resource_providers.c.created_at, resource_providers.c.id)
_INVENTORIES = select(provider_inventories).order_by(provider_inventories.c.resource_class)
_TRAITS = select(provider_traits)
_AGGREGATES = select(provider_aggregates)
_USED = select(
    allocations.c.provider_id, allocations.c.resource_class, func.sum(allocations.c.used).label("used"),
).group_by(allocations.c.provider_id, allocations.c.resource_class)
_RAISE = update(resource_providers).where(
    resource_providers.c.id == bindparam("id_"), resource_providers.c.generation == bindparam("known"),
).values(generation=resource_providers.c.generation + 1)
_CHANGED = "Another thread concurrently updated the resource provider data. Please retry your update"


def world(tx: Tx) -> World:
    """Everything, hosts first."""
    found = World()
    for host in compute.host_providers(tx):
        _add(found, Provider(host.id, host.name, host.generation, None, host.id, is_host=True))
        for name, part in host.parts.items():
            if part.total:
                found.inventories[host.id][name] = Inventory(part.total, part.reserved, 1, part.total, 1, part.ratio)
                found.used[host.id][name] = part.used
        found.traits[host.id] = {compute.NODE, compute.DISABLED} if host.disabled else {compute.NODE}
        found.aggregates[host.id] = set(host.aggregates)
    rows = {row.id: row for row in tx.all(_PROVIDERS)}
    parents = {id: row.parent_id if row.parent_id in rows or row.parent_id in found.providers else None
               for id, row in rows.items()}
    for id, row in rows.items():
        root = id
        while parents.get(root) is not None:
            root = str(parents[root])
        _add(found, Provider(id, row.name, int(row.generation), parents[id], root, is_host=False))
    _fill(tx, found)
    return found


def _add(found: World, one: Provider) -> None:
    found.providers[one.id] = one
    found.inventories[one.id], found.used[one.id] = {}, {}
    found.traits[one.id], found.aggregates[one.id] = set(), set()


def _fill(tx: Tx, found: World) -> None:
    for row in tx.all(_INVENTORIES):
        if row.provider_id in found.providers:
            found.inventories[row.provider_id][row.resource_class] = Inventory(
                row.total, row.reserved, row.min_unit, row.max_unit, row.step_size, row.allocation_ratio)
    for row in tx.all(_TRAITS):
        if row.provider_id in found.providers:
            found.traits[row.provider_id].add(row.trait)
    for row in tx.all(_AGGREGATES):
        if row.provider_id in found.providers:
            found.aggregates[row.provider_id].add(row.aggregate_id)
    for row in tx.all(_USED):
        one = found.providers.get(row.provider_id)
        if one is not None and not (one.is_host and row.resource_class in compute.HOST_CLASSES):
            found.used[row.provider_id][row.resource_class] = int(row.used)
    for taken in compute.taken(tx, custom_only=True):
        used = found.used.get(taken.host_id, {})
        for name, amount in taken.amounts.items():
            used[name] = used.get(name, 0) + amount


def find(known: World, id: str) -> Provider:
    """Raises ``NotFound``."""
    one = known.providers.get(id)
    if one is None:
        raise NotFound(f"No resource provider with uuid {id} found")
    return one


def host(tx: Tx, id: str) -> compute.HostProvider:
    """A provider that is a host, as Compute has it."""
    return next(one for one in compute.host_providers(tx) if one.id == id)


def raise_generation(tx: Tx, one: Provider) -> int:
    """The new one. Raises ``Conflict`` where somebody else has raised it since *one* was read."""
    done = compute.change_host(tx, host(tx, one.id)) if one.is_host else tx.changed(
        _RAISE, id_=one.id, known=one.generation)
    if not done:
        raise changed_meanwhile(_CHANGED)
    return one.generation + 1


# -- making, changing, deleting

def create(tx: Tx, id: str, name: str, parent_id: str | None) -> Provider:
    """Raises ``Conflict`` for an id or a name that is taken, ``Invalid`` for a parent that isn't there."""
    tx.guard("placement.providers")
    known = world(tx)
    taken = [f"uuid: {id}"] if id in known.providers else []
    taken += [f"name: {name}"] if any(one.name == name for one in known.providers.values()) else []
    if taken:
        raise _exists(", ".join(taken))
    if not name:
        raise _impossible(f'create resource provider "{name}", {id}', "create", "name is required")
    if parent_id == id:
        raise _impossible(f'create resource provider "{name}", {id}', "create",
                          "parent provider UUID cannot be same as UUID. Please set parent provider UUID to None if "
                          "there is no parent.")
    parent = None if parent_id is None else known.providers.get(parent_id)
    if parent_id is not None and parent is None:
        raise _impossible(f'create resource provider "{name}", {id}', "create", "parent provider UUID does not exist.")
    try:
        tx.execute(insert(resource_providers), {"id": id, "name": name, "parent_id": parent_id, "created_at": tx.now})
    except IntegrityError:
        raise _exists(f"name: {name}") from None
    return Provider(id, name, 0, parent_id, parent.root_id if parent else id, is_host=False)


def rename(tx: Tx, id: str, values: Mapping[str, str | None], *, free: bool) -> Provider:
    """Change its ``name`` and ``parent_id``; *free* to move it to another parent (since 1.37)."""
    tx.guard("placement.providers")
    known = world(tx)
    one = find(known, id)
    name = values["name"] or ""
    parent_id = values.get("parent_id", one.parent_id)
    if one.is_host:
        if (name, parent_id) != (one.name, None):
            raise Conflict(f"{one.name} is a compute host: its name is its machine's, and it is the root of its tree.")
        return one
    _check_parent(known, one, parent_id, free=free)
    if any(other.name == name and other.id != id for other in known.providers.values()):
        raise _exists(name)
    tx.execute(update(resource_providers).where(resource_providers.c.id == id).values(name=name, parent_id=parent_id))
    return world(tx).providers[id]


def _check_parent(known: World, one: Provider, parent_id: str | None, *, free: bool) -> None:
    def refuse(reason: str, action: str = "update") -> Invalid:
        return _impossible(f"save resource provider {one.id}", action, reason)

    if parent_id is not None and parent_id not in known.providers:
        raise refuse("parent provider UUID does not exist.", "create")
    if one.parent_id is not None and parent_id != one.parent_id and not free:
        raise refuse("un-parenting a provider is not currently allowed." if parent_id is None
                     else "re-parenting a provider is not currently allowed.")
    if parent_id is not None and one.id in known.ancestors(parent_id):
        raise refuse("creating loop in the provider tree is not allowed.")


def remove(tx: Tx, id: str) -> None:
    """Raises ``NotFound``; ``Conflict`` for a host, a parent, and for what consumers take of."""
    tx.guard("placement.providers")
    tx.guard(compute.RESOURCES_GUARD)
    known = world(tx)
    one = known.providers.get(id)
    if one is None:
        raise NotFound(f"No resource provider with uuid {id} found for delete")
    if any(other.parent_id == id for other in known.providers.values()):
        raise Conflict(f"Unable to delete parent resource provider {id}: It has child resource providers.",
                       code=CANNOT_DELETE_PARENT)
    if any(known.used[id].values()):
        raise Conflict(f"Unable to delete resource provider {id}: Resource provider has allocations.",
                       code=PROVIDER_IN_USE)
    if one.is_host:
        raise Conflict(f"Unable to delete resource provider {id}: it is compute host {one.name}, which goes when its "
                       "compute service is deleted.", code=PROVIDER_IN_USE)
    for table in (provider_inventories, provider_traits, provider_aggregates):
        tx.execute(delete(table).where(table.c.provider_id == id))
    tx.execute(delete(resource_providers).where(resource_providers.c.id == id))


def _exists(what: str) -> Conflict:
    return Conflict(f"Conflicting resource provider {what} already exists.", code=DUPLICATE_NAME)


def _impossible(what: str, action: str, reason: str) -> Invalid:
    return Invalid(f"Unable to {what}: Object action {action} failed because: {reason}")

