"""The stores of images, one or several: which there are, and reading what more than one of them has.

Theory of operation. Copies are the same bytes, so who reads may change stores anywhere. One that doesn't answer in
``ANSWER`` seconds is asked after the others for ``SILENT`` seconds, so that a directory that hangs holds up the first
of many readers only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from stackling.core import clock
from stackling.core.errors import NotFound, Unavailable
from stackling.image.model import Place
from stackling.ports.images import ImageStore, SeveralStores

log = logging.getLogger(__name__)
ANSWER, SILENT = 4.6, 15.0
_asking = ThreadPoolExecutor(16, thread_name_prefix="image-store")
_silent: WeakKeyDictionary[ImageStore, float] = WeakKeyDictionary()
"""When each store that didn't answer may be asked first again."""


def members(store: ImageStore) -> Mapping[str, ImageStore]:
    """Each store by its name, the default one first."""
    return store.members if isinstance(store, SeveralStores) else {store.name: store}


def weights(store: ImageStore) -> Mapping[str, int]:
    """How much each is preferred."""
    return store.weights if isinstance(store, SeveralStores) else {}


def named(store: ImageStore, name: str | None) -> ImageStore:
    """The one called *name*; the default one for None. Raises ``Unavailable`` for one that isn't configured (any
    more)."""
    if name is None:
        return store
    found = members(store).get(name)
    if found is None:
        raise Unavailable(f"The image store {name} isn't configured; tell your administrator.")
    return found


def holder(store: ImageStore, location: str) -> str:
    """The name of the store that *location* is in."""
    for name, one in members(store).items():
        try:
            one.path(location)
        except NotFound:
            continue
        return name
    return store.name


async def find(store: ImageStore, places: Sequence[Place]) -> list[Place]:
    """*places*, from the first one on whose store answers that it has the data. Raises ``Unavailable`` in some 5 s."""
    asked = sorted(places, key=lambda place: _is_silent(members(store).get(place[0])))
    why, until = "its data is missing from the store", clock.monotonic() + ANSWER
    for at, (name, location) in enumerate(asked):
        left = until - clock.monotonic()
        last = at == len(asked) - 1
        one = members(store).get(name)
        try:
            if await _answer(named(store, name), location, max(left if last else left / 2, 0.1)) is not None:
                return asked[at:]
        except NotFound:
            pass
        except TimeoutError:
            if one is not None:
                _silent[one] = clock.monotonic() + SILENT
            why = f"the image store {name} doesn't answer"
        except (Unavailable, OSError) as error:
            why = str(error)
        log.warning("image data %s isn't read from store %s: %s", location, name, why)
    raise Unavailable(f"The image can't be read now: {why}; tell your administrator.")


def _is_silent(store: ImageStore | None) -> bool:
    return store is None or _silent.get(store, 0.0) > clock.monotonic()


async def _answer(store: ImageStore, location: str, seconds: float) -> int | None:
    async with asyncio.timeout(seconds):
        return await asyncio.get_running_loop().run_in_executor(_asking, store.size, location)


async def read(store: ImageStore, places: Sequence[Place], start: int = 0, length: int | None = None
               ) -> AsyncIterator[bytes | memoryview]:
    """The bytes from the first of *places*; where its store fails, the rest of them from the next one.

    Raises what the last one raises (``Unavailable``, ``NotFound``, ``OSError``).
    """
    sent = 0
    for at, (name, location) in enumerate(places):
        left = None if length is None else length - sent
        try:
            async for chunk in named(store, name).read(location, start + sent, left):
                yield chunk
                sent += len(chunk)
            return
        except (Unavailable, NotFound, OSError) as error:
            if at == len(places) - 1:
                raise
            log.warning("image data %s: store %s failed after %d bytes (%s); the next one goes on", location, name,
                        sent, error)


async def contents(store: ImageStore, places: Sequence[Place]) -> AsyncIterator[bytes]:
    """All of the bytes, for an upload."""
    async for chunk in read(store, await find(store, places)):
        yield bytes(chunk)
