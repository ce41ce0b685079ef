"""``GET /healthz``: whether this control node can do its work, for load balancers, Pacemaker and people.

200 ``{"ready": true, …}`` when the database answers within ``PATIENCE`` seconds; otherwise 503 with what is missing.
Nobody needs a token for it, so it says no more than that. The answer is kept for ``FRESH`` seconds, so that asking
often costs nothing, and at most one question is under way at the database, whoever hangs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackling.core import clock
from stackling.core.errors import Unavailable
from stackling.store.database import Database

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]
PATH = "/healthz"
PATIENCE, FRESH = 2.0, 0.5


class Health:
    """Asks, in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._asking: asyncio.Future[str | None] | None = None
        self._known: tuple[float, str | None] = (-1e9, None)

    async def missing(self) -> str | None:
        """What is missing; None when all is there."""
        at, found = self._known
        if clock.monotonic() - at < FRESH:
            return found
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.shield(self._asking)
        except TimeoutError:
            found = f"the database doesn't answer within {PATIENCE:g} s"
        self._known = (clock.monotonic(), found)
        return found

    def _ask(self) -> str | None:
        try:
            if self._database.read(lambda tx: tx.setting("first_start")):
                return None
            return "the cloud's first start isn't done"
        except Unavailable as error:
            return error.message
        except Exception as error:
            log.warning("the database can't be asked: %s", type(error).__name__)
            return "the database can't be asked"


async def nothing(scope: Any, _receive: Any, send: Any) -> None:
    """An application without anything else."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def answering(app: App, database: Database) -> App:
    """*app*, and the answer to ``GET /healthz``."""
    health = Health(database)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] not in ("GET", "HEAD"):
            await app(scope, receive, send)
            return
        missing = await health.missing()
        body = json.dumps({"ready": missing is None, **({"missing": [missing]} if missing else {})}).encode()
        await send({"type": "http.response.start", "status": 503 if missing else 200, "headers": [
            (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store")]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer
