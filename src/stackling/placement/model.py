"""Values of Placement, and the codes of its refusals (https://docs.openstack.org/api-ref/placement/#errors)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackling.core.errors import Conflict

MOST = (1 << 31) - 1
INVENTORY_IN_USE = "placement.inventory.inuse"
CONCURRENT_UPDATE = "placement.concurrent_update"
DUPLICATE_NAME = "placement.duplicate_name"
PROVIDER_IN_USE = "placement.resource_provider.inuse"
CANNOT_DELETE_PARENT = "placement.resource_provider.cannot_delete_parent"
PROVIDER_NOT_FOUND = "placement.resource_provider.not_found"
BAD_VALUE = "placement.query.bad_value"
MISSING_VALUE = "placement.query.missing_value"
DUPLICATE_KEY = "placement.query.duplicate_key"
CUSTOM = "CUSTOM_"
SHARES = "MISC_SHARES_VIA_AGGREGATE"
"""The trait of a provider whose resources are for every tree in one of its aggregates."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a provider has of one class."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = MOST
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """How much may be given out."""
        return int((self.total - self.reserved) * self.allocation_ratio)


@dataclass(frozen=True, slots=True)
class Provider:
    """Something that has resources; a host, or what an administrator made."""

    id: str
    name: str
    generation: int
    parent_id: str | None
    root_id: str
    is_host: bool


@dataclass(slots=True)
class World:
    """Every provider with all that is said of it, by its id."""

    providers: dict[str, Provider] = field(default_factory=dict[str, Provider])
    inventories: dict[str, dict[str, Inventory]] = field(default_factory=dict[str, dict[str, Inventory]])
    used: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    traits: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    aggregates: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def room(self, id: str, name: str) -> int:
        """What is left of a class; less than 0 where too much was given out."""
        inventory = self.inventories[id].get(name)
        return 0 if inventory is None else inventory.capacity - self.used[id].get(name, 0)

    def has(self, id: str, resources: Mapping[str, int]) -> bool:
        """Whether the provider can give all of it."""
        for name, amount in resources.items():
            inventory = self.inventories[id].get(name)
            if inventory is None or not allowed(inventory, amount) or amount > self.room(id, name):
                return False
        return True

    def tree(self, root_id: str) -> list[Provider]:
        """The providers beneath that root, and itself."""
        return [one for one in self.providers.values() if one.root_id == root_id]

    def ancestors(self, id: str) -> set[str]:
        """The provider and those above it."""
        found: set[str] = set()
        above: str | None = id
        while above is not None and above not in found:
            found.add(above)
            above = self.providers[above].parent_id
        return found


def allowed(inventory: Inventory, amount: int) -> bool:
    """Whether so much may be asked for at once."""
    return inventory.min_unit <= amount <= inventory.max_unit and amount % inventory.step_size == 0


def changed_meanwhile(text: str) -> Conflict:
    """The refusal of a write that was made for another generation."""
    return Conflict(text, code=CONCURRENT_UPDATE)
