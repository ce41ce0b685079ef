"""Image data: upload, stage, download."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.image import ranges
from stackling.api.image.body import chunks, while_listening
from stackling.api.image.policy import authorize
from stackling.core.errors import (
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from stackling.image import images, rules, stores, uploads
from stackling.image.model import Image
from stackling.image.settings import ImageSettings
from stackling.ports.images import ImageStore, Inspection, NoSpace, Stored, Upload

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

log = logging.getLogger(__name__)
OCTETS = "application/octet-stream"


class Data:
    """The handlers; all of them stream."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    async def upload(self, call: Call) -> Reply:
        await self._receive(call, "file", "upload_image")
        return Reply(status=204)

    async def stage(self, call: Call) -> Reply:
        if "glance-direct" not in self._settings.import_methods:
            raise NotFound("'glance-direct' method is not available at this site.")
        await self._receive(call, "stage", "modify_image")
        return Reply(status=204)

    async def download(self, call: Call) -> Reply:
        preferred = tuple(name for part in call.query.all("prefer")[:1] for one in part.split(",")
                          if (name := one.strip()))
        image = await call.cloud.read(_downloadable, call, preferred, self._settings)
        if image.location is None:
            return Reply(status=204)
        size = image.size or 0
        asked = ranges.requested(call.header("Range"), call.header("Content-Range"), size)
        start, end = asked or (0, size)
        headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
        if image.checksum:
            headers["Content-MD5"] = image.checksum
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        store = _store(call)
        places = await stores.find(store, rules.preferring(image.places, preferred))
        stream = while_listening(call, stores.read(store, places, start, end - start)) if end > start else None
        return Reply(None if stream else b"", 206 if asked else 200, headers, OCTETS, stream)

    # -- how data comes in

    async def _receive(self, call: Call, into: str, rule: str) -> None:
        media = (call.request.content_type or "").split(";")[0].strip().lower()
        if media != OCTETS:
            raise UnsupportedMediaType(f"Invalid content type {media or '(none)'}; image data is {OCTETS}.")
        declared = _declared_size(call)
        name = self._named(call) if into == "file" else None
        store = stores.named(_store(call), name)
        image = await call.cloud.transact(_begin, call, into, rule, declared, self._settings, name)
        await self.take(call, store, image, declared, into)

    def _named(self, call: Call) -> str | None:
        """The store that the client chooses. What is staged isn't in a store yet, so nothing is chosen then."""
        wanted = call.header("X-Image-Meta-Store")
        if wanted is not None and wanted not in self._settings.store_names:
            raise Invalid(f"There is no store called {wanted}; see /v2/info/stores.")
        return wanted

    async def take(self, call: Call, store: ImageStore, image: Image, declared: int | None, into: str) -> None:
        """Receive the data for an upload that has begun. Raises what the store or the data give reason for."""
        cap = self._settings.image_size_cap
        number = image.upload or 0
        upload: Upload | None = None
        try:
            if declared is not None and declared > cap:
                raise TooLarge(f"The incoming image is too large: it may have {cap} bytes at most.")
            upload = await call.cloud.blocking(store.open, image.id, number)
            stored = await upload.write(chunks(call, self._settings.upload_stall_timeout), limit=cap)
            if declared is not None and declared != stored.size:
                raise Invalid(f"The image has {stored.size} bytes and not the {declared} that were announced.")
            if into == "stage":
                await call.cloud.transact(uploads.finish_stage, call.ctx, image.id, number, stored, self._settings)
                upload.keep()
            else:
                await self._commit(call, store, image, upload, stored)
        except BaseException as error:
            await self._give_up(call, image, upload, error)
            if isinstance(error, NoSpace):
                raise TooLarge(f"Image storage media is full: {error}. The image is queued again; free some space "
                               "and retry.") from error
            if isinstance(error, OSError):
                log.exception("image %s: the store failed", image.id)
                raise Unavailable("The image store doesn't work now; tell your administrator.") from error
            raise
        await call.cloud.blocking(upload.close)

    async def take_copy(self, call: Call, store: ImageStore, image: Image, source: str, owner: str) -> None:
        """Copy the disk of server *owner* at *source* within the store, for an upload that has begun."""
        number = image.upload or 0
        try:
            location, size = await asyncio.to_thread(store.copy, image.id, number, source, owner)
            try:
                await call.cloud.transact(uploads.finish_copy, image.id, number, stores.holder(store, location),
                                          location, size)
            except BaseException:
                await call.cloud.blocking(store.delete, location)
                raise
        except BaseException as error:
            await self._give_up(call, image, None, error)
            if isinstance(error, NoSpace):
                raise Unavailable(f"Image storage media is full: {error}.") from error
            raise

    async def _commit(self, call: Call, store: ImageStore, image: Image, upload: Upload, stored: Stored) -> None:
        number = image.upload or 0
        found = await call.cloud.blocking(self._inspect, store, image, upload.location)
        if found is not None and found.problem is not None:
            raise UnsupportedMediaType(f"The image {found.problem}.")
        location = await asyncio.to_thread(upload.commit)       # it may convert for minutes, and holds up nobody
        try:
            await call.cloud.transact(
                uploads.finish_file, call.ctx, image.id, number, store.name, location, stored,
                found.format if found else None, (found.virtual_size or None) if found else None, self._settings)
        except BaseException:
            await call.cloud.blocking(store.delete, location)
            raise

    def _inspect(self, store: ImageStore, image: Image, location: str) -> Inspection | None:
        if not rules.is_inspected(image):
            return None
        return rules.tolerated(store.inspect(location, image.disk_format or "raw"),
                               self._settings.require_image_format_match)

    async def _give_up(self, call: Call, image: Image, upload: Upload | None, error: BaseException) -> None:
        """Remove the data first, so that a full disk has room again for the row's change."""
        if upload is not None:
            await call.cloud.blocking(upload.close)
        if isinstance(error, Gone):
            return
        try:
            await call.cloud.transact(uploads.abandon, call.ctx, image.id, image.upload or 0, str(error))
        except Exception as second:     # the engine finds it: nobody holds the upload any more
            log.warning("upload of image %s: could not reset it now: %s", image.id, second)


def _begin(tx: Tx, call: Call, into: str, rule: str, declared: int | None, settings: ImageSettings,
           store: str | None) -> Image:
    image = images.visible(tx, call.ctx, call.params["image_id"])
    authorize(call, image, rule)
    return uploads.begin(tx, call.ctx, image, into, declared, settings, store)


def _downloadable(tx: Tx, call: Call, preferred: Sequence[str], settings: ImageSettings) -> Image:
    image = images.visible(tx, call.ctx, call.params["image_id"])
    if image.status == "deactivated" and not call.ctx.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    authorize(call, image, "download_image")
    if preferred:
        authorize(call, image, "download_from_store")
    for store in preferred:
        if store not in settings.store_names:
            raise Invalid(f"Store '{store}' is not configured.")
    return image


def _store(call: Call) -> ImageStore:
    if call.cloud.image_store is None:
        raise Unavailable("This process has no image store.")
    return call.cloud.image_store


def _declared_size(call: Call) -> int | None:
    text = call.header("X-OpenStack-Image-Size")
    if text is None:
        return call.request.content_length or None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid("Invalid or missing image size in request headers.")
    return int(text)
