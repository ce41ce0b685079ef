"""What has to be done to a server on this machine. Pure.

Theory of operation. ``plan`` is asked again after its steps were applied, until it returns none; every step is
idempotent, and a crash between any two of them is planned for like any other state. Counters (reboots) and power
are requests, each acted on once: what was done is noted in the ledger (``Done``), at a point where repeating the
step before the note does no harm. So a reboot switches off, *then* notes itself as done, and the start that follows
is that of any stopped server which shall run.

A guest that is off although it should run is left off when it went off by itself (its power request was fulfilled
before): control is told, and decides. After the machine itself has booted, ``resume_on_boot`` says whether it is
started again.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stackling.ports.document import LiveMove, MoveReport, MoveState, Nic, Power, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import Copying, Guest, Migration
from stackling.ports.volume_copies import AT_ONCE

PRESS_AGAIN = 10.0          # seconds between two requests to a guest to shut down
LOOK_AGAIN = 0.5            # seconds between two looks at a migration


class Done(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was done for a server; kept in the ledger. ``disks``: the rebuild number whose disks were made.

    ``kept_resize``: the resize before which the root disk is kept as it was. ``exported``: the image that the root
    disk was copied for; ``snapshot``: the one whose copy was handed over. ``copying``: the snapshot of a volume that a
    copy of it was begun for; ``volume_snapshots``: ``GuestReport.volume_snapshots``.
    """

    id: str
    power_generation: int = 0
    soft_reboots: int = 0
    hard_reboots: int = 0
    disks: int | None = None
    resizes: int = 0
    kept_resize: int = 0
    rescue: int = 0             # the number of the rescue disk that it boots from (0: its own)
    exported: str | None = None
    snapshot: str | None = None
    expected: int = 0           # the live move that was made ready for here
    begun: int = 0              # the live move that was begun from here
    copying: str = ""
    volume_snapshots: dict[str, str] = {}
    boot_id: str = ""
    started_at: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. ``disks``: the rebuild number of the disks found, None when there are none."""

    guest: Guest | None
    disks: int | None
    migration: Migration | None = None
    copying: Copying | None = None      # looked for where the ledger says that one was begun


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to shut down under way: seconds since the first and the last time the guest was asked."""

    first: float
    last: float


@dataclass(frozen=True, slots=True)
class MakeDisks:
    """Make root, ephemeral, swap disk and config drive."""


@dataclass(frozen=True, slots=True)
class FetchDisks:
    """Copy the disks from the agent of the former host."""

    source: str


@dataclass(frozen=True, slots=True)
class Define:
    """Make the definition from the document."""


@dataclass(frozen=True, slots=True)
class Start:
    """Power on, from a cold state or from saved memory."""

    cold: bool = True


@dataclass(frozen=True, slots=True)
class AskShutdown:
    """Press the power button."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after this many seconds (or when the guest changes)."""

    seconds: float
    words: str = "shutting down"


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """Pull the plug."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the processors."""


@dataclass(frozen=True, slots=True)
class Unpause:
    """Let the processors go on."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """Save memory, switch off."""


@dataclass(frozen=True, slots=True)
class Plug:
    """Attach an interface."""

    nic: Nic


@dataclass(frozen=True, slots=True)
class Unplug:
    """Detach an interface."""

    port_id: str


@dataclass(frozen=True, slots=True)
class PlugVolume:
    """Attach a volume."""

    volume: VolumeDisk


@dataclass(frozen=True, slots=True)
class UnplugVolume:
    """Detach a volume."""

    attachment_id: str


@dataclass(frozen=True, slots=True)
class ExtendVolume:
    """Show the guest that a volume has become larger."""

    volume: VolumeDisk


@dataclass(frozen=True, slots=True)
class CopyVolume:
    """Copy a volume of a guest that is off."""

    volume: VolumeDisk
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class KeepVolumes:
    """Make snapshots of volumes whose storage makes them at once, all of one moment: each volume with its snapshot."""

    wanted: tuple[tuple[VolumeDisk, str], ...]


@dataclass(frozen=True, slots=True)
class BeginCopy:
    """Have the hypervisor copy a volume of a guest that is on."""

    volume: VolumeDisk
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class FinishCopy:
    """The copy is whole: it is the snapshot."""

    volume: VolumeDisk
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class DropCopy:
    """The copy failed, and *reason* is for the user."""

    volume: VolumeDisk
    snapshot_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class AbortCopy:
    """Nobody wants the copy any more."""


@dataclass(frozen=True, slots=True)
class Watch:
    """All is as asked for but what goes on in the background: look again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Forget:
    """Switch off and drop the definition."""


