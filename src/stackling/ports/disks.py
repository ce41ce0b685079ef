"""The disks of servers on one machine, as the agent sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from stackling.ports.document import RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestDisks

Fetch = Callable[[RootDisk, Callable[[bytes], object]], None]
"""Hand every chunk of an image to the second argument. Raises ``HypervisorError`` or ``GuestRefused``."""


class InstanceDisks(Protocol):
    """Blocking calls, idempotent, safe from several threads (for one server: one at a time).

    Disks are numbered by the server's ``rebuilds``, so that a rebuild that a crash interrupted is recognised.
    """

    def find(self, server_id: str) -> int | None:
        """The rebuild number of the disks that are there, whole; None when there are none."""
        ...

    def make(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        """Make the disks for ``server.rebuilds``, then drop older ones. Nothing when they are there.

        Raises ``HypervisorError`` (no space now, image not reachable) or ``GuestRefused`` (image unusable).
        """
        ...

    def paths(self, server: ServerDesired) -> GuestDisks:
        """Where the disks are."""
        ...

    def remove(self, server_id: str) -> None:
        """Leave nothing of the server's disks."""
        ...

    def tidy(self, images: Collection[str]) -> None:
        """Drop what a crash left half-made, and cached images that aren't in *images* and are old."""
        ...
