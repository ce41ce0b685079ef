"""The one thing that guests may write: ``POST /openstack/<version>/password``, kept by control for the server's owner.

Guests aren't trusted: one request at a time goes to control, and of each server only one waits for its turn.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from stackling.agent.serve import Request, Response
from stackling.agent.wire import Answer, ControlUnreachable

TIMEOUT = 5.0               # seconds until another control node is asked
_PATH = re.compile(r"/+openstack/+[^/]+/+password/*\Z")
_SHOWN = {204: 200, 400: 400, 409: 409}


class Control(Protocol):
    """What sends requests (``wire.Lane``)."""

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer: ...


def is_password(path: str) -> bool:
    """Whether the metadata path is the password's, in whatever version."""
    return _PATH.match(path) is not None


class Passwords:
    """Those of the servers on *machine*."""

    def __init__(self, control: Control, machine: str) -> None:
        self._control, self._machine = control, machine
        self._turn = asyncio.Lock()
        self._asking: set[str] = set()

    async def answer(self, request: Request, server_id: str) -> Response:
        """To a guest's GET, HEAD or POST."""
        if server_id in self._asking:
            return Response(503, b"one at a time\n")
        self._asking.add(server_id)
        try:
            async with self._turn:
                return await self._ask(request, f"/internal/machines/{self._machine}/servers/{server_id}/password")
        except ControlUnreachable:
            return Response(503, b"try again later\n")
        finally:
            self._asking.discard(server_id)

    async def _ask(self, request: Request, path: str) -> Response:
        if request.method == "POST":
            answer = await self._control.request("POST", path, request.body, timeout=TIMEOUT)
            status = _SHOWN.get(answer.status, 503)
            return Response(status, {400: b"the password is too long, or no text\n",
                                     409: b"there is a password already\n"}.get(status, b""))
        answer = await self._control.request("GET", path, timeout=TIMEOUT)
        return Response(200, answer.body) if answer.status == 200 else Response(503, b"try again later\n")
