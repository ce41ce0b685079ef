"""Reports up: what changed within a few milliseconds goes together; everything at the start and when asked.

Theory of operation. A report that control has not accepted is sent again with a new number; what it said stays
pending until then, and the newest word on a guest replaces the older one. Numbers rise over the life of the machine:
a block is reserved in the ledger, and the clock gives the start when the ledger was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from stackling.agent.wire import Answer, ControlUnreachable
from stackling.core import clock
from stackling.ports.document import GuestReport, Inventory, Report, ReportAnswer

log = logging.getLogger(__name__)
BATCH = 0.003               # seconds that a change waits for others
HEARTBEAT = 10.0            # seconds between two reports when nothing changes
BLOCK = 1_000_000           # numbers reserved at a time
TIMEOUT = 15.0              # seconds until another control node is asked, for a complete report
SHORT = 5.0                 # the same for all others: a node that hangs must not make this machine look silent
BACKOFF = (0.05, 1.0)


class Source(Protocol):
    """Where the reporter reads what it says besides the guests."""

    @property
    def epoch(self) -> int: ...
    @property
    def generation(self) -> int: ...


class Sequence:
    """Numbers for reports, rising over restarts."""

    def __init__(self, last: int, reserve: Callable[[int], Awaitable[None]]) -> None:
        self._next = max(last, int(clock.wall() * 1000)) + 1
        self._reserved = last
        self._reserve = reserve

    async def take(self) -> int:
        """The next number. Raises ``OSError`` when the ledger can't be written."""
        if self._next > self._reserved:
            await self._reserve(self._next + BLOCK)
            self._reserved = self._next + BLOCK
        self._next += 1
        return self._next - 1


class Lane(Protocol):
    """What sends requests (``wire.Lane``)."""

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer: ...


class Reporter:
    """Reports for one host. Everything runs in the event loop."""

    def __init__(self, lane: Lane, machine: str, host: str, boot_id: str, sequence: Sequence, source: Source,
                 inventory: Callable[[], Inventory | None], *, address: str | None = None,
                 accepted: Callable[[GuestReport], None] = lambda report: None, heartbeat: float = HEARTBEAT) -> None:
        self._lane, self._sequence, self._source = lane, sequence, source
        self._machine, self._host, self._boot_id = machine, host, boot_id
        self._inventory, self._address, self._accepted = inventory, address, accepted
        self._heartbeat = heartbeat
        self._path = f"/internal/machines/{machine}/report"
        self._last: dict[str, GuestReport] = {}
        self._pending: dict[str, GuestReport] = {}
        self._complete = True
        self._started = asyncio.Event()
        self.heard = asyncio.Event()
        """Set once control has accepted a report with the inventory: servers can be scheduled from then on."""
        self._woken = asyncio.Event()

    def note(self, report: GuestReport) -> None:
        """Say this about a guest, unless it was the last word on it already."""
        if self._last.get(report.id) != report:
            self._last[report.id] = report
            self._pending[report.id] = report
            self._woken.set()

    def repeat(self, server_id: str) -> None:
        """Control has sent this server's document again: tell it once more what is there."""
        if report := self._last.get(server_id):
            self._pending[server_id] = report
            self._woken.set()

    def forget(self, server_id: str) -> None:
        """The server is gone, and control knows it."""
        self._last.pop(server_id, None)
        self._pending.pop(server_id, None)

    def last(self, server_id: str) -> GuestReport | None:
        """The last word on a server."""
        return self._last.get(server_id)

    def start_over(self) -> None:
        """From now on reports are sent; the next one is complete."""
        self._complete = True
        self._started.set()
        self._woken.set()

    async def run(self) -> None:
        """Send reports until cancelled; none before ``start_over`` was called once."""
        await self._started.wait()
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat):
                    await self._woken.wait()
            await asyncio.sleep(BATCH)
            self._woken.clear()
            if await self._send():
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(min(BACKOFF[1], BACKOFF[0] * 2 ** min(failures, 8)))
            if self._pending or self._complete:
                self._woken.set()

    async def _send(self) -> bool:
        complete, sent = self._complete, dict(self._last if self._complete else self._pending)
        self._complete = False              # whoever asks for a complete one while this is under way gets another
        verdict, inventory = await self._say(complete, sent)
        accepted = verdict is not None and verdict.accepted
        self._complete |= (verdict is not None and verdict.resend) or (complete and not accepted)
        if verdict is None or not accepted:
            return False
        if inventory is not None:
            self.heard.set()
        for id, report in sent.items():
            if self._pending.get(id) is report:
                del self._pending[id]
            self._accepted(report)
        return not (complete and verdict.resend)

    async def _say(self, complete: bool, sent: dict[str, GuestReport]) -> tuple[ReportAnswer | None, Inventory | None]:
        """Control's answer, None when there is no usable one, and the inventory that was told."""
        inventory = self._inventory() if complete else None
        try:
            report = Report(
                machine=self._machine, boot_id=self._boot_id, sequence=await self._sequence.take(), host=self._host,
                epoch=self._source.epoch, document_generation=self._source.generation, guests=tuple(sent.values()),
                complete=complete, inventory=inventory, address=self._address)
            answer = await self._lane.request("POST", self._path, msgspec.json.encode(report),
                                              timeout=TIMEOUT if complete else SHORT)
            if answer.status >= 300:
                log.warning("control refused a report of %s with %d: %s", self._host, answer.status, answer.body[:200])
                return None, inventory
            return msgspec.json.decode(answer.body, type=ReportAnswer), inventory
        except (ControlUnreachable, OSError, msgspec.MsgspecError) as error:
            log.warning("a report of %s could not be sent: %s", self._host, error)
            return None, inventory