@dataclass(frozen=True, slots=True)
class Wipe:
    """Delete the disks."""


@dataclass(frozen=True, slots=True)
class ResizeDisks:
    """Fit the disks to the document, keeping or bringing back an earlier state of the root disk."""


@dataclass(frozen=True, slots=True)
class ForgetKept:
    """Keep no earlier state of the root disk that the document doesn't name."""


@dataclass(frozen=True, slots=True)
class MakeRescue:
    """Make the disk that the guest boots from meanwhile."""


@dataclass(frozen=True, slots=True)
class DropRescue:
    """Remove it."""


@dataclass(frozen=True, slots=True)
class Export:
    """Copy the root disk for an image."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Send the copy to control."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Make ready for a guest that comes here running."""

    own_disks: bool


@dataclass(frozen=True, slots=True)
class Migrate:
    """Begin to send the running guest away."""

    peer: str
    own_disks: bool


@dataclass(frozen=True, slots=True)
class AbortMigration:
    """Let it stay."""


@dataclass(frozen=True, slots=True)
class HurryMigration:
    """Pause it until it is there."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing before the document says more: another host still has the server."""


@dataclass(frozen=True, slots=True)
class Note:
    """Write to the ledger that this was done."""

    done: Done


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can't be done; the reason is for the user."""

    reason: str


Step = (MakeDisks | FetchDisks | Define | Start | AskShutdown | Wait | SwitchOff | Pause | Unpause | Suspend | Plug
        | Unplug | PlugVolume | UnplugVolume | ExtendVolume
        | CopyVolume | KeepVolumes | BeginCopy | FinishCopy | DropCopy | AbortCopy | Watch
        | Forget | Wipe | ResizeDisks | ForgetKept | MakeRescue | DropRescue | Export | HandOver | Expect
        | Migrate | AbortMigration | HurryMigration | Hold | Note | Refuse)
OFF = (None, Power.STOPPED, Power.CRASHED, Power.ABSENT)


def first_done(desired: ServerDesired) -> Done:
    """What counts as done when a server is seen for the first time: old requests belong to the past.

    A server that comes from another host has its disks fitted again: nobody knows how far the other one got.
    """
    done = Done(id=desired.id, soft_reboots=desired.soft_reboots, hard_reboots=desired.hard_reboots,
                exported=desired.snapshot, snapshot=desired.snapshot)
    if desired.arrival is not None:
        return done
    return msgspec.structs.replace(done, resizes=desired.resizes, kept_resize=desired.kept_resize,
                                   rescue=desired.rescue.number if desired.rescue else 0)


def power_generation(desired: ServerDesired) -> int:
    """The generation in which the desired power was asked for."""
    return desired.power_generation or desired.generation


def plan(desired: ServerDesired, seen: Observed, done: Done, boot_id: str,
         asked: Asked | None = None) -> tuple[Step, ...]:
    """The next steps; empty: converged (or left as it is on purpose)."""
    if desired.arrival is not None and desired.arrival.hold:
        return (Hold(),)
    if not desired.present:
        return _remove(desired, seen, asked)
    if desired.arrival is not None and desired.arrival.source and seen.disks is None:
        return (FetchDisks(desired.arrival.source),)
    if desired.live is not None:
        if desired.live.target:
            return _expect(desired.live, seen, done)
        if desired.live.peer:
            return _send(desired.live, seen, done)
    elif done.begun or (seen.guest is not None and seen.guest.incoming):
        off = (SwitchOff(),) if seen.guest is not None and seen.guest.incoming else ()
        return (*off, Note(msgspec.structs.replace(done, begun=0, expected=0, power_generation=0)))
    power = seen.guest.power if seen.guest else None
    wanted = _wanted_power(desired, power, done, boot_id)
    if wanted is not Power.STOPPED or power in OFF:     # what shall be off is saved when it is
        steps = _export(desired, seen, done)
        if steps:
            return steps
    steps = (_reboots(desired, power, done, asked) or _rebuild(desired, seen, done)
             or _resize(desired, seen, done, asked) or _rescue(desired, seen, done, asked))
    if steps:
        return steps
    steps = _defined(desired, seen, done) if wanted is None else _power(desired, seen, done, wanted, asked)
    steps = (steps or _nics(desired, seen) or _unwanted_copy(desired, done) or _volumes(desired, seen)
             or _snapshots(desired, seen, done))
    if steps and not isinstance(steps[0], Watch):
        return steps
    if desired.snapshot is not None and done.snapshot != desired.snapshot:
        return (HandOver(), Note(msgspec.structs.replace(done, exported=desired.snapshot, snapshot=desired.snapshot)))
    reached = msgspec.structs.replace(done, power_generation=power_generation(desired), boot_id=boot_id,
                                      disks=done.disks if seen.disks is None else seen.disks)
    return (Note(reached),) if reached != done else steps


