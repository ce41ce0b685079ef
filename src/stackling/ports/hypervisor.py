"""The hypervisor of one machine, as the agent sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stackling.ports.document import Inventory, Nic, Power, ServerDesired


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest as found. ``generation`` is that of the definition it was made from (0 when it carries none)."""

    id: str
    power: Power
    generation: int
    nics: tuple[str, ...] = ()          # port ids plugged in
    started_at: str | None = None
    ours: bool = True                   # carries our mark


class HypervisorError(Exception):
    """It didn't work and may later (the service is down, out of memory now …). The message is for the user."""


class GuestRefused(Exception):
    """It can't work as asked (no such machine type, image unusable …). The message is for the user."""


class Hypervisor(Protocol):
    """Blocking calls, each under a deadline of the driver. All of them idempotent."""

    def guests(self) -> Mapping[str, Guest]:
        """Every guest on this machine, ours and others'. Raises ``HypervisorError``."""
        ...

    def inventory(self) -> Inventory:
        """What the machine has."""
        ...

    def define(self, server: ServerDesired, root: Path | None, config_drive: Path | None) -> None:
        """Make or replace the guest's definition, not starting it. Disks exist already."""
        ...

    def start(self, server_id: str) -> None:
        """Power on (nothing when it runs)."""
        ...

    def shutdown(self, server_id: str) -> None:
        """Ask the guest to power off; returns at once."""
        ...

    def destroy(self, server_id: str) -> None:
        """Switch off at once (nothing when it is off)."""
        ...

    def reboot(self, server_id: str) -> None:
        """Ask the guest to reboot; returns at once."""
        ...

    def pause(self, server_id: str) -> None: ...
    def unpause(self, server_id: str) -> None: ...
    def suspend(self, server_id: str) -> None:
        """Save memory to disk and switch off."""
        ...

    def attach(self, server_id: str, nic: Nic) -> None: ...
    def detach(self, server_id: str, port_id: str) -> None: ...
    def undefine(self, server_id: str) -> None:
        """Switch off and forget the definition (and a saved memory image); disks are the caller's."""
        ...

    def console_log(self, server_id: str, length: int | None) -> str:
        """The last *length* lines of the serial console (all when None)."""
        ...

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call *changed* (from any thread) with a server id when its guest changes by itself. A hint only."""
        ...

    def close(self) -> None: ...
