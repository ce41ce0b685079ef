"""Writing an image's data into one more store, in threads of their own: it may take as long as a store is slow.

Theory of operation. A copy is an upload as any other: it holds its number in the target store, which everybody sees
(``ImageStore.writing``), and is committed whole. A process that dies leaves a staged piece that nobody holds, and the
next turn begins anew under the same number. What a copy that was given up commits late lies under a number that the row
calls left over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning

from stackling.core.errors import StacklingError
from stackling.engine.kinds import Retryable
from stackling.image import rules, stores
from stackling.image.model import Image, Place
from stackling.ports.images import ImageStore, NoSpace

log = logging.getLogger(__name__)
AT_ONCE = 2
Key = tuple[str, str, int]


class Copier:
    """The copies under way in this process. *ended* hears the id of an image when one has ended."""

    def __init__(self, store: ImageStore, *, patience: float, must_match: bool,
                 ended: Callable[[str], None] | None = None) -> None:
        self._store, self._patience, self._must_match = store, patience, must_match
        self._ended = ended
        self._room = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._running: dict[Key, Future[str | None]] = {}

    def busy(self, image: Image, store: str, number: int) -> bool:
        """Whether this process is about it."""
        with self._lock:
            running = self._running.get((image.id, store, number))
        return running is not None and not running.done()

    def copy(self, image: Image, sources: tuple[Place, ...], store: str, number: int) -> str | None:
        """None when the data is in the store, or why it can't be. Raises ``Retryable`` while it is on the way."""
        key = (image.id, store, number)
        with self._lock:
            self._running = {other: one for other, one in self._running.items() if not _succeeded(one)}
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = Future()
                # a thread that ends with the process, however long its copy would still take
                threading.Thread(target=self._run, args=(running, image, sources, store, number), daemon=True,
                                 name="image-copy").start()
        try:
            answer = running.result(self._patience)
        except StillRunning:
            raise Retryable(f"the data is being copied to store {store}") from None
        with self._lock:
            self._running.pop(key, None)
        return answer

    def _run(self, running: Future[str | None], image: Image, sources: tuple[Place, ...], store: str, number: int
             ) -> None:
        with self._room:
            running.set_result(self._try(image, sources, store, number))
        self._tell(image.id)

    def _tell(self, image_id: str) -> None:
        if self._ended is None:
            return
        try:
            self._ended(image_id)
        except Exception as error:      # the next sweep finds it
            log.warning("image %s: nobody could be told that a copy has ended: %s", image_id, error)

    def _try(self, image: Image, sources: tuple[Place, ...], store: str, number: int) -> str | None:
        try:
            return self._write(image, sources, stores.named(self._store, store), number)
        except NoSpace as error:
            return f"it is full ({error})"
        except StacklingError as error:
            return error.message
        except OSError as error:
            log.exception("image %s: store %s failed", image.id, store)
            return f"it doesn't work ({error.strerror or type(error).__name__})"
        except Exception as error:
            log.exception("image %s: copying to store %s failed", image.id, store)
            return f"it doesn't work ({type(error).__name__})"

    def _write(self, image: Image, sources: tuple[Place, ...], target: ImageStore, number: int) -> str | None:
        if any(not piece.staged for piece in target.pieces(image.id, [number])):
            return None
        facts = image.staged_facts or {}
        size, digest = (facts.get("size"), facts.get("sha512")) if image.staged_facts else (
            image.size, image.os_hash_value)
        held = target.open(image.id, number)
        try:
            limit = size if isinstance(size, int) else 0
            written = asyncio.run(held.write(stores.contents(self._store, sources), limit=limit))
            if written.size != limit or (digest and written.sha512 != digest):
                return "what could be read of the image isn't what its checksum says"
            if rules.is_inspected(image):
                found = rules.tolerated(target.inspect(held.location, image.disk_format or "raw"), self._must_match)
                if found.problem is not None:
                    return f"the image {found.problem}"
            held.commit()
        finally:
            held.close()
        return None


def _succeeded(running: Future[str | None]) -> bool:
    return running.done() and running.result() is None
