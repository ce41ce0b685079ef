"""Shutting a machine out of the shared storage, so that whatever runs on it can no longer write."""

from __future__ import annotations

from typing import Protocol


class StorageFenceError(Exception):
    """It isn't known to be shut out: the storage doesn't answer, or this side may not do that."""


class StorageFence(Protocol):
    """Blocking, bounded by 5 s; safe from several threads. *address*: the machine's on the storage network.

    Every method raises ``StorageFenceError``.
    """

    def shut_out(self, address: str, seconds: float) -> None:
        """From when this returns nothing at *address* writes, for *seconds* at least; again, to renew it."""
        ...

    def let_in(self, address: str) -> None:
        """The machine may use the storage again, by new connections; what was shut out stays so until it reconnects."""
        ...

    def shut_out_until(self) -> dict[str, float]:
        """The addresses that are shut out as a whole, and until when (seconds since the epoch)."""
        ...
