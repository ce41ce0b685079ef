"""What a service tells the engine about one kind of resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Fence:
    """What every change of a backend carries: a backend that can check refuses an older pair."""

    era: int
    generation: int


@dataclass(frozen=True, slots=True)
class Key:
    """What the engine works on."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class Retryable(Exception):
    """It didn't work now and may later: backoff, for ever, visible with its reason."""


class Blocked(Exception):
    """It can't go on before another resource has moved; that one's settling wakes it."""

    def __init__(self, on: Key, reason: str) -> None:
        super().__init__(reason)
        self.on = on


class Terminal(Exception):
    """Trying again can't help: shown as ERROR, with the message as the fault, until the desired state changes."""


class Stale(Exception):
    """The desired state changed or the claim is lost: give up silently and load again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended. ``error`` is None when converged; ``overdue``: past the deadline of what is under way."""

    converged: bool
    error: str | None = None
    terminal: bool = False
    overdue: bool = False


class Desired(Protocol):
    """At least a generation; the rest is the kind's own."""

    @property
    def generation(self) -> int: ...


class Kind(Protocol):
    """One kind of resource. ``load`` and ``settle`` see a transaction (opaque to the engine); ``plan`` is pure.

    ``load`` returns None when the row is gone. ``observe`` and ``apply`` reach the backend and may block; they
    run in a worker thread under the turn's deadline. ``settle`` writes what was observed, recomputes the cached
    status, and for a deleted resource removes the row (``tx.forget``) once the backend has nothing left of it.
    ``settle`` is called only if the claim is still ours and the generation is still ``desired.generation``.
    """

    name: str

    def load(self, tx: Any, id: str) -> Any | None: ...
    def generation(self, tx: Any, id: str) -> int | None: ...
    def observe(self, desired: Any) -> Any: ...
    def plan(self, desired: Any, observed: Any) -> Sequence[Any]: ...
    def apply(self, fence: Fence, desired: Any, step: Any) -> None: ...
    def settle(self, tx: Any, desired: Any, observed: Any, outcome: Outcome) -> None: ...
