"""A load balancer with all that is below it, read in as many queries as there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stackling.loadbalancer.rows import LISTENERS, MEMBERS, MONITORS, POOLS, Record
from stackling.store.transaction import Tx


@dataclass(slots=True)
class Tree:
    """What is below some load balancers."""

    listeners: list[Record] = field(default_factory=list[Record])
    pools: list[Record] = field(default_factory=list[Record])
    members: list[Record] = field(default_factory=list[Record])
    monitors: list[Record] = field(default_factory=list[Record])

    def of_pool(self, pool_id: str) -> tuple[list[Record], Record | None]:
        """A pool's members and its health monitor."""
        return ([one for one in self.members if one["pool_id"] == pool_id],
                next((one for one in self.monitors if one["pool_id"] == pool_id), None))

    def users(self, pool_id: str) -> list[Record]:
        """The listeners that have the pool."""
        return [one for one in self.listeners if one["default_pool_id"] == pool_id]


def read(tx: Tx, balancer_ids: Sequence[str]) -> Tree:
    """Everything below these load balancers."""
    return Tree(LISTENERS.of(tx, balancer_ids), POOLS.of(tx, balancer_ids), MEMBERS.of(tx, balancer_ids),
                MONITORS.of(tx, balancer_ids))
