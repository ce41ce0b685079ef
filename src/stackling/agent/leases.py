"""Which host identities this machine holds: a long poll."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from stackling.agent.wire import Answer, ControlUnreachable
from stackling.ports.document import HeldHosts

log = logging.getLogger(__name__)
WAIT = 30                   # seconds that control may hold a poll open
GRACE = 15.0                # seconds beyond that before the connection counts as dead
TIMEOUT = 15.0
BEAT = 3.0                  # seconds for a heartbeat: a node that hangs must not make this machine look silent
BACKOFF = (0.1, 5.0)


class Lane(Protocol):
    """What sends requests (``wire.Lane``)."""

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer: ...


class _LetGo(msgspec.Struct):
    released: bool = False


class Refused(Exception):
    """Control answered, and not with what was asked for."""


class Leases:
    """Tells *follow* which hosts are held whenever that changes. What control doesn't say is left as it was: a control
    that is away takes nothing from a machine.

    *lane* is kept by the poll; *letting_go* is for everything else.
    """

    def __init__(self, lane: Lane, letting_go: Lane, machine: str, boot_id: str, follow: Callable[[HeldHosts], None], *,
                 wait: int = WAIT) -> None:
        self._lane, self._letting_go, self._follow, self._wait = lane, letting_go, follow, wait
        self._machine = f"/internal/machines/{machine}"
        self._path = f"{self._machine}/hosts"
        self._boot_id = boot_id
        self._digest = ""
        self._decoder = msgspec.json.Decoder(HeldHosts)

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            try:
                await self._poll()
                failures = 0
            except (ControlUnreachable, Refused, msgspec.MsgspecError) as error:
                failures += 1
                if failures in (1, 5) or failures % 50 == 0:
                    log.warning("it can't be known which hosts this machine holds (try %d): %s", failures, error)
                await asyncio.sleep(min(BACKOFF[1], BACKOFF[0] * 2 ** min(failures, 8)) * random.uniform(0.75, 1.25))

    async def let_go(self, host: str, epoch: int) -> bool:
        """No guest that *host* had in *epoch* runs here any more: control may give it to another machine. Whether it
        may; it may not when the host was taken back meanwhile."""
        try:
            answer = await self._letting_go.request(
                "POST", f"{self._path}/{host}/release", msgspec.json.encode({"stopped": True, "epoch": epoch}),
                timeout=TIMEOUT)
        except ControlUnreachable as error:
            log.warning("control could not be told that %s is given up: %s", host, error)
            return False
        if answer.status != 200:
            log.warning("control answered %d when %s was given up: %s", answer.status, host, answer.body[:200])
            return False
        return bool(msgspec.json.decode(answer.body, type=_LetGo).released)

    async def beat(self) -> None:
        """This machine is alive, although it holds nothing that would report."""
        try:
            body = msgspec.json.encode({"boot_id": self._boot_id})
            answer = await self._letting_go.request("POST", f"{self._machine}/heartbeat", body, timeout=BEAT)
            if answer.status >= 300:
                log.warning("control answered %d to a heartbeat: %s", answer.status, answer.body[:200])
        except ControlUnreachable as error:
            log.warning("a heartbeat could not be sent: %s", error)

    async def _poll(self) -> None:
        answer = await self._lane.request(
            "GET", f"{self._path}?known={self._digest}&wait={self._wait if self._digest else 0}",
            timeout=self._wait + GRACE)
        if answer.status == 204:
            return
        if answer.status != 200:
            raise Refused(f"control answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
        held = self._decoder.decode(answer.body)
        self._follow(held)
        self._digest = held.digest
