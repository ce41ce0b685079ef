"""Fetching an image from a URL into the staging area, after the request that asked for it was answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from stackling.api.call import Reply
from stackling.core.errors import Gone, StacklingError
from stackling.image import imports, uploads
from stackling.ports.images import ImageStore, NoSpace, Upload
from stackling.ports.web import WebRefused

if TYPE_CHECKING:
    from stackling.api.call import Call
    from stackling.image.model import Image
    from stackling.image.settings import ImageSettings

log = logging.getLogger(__name__)


class Downloads:
    """The downloads of this process. One that ends with its process is given up by the engine."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._running: set[asyncio.Task[None]] = set()

    def start(self, call: Call, image: Image, url: str) -> Callable[[], Awaitable[Reply]]:
        """What is to be awaited once the transaction has ended: it begins the download and answers 202."""
        async def begin() -> Reply:
            task = asyncio.create_task(self._download(call, image, url))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return Reply(status=202)

        return begin

    async def wait(self) -> None:
        """Until those that run now have ended."""
        if self._running:
            await asyncio.wait(set(self._running))

    async def _download(self, call: Call, image: Image, url: str) -> None:
        number, store = image.upload or 0, call.cloud.image_store
        if store is None:
            return await self._give_up(call, image, "this process has no image store")
        upload: Upload | None = None
        try:
            upload = await call.cloud.blocking(store.open, image.id, number)
            await self._stage(call, store, image, upload, url)
        except Gone:
            log.info("image %s: nobody wants what was fetched for it any more", image.id)
        except (WebRefused, StacklingError, NoSpace) as error:
            await self._give_up(call, image, f"{url[:200]}: {error}")
        except Exception as error:
            log.exception("image %s: the download failed", image.id)
            await self._give_up(call, image, f"the download failed ({type(error).__name__})")
        finally:
            if upload is not None:
                await call.cloud.blocking(upload.close)

    async def _stage(self, call: Call, store: ImageStore, image: Image, upload: Upload, url: str) -> None:
        web = call.cloud.web
        if web is None:
            raise WebRefused("fetching from the web isn't allowed")
        async with web.fetch(url) as chunks:
            stored = await upload.write(chunks, limit=self._settings.image_size_cap)
        if not stored.size:
            raise WebRefused("it is empty")
        await call.cloud.transact(uploads.finish_stage, call.ctx, image.id, image.upload or 0, stored, self._settings)
        upload.keep()

    async def _give_up(self, call: Call, image: Image, reason: str) -> None:
        try:
            await call.cloud.transact(imports.give_up_download, image.id, image.upload or 0, reason)
        except Exception as error:      # the engine finds it: nobody holds the upload any more
            log.warning("image %s: could not give its download up now: %s", image.id, error)
