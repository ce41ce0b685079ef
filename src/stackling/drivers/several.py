"""Several stores of images as one: new data goes into the default one unless another is named, and what lies in any of
them is read and removed there. One that has been replaced (by ``stackling storage add ceph``) is among them for as long
as images are in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from stackling.core.errors import NotFound, Unavailable
from stackling.ports.images import ImageStore, Inspection, Piece, Upload


class Several:
    """``ImageStore`` and ``SeveralStores``. Each member knows its own locations, and takes another's for ``NotFound``.

    The default is asked first, and the others only about what isn't there, so that one that doesn't answer holds up
    little.
    """

    def __init__(self, default: str, members: Mapping[str, ImageStore], weights: Mapping[str, int] | None = None
                 ) -> None:
        self.name = default
        self.members: Mapping[str, ImageStore] = {
            default: members[default], **{name: one for name, one in members.items() if name != default}}
        self.weights: Mapping[str, int] = weights or {}

    def open(self, image_id: str, number: int) -> Upload:
        return self._default.open(image_id, number)

    def writing(self, image_id: str, number: int) -> bool:
        return any(one.writing(image_id, number) for one in self.members.values())

    def commit(self, image_id: str, number: int) -> str:
        for one in self.members.values():
            try:
                return one.commit(image_id, number)
            except NotFound:
                continue
        raise NotFound(f"Image {image_id} has no staged data.")

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        refused: Unavailable | None = None
        for one in self.members.values():
            try:
                return one.copy(image_id, number, source, owner)
            except Unavailable as error:
                refused = refused or error
        raise refused or Unavailable("There is no image store.")

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        found: list[Piece] = []
        for one in self.members.values():
            if missing := sorted(set(numbers) - {piece.number for piece in found}):
                found += one.pieces(image_id, missing)
        return found

    def inventory(self) -> list[Piece]:
        return [piece for one in self.members.values() for piece in one.inventory()]

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
        """Let go of all."""
        for one in self.members.values():
            one.close()

    # -- how

    @property
    def _default(self) -> ImageStore:
        return self.members[self.name]

    def _of(self, location: str) -> ImageStore:
        """Raises ``NotFound``."""
        for one in self.members.values():
            try:
                one.path(location)
            except NotFound:
                continue
            return one
        raise NotFound("There is no such image data.")
