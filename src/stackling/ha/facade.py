"""All that others may use of high availability: the internal and our own API, and the engine's composition."""

from __future__ import annotations

from stackling.ha.kinds import kinds
from stackling.ha.machines import confirm_off, heard_of, plan_stop, resume
from stackling.ha.model import Settings
from stackling.ha.watch import Watch

__all__ = ["Settings", "Watch", "confirm_off", "heard_of", "kinds", "plan_stop", "resume"]
