"""The seam between the engine and the database: claims, leases, settling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stackling.engine.kinds import Key


@dataclass(frozen=True, slots=True)
class Claim:
    """A turn that is ours until ``lease_until`` or until somebody else claims it (the epoch then differs)."""

    key: Key
    epoch: int
    nudges: int
    attempts: int
    deadline_at: float | None


class WorkQueue(Protocol):
    """Implemented by ``store.work``."""

    def claim(self, kinds: Sequence[str], owner: str, lease: float, limit: int) -> list[Claim]:
        """Take up to *limit* due keys of *kinds* for *lease* seconds; committed when it returns."""
        ...

    def renew(self, claims: Sequence[Claim], lease: float) -> None:
        """Keep those that are still ours for another *lease* seconds."""
        ...

    def release(self, owner: str) -> None:
        """Let go of what *owner* claimed in an earlier life; a turn of that life that still runs can't settle."""
        ...

    def load(self, use_case: Callable[..., Any], *args: Any) -> Any:
        """Run a reading use-case."""
        ...

    def settle(self, claim: Claim, *, next_due: float | None, converged: bool, error: str | None,
               blocked_on: str | None, write: Callable[[Any], bool] | None) -> bool:
        """End the turn in one transaction: check the epoch, run *write*, set when it is due next.

        *write* returns False when the generation has moved (nothing of it is kept, the key is due at once).
        Returns whether the turn was still ours.
        """
        ...

    def drop(self, claim: Claim) -> None:
        """The resource isn't there (a late nudge made the key): forget the key, if the turn is still ours."""
        ...

    def next_due(self, kinds: Sequence[str]) -> float | None:
        """Seconds until the next key is due (0: now); None when nothing is."""
        ...

    def sweep(self, kinds: Sequence[str], older_than: float, limit: int) -> int:
        """Make due up to *limit* converged keys whose last check is older than *older_than* seconds."""
        ...

    def standing(self, kind: str, ids: Sequence[str]) -> Mapping[str, int | None]:
        """For each id that is known: None while it lives, its last generation when it has a tombstone."""
        ...

    def prune(self) -> None:
        """Forget what is too old to matter: tombstones, settled requests."""
        ...

    def era(self) -> int:
        """The database's era: goes up when a backup is restored."""
        ...
