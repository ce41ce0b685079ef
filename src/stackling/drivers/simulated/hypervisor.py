"""A hypervisor of memory only: guests that change state at once, can be held back, and fail on demand.

It is product code (``--simulated``) and the reference for the contract tests. With a *state directory* guests
survive the process, as real ones do.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from stackling.core import clock
from stackling.core.journal import Journal
from stackling.drivers.simulated import console, inside
from stackling.ports.diagnostics import Diagnostics
from stackling.ports.document import Inventory, Nic, Power, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import (
    ConsoleKind,
    Copying,
    Guest,
    GuestDisks,
    GuestRefused,
    GuestSilent,
    HypervisorError,
    Migration,
)

DEFAULT = Inventory(vcpus=64, memory_mib=262_144, disk_gib=10_000, hypervisor_type="QEMU", hypervisor_version=7_002_000,
                    cpu_info={"arch": "x86_64", "model": "simulated", "vendor": "Stackling", "features": [],
                              "topology": {"sockets": 1, "cores": 64, "threads": 1}})
BOOT = ("Loading the kernel", "Mounting the root file system", "Asking for an address", "Asking for metadata",
        "Starting the services")
ON = (Power.RUNNING, Power.PAUSED)
COMPACT = 256           # records in the journal beyond the number of guests before it is rewritten


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guest's record on disk."""

    id: str
    power: Power
    generation: int
    nics: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    volume_gib: dict[str, int] = {}
    key_ids: dict[str, str] = {}        # of encrypted ones
    ours: bool = True
    incoming: bool = False
    log: tuple[str, ...] = ()
    gone: bool = False
    era: int = 1
    since: float = 0.0              # when it was switched on
    vcpus: int = 1
    memory_mib: int = 0
    macs: dict[str, str] = {}       # by port
    devices: tuple[str, ...] = ()   # names of its disks that aren't volumes
    volume_devices: dict[str, str] = {}
    agent: bool = False             # a guest agent runs in it


