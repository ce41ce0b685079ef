"""Wake-ups between processes. A message only says "look"; losing one costs a poll interval, never work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Bus(Protocol):
    """Best effort, at most once, unordered."""

    def send(self, keys: Sequence[tuple[str, str]]) -> None:
        """Wake everybody who listens for these ``(kind, id)``. Never blocks, never raises."""
        ...

    def listen(self, woken: Callable[[Sequence[tuple[str, str]]], None]) -> None:
        """Call *woken* (from any thread) for every message; an empty sequence means "anything"."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...
