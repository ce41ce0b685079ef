"""Who is alive in the cluster, and who was fenced: what the cluster's engine (Pacemaker) says. Never the database.

*Unknown is not dead*: an engine that can't be asked raises ``MembershipUnknown``; nothing may be concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

BY_HAND = "by hand"
"""The ``device`` of a fencing that an operator confirmed, where no device was asked."""


class MembershipUnknown(Exception):
    """The engine doesn't answer, or this side has no quorum."""


class Standing(StrEnum):
    """How a quorate membership sees a machine."""

    MEMBER = "member"       # online
    LEAVING = "leaving"     # it said that it goes: a planned stop
    LOST = "lost"           # gone without a word, not (yet) fenced
    ABSENT = "absent"       # cleanly stopped, or fenced and not back


@dataclass(frozen=True, slots=True)
class View:
    """What a quorate partition sees: each configured machine's standing."""

    standings: dict[str, Standing]

    @property
    def missing(self) -> int:
        """How many machines are not members."""
        return sum(standing is not Standing.MEMBER for standing in self.standings.values())


@dataclass(frozen=True, slots=True)
class FenceEvent:
    """One line of the fencer's history. Times are seconds since the epoch.

    ``status`` is ``success``, ``failed`` or ``pending``; only a ``success`` of the action ``off`` (or ``reboot``) whose
    power state the device read back is a proof.
    """

    machine: str
    action: str
    status: str
    completed_at: float
    device: str = ""
    origin: str = ""
    detail: str = ""


class Membership(Protocol):
    """Blocking; safe from several threads."""

    def view(self) -> View:
        """The present membership, of a quorate partition. Raises ``MembershipUnknown``."""
        ...


class Fence(Protocol):
    """The one fencer. Blocking; safe from several threads."""

    def history(self, machine: str) -> list[FenceEvent]:
        """What was done to *machine*, latest first. Raises ``MembershipUnknown``."""
        ...

    def off(self, machine: str, timeout: float) -> None:
        """Ask for *machine* to be switched off; returns when that is done or has failed (see ``history``).

        Raises ``MembershipUnknown``.
        """
        ...

    def on(self, machine: str, timeout: float) -> None:
        """Ask for *machine* to be switched on; otherwise as ``off``."""
        ...

    def is_off(self, machine: str) -> bool | None:
        """What the power device itself reads now; None when it can't be asked."""
        ...
