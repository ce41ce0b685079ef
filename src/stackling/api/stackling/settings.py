"""``GET /settings``: what is configured, for administrators. What is secret is never among it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stackling.api.call import Call


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them: its value as it is in force, what it would be by itself, and what it means."""

    group: str
    name: str
    value: Any
    default: Any = None
    help: str = ""


def handler(settings: Sequence[Setting]) -> Callable[[Any, Call], dict[str, Any]]:
    """GET /settings."""
    shown = [asdict(one) for one in settings]

    def index(_tx: Any, _call: Call) -> dict[str, Any]:
        return {"settings": shown}

    return index
