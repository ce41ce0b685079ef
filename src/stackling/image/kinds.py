"""The engine's view of images: their data in the store.

Theory of operation. A row names the uploads whose data may exist: the one under way, the staged one, those left
over, and the data in use. A turn removes only numbers that its loaded row calls left over (or all, once the image
is being deleted); a number that was once left over is never referred to again, so a turn that was paused for any
time removes nothing that is wanted. That an upload's process died is seen by its lock being free; the row is
changed first (in ``settle``, which compares the generation), and the data goes in the next turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stackling.core import clock
from stackling.core.errors import NotFound
from stackling.engine.kinds import Fence, Outcome, Retryable, Stale
from stackling.image import imports, rows, rules, uploads
from stackling.image.model import Image
from stackling.image.plan import DEAD, GRACE, Commit, Observed, Step, numbers, plan
from stackling.ports.images import ImageStore, Inspection, Piece

LOST = "the image's data is missing from the store"


class ImageKind:
    """Finishes imports, gives up dead uploads, removes data of deleted images."""

    name = rows.KIND

    def __init__(self, store: ImageStore, *, require_format_match: bool = True, grace: float = GRACE) -> None:
        self._store = store
        self._match = require_format_match
        self._grace = grace

    def load(self, tx: Any, id: str) -> Image | None:
        return rows.get(tx, id)

    def generation(self, tx: Any, id: str) -> int | None:
        return rows.generation(tx, id)

    def observe(self, desired: Image) -> Observed:
        dead = self._upload_is_dead(desired)
        pieces = self._pieces(desired)
        inspection = self._inspect(desired, pieces) if desired.import_task is not None else None
        lost = (desired.location is not None and not desired.deleting
                and self._store.size(desired.location) is None)
        return Observed(tuple(pieces), dead, inspection, lost)

    def plan(self, desired: Image, observed: Observed) -> Sequence[Step]:
        return plan(desired, observed)

    def apply(self, fence: Fence, desired: Image, step: Step) -> None:
        if isinstance(step, Commit):
            try:
                self._store.commit(desired.id, step.number)
            except NotFound:
                raise Stale from None
        else:
            self._store.delete(step.location)

    def settle(self, tx: Any, desired: Image, observed: Observed | None, outcome: Outcome) -> None:
        if observed is None:
            if outcome.overdue and desired.import_task is not None:
                imports.failed(tx, desired, outcome.error or "the import took too long", self._store.name)
            return
        if desired.deleting:
            if not observed.pieces:
                rows.remove(tx, desired)
        elif observed.upload_dead and desired.upload is not None:
            uploads.abandon(tx, None, desired.id, desired.upload, DEAD)
        elif desired.import_task is not None:
            self._settle_import(tx, desired, observed)
        else:
            self._settle_rest(tx, desired, observed)

    def inventory(self) -> Mapping[str, int]:
        """Every image that has a file in the store, with the youngest upload's number."""
        found: dict[str, int] = {}
        for piece in self._store.inventory():
            found[piece.image_id] = max(piece.number, found.get(piece.image_id, 0))
        return found

    def remove(self, era: int, id: str, generation: int) -> None:
        """Remove what is there of a deleted image, and no younger than its deletion."""
        for piece in self._store.inventory():
            if piece.image_id == id and piece.number <= generation:
                self._store.delete(piece.location)

    # -- how

    def _upload_is_dead(self, image: Image) -> bool:
        if image.upload is None or image.deleting:
            return False
        if self._store.writing(image.id, image.upload) or clock.wall() < (image.upload_at or 0.0) + self._grace:
            raise Retryable("an upload is under way")
        return True

    def _pieces(self, image: Image) -> list[Piece]:
        named = numbers(image)
        pieces = self._store.pieces(image.id, named) if named else []
        if image.deleting and image.location is not None and self._store.size(image.location) is not None:
            pieces = [p for p in pieces if p.location != image.location]
            pieces.append(Piece(image.id, 0, False, image.location))
        return pieces

    def _inspect(self, image: Image, pieces: Sequence[Piece]) -> Inspection | None:
        found = next((piece for piece in pieces if piece.number == image.staged), None)
        if found is None:
            return None
        if not rules.is_inspected(image):
            return Inspection(image.disk_format or "raw", 0)
        return rules.tolerated(self._store.inspect(found.location, image.disk_format or "raw"), self._match)

    def _settle_import(self, tx: Any, desired: Image, observed: Observed) -> None:
        if observed.inspection is None:
            imports.failed(tx, desired, "the staged data is gone; stage it again", self._store.name)
        elif observed.inspection.problem is not None:
            imports.failed(tx, desired, observed.inspection.problem, self._store.name)
        else:
            done = next((p for p in observed.pieces if p.number == desired.staged and not p.staged), None)
            if done is not None:
                imports.succeeded(tx, desired, self._store.name, done.location, observed.inspection)

    def _settle_rest(self, tx: Any, desired: Image, observed: Observed) -> None:
        left = {piece.number for piece in observed.pieces}
        leftover = tuple(number for number in desired.leftover if number in left)
        error = LOST if observed.data_lost else None if desired.last_error == LOST else desired.last_error
        if leftover != desired.leftover or error != desired.last_error:
            rows.save(tx, desired, replace(desired, leftover=leftover, last_error=error), touch=False)
            if observed.data_lost:
                tx.event(None, rows.KIND, desired.id, "data lost", LOST, source="engine", project_id=desired.owner)


def kinds(store: ImageStore, *, require_format_match: bool = True) -> list[ImageKind]:
    """What the engine is to run for this service; each can be audited as well."""
    return [ImageKind(store, require_format_match=require_format_match)]