def _remove(desired: ServerDesired, seen: Observed, asked: Asked | None) -> tuple[Step, ...]:
    if desired.politely and seen.guest is not None and seen.guest.power is Power.RUNNING:
        return _shut_down(desired, asked)
    wipe = (Wipe(),) if seen.disks is not None and not desired.keep_disks else ()
    return ((Forget(),) if seen.guest else ()) + wipe


def _expect(live: LiveMove, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Nothing but making ready: from then on the source's hypervisor brings the guest."""
    if seen.guest is not None or done.expected == live.number:
        return (Wait(LOOK_AGAIN, "receiving"),) if seen.guest is not None and seen.guest.incoming else ()
    return (Expect(live.own_disks), Note(msgspec.structs.replace(done, expected=live.number)))


def _send(live: LiveMove, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Begin once, and watch; whatever it ends with is told, and control decides."""
    guest, migration = seen.guest, seen.migration
    if guest is None or not guest.on:
        return ()
    if seen.copying is not None and seen.copying.running:
        return (Wait(LOOK_AGAIN, "copying a volume"),)
    if migration is not None and migration.running:
        if live.abort:
            return (AbortMigration(), Wait(LOOK_AGAIN, "migrating"))
        return (*((HurryMigration(),) if live.hurry else ()), Wait(LOOK_AGAIN, "migrating"))
    if done.begun == live.number or live.abort:
        return ()
    return (Note(msgspec.structs.replace(done, begun=live.number)), Migrate(live.peer, live.own_disks),
            Wait(LOOK_AGAIN, "migrating"))


def move_report(desired: ServerDesired, seen: Observed, done: Done, peer: str = "") -> MoveReport | None:
    """How far a live move is, seen from here. *peer* is where this host takes guests."""
    live, guest, migration = desired.live, seen.guest, seen.migration
    if live is None:
        return None
    if live.target:
        if guest is not None and guest.on and not guest.incoming:
            return MoveReport(number=live.number, state=MoveState.ARRIVED)
        ready = done.expected == live.number
        return MoveReport(number=live.number, state=MoveState.READY if ready else MoveState.WAITING,
                          peer=peer if ready else "")
    if guest is None and done.begun == live.number:
        return MoveReport(number=live.number, state=MoveState.LEFT)
    if guest is None or not guest.on:
        return MoveReport(number=live.number, state=MoveState.FAILED, error="the guest is off")
    if migration is not None and migration.running:
        return MoveReport(number=live.number, state=MoveState.RUNNING, progress=dict(migration.progress))
    if done.begun == live.number or live.abort:
        why = migration.error if migration is not None else None
        return MoveReport(number=live.number, state=MoveState.FAILED,
                          error=why or ("aborted" if live.abort else "it broke off"))
    return MoveReport(number=live.number, state=MoveState.WAITING)


def _export(desired: ServerDesired, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Copy the root disk, with a running guest paused meanwhile (a pause writes out whatever QEMU holds back).

    The power request counts as open from before the pause, so that a guest that a crash leaves paused goes on. The
    copy is handed over last, when the guest runs again.
    """
    if desired.snapshot in (None, done.exported, done.snapshot) or seen.disks is None:
        return ()
    running = seen.guest is not None and seen.guest.power is Power.RUNNING
    pause: tuple[Step, ...] = (Note(msgspec.structs.replace(done, power_generation=0)), Pause()) if running else ()
    return (*pause, Export(), Note(msgspec.structs.replace(done, exported=desired.snapshot, power_generation=0)))


def _reboots(desired: ServerDesired, power: Power | None, done: Done, asked: Asked | None) -> tuple[Step, ...]:
    on = power in (Power.RUNNING, Power.PAUSED)
    soft = desired.soft_reboots > done.soft_reboots
    if desired.hard_reboots > done.hard_reboots or (soft and power is not Power.RUNNING):
        note = Note(msgspec.structs.replace(done, hard_reboots=desired.hard_reboots, soft_reboots=desired.soft_reboots,
                                            power_generation=0))
        return (SwitchOff(), note) if on or power is Power.SUSPENDED else (note,)
    if soft:
        return _shut_down(desired, asked)
    return ()


def _shut_down(desired: ServerDesired, asked: Asked | None) -> tuple[Step, ...]:
    """Ask, ask again, and lose patience after ``stop_timeout``."""
    if asked is None:
        return (AskShutdown(),) if desired.stop_timeout > 0 else (SwitchOff(),)
    left = desired.stop_timeout - asked.first
    if left <= 0:
        return (SwitchOff(),)
    if asked.last >= PRESS_AGAIN:
        return (AskShutdown(),)
    return (Wait(min(left, PRESS_AGAIN - asked.last)),)


def _rebuild(desired: ServerDesired, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Throw the disks away for new ones. Not for a server whose disks were never made."""
    if seen.disks is None or seen.disks >= desired.rebuilds:
        return ()
    off = (SwitchOff(),) if seen.guest and seen.guest.power not in OFF else ()
    note = Note(msgspec.structs.replace(done, disks=None, power_generation=0))
    return (*off, note, MakeDisks()) if note.done != done else (*off, MakeDisks())


def _resize(desired: ServerDesired, seen: Observed, done: Done, asked: Asked | None) -> tuple[Step, ...]:
    """Off, then other disks, then whatever power is asked for with a new definition. Going back is in no hurry to be
    polite: what the guest wrote meanwhile is thrown away."""
    if desired.resizes <= done.resizes:
        return ()
    note = Note(msgspec.structs.replace(done, resizes=desired.resizes, kept_resize=desired.kept_resize,
                                        power_generation=0))
    if seen.disks is None:
        return (note,)
    power = seen.guest.power if seen.guest else None
    if power is Power.RUNNING and not desired.restored_resize:
        return _shut_down(desired, asked)
    off = () if power in OFF else (SwitchOff(),)
    return (*off, ResizeDisks(), note)


def _rescue(desired: ServerDesired, seen: Observed, done: Done, asked: Asked | None) -> tuple[Step, ...]:
    """Off, then the disk to boot from, then on with a new definition. Coming back is in no hurry to be polite."""
    number = desired.rescue.number if desired.rescue else 0
    if number == done.rescue or (number and seen.disks is None):
        return ()
    power = seen.guest.power if seen.guest else None
    if power is Power.RUNNING and number and not done.rescue:
        return _shut_down(desired, asked)
    off = () if power in OFF else (SwitchOff(),)
    note = Note(msgspec.structs.replace(done, rescue=number, power_generation=0))
    return (*off, MakeRescue() if number else DropRescue(), note)


def _wanted_power(desired: ServerDesired, power: Power | None, done: Done, boot_id: str) -> Power | None:
    """The power to bring about; None when the request was fulfilled and what happened since is the guest's affair."""
    if power_generation(desired) > done.power_generation:
        return desired.power
    machine_booted = done.boot_id != boot_id and power in OFF
    if machine_booted and desired.resume_on_boot and desired.power in (Power.RUNNING, Power.PAUSED):
        return desired.power
    return None


def _defined(desired: ServerDesired, seen: Observed, done: Done) -> tuple[Step, ...]:
    return _ready(desired, seen, done) if seen.guest is None else ()


def _ready(desired: ServerDesired, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Disks and a definition of this very document."""
    if seen.disks is None:
        if done.disks == desired.rebuilds:
            return (Refuse("The disk of this server is missing on its machine. It isn't made anew by itself, because "
                           "that would hide the loss: rebuild the server, or put the disk back."),)
        return (MakeDisks(), Define())
    if done.kept_resize and done.kept_resize != desired.kept_resize:
        return (ForgetKept(), Note(msgspec.structs.replace(done, kept_resize=desired.kept_resize)), Define())
    return (Define(),)


def _power(desired: ServerDesired, seen: Observed, done: Done, wanted: Power, asked: Asked | None) -> tuple[Step, ...]:
    power = seen.guest.power if seen.guest else None
    if wanted is Power.STOPPED:
        if power is Power.RUNNING:
            return _shut_down(desired, asked)
        if power in (Power.PAUSED, Power.SUSPENDED):
            return (SwitchOff(),)
        return _defined(desired, seen, done)
    if power in OFF:
        if wanted is Power.SUSPENDED:
            return _defined(desired, seen, done)
        ready = _ready(desired, seen, done)
        if isinstance(ready[0], Refuse):
            return ready
        return (*ready, Start()) + ((Pause(),) if wanted is Power.PAUSED else ())
    if power is wanted:
        return ()
    if wanted is Power.SUSPENDED:
        return (Suspend(),)
    if wanted is Power.PAUSED:
        return (Pause(),) if power is Power.RUNNING else (Start(cold=False), Pause())
    return (Unpause(),) if power is Power.PAUSED else (Start(cold=False),)


def _nics(desired: ServerDesired, seen: Observed) -> tuple[Step, ...]:
    """Plug and unplug. A suspended guest's saved memory can't change: it gets its interfaces when it is resumed."""
    guest = seen.guest
    if guest is None or guest.power is Power.SUSPENDED:
        return ()
    wanted = {nic.port_id for nic in desired.nics}
    unplug = tuple(Unplug(port) for port in guest.nics if port not in wanted)
    return unplug + tuple(Plug(nic) for nic in desired.nics if nic.port_id not in guest.nics)


def _volumes(desired: ServerDesired, seen: Observed) -> tuple[Step, ...]:
    """The same for volumes."""
    guest = seen.guest
    if guest is None or guest.power is Power.SUSPENDED:
        return ()
    wanted = {volume.id for volume in desired.volumes}
    unplug = tuple(UnplugVolume(id) for id in guest.volumes if id not in wanted)
    plug = tuple(PlugVolume(volume) for volume in desired.volumes if volume.id not in guest.volumes)
    seen_gib = guest.volume_gib
    return unplug + plug + tuple(ExtendVolume(volume) for volume in desired.volumes
                                 if seen_gib.get(volume.id, volume.size_gib) < volume.size_gib)


def _unwanted_copy(desired: ServerDesired, done: Done) -> tuple[Step, ...]:
    """A volume can't leave the guest while it is copied."""
    if not done.copying or done.copying in _wanted_snapshots(desired):
        return ()
    return (AbortCopy(), Note(msgspec.structs.replace(done, copying="")))


def _wanted_snapshots(desired: ServerDesired) -> dict[str, VolumeDisk]:
    return {id: volume for volume in desired.volumes for id in volume.snapshots}


def _snapshots(desired: ServerDesired, seen: Observed, done: Done) -> tuple[Step, ...]:
    """Copy volumes, one at a time. Of a guest that is on, the hypervisor does so while everything else goes on; one
    that goes off meanwhile ends it, and the volume is copied as it lies. What can't be done is noted with its reason:
    it is the snapshot's trouble, not the server's. Storage that makes snapshots itself makes all that are asked for
    while the guest is at rest; that is noted before, so that whoever dies meanwhile wakes the guest when it is back."""
    wanted = _wanted_snapshots(desired)
    known = {id: why for id, why in done.volume_snapshots.items() if id in wanted}
    id = next((id for id in (done.copying, *wanted) if id in wanted and id not in known), None)
    if id is None:
        after = msgspec.structs.replace(done, volume_snapshots=known, copying="")
        return (Note(after),) if after != done else ()
    volume = wanted[id]
    if volume.location.startswith(AT_ONCE):
        begun = msgspec.structs.replace(done, copying=id, volume_snapshots=known)
        keep = KeepVolumes(tuple((each, one) for one, each in wanted.items()
                                 if one not in known and each.location.startswith(AT_ONCE)))
        return (Note(begun), keep) if begun != done else (keep,)
    if seen.guest is None or not seen.guest.on:
        return (CopyVolume(volume, id),)
    if done.copying != id or seen.copying is None:
        return (Note(msgspec.structs.replace(done, copying=id, volume_snapshots=known)), BeginCopy(volume, id))
    if seen.copying.running:
        return (Watch(LOOK_AGAIN),)
    if seen.copying.error is None:
        return (FinishCopy(volume, id),)
    return (DropCopy(volume, id, seen.copying.error),)
