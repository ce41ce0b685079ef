"""Documents down: a long poll that asks for everything once at the start, and then for what has changed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from stackling.agent.ledger import StaleDocument
from stackling.agent.wire import Answer, ControlUnreachable
from stackling.ports.document import Documents, HostDocument

log = logging.getLogger(__name__)
WAIT = 30                   # seconds that control may hold a poll open
GRACE = 15.0                # seconds beyond that before the connection counts as dead
BACKOFF = (0.1, 1.0)        # seconds between tries: what a person asked for waits for the next one


class Lane(Protocol):
    """What sends requests (``wire.Lane``)."""

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer: ...


class Refused(Exception):
    """Control answered, and not with documents."""


class Poller:
    """Polls for one host. *position* gives ``(generation, epoch)`` of the ledger; *accept* merges a document.

    The first poll of a process asks for the whole document (``since=0``): only that proves that control still wants
    what the ledger says, and that this machine still holds the host.
    """

    def __init__(self, lane: Lane, machine: str, host: str, position: Callable[[], tuple[int, int]],
                 accept: Callable[[HostDocument], Awaitable[None]], *, wait: int = WAIT) -> None:
        self._lane, self._host, self._wait = lane, host, wait
        self._path = f"/internal/machines/{machine}/documents?host={host}"
        self._position, self._accept = position, accept
        self._fresh = False
        self._decoder = msgspec.json.Decoder(Documents)

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            try:
                await self._poll()
                failures = 0
            except (ControlUnreachable, Refused, StaleDocument, OSError, msgspec.MsgspecError) as error:
                failures += 1
                self._fresh = self._fresh and not isinstance(error, StaleDocument)      # another era: all of it anew
                if failures in (1, 5) or failures % 50 == 0:
                    log.warning("no document for %s (try %d): %s", self._host, failures, error)
                pause = min(BACKOFF[1], BACKOFF[0] * 2 ** min(failures, 8))
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))

    async def _poll(self) -> None:
        since, epoch = self._position()
        since = since if self._fresh else 0
        path = f"{self._path}&since={since}&epoch={epoch}&wait={self._wait if self._fresh else 1}"
        answer = await self._lane.request("GET", path, timeout=self._wait + GRACE)
        if answer.status == 204:
            return
        if answer.status != 200:
            raise Refused(f"control answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
        for document in self._decoder.decode(answer.body).documents:
            if document.host != self._host:
                log.warning("a document of %s came, which this agent doesn't run", document.host)
                continue
            await self._accept(document)
            self._fresh = self._fresh or document.complete
