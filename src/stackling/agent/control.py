"""The agent's own sockets: what control asks of a machine besides documents.

Only the owner may connect to the unix socket (0600). The one for control on other machines speaks mutual TLS; who calls
must be a control machine by the name in its certificate.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from stackling.agent.run import Run
from stackling.agent.serve import MAX_HEAD, UPGRADE, Request, Response, Server
from stackling.ports.hypervisor import ConsoleKind, Hypervisor, HypervisorError

MAX_LINES = 100_000
_SCREEN = re.compile(r"/servers/([0-9a-f-]{36})/consoles/(vnc|serial)\Z")
_CONSOLE = re.compile(r"/servers/([0-9a-f-]{36})/console-output\Z")


@dataclass(frozen=True, slots=True)
class Remote:
    """The TLS socket: where, with which context, and the names of the machines that may call."""

    address: str
    port: int
    context: ssl.SSLContext
    callers: Collection[str]


class ControlSocket:
    """``GET /servers/{id}/console-output?lines=N`` → ``{"output": text}``; ``GET /`` → ``{"machine": name}``;
    ``GET /servers/{id}/consoles/vnc`` (or ``serial``), upgraded → the console's own bytes;
    ``GET /hosts`` → ``{"machine": name, "hosts": {host: mode}}``, also while control is away (``identities.Mode``);
    ``POST /look`` has the machine look for a new description of the cluster now, by *look* (None: there is none).

    *find* gives the hypervisor that runs a server of this machine's documents, or None; *hosts* the hosts' modes.
    """

    def __init__(self, path: Path, machine: str, find: Callable[[str], Hypervisor | None], run: Run,
                 remote: Remote | None = None, hosts: Callable[[], dict[str, str]] = dict,
                 look: Callable[[], None] | None = None) -> None:
        self._path, self._machine, self._find, self._run, self._remote = path, machine, find, run, remote
        self._hosts, self._look = hosts, look
        self._servers: list[asyncio.Server] = []

    async def open(self) -> None:
        """Listen. Replaces what an agent that was killed has left."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and stat.S_ISSOCK(self._path.stat().st_mode):
            self._path.unlink()
        mask = os.umask(0o177)
        try:
            self._servers.append(await asyncio.start_unix_server(
                Server().connected(self._answer, "control"), path=self._path, limit=MAX_HEAD))
        finally:
            os.umask(mask)
        if (remote := self._remote) is not None:
            self._servers.append(await asyncio.start_server(
                Server(remote.callers).connected(self._answer, "control"), remote.address, remote.port,
                ssl=remote.context, limit=MAX_HEAD))

    async def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        self._path.unlink(missing_ok=True)

    async def _answer(self, request: Request) -> Response:
        parts = urlsplit(request.target)
        if (request.method, parts.path) == ("POST", "/look") and self._look is not None:
            await self._run(self._look)
            return _json(202, {"machine": self._machine})
        if request.method != "GET":
            return _json(405, {"error": "only GET"})
        if parts.path == "/":
            return _json(200, {"machine": self._machine, "pid": os.getpid()})
        if parts.path == "/hosts":
            return _json(200, {"machine": self._machine, "hosts": self._hosts()})
        if found := _CONSOLE.match(parts.path):
            return await self._console(found[1], parse_qs(parts.query).get("lines", [None])[0])
        if found := _SCREEN.match(parts.path):
            return await self._open(found[1], ConsoleKind(found[2]), request.headers.get("upgrade", ""))
        return _json(404, {"error": "no such path"})

    async def _open(self, server_id: str, kind: ConsoleKind, upgrade: str) -> Response:
        if upgrade != UPGRADE:
            return _json(400, {"error": f"a console is a connection: Upgrade: {UPGRADE}"})
        hypervisor = self._find(server_id)
        if hypervisor is None:
            return _json(404, {"error": f"server {server_id} isn't on this machine"})
        try:
            connection = await self._run(hypervisor.open_console, server_id, kind)
        except HypervisorError as error:
            return _json(503, {"error": str(error)})
        connection.setblocking(False)
        return Response(101, tunnel=connection)

    async def _console(self, server_id: str, lines: str | None) -> Response:
        if lines is not None and not (lines.isdecimal() and len(lines) < 10):
            return _json(400, {"error": "lines must be a number"})
        hypervisor = self._find(server_id)
        if hypervisor is None:
            return _json(404, {"error": f"server {server_id} isn't on this machine"})
        try:
            length = None if lines is None else min(int(lines), MAX_LINES)
            output = await self._run(hypervisor.console_log, server_id, length)
        except HypervisorError as error:
            return _json(503, {"error": str(error)})
        return _json(200, {"output": output})


def _json(status: int, value: object) -> Response:
    return Response(status, msgspec.json.encode(value), "application/json")
