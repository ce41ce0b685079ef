"""``GET /events``: what changes, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

An event says which resource looks different and nothing else; whoever wants to know more asks the API, with the rights
that it has. A stream is of the token's project, or of all for administrators who ask so. It ends when its token does:
that is looked at every ``HEARTBEAT`` seconds, and before events are sent unless that was less than ``CHECKED`` seconds
ago.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.stackling.feed import OVERLAP, Change, Feed, Follower
from stackling.core import clock
from stackling.core.errors import Forbidden, Invalid, Unauthorized, Unavailable

HEARTBEAT, CHECKED = 15.0, 5.0      # seconds
RETRY = 2000                        # milliseconds after which a browser's own EventSource would come back
MISSED = 1000                       # changes that are told to who comes back; after more it looks at everything
STILL_HERE = b": still here\n\n"
_ID = re.compile(r"(\d{1,9})-(\d{1,18})\Z")
_encode = msgspec.json.Encoder().encode
ALL = "stackling:events:all"
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a stream is to carry. ``seconds`` None: it has no end of its own; ``last``: (era, number) of what its reader
    has seen; ``known`` whether it has named anything."""

    project_id: str | None
    seconds: float | None
    last: tuple[int, int] | None
    known: bool


def handler(feed: Feed) -> Callable[[Call], Awaitable[Reply]]:
    """GET /events?all_projects&timeout, with the header ``Last-Event-ID``."""
    async def events(call: Call) -> Reply:
        asked = read(call, feed.longest)
        feed.admit(call.ctx.user_id)
        return Reply(stream=stream(call, feed, asked), content_type="text/event-stream", headers={
            "Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    return events


def read(call: Call, longest: float | None) -> Asked:
    """What the request asks for. Raises ``Invalid``, ``Forbidden``."""
    everything = (call.query.last("all_projects") or "").lower()
    if everything not in (*_YES, *_NO):
        raise Invalid("all_projects must be true or false.")
    if everything in _YES:
        call.authorize(rule=ALL)
    elif call.ctx.project_id is None:
        raise Invalid("The token has no project to follow; an administrator can ask with all_projects=true.")
    text = call.query.last("timeout")
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise Invalid("timeout must be a number of seconds.")
    ends = [float(one) for one in (text, longest) if one is not None]
    given = call.header("Last-Event-ID")
    match = _ID.match(given or "")
    return Asked(None if everything in _YES else call.ctx.project_id, min(ends, default=None),
                 (int(match[1]), int(match[2])) if match else None, bool(given))


def message(event: str, data: Any, id: str | None = None) -> bytes:
    """One event as it is sent."""
    return (f"id: {id}\n".encode() if id else b"") + b"event: %s\ndata: %s\n\n" % (event.encode(), _encode(data))


def told(change: Change, era: int) -> bytes:
    """The event of a change."""
    return message("change", {"kind": change.kind, "id": change.id, "project_id": change.project_id,
                              "at": f"{change.at}Z"}, f"{era}-{change.seq}")


RESET = message("reset", {"reason": "More has changed than can be told; look at everything again."})


async def stream(call: Call, feed: Feed, asked: Asked) -> AsyncIterator[bytes]:
    """The body, until somebody ends it."""
    follower = feed.join(call.cloud, asked.project_id, call.ctx.user_id)
    gone = asyncio.create_task(call.gone())
    gone.add_done_callback(lambda _: follower.wake())
    try:
        await feed.begun()
        era, first = await _first(call, feed, asked)
        yield first
        async for chunk in _following(call, feed, asked, follower, gone, era):
            yield chunk
    finally:
        feed.leave(follower)
        gone.cancel()


async def _following(call: Call, feed: Feed, asked: Asked, follower: Follower, gone: asyncio.Task[None], era: int,
                     ) -> AsyncIterator[bytes]:
    end = None if asked.seconds is None else clock.monotonic() + asked.seconds
    checked = said = clock.monotonic()
    while not (gone.done() or feed.closing or (end is not None and clock.monotonic() >= end)):
        until = said + HEARTBEAT if end is None else min(said + HEARTBEAT, end)
        await follower.wait(until - clock.monotonic())
        now = clock.monotonic()
        if gone.done() or feed.closing:
            return
        if now - checked >= CHECKED:
            if (reason := await _refusal(call, asked)) is not None:
                yield message("end", {"reason": reason})
                return
            checked = now
        changes, lost = follower.take()
        chunk = (RESET if lost else b"") + b"".join(told(change, era) for change in changes)
        if chunk or now - said >= HEARTBEAT:
            said = now
            yield chunk or STILL_HERE


async def _first(call: Call, feed: Feed, asked: Asked) -> tuple[int, bytes]:
    """The era, and what is sent at once: what was missed, and where the stream stands."""
    back = 0 if call.cloud.database.is_sqlite else OVERLAP

    def look(tx: Any) -> tuple[Any, list[Change] | None]:
        position = feed.changes.position(tx)
        if not asked.known:
            return position, []
        era, last = asked.last or (0, 0)
        if era != position.era or not position.first - 1 <= last <= position.last:
            return position, None
        missed = feed.changes.since(tx, max(0, last - back), MISSED + 1, asked.project_id)
        return position, None if len(missed) > MISSED else list(missed)

    position, missed = await call.cloud.read(look)
    chunk = RESET if missed is None else b"".join(told(change, position.era) for change in missed)
    ready = message("ready", {"project_id": asked.project_id, "heartbeat": HEARTBEAT},
                    f"{position.era}-{position.last}")
    return position.era, b"retry: %d\n\n" % RETRY + chunk + ready


async def _refusal(call: Call, asked: Asked) -> str | None:
    """Why the stream's token isn't good for it any more; None while it is, or nobody can tell."""
    token = call.header("X-Auth-Token") or ""

    def check(tx: Any) -> None:
        ctx = call.cloud.authenticate(tx, token, call.ctx.request_id)
        call.service.policy.authorize(call.route.policy, ctx)
        if asked.project_id is None:
            call.service.policy.authorize(ALL, ctx)

    try:
        await call.cloud.read(check)
    except (Unauthorized, Forbidden) as error:
        return error.message
    except Unavailable:
        return None
    return None
