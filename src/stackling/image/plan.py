"""What to do about an image's data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackling.image.model import Image
from stackling.ports.images import Inspection, Piece

GRACE = 10.0
"""Seconds after its begin in which an upload without a writer isn't yet given up."""
DEAD = "the process that received the upload died; upload the data again"


@dataclass(frozen=True, slots=True)
class Observed:
    """``pieces`` are what the store has of the uploads that the row names; ``inspection`` only while importing."""

    pieces: tuple[Piece, ...] = ()
    upload_dead: bool = False
    inspection: Inspection | None = None
    data_lost: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove one file, staged or committed."""

    location: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Move the staged data to its final place."""

    number: int


Step = Remove | Commit


def numbers(image: Image) -> tuple[int, ...]:
    """The uploads that the row names, besides the data in use."""
    return tuple(n for n in (*image.leftover, image.staged, image.upload) if n is not None)


def plan(image: Image, observed: Observed) -> Sequence[Step]:
    """Deleted: remove everything. Otherwise remove what is left over and commit what is to be imported."""
    if image.deleting:
        return [Remove(piece.location) for piece in observed.pieces]
    steps: list[Step] = [Remove(piece.location) for piece in observed.pieces if piece.number in image.leftover]
    if image.import_task is not None and observed.inspection is not None and observed.inspection.problem is None:
        steps += [Commit(piece.number) for piece in observed.pieces if piece.number == image.staged and piece.staged]
    return steps
