"""Time: wall-clock instants are ISO 8601 texts in UTC with microseconds, which sort as they compare."""

import time
from datetime import UTC, datetime, timedelta

FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


def now() -> str:
    """The present instant, e.g. ``2026-11-22T15:54:12.000123``."""
    return datetime.now(UTC).strftime(FORMAT)


def instant(seconds: float) -> str:
    """The instant that is *seconds* after the Unix epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime(FORMAT)


def later(instant_: str, seconds: float) -> str:
    """*instant_* moved by *seconds* (which may be negative)."""
    return (datetime.fromisoformat(instant_) + timedelta(seconds=seconds)).strftime(FORMAT)


def epoch(instant_: str) -> float:
    """Seconds since the Unix epoch of *instant_*."""
    return datetime.fromisoformat(instant_).replace(tzinfo=UTC).timestamp()


def seconds_z(instant_: str) -> str:
    """*instant_* as most APIs show it: whole seconds and a ``Z``."""
    return instant_[:19] + "Z"


def whole_second(instant_: str) -> str:
    """The last instant of *instant_*'s second: what most APIs show as the same."""
    return instant_[:19] + ".999999"


def wall() -> float:
    """Seconds since the Unix epoch."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that never steps; for leases and deadlines inside one process."""
    return time.monotonic()
