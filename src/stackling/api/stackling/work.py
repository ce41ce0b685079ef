"""``GET /work``: which engine has what in hand, and what waits for one, for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackling.api.call import Call
from stackling.core.errors import Invalid

MOST, USUAL = 1000, 100
Work = Callable[[Any, int], dict[str, Any]]
"""As ``store.in_hand.find``."""


def handler(find: Work) -> Callable[[Any, Call], dict[str, Any]]:
    """GET /work."""
    def index(tx: Any, call: Call) -> dict[str, Any]:
        if unknown := sorted(set(call.query) - {"limit"}):
            raise Invalid(f"There is no filter {unknown[0]}; there is limit.")
        text = call.query.last("limit") or str(USUAL)
        if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
            raise Invalid(f"limit must be a number between 1 and {MOST}.")
        return find(tx, int(text))

    return index
