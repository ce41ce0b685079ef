"""One turn: load, observe, plan, apply, observe again, settle.

Theory of operation. A turn is idempotent and may die anywhere: the lease runs out, somebody claims the key with
the next epoch and starts from what the backend shows. A turn that was only paused (SIGSTOP, a long GC) comes
back and finds its epoch gone when it settles; what it did to the backend in between carried its fence, so a
backend that checks has refused it, and the next turn's observation corrects the rest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from stackling.core import clock
from stackling.core.errors import Unavailable
from stackling.engine.backoff import delay
from stackling.engine.kinds import Blocked, Fence, Kind, Outcome, Retryable, Stale, Terminal
from stackling.engine.queue import Claim, WorkQueue

log = logging.getLogger(__name__)
WAKE_UP = 5.0           # a blocked key looks again by itself after this many seconds
UNFINISHED = "not finished yet"


@dataclass(frozen=True, slots=True)
class Result:
    """What the turn found and how it ended."""

    observed: Any
    converged: bool
    error: str | None = None
    terminal: bool = False
    blocked_on: str | None = None
    retry_in: float | None = None


def drive(kind: Kind, desired: Any, fence: Fence, attempts: int) -> Result:
    """Bring the backend towards *desired* once; never raises, except ``Stale``."""
    observed: Any = None
    try:
        observed = kind.observe(desired)
        steps = kind.plan(desired, observed)
        if steps:
            for step in steps:
                kind.apply(fence, desired, step)
            observed = kind.observe(desired)
            if kind.plan(desired, observed):
                return Result(observed, False, UNFINISHED, retry_in=delay(attempts))
        return Result(observed, True)
    except Stale:
        raise
    except Blocked as blocked:
        return Result(observed, False, str(blocked), blocked_on=str(blocked.on), retry_in=WAKE_UP)
    except Terminal as terminal:
        return Result(observed, False, str(terminal), terminal=True)
    except (Retryable, Unavailable) as error:
        return Result(observed, False, str(error), retry_in=delay(attempts))
    except Exception as error:
        log.exception("turn of %s failed unexpectedly", kind.name)
        return Result(observed, False, f"{type(error).__name__}: {error}", retry_in=delay(attempts + 2))


def turn(queue: WorkQueue, kind: Kind, claim: Claim, era: int) -> bool:
    """Run one claimed turn to its settling. Returns whether it converged."""
    key = claim.key
    desired = queue.load(kind.load, key.id)
    if desired is None:
        queue.drop(claim)
        return True
    try:
        result = drive(kind, desired, Fence(era, desired.generation), claim.attempts)
    except Stale:
        queue.settle(claim, next_due=0.0, converged=False, error=None, blocked_on=None, write=None)
        return False
    overdue = claim.deadline_at is not None and clock.wall() > claim.deadline_at
    outcome = Outcome(result.converged, result.error, result.terminal, overdue and not result.converged)

    def write(tx: Any) -> bool:
        if kind.generation(tx, key.id) != desired.generation:
            return False
        kind.settle(tx, desired, result.observed, outcome)
        return True

    next_due = None if result.converged or result.terminal else result.retry_in
    if next_due is not None and claim.deadline_at is not None and not overdue:
        next_due = min(next_due, max(0.0, claim.deadline_at - clock.wall()) + 0.01)
    queue.settle(claim, next_due=next_due, converged=result.converged, error=result.error,
                 blocked_on=result.blocked_on, write=write)
    return result.converged
