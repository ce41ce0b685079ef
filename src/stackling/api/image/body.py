"""Long bodies, in and out, and telling a client that went away from one that has finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from stackling.api.call import Call
from stackling.core.errors import Invalid


async def chunks(call: Call, stall: float) -> AsyncIterator[bytes]:
    """The body's chunks.

    Raises ``Invalid`` when the client goes away, sends nothing for *stall* seconds, or ends before or beyond its
    ``Content-Length``. (Falcon's own stream ends silently where the client went away, hence its parts.)
    """
    request = call.request
    receive, event = request._receive, request._first_event     # pyright: ignore[reportPrivateUsage]
    length, seen = request.content_length, 0
    while True:
        if event is None:
            try:
                async with asyncio.timeout(stall):
                    event = await receive()
            except TimeoutError:
                raise Invalid(f"The upload stalled: nothing came for {stall:.0f} seconds.") from None
        if event["type"] != "http.request":
            raise Invalid(f"The client went away after {seen} bytes.")
        data = event.get("body", b"")
        seen += len(data)
        if length is not None and seen > length:
            raise Invalid(f"The body is longer than its Content-Length of {length} bytes.")
        if data:
            yield data
        if not event.get("more_body", False):
            break
        event = None
    if length is not None and seen != length:
        raise Invalid(f"The body has {seen} bytes and not the {length} of its Content-Length.")


async def while_listening(call: Call, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """*stream* until the client goes away, which the server tells to nobody who doesn't ask."""
    gone = asyncio.create_task(_disconnected(call))
    try:
        async for chunk in stream:
            yield chunk
            if gone.done():
                return
    finally:
        gone.cancel()


async def _disconnected(call: Call) -> None:
    receive = call.request._receive     # pyright: ignore[reportPrivateUsage]
    while (await receive())["type"] != "http.disconnect":
        pass
