"""This control machine's image data, for the other control machines (``drivers.local.spread``).

In front of the internal API, behind ``peers.checked``: only a control machine's certificate opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import parse_qs

import msgspec

from stackling.core.errors import Forbidden, Invalid, NotFound, StacklingError
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.local.spread import CALLS, PATH, Question

App = Callable[..., Awaitable[None]]
LARGEST = 64 * 1024


def answering(app: App, store: LocalImageStore, control: Collection[str]) -> App:
    """*app*, and answers about *store* to the machines named *control*."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        try:
            if dict(scope["headers"]).get(b"x-machine", b"").decode() not in control:
                raise Forbidden("Only control machines share image data.")
            if scope["method"] == "GET":
                await _send_data(store, scope, send)
            else:
                await _send(send, 200, await _call(store, await _question(receive)))
        except StacklingError as error:
            await _send(send, error.status, msgspec.json.encode({"error": {"message": error.message}}))

    return answer


async def _question(receive: Any) -> Question:
    data = bytearray()
    more = True
    while more:
        event = await receive()
        data += event.get("body", b"")
        more = event["type"] == "http.request" and event.get("more_body", False)
        if len(data) > LARGEST:
            raise Invalid("The question is too long.")
    try:
        question = msgspec.json.decode(data, type=Question)
    except msgspec.MsgspecError as error:
        raise Invalid(f"Malformed question: {error}") from None
    if question.call not in CALLS:
        raise Invalid(f"Nobody answers {question.call!r}.")
    return question


async def _call(store: LocalImageStore, question: Question) -> bytes:
    try:
        found = await asyncio.to_thread(getattr(store, question.call), *question.args)
    except TypeError as error:
        raise Invalid(f"Malformed question: {error}") from None
    except FileNotFoundError:
        raise NotFound("There is no such image data.") from None
    return msgspec.json.encode(found)


async def _send_data(store: LocalImageStore, scope: Any, send: Any) -> None:
    query = parse_qs(scope["query_string"].decode())
    try:
        location, start = query["location"][0], int(query.get("start", ["0"])[0])
        length = int(query["length"][0]) if "length" in query else None
    except (KeyError, ValueError):
        raise Invalid("location, start and length say what is wanted.") from None
    size = await asyncio.to_thread(store.size, location)
    if size is None:
        raise NotFound("There is no such image data.")
    wanted = max(0, size - start if length is None else min(size - start, length))
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/octet-stream"), (b"content-length", str(wanted).encode())]})
    async for chunk in store.read(location, start, length):
        await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
