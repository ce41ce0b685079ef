"""Compare a backend's inventory with what the database knows.

Theory of operation. A turn that was paused before its first write can come back after the resource was deleted
and forgotten, and make it anew: no fence was ever written that could refuse it. Nothing is lost by that, since
the deletion left a tombstone: whatever the backend holds under a tombstone's id, and no younger than it, is
ours and unwanted, and is removed. What has neither a row nor a tombstone is reported and left alone. The
inventory is taken first: a row is always committed before anything of it reaches a backend.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)


class Audited(Protocol):
    """A kind whose backend can be listed."""

    name: str

    def inventory(self) -> Mapping[str, int]:
        """Every id of ours in the backend with its generation."""
        ...

    def remove(self, era: int, id: str, generation: int) -> None:
        """Leave nothing of it; refused where the backend holds a younger generation."""
        ...


class Standing(Protocol):
    """The part of the work queue that the audit asks."""

    def standing(self, kind: str, ids: Sequence[str]) -> Mapping[str, int | None]:
        """For each id that is known: None while it lives, its last generation when it has a tombstone."""
        ...

    def era(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """Ids removed by their tombstones, and ids that nobody knows."""

    removed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def audit(queue: Standing, kind: Audited) -> Findings:
    """Remove what a tombstone condemns, report what nobody knows. Raises what the backend raises."""
    inventory = kind.inventory()
    standing = queue.standing(kind.name, list(inventory))
    unknown = tuple(sorted(id for id in inventory if id not in standing))
    removed: list[str] = []
    for id, found in inventory.items():
        buried = standing.get(id)
        if buried is not None and found <= buried:
            kind.remove(queue.era(), id, buried)
            removed.append(id)
    if removed:
        log.warning("removed %d %s objects that a stale turn made after their deletion: %s",
                    len(removed), kind.name, removed)
    if unknown:
        log.warning("%d %s objects in the backend are nobody's; left alone: %s", len(unknown), kind.name, unknown[:20])
    return Findings(tuple(removed), unknown)
