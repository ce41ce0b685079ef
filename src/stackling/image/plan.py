"""What to do about an image's data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackling.image.model import Image, Place
from stackling.ports.images import Inspection, Piece

GRACE = 10.0
"""Seconds after its begin in which an upload without a writer isn't yet given up."""
DEAD = "the process that received the upload died; upload the data again"


@dataclass(frozen=True, slots=True)
class Seen:
    """A piece, and the store it is in."""

    store: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class Observed:
    """``pieces`` are what the stores have of the uploads and copies that the row names; ``inspection`` only while
    importing. ``lost`` are stores in which the data should be and isn't; ``silent`` those that don't answer, with what
    they say; ``staging`` is the store that has what is staged."""

    pieces: tuple[Seen, ...] = ()
    upload_dead: bool = False
    inspection: Inspection | None = None
    lost: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict[str, str])
    staging: str = ""

    def committed(self, store: str, number: int | None) -> Piece | None:
        """That upload, where it is in its final place in *store*."""
        return next((one.piece for one in self.pieces
                     if one.store == store and one.piece.number == number and not one.piece.staged), None)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove one file of a store, staged or committed."""

    store: str
    location: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Move the staged data to its final place, in the store where it is staged."""

    store: str
    number: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Write the data into another store."""

    store: str
    number: int


Step = Remove | Commit | Copy


def numbers(image: Image) -> tuple[int, ...]:
    """The uploads that the row names, besides the data in use."""
    copying = image.copying.number if image.copying is not None else None
    return tuple(dict.fromkeys(n for n in (*image.leftover, image.staged, image.upload, copying) if n is not None))


def named(image: Image) -> tuple[Place, ...]:
    """What the row names by its place and wants to be rid of: everything, once it is being deleted."""
    made = image.copying.made if image.copying is not None else ()
    return (*image.dropped, *image.places, *made) if image.deleting else image.dropped


def target(image: Image, staging: str) -> tuple[str, int, bool] | None:
    """Which store is to get the data next, under which number, and whether that is by moving what is staged there."""
    copying = image.copying
    if image.import_task is None or copying is None or not copying.stores or image.upload is not None:
        return None
    store = copying.stores[0]
    if image.staged is not None and store == staging:
        return store, image.staged, True
    return store, copying.number, False


def plan(image: Image, observed: Observed) -> Sequence[Step]:
    """Deleted: remove everything. Otherwise remove what is left over, and put what is imported or copied into the next
    store."""
    if image.deleting:
        return [Remove(seen.store, seen.piece.location) for seen in observed.pieces]
    dropped = {location for _, location in image.dropped}
    steps: list[Step] = [Remove(seen.store, seen.piece.location) for seen in observed.pieces
                         if seen.piece.number in image.leftover or seen.piece.location in dropped]
    following = target(image, observed.staging)
    if following is None or (observed.inspection is not None and observed.inspection.problem is not None):
        return steps
    store, number, moves = following
    if observed.committed(store, number) is not None or store in image.tried or store in observed.silent:
        return steps
    if moves:
        there = any(seen.store == store and seen.piece.number == number for seen in observed.pieces)
        return [*steps, Commit(store, number)] if there and observed.inspection is not None else steps
    if image.copying is not None and (image.copying.copy or observed.inspection is not None):
        steps.append(Copy(store, number))
    return steps
