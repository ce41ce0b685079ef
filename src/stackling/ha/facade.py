"""All that others may use of high availability: the internal and our own API, and the engine's composition."""

from __future__ import annotations

from stackling.ha.kinds import SharedStorage, kinds
from stackling.ha.leases import Held, digest, held, release, take_over
from stackling.ha.listing import list_machines, show_machine, why
from stackling.ha.machines import beat, booted, confirm_off, heard_of, is_fenced, plan_stop, resume
from stackling.ha.model import Settings
from stackling.ha.watch import Watch

__all__ = [
    "Held", "Settings", "SharedStorage", "Watch", "beat", "booted", "confirm_off", "digest", "heard_of", "held",
    "is_fenced", "kinds", "list_machines", "plan_stop", "release", "resume", "show_machine", "take_over", "why",
]
