"""The values of the high availability service. Times are seconds; instants are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackling.ports.membership import FenceEvent, Standing


class State(StrEnum):
    """What is concluded of a machine."""

    UP = "up"                   # a member, and its agent reports
    SILENT = "silent"           # a member whose agent doesn't report
    APART = "apart"             # not a member, and its agent reports
    LEAVING = "leaving"         # it said that it goes
    STOPPED = "stopped"         # gone by a planned stop
    LOST = "lost"               # neither a member nor heard of, and nothing is proven
    FENCED = "fenced"           # proven: it can neither write nor answer
    RETURNING = "returning"     # heard of after it was fenced; hasn't given up yet what is no longer its own
    UNMANAGED = "unmanaged"     # unknown to the membership, or never heard of


class Beat(StrEnum):
    """What one engine process can say of an agent's heartbeat."""

    ALIVE = "alive"
    LOST = "lost"
    UNKNOWN = "unknown"         # nobody could have taken it in for long enough


class Evacuation(StrEnum):
    """Where a server's move stands."""

    QUEUED = "queued"           # not tried yet
    WAITING = "waiting"         # tried; no host takes it now
    HELD = "held"               # may not be moved: local disk, or the proof isn't enough for its disk
    MOVING = "moving"           # it has another host, which hasn't it running yet
    DONE = "done"
    VOID = "void"               # its machine came back first, or it was deleted


class Strength(StrEnum):
    """What a proof is good for, weakest first."""

    STORAGE = "storage"         # its storage address is blocked, and its self-fence deadline is over
    POWER = "power"             # the fencer switched it off; the device can't be asked now
    POWER_READ = "power-read"   # the fencer switched it off, and the device reads off
    OPERATOR = "operator"       # somebody has looked and takes the responsibility


ENOUGH: dict[str, frozenset[Strength]] = {
    "local": frozenset(),
    "doomed": frozenset(Strength),
    "shared": frozenset({Strength.POWER_READ, Strength.OPERATOR}),
    "rbd": frozenset({Strength.STORAGE, Strength.POWER, Strength.POWER_READ, Strength.OPERATOR}),
}
"""Which proofs let a server move, by the place of its disk; ``doomed``: it is to be deleted anyway."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient we are. ``check`` refuses what can't work.

    ``heartbeat``: how often agents report; ``loss_after``: silence after which a heartbeat counts as lost;
    ``stall``: a longer gap in our own attention means that heartbeats may have been missed, and everyone gets
    ``loss_after`` again; after a gap above ``away``, and after a start, ``grace``. ``clock_margin``: how far clocks of
    machines may differ. ``left_grace``: how long a machine that left in order may take to come back.
    ``fence_timeout``, ``fence_retry``: of one request to the fencer, and between two. ``at_once``: evacuated servers
    that may be starting on one host at a time. ``self_fence_after``: within which a machine that has lost its
    membership has ended its guests by its watchdog; 0: there is no watchdog, and a storage fence alone proves nothing.
    ``return_after``: after its loss, when a machine that was fenced is switched on again, once; 0: never.
    """

    heartbeat: float = 2.0
    loss_after: float = 6.0
    stall: float = 3.0
    away: float = 10.0
    grace: float = 30.0
    clock_margin: float = 2.0
    left_grace: float = 60.0
    fence_timeout: float = 40.0
    fence_retry: float = 10.0
    at_once: int = 4
    slow: float = 180.0
    deadline: float = 300.0
    self_fence_after: float = 0.0
    return_after: float = 0.0
    take_over: str = "evacuate"

    def check(self) -> Settings:
        """Itself; raises ``ValueError`` for settings under which a living machine would count as lost."""
        if 2 * self.heartbeat + self.clock_margin > self.loss_after:
            raise ValueError(f"loss_after = {self.loss_after:g} s is too short for a heartbeat every "
                             f"{self.heartbeat:g} s: it must be at least {2 * self.heartbeat + self.clock_margin:g} s, "
                             "two heartbeats and the margin of the clocks")
        if self.grace < self.loss_after:
            raise ValueError(f"grace = {self.grace:g} s must not be shorter than loss_after = {self.loss_after:g} s")
        if not 0 < self.stall <= self.away:
            raise ValueError("stall must be above 0 and not above away")
        if self.at_once < 1:
            raise ValueError("at_once must be at least 1")
        if self.take_over not in ("evacuate", "identity"):
            raise ValueError(f"take_over must be evacuate or identity, not {self.take_over!r}")
        return self


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a machine counts as fenced."""

    source: str                                              # power, storage, operator
    strength: Strength
    summary: str
    proven_at: float
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Record:
    """What the database knows of a machine."""

    id: str
    name: str
    generation: int = 1
    state: State = State.UP
    reason: str | None = None
    alarm: str | None = None
    boot_id: str | None = None
    last_seen: float | None = None
    lost_at: float | None = None
    lost_boot_id: str | None = None
    asked_at: float | None = None
    returned_at: float | None = None
    distrusted: bool = False
    planned_at: float | None = None
    planned_until: float | None = None
    planned_reason: str | None = None
    planned_gone: bool = False
    strength: Strength | None = None
    """Of the proof in force; None: not fenced."""
    strangers: tuple[str, ...] = ()
    """Guests that it reports and that aren't its own."""
    caught_up: bool = True
    """Whether it has reported all that its present documents say."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Of the machines whose absence isn't explained by a proof or a plan: how many there are, how many are missing."""

    total: int
    missing: int

    @property
    def minority(self) -> bool:
        """Whether the missing ones are a minority."""
        return 2 * self.missing < self.total


