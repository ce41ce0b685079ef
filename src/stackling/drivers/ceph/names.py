"""What things are called in the pools. Pure.

An upload of an image: ``<image id>.<number>``; with a snapshot ``snap``, protected, it is committed. Where the data
isn't a raw disk, a second image ``<image id>.<number>.raw`` holds the disk, to be cloned; the first is what was
uploaded. Locations are written as Glance writes them: ``rbd://<fsid>/<pool>/<name>/<snapshot>``.

A server's disk: ``<server id>.<set>.root`` and so on; a *set* is made once and named ``<rebuilds>-<era>-<generation>``
by the order that made it, so that who deletes an old set can't meet a newer one. The object ``server.<server id>``
says which set counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SNAP = "snap"
RAW = ".raw"
_PIECE = re.compile(r"([0-9A-Za-z][0-9A-Za-z_-]{0,63})\.([1-9][0-9]{0,18})\Z")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Location:
    """A snapshot of an RBD image in a cluster."""

    fsid: str
    pool: str
    name: str
    snapshot: str = SNAP

    def __str__(self) -> str:
        return "rbd://" + "/".join(quote(part, safe="") for part in (self.fsid, self.pool, self.name, self.snapshot))

    @property
    def disk(self) -> Location:
        """The raw disk that belongs to an uploaded file of another format."""
        return Location(self.fsid, self.pool, self.name + RAW, self.snapshot)

    @staticmethod
    def parse(text: str) -> Location | None:
        """None for any other text."""
        parts = text.removeprefix("rbd://").split("/")
        if not text.startswith("rbd://") or len(parts) != 4 or not all(parts):
            return None
        return Location(*map(unquote, parts))


def piece(image_id: str, number: int) -> str | None:
    """The RBD image of an upload; None for what is no id."""
    name = f"{image_id}.{number}"
    return name if _PIECE.match(name) else None


def upload_of(name: str) -> tuple[str, int] | None:
    """The image id and number that ``piece`` made *name* of."""
    found = _PIECE.match(name)
    return (found[1], int(found[2])) if found else None


def volume_at(location: str) -> tuple[str, str] | None:
    """The pool and the name of a volume (``ports.volumes.VolumeStore.location``); None where it isn't in Ceph."""
    parts = location.removeprefix("rbd://").split("/")
    return (parts[0], parts[1]) if location.startswith("rbd://") and len(parts) == 2 and all(parts) else None


def is_id(text: str) -> bool:
    """Whether *text* may be part of a name."""
    return bool(_ID.match(text))


def marker(server_id: str) -> str:
    """The object that says which of a server's disk sets counts."""
    return f"server.{server_id}"


def disk(server_id: str, disk_set: str, kind: str) -> str:
    """One disk of a set; *kind* is root, ephemeral, swap or config."""
    return f"{server_id}.{disk_set}.{kind}"


def disk_set(rebuilds: int, era: int, generation: int) -> str:
    """The name of a set."""
    return f"{rebuilds}-{era}-{generation}"


def order_of(disk: str) -> tuple[int, int]:
    """The era and generation of the order that made a disk; (0, 0) for another name."""
    parts = disk.split(".")
    numbers = parts[1].split("-") if len(parts) == 3 else []
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return 0, 0
    return int(numbers[1]), int(numbers[2])


def kept(resize: int) -> str:
    """The snapshot of a root disk as it was before a resize."""
    return f"before-resize-{resize}"


def exported(image_id: str) -> str:
    """The snapshot of a root disk that becomes an image."""
    return f"image-{image_id}"
