"""What an evacuation needs next, and what it is. Pure."""

from __future__ import annotations

from stackling.ha.model import Behind, Evacuation, Look, Move, Starting
from stackling.ha.rules import may_evacuate

Step = Move | Behind | Starting
OVER = (Evacuation.DONE, Evacuation.VOID)


def standing(look: Look) -> tuple[Evacuation, str | None]:
    """What the evacuation is, whatever its row says, and why it goes no further (None: it does, or is done)."""
    server = look.server
    if look.state in OVER:
        return look.state, None
    if server.gone:
        return Evacuation.VOID, "the server was deleted"
    if server.host_id != look.host_id:
        return (Evacuation.DONE, None) if server.settled else (
            Evacuation.MOVING, server.error or f"starting on {server.host}")
    why = may_evacuate(look.machine, look.strength, look.disk)
    if why is None:
        return look.state, None
    if look.strength is not None and look.machine == "fenced":
        return Evacuation.HELD, why
    return Evacuation.VOID, "its machine came back first"


def steps(look: Look) -> tuple[Step, ...]:
    """At most one step."""
    state, reason = standing(look)
    if state in (*OVER, Evacuation.HELD):
        return ()
    if state is Evacuation.MOVING:
        return (Starting(reason or "starting"),)
    if look.ahead is not None and look.state is Evacuation.QUEUED:
        return (Behind(look.ahead),)
    return (Move(),)