class SimulatedHypervisor:
    """``Hypervisor`` in memory. Every call takes microseconds and never blocks, so it may run in an event loop.

    For tests and drills: ``fail`` makes calls fail; ``hold`` makes power changes wait for ``step``; ``crash`` and
    ``power_off`` do what a guest does by itself; ``stubborn`` guests ignore a request to shut down or for a password;
    ``reboot_machine`` is a power cut; ``started`` counts cold starts of each guest. *peers* are the hypervisors to
    which guests can migrate, itself among them, by the name that ``migration_peer`` gives; ``hold_migrations`` lets
    them stay under way until ``end_migration``; ``hold_copies`` does so with copies until ``end_copy``.
    """

    def __init__(self, state_dir: Path | None = None, inventory: Inventory = DEFAULT, *, name: str = "",
                 peers: dict[str, SimulatedHypervisor] | None = None) -> None:
        self._name, self._peers = name, {} if peers is None else peers
        if name:
            self._peers[name] = self
        self._migrations: dict[str, tuple[str, Migration]] = {}
        self._copies: dict[str, Copying] = {}
        self._resting: dict[str, bool] = {}
        self.hold_migrations = self.hold_copies = False
        self.reachable = True
        self._inventory = inventory
        self._guests: dict[str, State] = {}
        self.keys: dict[str, str] = {}
        self._failing: dict[str, tuple[Exception, int]] = {}
        self._held: list[tuple[str, Power]] | None = None
        self._watchers: list[Callable[[str], None]] = []
        self.stubborn: set[str] = set()
        self.started: Counter[str] = Counter()
        self._passwords: dict[str, dict[str, str]] = {}
        self._journal: Journal | None = None
        self._records = 0
        if state_dir is not None:
            self._journal = Journal(state_dir / "guests.journal", durable=False)
            for record in self._journal.load():
                self._keep(msgspec.json.decode(record, type=State))
                self._records += 1

    # -- Hypervisor

    def guests(self) -> Mapping[str, Guest]:
        self._may_fail("guests")
        return {id: _guest(state) for id, state in self._guests.items()}

    def guest(self, server_id: str) -> Guest | None:
        self._may_fail("guest")
        state = self._guests.get(server_id)
        return None if state is None else _guest(state)

    def inventory(self) -> Inventory:
        self._may_fail("inventory")
        return self._inventory

    def define(self, server: ServerDesired, disks: GuestDisks, era: int = 1) -> None:
        self._may_fail("define")
        old = self._guests.get(server.id)
        if old is not None and (there := (old.era, old.generation)) > (era, server.generation):
            raise HypervisorError(f"the definition in place is newer {there} than {(era, server.generation)}")
        self._put(State(server.id, old.power if old else Power.STOPPED, server.generation,
                        tuple(nic.port_id for nic in server.nics), tuple(volume.id for volume in server.volumes),
                        key_ids={volume.id: volume.key_id for volume in server.volumes if volume.key_id},
                        log=old.log if old else (), era=era, volume_gib={
                            volume.id: volume.size_gib for volume in server.volumes} | (
                                old.volume_gib if old and old.power in ON else {}),
                        since=old.since if old else 0.0, vcpus=server.vcpus, memory_mib=server.memory_mib,
                        macs={nic.port_id: nic.mac for nic in server.nics}, devices=inside.disk_names(disks),
                        volume_devices={volume.id: volume.device for volume in server.volumes},
                        agent=inside.has_agent(server)))

    def start(self, server_id: str) -> None:
        self._may_fail("start")
        state = self._state(server_id)
        if state.power in (Power.RUNNING, Power.PAUSED):
            return
        if missing := [id for id, key in state.key_ids.items() if id in state.volumes and key not in self.keys]:
            raise HypervisorError(f"there is no key to open the volume of attachment {missing[0]}")
        if state.power is not Power.SUSPENDED:
            self.started[server_id] += 1
            state = msgspec.structs.replace(
                state, log=(*state.log[-200:], f"[{clock.now()}] simulated boot of {server_id}", *BOOT, "login: "),
                since=clock.wall())
            self._put(state)
        self._change(server_id, Power.RUNNING)

    def shutdown(self, server_id: str) -> None:
        self._may_fail("shutdown")
        if self._state(server_id).power is Power.RUNNING and server_id not in self.stubborn:
            self._change(server_id, Power.STOPPED)

    def destroy(self, server_id: str) -> None:
        self._may_fail("destroy")
        state = self._guests.get(server_id)
        if state is not None and state.incoming:
            self._put(msgspec.structs.replace(state, gone=True))
        elif state is not None and state.power is not Power.STOPPED:
            self._change(server_id, Power.STOPPED)

    def pause(self, server_id: str) -> None:
        self._may_fail("pause")
        if self._state(server_id).power is Power.RUNNING:
            self._change(server_id, Power.PAUSED)

    def unpause(self, server_id: str) -> None:
        self._may_fail("unpause")
        if self._state(server_id).power is Power.PAUSED:
            self._change(server_id, Power.RUNNING)

    def suspend(self, server_id: str) -> None:
        self._may_fail("suspend")
        if self._state(server_id).power in (Power.RUNNING, Power.PAUSED):
            self._change(server_id, Power.SUSPENDED)

    def attach(self, server: ServerDesired, nic: Nic) -> None:
        self._may_fail("attach")
        state = self._state(server.id)
        if nic.port_id not in state.nics:
            self._put(msgspec.structs.replace(state, nics=(*state.nics, nic.port_id),
                                              macs={**state.macs, nic.port_id: nic.mac}))

    def detach(self, server_id: str, port_id: str) -> None:
        self._may_fail("detach")
        state = self._state(server_id)
        if port_id in state.nics:
            self._put(msgspec.structs.replace(state, nics=tuple(nic for nic in state.nics if nic != port_id)))

    def give_key(self, volume: VolumeDisk, passphrase: str) -> None:
        self._may_fail("give_key")
        self.keys[volume.key_id] = passphrase

    def attach_volume(self, server: ServerDesired, volume: VolumeDisk) -> None:
        self._may_fail("attach_volume")
        state = self._state(server.id)
        if volume.key_id and volume.key_id not in self.keys:
            raise HypervisorError(f"there is no key to open volume {volume.volume_id}")
        if volume.id not in state.volumes:
            keys = {volume.id: volume.key_id} if volume.key_id else {}
            self._put(msgspec.structs.replace(state, volumes=(*state.volumes, volume.id),
                                              key_ids={**state.key_ids, **keys},
                                              volume_gib={**state.volume_gib, volume.id: volume.size_gib},
                                              volume_devices={**state.volume_devices, volume.id: volume.device}))

    def detach_volume(self, server_id: str, attachment_id: str) -> None:
        self._may_fail("detach_volume")
        state = self._state(server_id)
        if attachment_id in state.volumes:
            left = tuple(id for id in state.volumes if id != attachment_id)
            self._put(msgspec.structs.replace(state, volumes=left))
            self.keys.pop(state.key_ids.get(attachment_id, ""), None)

    def extend_volume(self, server_id: str, volume: VolumeDisk) -> None:
        self._may_fail("extend_volume")
        state = self._state(server_id)
        if volume.id in state.volumes:
            self._put(msgspec.structs.replace(state, volume_gib={**state.volume_gib, volume.id: volume.size_gib}))

    def begin_copy(self, server: ServerDesired, attachment_id: str, target: Path) -> None:
        self._may_fail("begin_copy")
        state, known = self._state(server.id), self._copies.get(server.id)
        if state.power not in ON or attachment_id not in state.volumes:
            raise HypervisorError("the guest doesn't have the volume")
        if known is not None and known.running:
            if known.target != target:
                raise HypervisorError("another copy is being made")
            return
        self._copies[server.id] = Copying(target, True)
        if not self.hold_copies:
            self.end_copy(server.id)

    def copying(self, server_id: str) -> Copying | None:
        self._may_fail("copying")
        return self._copies.get(server_id)

    def abort_copy(self, server_id: str) -> None:
        self._may_fail("abort_copy")
        self._copies.pop(server_id, None)
        self._resting.pop(server_id, None)

    def rest(self, server: ServerDesired, *, pause: bool) -> None:
        self._may_fail("rest")
        self._resting[server.id] = pause

    def rouse(self, server_id: str) -> bool:
        self._may_fail("rouse")
        return self._resting.pop(server_id, None) is not None

    @property
    def resting(self) -> dict[str, bool]:
        """Guests that are at rest, and whether they are paused."""
        return dict(self._resting)

    def undefine(self, server_id: str) -> None:
        self._may_fail("undefine")
        self._migrations.pop(server_id, None)
        self._copies.pop(server_id, None)
        if state := self._guests.get(server_id):
            self._put(msgspec.structs.replace(state, gone=True, log=()))
            self.started.pop(server_id, None)
            self._passwords.pop(server_id, None)

    @property
    def migration_peer(self) -> str:
        return self._name

    def expect_migration(self) -> None:
        self._may_fail("expect_migration")
        if not self._name:
            raise GuestRefused("This host takes no guests of others.")

    def migrate(self, server_id: str, peer: str, own_disks: bool) -> None:
        self._may_fail("migrate")
        state, target = self._state(server_id), self._peers.get(peer)
        known = self._migrations.get(server_id)
        if known is not None and known[1].running:
            return
        if target is None or not target.reachable or not self.reachable:
            self._migrations[server_id] = peer, Migration(False, f"{peer} doesn't answer")
            return
        total = self._inventory.memory_mib
        self._migrations[server_id] = peer, Migration(True, None, {
            "memory_total_bytes": total, "memory_processed_bytes": 0, "memory_remaining_bytes": total})
        target._put(msgspec.structs.replace(state, power=Power.PAUSED, incoming=True))
        target._tell(server_id)
        if not self.hold_migrations:
            self.end_migration(server_id)

    def migration(self, server_id: str) -> Migration | None:
        self._may_fail("migration")
        found = self._migrations.get(server_id)
        return None if found is None else found[1]

    def abort_migration(self, server_id: str) -> None:
        self._may_fail("abort_migration")
        if (found := self._migrations.get(server_id)) and found[1].running:
            self.end_migration(server_id, "operation aborted: migration job: canceled by client")

    def hurry_migration(self, server_id: str) -> None:
        self._may_fail("hurry_migration")
        if (found := self._migrations.get(server_id)) and found[1].running:
            self.end_migration(server_id)

    def set_password(self, server_id: str, user: str, password: str) -> None:
        self._may_fail("set_password")
        state = self._state(server_id)
        if state.power is not Power.RUNNING:
            raise HypervisorError("the guest isn't running")
        if not state.agent:
            raise GuestRefused("The guest has no agent (hw_qemu_guest_agent).")
        if server_id in self.stubborn:
            raise GuestSilent("the guest's agent doesn't answer")
        self._passwords.setdefault(server_id, {})[user] = inside.hashed(server_id, user, password)
        self._put(msgspec.structs.replace(state, log=(*state.log[-200:], f"password of {user} changed", "login: ")))

    def takes_password(self, server_id: str, user: str, password: str) -> bool:
        """Whether the guest would let *user* in."""
        return self._passwords.get(server_id, {}).get(user) == inside.hashed(server_id, user, password)

    def inject_nmi(self, server_id: str) -> None:
        self._may_fail("inject_nmi")
        state = self._state(server_id)
        if state.power not in ON:
            raise HypervisorError("the guest is off")
        self._put(msgspec.structs.replace(state, log=(*state.log[-200:], "NMI received")))

    def diagnostics(self, server_id: str) -> Diagnostics:
        self._may_fail("diagnostics")
        state = self._state(server_id)
        if state.power is not Power.RUNNING:
            raise HypervisorError("the guest isn't running")
        devices = (*state.devices, *(state.volume_devices.get(id, "").removeprefix("/dev/") for id in state.volumes))
        return inside.used(clock.wall() - state.since, state.vcpus, state.memory_mib, devices,
                           [(port, state.macs.get(port, "")) for port in state.nics])

    def console_log(self, server_id: str, length: int | None) -> str:
        self._may_fail("console_log")
        lines = self._state(server_id).log
        if length is not None:
            lines = lines[-length:] if length > 0 else ()
        return "".join(f"{line}\n" for line in lines)

    def open_console(self, server_id: str, kind: ConsoleKind) -> socket.socket:
        self._may_fail("open_console")
        if self._state(server_id).power not in (Power.RUNNING, Power.PAUSED):
            raise HypervisorError("the guest is off")
        return console.connect(server_id, kind, self.console_log(server_id, None))

    def watch(self, changed: Callable[[str], None]) -> None:
        self._watchers.append(changed)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    # -- stepping and failing

    def fail(self, call: str, message: str = "simulated failure", *, times: int = 1, refused: bool = False) -> None:
        """Let the next *times* calls of *call* fail; *refused*: with ``GuestRefused``."""
        self._failing[call] = (GuestRefused(message) if refused else HypervisorError(message), times)

    def hold(self) -> None:
        """From now on power changes are asked for, and happen only by ``step``."""
        self._held = [] if self._held is None else self._held

    def step(self) -> str | None:
        """Let the oldest power change that is held back happen; the guest's id, None when there is none."""
        if not self._held:
            return None
        server_id, power = self._held.pop(0)
        if server_id in self._guests:
            self._set_power(server_id, power)
            self._tell(server_id)
        return server_id

    def release(self) -> None:
        """Let everything that is held back happen, and hold nothing back any more."""
        while self.step():
            pass
        self._held = None

    def end_migration(self, server_id: str, error: str | None = None) -> None:
        """A migration under way ends: well, or with *error*. One whose peer can't be reached fails."""
        peer, _ = self._migrations[server_id]
        target, state = self._peers[peer], self._state(server_id)
        if error is None and not (target.reachable and self.reachable):
            error = "lost the connection to the other host"
        if error is not None:
            self._migrations[server_id] = peer, Migration(False, error)
            if target.reachable and (there := target._guests.get(server_id)) and there.incoming:
                target._put(msgspec.structs.replace(there, gone=True))
                target._tell(server_id)
        else:
            del self._migrations[server_id]
            target._put(state)
            self._put(msgspec.structs.replace(state, gone=True, log=()))
            target._tell(server_id)
        self._tell(server_id)

    def end_copy(self, server_id: str, error: str | None = None) -> None:
        """A copy under way ends: whole, or with *error*."""
        self._copies[server_id] = Copying(self._copies[server_id].target, False, error)
        self._tell(server_id)

    def crash(self, server_id: str) -> None:
        """The guest's process dies."""
        self._set_power(server_id, Power.CRASHED)
        self._tell(server_id)

    def power_off(self, server_id: str) -> None:
        """The guest powers itself off."""
        self._set_power(server_id, Power.STOPPED)
        self._tell(server_id)

    def reboot_machine(self) -> None:
        """A power cut: whatever was on is off."""
        for id, state in list(self._guests.items()):
            if state.incoming:
                self._put(msgspec.structs.replace(state, gone=True))
            elif state.power in (Power.RUNNING, Power.PAUSED, Power.CRASHED):
                self._set_power(id, Power.STOPPED)
        self._migrations.clear()

    def add_foreign(self, server_id: str) -> None:
        """A guest that somebody else made."""
        self._put(State(server_id, Power.RUNNING, 0, ours=False))

    # -- how

    def _state(self, server_id: str) -> State:
        state = self._guests.get(server_id)
        if state is None:
            raise HypervisorError(f"there is no guest {server_id} on this machine")
        return state

    def _change(self, server_id: str, power: Power) -> None:
        if self._held is None:
            self._set_power(server_id, power)
        else:
            self._held.append((server_id, power))

    def _set_power(self, server_id: str, power: Power) -> None:
        if power not in ON:
            self._copies.pop(server_id, None)
        self._put(msgspec.structs.replace(self._state(server_id), power=power))

    def _put(self, state: State) -> None:
        self._keep(state)
        if self._journal is None:
            return
        if self._records > COMPACT + 4 * len(self._guests):
            self._journal.rewrite(msgspec.json.encode(each) for each in self._guests.values())
            self._records = len(self._guests)
        else:
            self._journal.append(msgspec.json.encode(state))
            self._records += 1

    def _keep(self, state: State) -> None:
        if state.gone:
            self._guests.pop(state.id, None)
        else:
            self._guests[state.id] = state

    def _tell(self, server_id: str) -> None:
        for watcher in self._watchers:
            watcher(server_id)

    def _may_fail(self, call: str) -> None:
        if self._failing and (failing := self._failing.get(call)):
            error, times = failing
            if times > 1:
                self._failing[call] = (error, times - 1)
            else:
                del self._failing[call]
            raise error


def _guest(state: State) -> Guest:
    return Guest(state.id, state.power, state.generation, state.nics, state.ours, state.incoming, state.volumes,
                 {id: state.volume_gib[id] for id in state.volumes
                  if state.power in ON and id in state.volume_gib})
