"""Brings each server of a host to what its document says: observe, plan (pure), apply, observe again, report.

Theory of operation. A server has at most one turn at a time; a wake-up during a turn makes another one follow.
Nothing is ever started, stopped or removed before a document has come fresh from control in the life of this process
(``open``): until then guests that run are only looked at and reported. A wake-up (a document, a hypervisor event, a
timer) is a hint; the sweep compares everything once a minute and finds what a lost hint would have told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from stackling.agent import plan as p
from stackling.agent.keys import Keys
from stackling.agent.keys import none as no_keys
from stackling.agent.ledger import Ledger
from stackling.agent.run import Run
from stackling.core import clock
from stackling.ports.disks import HandOver, InstanceDisks
from stackling.ports.document import GuestReport, MoveReport, Power, RootDisk, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import Guest, GuestRefused, Hypervisor, HypervisorError
from stackling.ports.volume_copies import VolumeCopies

log = logging.getLogger(__name__)
ROUNDS = 12                 # plans in one turn before it counts as not converging
AT_ONCE = 4                 # servers whose disks are made at a time
SWEEP = 60.0
BACKOFF = (0.25, 30.0)
SLOW = 0.15                 # seconds after which a step that still runs is reported
HELD = "waiting until its former host has let go of it"


Everything = Callable[[], Mapping[str, ServerDesired]]
"""What all hosts of this machine know of servers, by id."""


class Reports(Protocol):
    """Where what is seen goes (``report.Reporter``)."""

    def note(self, report: GuestReport) -> None: ...
    def last(self, server_id: str) -> GuestReport | None: ...


class Converger:
    """All servers of one host. Everything but the drivers' calls, which *run* runs, happens in the event loop."""

    def __init__(self, ledger: Ledger, hypervisor: Hypervisor, disks: InstanceDisks, copies: VolumeCopies,
                 reports: Reports, boot_id: str, *, run: Run, hand_over: HandOver, sweep: float = SWEEP,
                 everything: Everything | None = None, keys: Keys = no_keys, resumes: bool = True) -> None:
        self._ledger, self._hypervisor, self._disks, self._reports = ledger, hypervisor, disks, reports
        self._copies = copies
        self._boot_id, self._run, self._sweep = boot_id, run, sweep
        self._hand_over, self._keys, self._resumes = hand_over, keys, resumes
        self._everything: Everything = everything or (lambda: ledger.servers)
        self._open = False
        self._dirty: set[str] = set()
        self._turns: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._attempts: dict[str, int] = {}
        self._refused: dict[str, ServerDesired] = {}
        self._asked: dict[str, tuple[float, float]] = {}
        self._started: dict[str, str] = {}
        self._unknown: set[str] = set()
        self._moves: dict[str, MoveReport] = {}
        self._making = asyncio.Semaphore(AT_ONCE)

    @property
    def is_open(self) -> bool:
        """Whether a fresh document has come."""
        return self._open

    @property
    def _era(self) -> int:
        return self._ledger.head.era or 1

    def open(self) -> None:
        """A fresh document is here: act from now on."""
        if not self._open:
            self._open = True
            for server_id in self._ledger.servers:
                self.wake(server_id)

    def wake(self, server_id: str) -> None:
        """Look at this server soon. Unknown ids are looked at by the sweep."""
        if server_id not in self._ledger.servers:
            return
        if timer := self._timers.pop(server_id, None):
            timer.cancel()
        self._dirty.add(server_id)
        if server_id not in self._turns:
            self._turns[server_id] = asyncio.get_running_loop().create_task(self._serve(server_id))

    async def adopt(self) -> None:
        """Look at every guest once and report it as it is; nothing is changed.

        A document that came during the look has given every server a turn, which knows more than this look does.
        """
        guests = await self._run(self._hypervisor.guests)
        if not self._open:
            for server_id, desired in self._ledger.servers.items():
                self._look(desired, p.Observed(guests.get(server_id), self._ledger.done(server_id).disks))
        self._note_unknown(guests)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._sweep)
            try:
                await self.sweep()
            except HypervisorError as error:
                log.warning("the hypervisor can't be looked at: %s", error)
            except Exception:
                log.exception("the sweep failed")

    async def sweep(self) -> None:
        """Compare everything with what was reported, wake what differs or hasn't come to rest, tidy the disks."""
        guests = await self._run(self._hypervisor.guests)
        for server_id, desired in list(self._ledger.servers.items()):
            last, guest = self._reports.last(server_id), guests.get(server_id)
            power, nics = (guest.power, guest.nics) if guest else (Power.ABSENT, ())
            if (last is None or last.error is not None or not last.converged or last.generation != desired.generation
                    or (last.power, last.nics) != (power, nics)):
                self.wake(server_id)
        self._note_unknown(guests)
        images = {disk.image_id for server in self._everything().values() for disk in _made_from(server)}
        await self._run(self._disks.tidy, images)

    async def stop(self) -> None:
        """End the turns; a call of a driver under way is left to end by itself."""
        for timer in self._timers.values():
            timer.cancel()
        turns = list(self._turns.values())
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    # -- a turn

    async def _serve(self, server_id: str) -> None:
        try:
            while server_id in self._dirty:
                self._dirty.discard(server_id)
                await self._turn(server_id)
        finally:
            self._turns.pop(server_id, None)

    async def _turn(self, server_id: str) -> None:
        desired = self._ledger.servers.get(server_id)
        if desired is None or self._refused.get(server_id) == desired:
            return
        self._refused.pop(server_id, None)
        try:
            again = await self._drive(desired)
            self._attempts.pop(server_id, None)
        except GuestRefused as error:
            log.error("server %s can't be as asked: %s", server_id, error)
            self._refused[server_id] = desired
            again = None
            await self._report_error(desired, str(error), terminal=True)
        except HypervisorError as error:
            again = await self._failed(desired, str(error))
        except Exception as error:
            log.exception("turn of server %s failed unexpectedly", server_id)
            again = await self._failed(desired, f"unexpected failure in the host agent ({type(error).__name__})")
        if again is not None:
            self._timers[server_id] = asyncio.get_running_loop().call_later(again, self.wake, server_id)

    async def _failed(self, desired: ServerDesired, reason: str) -> float:
        attempts = self._attempts.get(desired.id, 0)
        self._attempts[desired.id] = attempts + 1
        if attempts in (0, 4) or attempts % 20 == 0:
            log.warning("server %s isn't as asked (try %d): %s", desired.id, attempts + 1, reason)
        await self._report_error(desired, reason, terminal=False)
        return min(BACKOFF[1], BACKOFF[0] * 2 ** min(attempts, 10))

    async def _drive(self, desired: ServerDesired) -> float | None:
        """Plan and apply until nothing is left; seconds until it has to be looked at again, None when converged."""
        server_id = desired.id
        for _ in range(ROUNDS):
            desired = self._ledger.servers.get(server_id, desired)
            seen = await self._run(self._observe, desired)
            done = self._ledger.done(server_id)
            self._note_move(desired, seen, done)
            if not self._open:
                self._look(desired, seen)
                return None
            steps = self._plan(desired, seen, done, self._asked_ages(server_id))
            if not steps:
                self._settled(desired, seen.guest)
                return None
            for step in steps:
                if isinstance(step, p.Wait):
                    self._reports.note(self._state(desired, seen.guest, converged=False, step=step.words))
                    return step.seconds
                if isinstance(step, p.Watch):
                    self._settled(desired, seen.guest)
                    return step.seconds
                if isinstance(step, p.Hold):
                    self._reports.note(self._state(desired, seen.guest, converged=False, step=HELD))
                    return None
                await self._apply(desired, seen.guest, step)
        raise HypervisorError("the server doesn't come to rest: something else changes its guest")

    def _observe(self, desired: ServerDesired) -> p.Observed:
        server_id = desired.id
        own = self._ledger.servers.get(server_id)
        if own is not None and not own.present and self._everything().get(server_id, own).present:
            return p.Observed(None, None)   # it has moved to another host of this machine: what is here is that one's
        leaves = desired.live is not None and not desired.live.target
        migration = self._hypervisor.migration(server_id) if leaves else None
        copying = self._hypervisor.copying(server_id) if self._ledger.done(server_id).copying else None
        return p.Observed(self._hypervisor.guest(server_id), self._disks.find(server_id), migration, copying)

    def _note_move(self, desired: ServerDesired, seen: p.Observed, done: p.Done) -> None:
        if desired.live is None:
            self._moves.pop(desired.id, None)
            return
        ready = desired.live.target and done.expected == desired.live.number
        found = p.move_report(desired, seen, done, self._hypervisor.migration_peer if ready else "")
        if found is not None:
            self._moves[desired.id] = found

    async def _apply(self, desired: ServerDesired, guest: Guest | None, step: p.Step) -> None:
        server_id = desired.id
        hypervisor, run = self._hypervisor, self._run
        words = _WORDS.get(type(step), "working")
        slow = asyncio.get_running_loop().call_later(SLOW, self._say_step, desired, guest, words)
        try:
            match step:
                case p.Note(done):
                    await self._ledger.note(self._with_start(done))
                case p.MakeDisks():
                    async with self._making:
                        await run(self._disks.make, desired, self._progress(desired, guest), self._era)
                case p.FetchDisks(source):
                    async with self._making:
                        await run(self._disks.fetch, desired, source, self._progress(desired, guest))
                case p.Expect(own_disks):
                    await run(hypervisor.expect_migration)
                    await self._give_keys(desired.volumes)
                    async with self._making:
                        await run(self._disks.expect, desired, own_disks, self._progress(desired, guest))
                case p.Migrate(peer, own_disks):
                    await run(hypervisor.migrate, server_id, peer, own_disks)
                case p.AbortMigration():
                    await run(hypervisor.abort_migration, server_id)
                case p.HurryMigration():
                    await run(hypervisor.hurry_migration, server_id)
                case p.Export():
                    async with self._making:
                        await run(self._disks.export, desired)
                case p.HandOver():
                    await asyncio.to_thread(self._hand_over, desired.snapshot or "", self._disks.exported(desired))
                    await run(self._disks.drop_export, desired)
                case p.ResizeDisks():
                    await run(self._disks.resize, desired)
                case p.MakeRescue():
                    async with self._making:
                        await run(self._disks.make_rescue, desired, self._progress(desired, guest))
                case p.DropRescue():
                    await run(self._disks.drop_rescue, desired)
                case p.ForgetKept():
                    await run(self._disks.forget_kept, desired)
                case p.Define():
                    await run(hypervisor.define, desired, self._disks.paths(desired), self._era)
                case p.Start(cold):
                    await run(self._disks.guard, desired, self._era)
                    await self._give_keys(desired.volumes)
                    await run(hypervisor.start, server_id)
                    if cold:
                        self._started[server_id] = clock.now()
                case p.AskShutdown():
                    await run(hypervisor.shutdown, server_id)
                    now = clock.monotonic()
                    self._asked[server_id] = (self._asked.get(server_id, (now,))[0], now)
                case p.SwitchOff():
                    await run(hypervisor.destroy, server_id)
                case p.Pause():
                    await run(hypervisor.pause, server_id)
                case p.Unpause():
                    await run(hypervisor.unpause, server_id)
                case p.Suspend():
                    await run(hypervisor.suspend, server_id)
                case p.Plug(nic):
                    await run(hypervisor.attach, desired, nic)
                case p.Unplug(port_id):
                    await run(hypervisor.detach, server_id, port_id)
                case p.PlugVolume(volume):
                    await self._give_keys((volume,))
                    await run(hypervisor.attach_volume, desired, volume)
                case p.UnplugVolume(attachment_id):
                    await run(hypervisor.detach_volume, server_id, attachment_id)
                case p.ExtendVolume(volume):
                    await run(hypervisor.extend_volume, server_id, volume)
                case p.CopyVolume() | p.BeginCopy() | p.FinishCopy() | p.DropCopy():
                    await self._copy(desired, step)
                case p.KeepVolumes(wanted):
                    await self._keep(desired, wanted)
                case p.AbortCopy():
                    await run(hypervisor.abort_copy, server_id)
                case p.Forget():
                    await run(hypervisor.undefine, server_id)
                case p.Wipe():
                    await run(self._disks.remove, server_id, self._era, desired.generation)
                case p.Refuse(reason):
                    raise GuestRefused(reason)
                case p.Wait() | p.Hold() | p.Watch():
                    pass
        finally:
            slow.cancel()

    async def _keep(self, desired: ServerDesired, wanted: Sequence[tuple[VolumeDisk, str]]) -> None:
        """Make snapshots of volumes, all of one moment, and note how that ended."""
        why = ""
        try:
            await self._run(self._keep_at_rest, desired, wanted)
        except GuestRefused as error:
            why = str(error) or "it can't be done"
        done = self._ledger.done(desired.id)
        found = {**done.volume_snapshots, **{id: why for _, id in wanted}}
        await self._ledger.note(msgspec.structs.replace(done, copying="", volume_snapshots=found))

    def _keep_at_rest(self, desired: ServerDesired, wanted: Sequence[tuple[VolumeDisk, str]]) -> None:
        guest = self._hypervisor.guest(desired.id)
        at_rest = guest is not None and guest.on
        if at_rest:
            self._hypervisor.rest(desired, pause=len(wanted) > 1)
        try:
            for volume, id in wanted:
                self._copies.keep(volume, id)
        finally:
            if at_rest and not self._hypervisor.rouse(desired.id):
                log.warning("server %s went on before all snapshots of its volumes were made", desired.id)

    async def _copy(self, desired: ServerDesired, step: p.CopyVolume | p.BeginCopy | p.FinishCopy | p.DropCopy) -> None:
        """Go on with a snapshot of a volume, and note how it ended."""
        copies, run, id = self._copies, self._run, step.snapshot_id
        why: str | None = ""
        try:
            match step:
                case p.CopyVolume(volume):
                    async with self._making:
                        await run(copies.copy, volume, id)
                case p.BeginCopy(volume):
                    why = None
                    target = await run(copies.prepare, volume, id)
                    await run(self._hypervisor.begin_copy, desired, volume.id, target)
                case p.FinishCopy(volume):
                    await run(copies.finish, volume, id)
                case p.DropCopy(volume, _, reason):
                    why = reason
                    await run(copies.drop, volume, id)
        except GuestRefused as error:
            why = str(error) or "it can't be done"
        if why is not None:
            done = self._ledger.done(desired.id)
            found = {**done.volume_snapshots, id: why}
            await self._ledger.note(msgspec.structs.replace(done, copying="", volume_snapshots=found))

    async def _give_keys(self, volumes: Sequence[VolumeDisk]) -> None:
        """Let the hypervisor open encrypted volumes; it keeps keys in memory only, so each start needs them again.

        Fetching waits for control, so it happens in a thread of its own, whatever runs the drivers' calls.
        """
        for volume in volumes:
            if volume.key_id:
                passphrase = await asyncio.to_thread(self._keys, volume.key_id)
                await self._run(self._hypervisor.give_key, volume, passphrase)

    def _plan(self, desired: ServerDesired, seen: p.Observed, done: p.Done, asked: p.Asked | None = None,
              ) -> tuple[p.Step, ...]:
        if not self._resumes:
            desired = msgspec.structs.replace(desired, resume_on_boot=False)
        return p.plan(desired, seen, done, self._boot_id, asked)

    # -- what is told

    def _with_start(self, done: p.Done) -> p.Done:
        started = self._started.pop(done.id, None)
        return msgspec.structs.replace(done, started_at=started) if started else done

    def _look(self, desired: ServerDesired, seen: p.Observed) -> None:
        """Report what is there before anything may be done. That nothing of a server is left, only a turn says: it has
        looked at the disks, also at those that an agent made without living to note them."""
        steps = self._plan(desired, seen, self._ledger.done(desired.id))
        rests = desired.present and all(isinstance(step, p.Note | p.Watch) for step in steps)
        self._reports.note(self._state(desired, seen.guest, converged=rests))

    def _settled(self, desired: ServerDesired, guest: Guest | None) -> None:
        self._asked.pop(desired.id, None)
        self._reports.note(self._state(desired, guest, converged=True))

    def _asked_ages(self, server_id: str) -> p.Asked | None:
        asked = self._asked.get(server_id)
        if asked is None:
            return None
        now = clock.monotonic()
        return p.Asked(now - asked[0], now - asked[1])

    def _state(self, desired: ServerDesired, guest: Guest | None, *, converged: bool, step: str | None = None,
               error: str | None = None, terminal: bool = False) -> GuestReport:
        done = self._ledger.done(desired.id)
        return GuestReport(
            id=desired.id, generation=desired.generation, power=guest.power if guest else Power.ABSENT,
            converged=converged, step=step, error=error, terminal=terminal, soft_reboots=done.soft_reboots,
            hard_reboots=done.hard_reboots, rebuilds=done.disks or 0, resizes=done.resizes,
            rescue=done.rescue, snapshot=done.snapshot, volume_snapshots=done.volume_snapshots,
            started_at=self._started.get(desired.id) or done.started_at, nics=guest.nics if guest else (),
            move=self._moves.get(desired.id))

    def _progress(self, desired: ServerDesired, guest: Guest | None) -> Callable[[str], None]:
        loop = asyncio.get_running_loop()

        def say(words: str) -> None:
            loop.call_soon_threadsafe(self._say_step, desired, guest, words)
        return say

    def _say_step(self, desired: ServerDesired, guest: Guest | None, words: str) -> None:
        self._reports.note(self._state(desired, guest, converged=False, step=words))

    async def _report_error(self, desired: ServerDesired, reason: str, *, terminal: bool) -> None:
        """The guest as it is now, or as it was last seen when the hypervisor doesn't answer."""
        last = self._reports.last(desired.id)
        try:
            guest = await self._run(self._hypervisor.guest, desired.id)
        except HypervisorError:
            there = last is not None and last.power is not Power.ABSENT
            guest = Guest(desired.id, last.power, last.generation, last.nics) if last and there else None
        self._reports.note(self._state(desired, guest, converged=False, error=reason, terminal=terminal))

    def _note_unknown(self, guests: Mapping[str, Guest]) -> None:
        everything = self._everything()
        unknown = {id for id in guests if id not in everything}
        for id in unknown | self._unknown:
            guest = guests.get(id)
            if guest is None or id in unknown:
                self._reports.note(GuestReport(
                    id=id, generation=0, power=guest.power if guest else Power.ABSENT, converged=True,
                    nics=guest.nics if guest else (), unknown=True))
        self._unknown = unknown


def _made_from(server: ServerDesired) -> tuple[RootDisk, ...]:
    return tuple(disk for disk in (server.root, server.rescue.root if server.rescue else None) if disk is not None)


_WORDS: dict[type, str] = {
    p.FetchDisks: "copying disks",
    p.MakeDisks: "making disks", p.Define: "defining", p.Start: "starting", p.SwitchOff: "switching off",
    p.Suspend: "saving memory", p.Plug: "attaching an interface", p.Unplug: "detaching an interface",
    p.PlugVolume: "attaching a volume", p.UnplugVolume: "detaching a volume",
    p.ExtendVolume: "extending a volume", p.CopyVolume: "copying a volume", p.BeginCopy: "copying a volume",
    p.KeepVolumes: "making snapshots of volumes",
    p.MakeRescue: "making the rescue disk",
    p.ResizeDisks: "resizing disks", p.Export: "copying the root disk", p.HandOver: "saving the image",
    p.Forget: "removing", p.Wipe: "deleting disks", p.AskShutdown: "shutting down",
}
