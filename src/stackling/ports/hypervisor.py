"""The hypervisor of one machine, as the agent sees it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from stackling.ports.diagnostics import Diagnostics
from stackling.ports.document import Inventory, Nic, Power, ServerDesired, VolumeDisk


def instance_name(server_id: str, number: int) -> str:
    """A server's name at the hypervisor, which the compute API shows as ``OS-EXT-SRV-ATTR:instance_name``: Nova's
    ``instance-%08x`` of the server's *number* in its cloud; of a server without one, with its id."""
    return f"instance-{number:08x}" if number else f"instance-{server_id}"


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest as found. ``generation`` is that of the definition it was made from (0 when it carries none)."""

    id: str
    power: Power
    generation: int
    nics: tuple[str, ...] = ()          # port ids plugged in
    ours: bool = True                   # carries our mark
    incoming: bool = False              # it is coming from another machine, and doesn't run here yet
    volumes: tuple[str, ...] = ()       # ids of attachments plugged in
    volume_gib: Mapping[str, int] = field(default_factory=dict[str, int])   # what a guest that is on sees of them

    @property
    def on(self) -> bool:
        """Whether a process runs for it (a paused guest is on, a suspended one isn't)."""
        return self.power in (Power.RUNNING, Power.PAUSED)


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration of a guest away from here: under way, or failed with *error*. ``progress``: bytes by Nova's names."""

    running: bool
    error: str | None = None
    progress: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Copying:
    """A copy of a guest's volume to the file *target*: under way, or ended, whole unless there is an *error*."""

    target: Path
    running: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RbdDisk:
    """A raw disk in a Ceph pool: the cluster's ``ceph.conf``, and the user (without ``client.``) to reach it as."""

    pool: str
    name: str
    conf: Path
    user: str


@dataclass(frozen=True, slots=True)
class GuestDisks:
    """A server's disks: files of this machine (the root's format is qcow2, an overlay, the others' raw), or RBD."""

    root: Path | RbdDisk | None = None
    ephemeral: Path | RbdDisk | None = None
    swap: Path | RbdDisk | None = None
    config_drive: Path | RbdDisk | None = None
    rescue: Path | RbdDisk | None = None


class ConsoleKind(StrEnum):
    """What a guest shows to people: its screen (raw RFB) or its serial port (a terminal's bytes)."""

    VNC = "vnc"
    SERIAL = "serial"


class HypervisorError(Exception):
    """It didn't work and may later (the service is down, out of memory now …). The message is for the user."""


class GuestSilent(HypervisorError):
    """Nobody inside of the guest answers: no agent runs there, or it hangs."""


class GuestRefused(Exception):
    """It can't work as asked (no such machine type, image unusable …). The message is for the user."""


class Hypervisor(Protocol):
    """Blocking calls, safe from several threads, each under a deadline of the driver. All of them idempotent.

    Any of them may raise ``HypervisorError``; those that name a guest which doesn't exist do so too, except
    ``guest``, ``destroy`` and ``undefine``.
    """

    def guests(self) -> Mapping[str, Guest]:
        """Every guest on this machine, ours and others'."""
        ...

    def guest(self, server_id: str) -> Guest | None:
        """One guest, or None."""
        ...

    def inventory(self) -> Inventory:
        """What the machine has."""
        ...

    def define(self, server: ServerDesired, disks: GuestDisks, era: int = 1) -> None:
        """Make or replace the guest's definition, not starting it. Disks exist already.

        Raises ``GuestRefused`` for what this hypervisor can't do, and ``HypervisorError`` when the definition
        in place is of a newer *era* (that of the document) and generation.
        """
        ...

    def start(self, server_id: str) -> None:
        """Power on, from the saved memory where there is one (nothing when it is on)."""
        ...

    def shutdown(self, server_id: str) -> None:
        """Ask the guest to power off; returns at once."""
        ...

    def destroy(self, server_id: str) -> None:
        """Switch off at once and drop a saved memory image (nothing when it is off)."""
        ...

    def pause(self, server_id: str) -> None:
        """Stop its processors, keeping its memory."""
        ...

    def unpause(self, server_id: str) -> None:
        """Let a paused guest go on."""
        ...

    def suspend(self, server_id: str) -> None:
        """Save memory to disk and switch off."""
        ...

    def attach(self, server: ServerDesired, nic: Nic) -> None:
        """Plug in an interface, in the running guest and in the definition (nothing when it is there)."""
        ...

    def detach(self, server_id: str, port_id: str) -> None:
        """Unplug; ``HypervisorError`` when the guest hasn't let go of it yet (nothing when it isn't there)."""
        ...

    def give_key(self, volume: VolumeDisk, passphrase: str) -> None:
        """Let guests open an encrypted volume, from the next ``start``, ``attach_volume`` or arriving migration on, for
        as long as this machine has one with it; kept in memory only."""
        ...

    def attach_volume(self, server: ServerDesired, volume: VolumeDisk) -> None:
        """Plug in a volume, in the running guest and in the definition (nothing when it is there)."""
        ...

    def detach_volume(self, server_id: str, attachment_id: str) -> None:
        """Unplug; ``HypervisorError`` when the guest hasn't let go of it yet (nothing when it isn't there)."""
        ...

    def extend_volume(self, server_id: str, volume: VolumeDisk) -> None:
        """Let the running guest see the volume as large as it is now (nothing when it does, or is off)."""
        ...

    def begin_copy(self, server: ServerDesired, attachment_id: str, target: Path) -> None:
        """Begin to copy a volume of a guest that is on, as it is at this moment, to the file *target*, which
        ``VolumeCopies.prepare`` has made; returns soon. Nothing when that is under way. The guest's file systems are
        at rest at that moment where its image says that it has an agent (``hw_qemu_guest_agent``); where that is
        demanded (``os_require_quiesce``), there is no copy otherwise. What goes wrong, ``copying`` tells."""
        ...

    def copying(self, server_id: str) -> Copying | None:
        """The copy that was begun since the guest is on, and is under way or has ended, if that is known."""
        ...

    def abort_copy(self, server_id: str) -> None:
        """Stop it (nothing when none is under way)."""
        ...

    def rest(self, server: ServerDesired, *, pause: bool) -> None:
        """Have the guest write nothing until ``rouse``, or for half a minute at most: its file systems are put to rest
        where its hardware says that an agent is there, and with *pause* its processors stand still. Raises
        ``GuestRefused`` where that rest is demanded (``os_require_quiesce``) and the agent doesn't see to it."""
        ...

    def rouse(self, server_id: str) -> bool:
        """End ``rest`` (nothing when that is over); whether it has lasted until now."""
        ...

    def undefine(self, server_id: str) -> None:
        """Switch off and forget the definition (and a saved memory image); disks are the caller's."""
        ...

    @property
    def migration_peer(self) -> str:
        """Where this hypervisor takes guests of others, for their ``migrate``; empty where it doesn't."""
        ...

    def expect_migration(self) -> None:
        """Make ready to take a guest of another. Raises ``GuestRefused`` where guests of others aren't taken."""
        ...

    def migrate(self, server_id: str, peer: str, own_disks: bool) -> None:
        """Begin to migrate a guest that is on to *peer*, and return; the definition goes with it. *own_disks*: what
        the disks hold beyond their base is copied as well. Nothing when that is under way."""
        ...

    def migration(self, server_id: str) -> Migration | None:
        """The migration that was begun and is under way or has failed, if that is known."""
        ...

    def abort_migration(self, server_id: str) -> None:
        """Stop it; the guest stays here (nothing when none is under way)."""
        ...

    def hurry_migration(self, server_id: str) -> None:
        """Pause the guest until it has moved, so that it does (nothing when none is under way)."""
        ...

    def set_password(self, server_id: str, user: str, password: str) -> None:
        """Have the agent inside of a guest that runs give *user* a password; the password goes nowhere else. Raises
        ``GuestSilent`` within seconds when the agent doesn't answer, and ``GuestRefused`` for a guest without one."""
        ...

    def inject_nmi(self, server_id: str) -> None:
        """Interrupt a guest that is on so that its own system writes a crash dump, if it does such."""
        ...

    def diagnostics(self, server_id: str) -> Diagnostics:
        """What a guest that is running uses. ``HypervisorError`` when it isn't."""
        ...

    def console_log(self, server_id: str, length: int | None) -> str:
        """The last *length* lines of the serial console (all when None)."""
        ...

    def open_console(self, server_id: str, kind: ConsoleKind) -> socket.socket:
        """A connection to the guest's screen or serial port, to be closed by the caller. Raises ``HypervisorError``
        when the guest is off, or has none."""
        ...

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call *changed* (from any thread) with a server id when its guest changes by itself. A hint only.

        An empty id means that anything may have changed.
        """
        ...

    def close(self) -> None:
        """Let go; guests keep running."""
        ...
