"""When to try again. Pure."""

import random

FIRST, MOST = 0.25, 30.0


def delay(attempts: int, *, jitter: float | None = None) -> float:
    """Seconds until the next try after *attempts* failed ones: exponential to 30 s, with ±25 % jitter."""
    spread = random.uniform(-0.25, 0.25) if jitter is None else jitter
    return min(MOST, FIRST * 2 ** min(attempts, 10)) * (1 + spread)
