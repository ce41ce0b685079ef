"""The engine's view of images: their data in the stores.

Theory of operation. A row names the uploads whose data may exist: the one under way, the staged one, the one that is
being copied, those left over, and the data in use. A turn removes only numbers that its loaded row calls left over, and
places that it calls dropped (or all, once the image is being deleted); neither is ever referred to again, so a turn
that was paused for any time removes nothing that is wanted. That an upload's process died is seen by its lock being
free; the row is changed first (in ``settle``, which compares the generation), and the data goes in the next turn.

A store that doesn't answer is left out of the look: what is elsewhere goes on, and what has to do with that store waits
for the next sweep; a copy into it fails at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stackling.core import clock
from stackling.core.errors import NotFound, Unavailable
from stackling.engine.kinds import Fence, Outcome, Retryable, Stale
from stackling.image import imports, rows, rules, stores, uploads
from stackling.image.copier import Copier
from stackling.image.model import Image, Place
from stackling.image.plan import DEAD, GRACE, Commit, Copy, Observed, Seen, Step, named, numbers, plan, target
from stackling.ports.images import ImageStore, Inspection, Piece

log = logging.getLogger(__name__)
LOST = "the image's data is missing from the store"
PATIENCE = 1.0
"""Seconds that a turn waits for a copy, which then goes on without it."""


class ImageKind:
    """Finishes imports, copies, gives up dead uploads, removes data of deleted images.

    *ended* hears the id of an image when a copy of its data has ended.
    """

    name = rows.KIND

    def __init__(self, store: ImageStore, *, require_format_match: bool = True, grace: float = GRACE,
                 patience: float = PATIENCE, ended: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._members = stores.members(store)
        self._weights = stores.weights(store)
        self._match = require_format_match
        self._grace = grace
        self._copier = Copier(store, patience=patience, must_match=require_format_match, ended=ended)

    def load(self, tx: Any, id: str) -> Image | None:
        return rows.get(tx, id)

    def generation(self, tx: Any, id: str) -> int | None:
        return rows.generation(tx, id)

    def observe(self, desired: Image) -> Observed:
        dead = self._upload_is_dead(desired)
        self._check_copy(desired)
        silent: dict[str, str] = {}
        pieces = self._pieces(desired, silent)
        lost = () if desired.deleting else self._lost(desired, silent)
        if desired.places and not desired.deleting and all(store in silent for store, _ in desired.places):
            raise Unavailable(next(iter(silent.values())))
        staged = next((seen for seen in pieces if seen.piece.number == desired.staged), None)
        inspection = self._inspection(desired, staged, silent)
        return Observed(tuple(pieces), dead, inspection, lost, silent, staged.store if staged else "")

    def plan(self, desired: Image, observed: Observed) -> Sequence[Step]:
        return plan(desired, observed)

    def apply(self, fence: Fence, desired: Image, step: Step) -> None:
        match step:
            case Commit(store, number):
                try:
                    self._members[store].commit(desired.id, number)
                except NotFound:
                    raise Stale from None
            case Copy(store, number):
                why = self._copier.copy(desired, self._sources(desired), store, number)
                if why is not None:
                    desired.tried[store] = why
            case _:
                self._members[step.store].delete(step.location)

    def settle(self, tx: Any, desired: Image, observed: Observed | None, outcome: Outcome) -> None:
        if outcome.overdue and desired.import_task is not None and not desired.deleting:
            imports.failed(tx, desired, outcome.error or "the import took too long")
        elif observed is None:
            return
        elif desired.deleting:
            if not observed.pieces and not observed.silent:
                rows.remove(tx, desired)
        elif observed.upload_dead and desired.upload is not None:
            uploads.abandon(tx, None, desired.id, desired.upload, DEAD)
        elif desired.import_task is not None:
            self._settle_import(tx, desired, observed)
        else:
            self._settle_rest(tx, desired, observed)

    def inventory(self) -> Mapping[str, int]:
        """Every image that has a file in a store that answers, with the youngest upload's number."""
        found: dict[str, int] = {}
        for piece in self._inventory():
            found[piece.piece.image_id] = max(piece.piece.number, found.get(piece.piece.image_id, 0))
        return found

    def remove(self, era: int, id: str, generation: int) -> None:
        """Remove what is there of a deleted image, and no younger than its deletion."""
        for seen in self._inventory():
            if seen.piece.image_id == id and seen.piece.number <= generation:
                self._members[seen.store].delete(seen.piece.location)

    # -- what is seen

    def _inventory(self) -> list[Seen]:
        found: list[Seen] = []
        for name, store in self._members.items():
            try:
                found += [Seen(name, piece) for piece in store.inventory()]
            except Unavailable as error:
                if len(self._members) == 1:
                    raise
                log.warning("image store %s is left out of the audit: %s", name, error)
        return found

    def _upload_is_dead(self, image: Image) -> bool:
        if image.upload is None or image.deleting:
            return False
        writing = self._in(image.upload_store).writing(image.id, image.upload)
        if writing or clock.wall() < (image.upload_at or 0.0) + self._grace:
            raise Retryable("an upload is under way")
        return True

    def _check_copy(self, image: Image) -> None:
        """Raises ``Retryable`` while somebody writes what the row wants to be copied."""
        following = target(image, "")
        if following is None or image.deleting or following[0] not in self._members:
            return
        store, number, _ = following
        try:
            others = self._members[store].writing(image.id, number)
        except (Unavailable, OSError):
            return
        if others or self._copier.busy(image, store, number):
            raise Retryable(f"the data is being copied to store {store}")

    def _pieces(self, image: Image, silent: dict[str, str]) -> list[Seen]:
        wanted, places = numbers(image), named(image)
        found: list[Seen] = []
        if wanted:
            for name, store in self._members.items():
                try:
                    found += [Seen(name, piece) for piece in store.pieces(image.id, wanted)]
                except (Unavailable, OSError) as error:
                    silent[name] = str(error)
        known = {seen.piece.location for seen in found}
        for name, location in places:
            if location not in known and self._size((name, location), silent) is not None:
                found.append(Seen(name, Piece(image.id, 0, False, location)))
        return found

    def _size(self, place: Place, silent: dict[str, str]) -> int | None:
        store, location = place
        if store in silent:
            return None
        try:
            return self._in(store).size(location)
        except NotFound:
            return None
        except (Unavailable, OSError) as error:
            silent[store] = str(error)
            return None

    def _lost(self, image: Image, silent: dict[str, str]) -> tuple[str, ...]:
        missing = [place for place in image.places if self._size(place, silent) is None]
        return tuple(store for store, _ in missing if store not in silent)

    def _inspection(self, image: Image, staged: Seen | None, silent: Mapping[str, str]) -> Inspection | None:
        """What the staged data is; None where nothing is imported, or the data isn't there."""
        if image.import_task is None or image.copying is None or image.copying.copy or image.deleting:
            return None
        facts = image.staged_facts or {}
        if isinstance(known := facts.get("format"), str):
            size = facts.get("virtual_size")
            return Inspection(known, size if isinstance(size, int) else 0)
        if staged is None:
            if image.staged is not None and silent:
                raise Unavailable(next(iter(silent.values())))
            return None
        if not rules.is_inspected(image):
            return Inspection(image.disk_format or "raw", 0)
        store = self._members[staged.store]
        return rules.tolerated(store.inspect(staged.piece.location, image.disk_format or "raw"), self._match)

    # -- how

    def _in(self, store: str | None) -> ImageStore:
        return stores.named(self._store, store or self._store.name)

    def _sources(self, image: Image) -> tuple[Place, ...]:
        """Where the data can be read now."""
        made = image.copying.made if image.copying is not None else ()
        staged: list[Place] = []
        for name, store in self._members.items() if image.staged is not None else ():
            try:
                staged += [(name, piece.location) for piece in store.pieces(image.id, [image.staged or 0])]
            except (Unavailable, OSError):
                continue
        return (*image.places, *made, *staged)

    def _settle_import(self, tx: Any, desired: Image, observed: Observed) -> None:
        following = target(desired, observed.staging)
        importing = desired.copying is None or not desired.copying.copy
        if importing and observed.inspection is None:
            imports.failed(tx, desired, "the staged data is gone; stage it again")
        elif observed.inspection is not None and observed.inspection.problem is not None:
            imports.failed(tx, desired, observed.inspection.problem)
        elif following is not None:
            store, number, _ = following
            found = desired
            if importing and observed.inspection is not None:
                found = imports.inspected(desired, observed.inspection)
            why = desired.tried.get(store) or observed.silent.get(store)
            if (done := observed.committed(store, number)) is not None:
                imports.stored(tx, found, (store, done.location), number, self._weights)
            elif why is not None:
                imports.missed(tx, found, why, self._weights)
            elif store not in self._members:
                imports.missed(tx, found, "it isn't configured", self._weights)

    def _settle_rest(self, tx: Any, desired: Image, observed: Observed) -> None:
        if observed.silent:
            return
        left = {seen.piece.number for seen in observed.pieces}
        there = {seen.piece.location for seen in observed.pieces}
        leftover = tuple(number for number in desired.leftover if number in left)
        dropped = tuple(place for place in desired.dropped if place[1] in there)
        error = self._complaint(desired, observed)
        if (leftover, dropped, error) != (desired.leftover, desired.dropped, desired.last_error):
            rows.save(tx, desired, replace(desired, leftover=leftover, dropped=dropped, last_error=error), touch=False)
            if observed.lost and error is not None and error != desired.last_error:
                tx.event(None, rows.KIND, desired.id, "data lost", error, source="engine", project_id=desired.owner)

    def _complaint(self, image: Image, observed: Observed) -> str | None:
        if observed.lost and len(observed.lost) == len(image.places):
            return LOST
        if observed.lost:
            return f"{LOST} {', '.join(observed.lost)}"
        return None if (image.last_error or "").startswith(LOST) else image.last_error


def kinds(store: ImageStore, *, require_format_match: bool = True, ended: Callable[[str], None] | None = None
          ) -> list[ImageKind]:
    """What the engine is to run for this service; each can be audited as well."""
    return [ImageKind(store, require_format_match=require_format_match, ended=ended)]


def nudge(tx: Any, id: str) -> None:
    """A copy of the image's data has ended, one way or the other."""
    tx.nudge(rows.KIND, id)
