"""Names that providers are described by: resource classes, traits, aggregates; upstream's and custom ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, delete, insert, select

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.placement import providers
from stackling.placement.model import CUSTOM, Provider, World
from stackling.placement.standard import RESOURCE_CLASSES, TRAITS
from stackling.store.tables.placement import (
    custom_resource_classes,
    custom_traits,
    provider_aggregates,
    provider_inventories,
    provider_traits,
)
from stackling.store.transaction import Tx

_CLASSES = select(custom_resource_classes.c.name).order_by(custom_resource_classes.c.name)
_TRAITS = select(custom_traits.c.name).order_by(custom_traits.c.name)
_NO_TRAITS = delete(provider_traits).where(provider_traits.c.provider_id == bindparam("id_"))
_NO_AGGREGATES = delete(provider_aggregates).where(provider_aggregates.c.provider_id == bindparam("id_"))


# -- resource classes

def classes(tx: Tx) -> list[str]:
    """Upstream's, and the custom ones."""
    return [*RESOURCE_CLASSES, *(row.name for row in tx.all(_CLASSES))]


def is_class(tx: Tx, name: str) -> bool:
    """Whether there is such a class."""
    return name in RESOURCE_CLASSES or tx.one(_CLASSES.where(custom_resource_classes.c.name == name)) is not None


def find_class(tx: Tx, name: str) -> None:
    """Raises ``NotFound``."""
    if not is_class(tx, name):
        raise NotFound(f"No such resource class {name}.")


def check_classes(tx: Tx, names: Iterable[str]) -> None:
    """Raises ``Invalid`` for one that isn't there."""
    known = set(classes(tx))
    missing = sorted(set(names) - known)
    if missing:
        raise Invalid(f"No such resource class {', '.join(missing)}.")


def add_class(tx: Tx, name: str) -> bool:
    """Whether it is new."""
    tx.guard("placement.names")
    if is_class(tx, name):
        return False
    tx.execute(insert(custom_resource_classes), {"name": name})
    return True


def rename_class(tx: Tx, name: str, new: str) -> None:
    """Raises ``NotFound``, ``Invalid`` for one of upstream's, ``Conflict`` for a name that is taken or a class in use.

    Upstream keeps the inventories of a class that is renamed; here it must have none.
    """
    find_class(tx, name)
    if name in RESOURCE_CLASSES:
        raise Invalid(f"Cannot update standard resource class {name}")
    if is_class(tx, new):
        raise Conflict(f"Resource class already exists: {new}")
    _unused_class(tx, name, "update")
    tx.execute(delete(custom_resource_classes).where(custom_resource_classes.c.name == name))
    add_class(tx, new)


def remove_class(tx: Tx, name: str) -> None:
    """Raises ``NotFound``, ``Invalid`` for one of upstream's, ``Conflict`` for one in use."""
    find_class(tx, name)
    if name in RESOURCE_CLASSES:
        raise Invalid(f"Error in delete resource class: Cannot delete standard resource class {name}.")
    _unused_class(tx, name, "delete")
    tx.execute(delete(custom_resource_classes).where(custom_resource_classes.c.name == name))


def _unused_class(tx: Tx, name: str, doing: str) -> None:
    if tx.one(select(provider_inventories.c.provider_id).where(
            provider_inventories.c.resource_class == name).limit(1)) is not None:
        raise Conflict(f"Error in {doing} resource class: Cannot {doing} resource class {name}. Class is in use in "
                       "inventory.")


# -- traits

def traits(tx: Tx) -> list[str]:
    """Upstream's, and the custom ones."""
    return [*sorted(TRAITS), *(row.name for row in tx.all(_TRAITS))]


def is_trait(tx: Tx, name: str) -> bool:
    """Whether there is such a trait."""
    return name in TRAITS or tx.one(_TRAITS.where(custom_traits.c.name == name)) is not None


def check_traits(tx: Tx, names: Collection[str], text: str) -> None:
    """Raises ``Invalid`` with *text* (``{}``: the names) where some aren't there."""
    missing = set(names) - set(TRAITS)
    if missing:
        missing -= {row.name for row in tx.all(_TRAITS)}
    if missing:
        raise Invalid(text.format(", ".join(sorted(missing))))


def add_trait(tx: Tx, name: str) -> bool:
    """Whether it is new."""
    tx.guard("placement.names")
    if is_trait(tx, name):
        return False
    tx.execute(insert(custom_traits), {"name": name})
    return True


def remove_trait(tx: Tx, name: str) -> None:
    """Raises ``NotFound``, ``Invalid`` for one of upstream's, ``Conflict`` for one that a provider has."""
    if not is_trait(tx, name):
        raise NotFound(f"No such trait(s): {name}.")
    if not name.startswith(CUSTOM):
        raise Invalid(f"Cannot delete standard trait {name}.")
    if tx.one(select(provider_traits.c.trait).where(provider_traits.c.trait == name).limit(1)) is not None:
        raise Conflict(f"The trait {name} is in use by a resource provider.")
    tx.execute(delete(custom_traits).where(custom_traits.c.name == name))


def set_traits(tx: Tx, known: World, one: Provider, wanted: Sequence[str]) -> Provider:
    """Give the provider exactly these; a host keeps those that Compute says of it. Raises ``Invalid``."""
    check_traits(tx, wanted, "No such trait {}")
    own = _computes(known, one)
    if set(wanted) | own == known.traits[one.id]:
        return one
    generation = providers.raise_generation(tx, one)
    tx.execute(_NO_TRAITS, {"id_": one.id})
    kept = sorted(set(wanted) - own)
    if kept:
        tx.execute(insert(provider_traits), [{"provider_id": one.id, "trait": name} for name in kept])
    known.traits[one.id] = set(wanted) | own
    return replace(one, generation=generation)


def _computes(known: World, one: Provider) -> set[str]:
    return known.traits[one.id] & {compute.NODE, compute.DISABLED} if one.is_host else set()


# -- aggregates

def set_aggregates(tx: Tx, known: World, one: Provider, wanted: Sequence[str], *, count: bool) -> Provider:
    """Put the provider into exactly these; with *count* its generation is raised (since 1.19). A host stays in the
    host aggregates that it is in: raises ``Conflict``."""
    own: dict[str, str] = dict(providers.host(tx, one.id).aggregates) if one.is_host else {}
    missing = [name for uuid, name in own.items() if uuid not in wanted]
    if missing:
        raise Conflict(f"Compute host {one.name} is in host aggregate {', '.join(missing)}: remove it from that with "
                       "Compute's API.")
    generation = providers.raise_generation(tx, one) if count else one.generation
    tx.execute(_NO_AGGREGATES, {"id_": one.id})
    more = [uuid for uuid in wanted if uuid not in own]
    if more:
        tx.execute(insert(provider_aggregates), [{"provider_id": one.id, "aggregate_id": uuid} for uuid in more])
    known.aggregates[one.id] = set(wanted)
    return replace(one, generation=generation)