@dataclass(frozen=True, slots=True)
class Sense:
    """What can be seen of a machine now. None stands for what can't be known."""

    now: float
    standing: Standing | None
    crowd: Crowd
    beat: Beat
    beat_age: float | None = None
    """Seconds since the last heartbeat that this process took note of; None: none yet."""
    member_at: float | None = None
    """When this process last saw it as a member."""
    member_boot_id: str | None = None
    """The boot that it was in then."""
    unknown: str | None = None
    """Why the membership can't be known."""
    fencing: bool = True
    """Whether there is a fencer at all."""
    history: tuple[FenceEvent, ...] | None = None
    """What the fencer did, latest first; None: not asked, or it can't be asked."""
    fencer_problem: str | None = None
    asked_at: float | None = None
    """When this process last asked it to switch the machine off."""
    power_off: bool | None = None
    """What the power device reads; None: it wasn't or can't be asked."""
    answers_at: str | None = None
    """An address at which the machine answers although it should be off; None: it is silent, or wasn't asked."""
    silent: bool = False
    """Whether its kernel was asked at all of its addresses and didn't answer."""
    storage: bool = False
    """Whether there is a shared storage, that answers, from which it can be shut out."""
    storage_silent: bool = False
    """Whether there is such a storage, and it doesn't answer."""
    blocked_since: float | None = None
    """Since when its storage address is blocked."""
    standings: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class AskFencer:
    """Ask for the machine to be switched off."""


@dataclass(frozen=True, slots=True)
class BlockStorage:
    """Block its storage address, or renew the block."""


@dataclass(frozen=True, slots=True)
class AdmitStorage:
    """Let it use the shared storage again."""


@dataclass(frozen=True, slots=True)
class SwitchOn:
    """Ask for the fenced machine to be switched on again."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done now."""

    reason: str


Step = AskFencer | SwitchOn | BlockStorage | AdmitStorage | Wait


@dataclass(frozen=True, slots=True)
class Server:
    """What the plan of an evacuation needs to know of its server. ``settled``: its host has it as it shall be."""

    host_id: str | None
    host: str | None
    settled: bool
    gone: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """An evacuation as it stands. ``ahead``: another one that has to be tried first."""

    state: Evacuation
    host_id: str
    disk: str
    machine: State
    strength: Strength | None
    server: Server
    ahead: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Give the server another host."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Another evacuation goes first."""

    server_id: str


@dataclass(frozen=True, slots=True)
class Starting:
    """It has its host; the guest isn't as it shall be there yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows. ``proof``: one that has just been found; ``home``: it may be re-enabled."""

    state: State
    reason: str | None = None
    alarm: str | None = None
    steps: tuple[Step, ...] = ()
    proof: Proof | None = None
    lost_at: float | None = None
    home: bool = False
    distrusted: bool = False
