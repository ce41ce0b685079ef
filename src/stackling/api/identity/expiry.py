"""Expiry dates in requests."""

from __future__ import annotations

from datetime import UTC, datetime

from stackling.core import clock
from stackling.core.errors import Invalid

_BLAME = (" The server could not comply with the request since it is either malformed or otherwise incorrect. The "
          "client is assumed to be in error.")


def parse(text: str, now: str) -> str:
    """An ISO 8601 date of the future as an instant. Raises ``Invalid``."""
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise Invalid(f"Timestamp not in expected format.{_BLAME}") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    instant = moment.strftime(clock.FORMAT)
    if instant <= now:
        raise Invalid(f"The 'expires_at' must not be before now.{_BLAME}")
    return instant
