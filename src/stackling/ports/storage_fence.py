"""Keeping a machine away from shared storage, where its power can't be controlled."""

from __future__ import annotations

from typing import Protocol


class StorageFenceDown(Exception):
    """The storage doesn't answer; nothing is known."""


class StorageFence(Protocol):
    """Blocks a machine's whole storage address. Blocking calls, each under a deadline; safe from several threads.

    A block alone is no proof of fencing: guests go on answering the network. It becomes one once the machine's own
    watchdog has had the time to end them.
    """

    def block(self, machine: str) -> None:
        """Refuse every write of the machine from now on; renews a block that is in place. Raises
        ``StorageFenceDown``."""
        ...

    def blocked_since(self, machine: str) -> float | None:
        """Since when (seconds since the epoch) the block has held without a gap; None: it isn't blocked. Raises
        ``StorageFenceDown``."""
        ...

    def admit(self, machine: str) -> None:
        """Lift the block. Raises ``StorageFenceDown``."""
        ...
