"""Comparing what lies in the stores with the images that there are, when an administrator asks for it.

Theory of operation. The stores are listed before the rows are read, and a row names an upload before its data is
begun; a number that a row doesn't name and is no younger than the row is never named again (``ports.images``). So what
is left over of an image that is there, or was deleted, may be removed; what belongs to no image that ever was is told,
and never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackling.core.errors import NotFound, Unavailable
from stackling.image import plan, rows, stores
from stackling.image.model import Image
from stackling.ports.images import ImageStore, Piece
from stackling.store.transaction import Tx
from stackling.store.work import standing

Listed = Mapping[str, Sequence[Piece] | str]
"""What lies in each store, by its name, or why that can't be said."""


@dataclass(frozen=True, slots=True)
class Found:
    """``state`` as in ``volume.audit``: ``left over``, ``unknown``, ``missing``, or ``silent`` with the reason in place
    of a location."""

    id: str
    store: str
    location: str
    state: str


def listed(store: ImageStore) -> Listed:
    """What lies in the stores now."""
    found: dict[str, Sequence[Piece] | str] = {}
    for name, one in stores.members(store).items():
        try:
            found[name] = [piece for piece in one.inventory() if not one.writing(piece.image_id, piece.number)]
        except (Unavailable, OSError) as error:
            found[name] = str(error)
    return found


def judge(tx: Tx, listed: Listed) -> list[Found]:
    """What isn't as it should be."""
    images = {image.id: image for image in rows.everything(tx)}
    buried = _buried(tx, sorted({piece.image_id for pieces in listed.values() if not isinstance(pieces, str)
                                 for piece in pieces} - images.keys()))
    found: list[Found] = []
    for store, pieces in listed.items():
        if isinstance(pieces, str):
            found.append(Found(store, store, pieces, "silent"))
            continue
        for piece in pieces:
            image = images.get(piece.image_id)
            state = _stray(piece, buried) if image is None else _leftover(image, piece)
            if state:
                found.append(Found(piece.image_id, store, piece.location, state))
        there = {piece.location for piece in pieces}
        found += [Found(image.id, store, location, "missing") for image in images.values() if not image.deleting
                  for name, location in image.places if name == store and location not in there]
    return found


def is_missing(store: ImageStore, one: Found) -> bool:
    """It may have been moved since the stores were listed."""
    try:
        return stores.named(store, one.store).size(one.location) is None
    except NotFound:
        return True
    except (Unavailable, OSError):
        return False


def remove(store: ImageStore, one: Found) -> None:
    """Remove what is left over. Raises ``Unavailable``."""
    stores.named(store, one.store).delete(one.location)


def _buried(tx: Tx, ids: Sequence[str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for start in range(0, len(ids), 500):
        found.update(standing(tx, rows.KIND, ids[start:start + 500]))
    return found


def _stray(piece: Piece, buried: Mapping[str, int | None]) -> str:
    if piece.image_id not in buried:
        return "unknown"
    ended = buried[piece.image_id]
    return "left over" if ended is not None and piece.number <= ended else ""


def _leftover(image: Image, piece: Piece) -> str:
    named = {location for _, location in (*image.places, *image.dropped,
                                          *(image.copying.made if image.copying is not None else ()))}
    wanted = image.deleting or piece.location in named or piece.number in plan.numbers(image)
    return "" if wanted or piece.number > image.generation else "left over"
