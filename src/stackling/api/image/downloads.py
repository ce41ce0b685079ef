"""Fetching an image from a URL into the staging area, after the request that asked for it was answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackling.api.call import Reply
from stackling.core.errors import Gone, StacklingError
from stackling.image import imports, uploads
from stackling.ports.images import NoSpace, Upload
from stackling.ports.web import Web, WebRefused

if TYPE_CHECKING:
    from stackling.api.call import Call
    from stackling.image.model import Described, Image
    from stackling.image.settings import ImageSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image's data is, and by what it is fetched (None: it isn't). *describe* asks what the image is, where
    somebody says so; *refusal* is why nothing is fetched."""

    web: Web | None
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    describe: Callable[[Web], Awaitable[Described]] | None = None
    refusal: str = "fetching from the web isn't allowed"


class Downloads:
    """The downloads of this process. One that ends with its process is given up by the engine."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._running: set[asyncio.Task[None]] = set()

    def start(self, call: Call, image: Image, source: Source) -> Callable[[], Awaitable[Reply]]:
        """What is to be awaited once the transaction has ended: it begins the download and answers 202."""
        async def begin() -> Reply:
            task = asyncio.create_task(self._download(call, image, source))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return Reply(status=202)

        return begin

    async def wait(self) -> None:
        """Until those that run now have ended."""
        if self._running:
            await asyncio.wait(set(self._running))

    async def _download(self, call: Call, image: Image, source: Source) -> None:
        number, store = image.upload or 0, call.cloud.image_store
        if store is None:
            return await self._give_up(call, image, "this process has no image store")
        upload: Upload | None = None
        try:
            upload = await call.cloud.blocking(store.open, image.id, number)
            await self._stage(call, image, upload, source)
        except Gone:
            log.info("image %s: nobody wants what was fetched for it any more", image.id)
        except (WebRefused, StacklingError, NoSpace) as error:
            await self._give_up(call, image, f"{source.url[:200]}: {error}" if source.url else str(error))
        except Exception as error:
            log.exception("image %s: the download failed", image.id)
            await self._give_up(call, image, f"the download failed ({type(error).__name__})")
        finally:
            if upload is not None:
                await call.cloud.blocking(upload.close)

    async def _stage(self, call: Call, image: Image, upload: Upload, source: Source) -> None:
        if source.web is None:
            raise WebRefused(source.refusal)
        described = await source.describe(source.web) if source.describe is not None else None
        if described is not None and (described.disk_format not in self._settings.disk_formats
                                      or described.container_format not in self._settings.container_formats):
            raise WebRefused(f"its formats ({described.disk_format[:50]}, {described.container_format[:50]}) aren't "
                             "taken here")
        async with source.web.fetch(source.url, source.headers) as chunks:
            stored = await upload.write(chunks, limit=self._settings.image_size_cap)
        if not stored.size:
            raise WebRefused("it is empty")
        if described is not None and stored.size != described.size:
            raise WebRefused(f"{stored.size} bytes came instead of {described.size}")
        await call.cloud.transact(uploads.finish_stage, call.ctx, image.id, image.upload or 0, stored, self._settings,
                                  described)
        upload.keep()

    async def _give_up(self, call: Call, image: Image, reason: str) -> None:
        try:
            await call.cloud.transact(imports.give_up_download, image.id, image.upload or 0, reason)
        except Exception as error:      # the engine finds it: nobody holds the upload any more
            log.warning("image %s: could not give its download up now: %s", image.id, error)
