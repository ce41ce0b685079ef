"""The disks of servers on one machine, as the agent sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from stackling.ports.document import RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestDisks

Fetch = Callable[[RootDisk, Callable[[bytes], object]], None]
"""Hand every chunk of an image to the second argument. Raises ``HypervisorError`` or ``GuestRefused``."""


Exported = Path | str
"""A copy of a root disk: a file of this machine, or the location of a snapshot in the storage that control shares."""

HandOver = Callable[[str, Exported], None]
"""Give a copy to control as an image's data; returns when control has it or doesn't want it. Raises
``HypervisorError``."""

DirectoryTrial = Callable[[Mapping[str, Any]], dict[str, Any]]
"""One step of a proof that a directory is shared by machines; what was found. Raises ``TrialFailed``."""


class TrialFailed(Exception):
    """The step didn't do what it must, in words."""


class InstanceDisks(Protocol):
    """Blocking calls, idempotent, safe from several threads (for one server: one at a time).

    Disks are numbered by the server's ``rebuilds``, so that a rebuild that a crash interrupted is recognised.
    """

    def find(self, server_id: str) -> int | None:
        """The rebuild number of the disks that are there, whole; None when there are none."""
        ...

    def make(self, server: ServerDesired, progress: Callable[[str], None], era: int = 1) -> None:
        """Make the disks for ``server.rebuilds``, then drop older ones. Nothing when they are there.

        *era* is the document's; with the server's generation it tells an older order from a newer one.

        Raises ``HypervisorError`` (no space now, image not reachable) or ``GuestRefused`` (image unusable).
        """
        ...

    def fetch(self, server: ServerDesired, source: str, progress: Callable[[str], None]) -> None:
        """Copy the server's disks from another host, whose agent answers at *source*. Nothing when they are there.

        Raises ``HypervisorError``, or ``GuestRefused`` where disks aren't copied.
        """
        ...

    def expect(self, server: ServerDesired, own_disks: bool, progress: Callable[[str], None]) -> None:
        """Make ready for a guest that comes here running: with *own_disks*, make the disks that it is copied into."""
        ...

    def guard(self, server: ServerDesired, era: int = 1) -> None:
        """Called before each start of the guest: raises ``HypervisorError`` when another machine may be using the
        disks, or has a newer order about them."""
        ...

    def resize(self, server: ServerDesired) -> None:
        """Fit the disks to *server*, the guest being off; a root disk only grows. Nothing when they fit.

        The state of the root disk before the resize ``kept_resize`` is kept when it isn't yet; that before
        ``restored_resize`` is brought back where it is still kept, and no longer kept. Raises ``HypervisorError``.
        """
        ...

    def forget_kept(self, server: ServerDesired) -> None:
        """Keep no earlier state of the root disk but that before ``kept_resize``; the guest is off."""
        ...

    def make_rescue(self, server: ServerDesired, progress: Callable[[str], None]) -> None:
        """Make the disk ``server.rescue`` and drop earlier ones; the guest is off. Nothing when it is there. Raises as
        ``make`` does."""
        ...

    def drop_rescue(self, server: ServerDesired) -> None:
        """Remove rescue disks; the guest is off. Raises ``HypervisorError``."""
        ...

    def export(self, server: ServerDesired) -> None:
        """Copy the root disk as it is now, flat and in qcow2, for the image ``server.snapshot``; the guest is paused
        or off. Nothing when the copy is there. Raises ``HypervisorError``."""
        ...

    def exported(self, server: ServerDesired) -> Exported:
        """Where that copy is."""
        ...

    def drop_export(self, server: ServerDesired) -> None:
        """Remove the copy."""
        ...

    def paths(self, server: ServerDesired) -> GuestDisks:
        """Where the disks are."""
        ...

    def remove(self, server_id: str, era: int, generation: int) -> None:
        """Leave nothing of the server's disks; *era* and *generation* are those of the order to do so.

        Raises ``HypervisorError`` when they belong to a newer one.
        """
        ...

    def tidy(self, images: Collection[str]) -> None:
        """Drop what a crash left half-made, and cached images that aren't in *images* and are old."""
        ...
