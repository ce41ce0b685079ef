"""The shared directory itself: that it is the right one, and that this machine's mount of it has been proven.

Theory of operation. Where a mount is missing, its empty mount point looks like a directory without any disks: the file
``stackling.json``, with the id that the cloud's settings name, tells the two apart. Whether locks reach other machines
depends on how each machine has mounted it, so a proof (``trial``) leaves a note of the machine and of the kind of its
mount; a machine without one, or mounted otherwise by now, starts nothing here.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackling.core.journal import sync_directory
from stackling.drivers.directory.mounts import Mount, mount_of
from stackling.ports.hypervisor import HypervisorError

IDENTITY = "stackling.json"
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Place:
    """The directory *path*, which all machines have mounted there, with the cloud's *id* of it; on *machine*."""

    path: Path
    id: str
    machine: str

    @property
    def instances(self) -> Path:
        """A directory for each server."""
        return self.path / "instances"

    @property
    def images(self) -> Path:
        """The bases of disks."""
        return self.path / "images"

    def check(self) -> None:
        """Raises ``HypervisorError`` unless disks can be used here."""
        found = identity(self.path)
        if found != self.id:
            what = "another directory is mounted there" if found else "it isn't mounted"
            raise HypervisorError(f"{self.path} isn't the cloud's shared directory on this machine ({what}); mount it "
                                  "as on the other machines, and the server goes on")
        proven = _read(self._note).get("kind")
        here = mount_of(self.path.resolve()).kind
        if proven != here:
            what = f"was proven as {proven} and is mounted as {here} now" if proven else "has not been proven"
            raise HypervisorError(f"whether locks in {self.path} reach other machines {what} on this machine: run "
                                  "`stackling storage check` on a control machine")

    def prepare(self) -> None:
        """Make what is missing. Raises ``OSError``, or ``HypervisorError`` where another cloud has it."""
        found = identity(self.path)
        if found and found != self.id:
            raise HypervisorError(f"{self.path} is the shared directory of another cloud ({found})")
        for path in (self.instances, self.images, self._note.parent):
            path.mkdir(mode=0o711, exist_ok=True)
            path.chmod(0o711)
        if not found:
            _write(self.path / IDENTITY, {"id": self.id})

    def note_proof(self) -> None:
        """This machine's mount, as it is now, has been proven."""
        _write(self._note, {"kind": mount_of(self.path.resolve()).kind})

    def room(self) -> tuple[int, int]:
        """Bytes in all, and bytes free."""
        found = os.statvfs(self.path)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    @property
    def mount(self) -> Mount:
        """What it is mounted from here."""
        return mount_of(self.path.resolve())

    @property
    def _note(self) -> Path:
        return self.path / "proven" / f"{self.machine}.json"


def identity(path: Path) -> str:
    """The id of the shared directory at *path*; empty where it is none."""
    return str(_read(path / IDENTITY).get("id") or "")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HypervisorError(f"the shared directory can't be read: {error.strerror}: {path}") from None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("x") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)
