"""A store of images that has taken the place of another one: new data goes into it, and what lies in the former stays
there until it is deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from stackling.core.errors import NotFound
from stackling.ports.images import ImageStore, Inspection, Piece, Upload


class Succession:
    """``ImageStore``: *now* and *before*. Each knows its own locations, and takes another's for ``NotFound``.

    *before* is asked only about what isn't in *now*, so that a former store that doesn't answer holds up little.
    """

    def __init__(self, now: ImageStore, before: ImageStore) -> None:
        self.now, self.before = now, before
        self.name = now.name

    def open(self, image_id: str, number: int) -> Upload:
        return self.now.open(image_id, number)

    def writing(self, image_id: str, number: int) -> bool:
        return self.now.writing(image_id, number) or self.before.writing(image_id, number)

    def commit(self, image_id: str, number: int) -> str:
        try:
            return self.now.commit(image_id, number)
        except NotFound:
            return self.before.commit(image_id, number)

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        return self.now.copy(image_id, number, source, owner)

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        found = self.now.pieces(image_id, numbers)
        others = set(numbers) - {piece.number for piece in found}
        return found + self.before.pieces(image_id, sorted(others)) if others else found

    def inventory(self) -> list[Piece]:
        return [*self.now.inventory(), *self.before.inventory()]

    def delete(self, location: str) -> None:
        self._of(location).delete(location)

    def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        return self._of(location).read(location, start, length)

    def size(self, location: str) -> int | None:
        return self._of(location).size(location)

    def inspect(self, location: str, declared_format: str) -> Inspection:
        return self._of(location).inspect(location, declared_format)

    def path(self, location: str) -> Path | None:
        return self._of(location).path(location)

    def close(self) -> None:
        """Let go of both."""
        self.now.close()
        self.before.close()

    def _of(self, location: str) -> ImageStore:
        try:
            self.now.path(location)
        except NotFound:
            return self.before
        return self.now
