"""The agent's own sockets: what control asks of a machine besides documents.

Only the owner may connect to the unix socket (0600). The one for control on other machines speaks mutual TLS; who calls
must be a control machine by the name in its certificate.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from stackling.agent.run import Run
from stackling.agent.serve import MAX_HEAD, UPGRADE, Request, Response, Server
from stackling.ports.disks import DirectoryTrial, TrialFailed
from stackling.ports.hypervisor import ConsoleKind, GuestRefused, GuestSilent, Hypervisor, HypervisorError

log = logging.getLogger(__name__)
MAX_LINES = 100_000
PASSWORDS = 4               # that are changed at a time
_SCREEN = re.compile(r"/servers/([0-9a-f-]{36})/consoles/(vnc|serial)\Z")
_DIAGNOSTICS = re.compile(r"/servers/([0-9a-f-]{36})/diagnostics\Z")
_PASSWORD = re.compile(r"/servers/([0-9a-f-]{36})/password\Z")
_NMI = re.compile(r"/servers/([0-9a-f-]{36})/nmi\Z")
_CONSOLE = re.compile(r"/servers/([0-9a-f-]{36})/console-output\Z")


class NewPassword(msgspec.Struct, frozen=True):
    """What a server's owner asks for."""

    user: str
    password: str


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
    ``GET /servers/{id}/diagnostics`` → ``ports.diagnostics.Diagnostics``;
    ``POST /servers/{id}/password`` with ``{"user": …, "password": …}`` → ``{}``: the guest's agent has changed it, or
    409 when the guest refused, 423 while that is under way, 503 when too much is, 504 when its agent is silent;
    ``POST /servers/{id}/nmi`` → ``{}``: the guest got an NMI, or 409 with the reason;
    ``GET /hosts`` → ``{"machine": name, "hosts": {host: mode}}``, also while control is away (``identities.Mode``);
    ``POST /look`` has the machine look for a new description of the cluster now, by *look* (None: there is none);
    ``POST /shared-directory`` with a step of a proof → what was found, by *trial*, or 409 with the reason;
    ``POST /ceph`` with the names of pools → what this machine's own proof has found, by *ceph*.

    *find* gives the hypervisor that runs a server of this machine's documents, or None; *hosts* the hosts' modes.
    """

    def __init__(self, path: Path, machine: str, find: Callable[[str], Hypervisor | None], run: Run,
                 remote: Remote | None = None, hosts: Callable[[], dict[str, str]] = dict,
                 look: Callable[[], None] | None = None, trial: DirectoryTrial | None = None,
                 ceph: DirectoryTrial | None = None) -> None:
        self._path, self._machine, self._find, self._run, self._remote = path, machine, find, run, remote
        self._hosts, self._look = hosts, look
        self._trials = {"/shared-directory": trial, "/ceph": ceph}
        self._servers: list[asyncio.Server] = []
        self._changing: set[str] = set()

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
        if request.method == "POST" and (trial := self._trials.get(parts.path)) is not None:
            return await self._try_storage(trial, request.body)
        if request.method == "POST" and (found := _PASSWORD.match(parts.path)):
            return await self._change_password(found[1], request.body)
        if request.method == "POST" and (found := _NMI.match(parts.path)):
            return await self._inject_nmi(found[1])
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
        if found := _DIAGNOSTICS.match(parts.path):
            return await self._diagnose(found[1])
        return _json(404, {"error": "no such path"})

    async def _try_storage(self, trial: DirectoryTrial, body: bytes) -> Response:
        try:
            asked = msgspec.json.decode(body, type=dict[str, Any])
            return _json(200, await self._run(trial, asked))
        except msgspec.MsgspecError:
            return _json(400, {"error": {"message": "expected a step of a proof"}})
        except TrialFailed as error:
            return _json(409, {"error": {"message": str(error)}})

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

    async def _diagnose(self, server_id: str) -> Response:
        hypervisor = self._find(server_id)
        if hypervisor is None:
            return _json(404, {"error": f"server {server_id} isn't on this machine"})
        try:
            return _json(200, await self._run(hypervisor.diagnostics, server_id))
        except HypervisorError as error:
            return _json(503, {"error": str(error)})

    async def _inject_nmi(self, server_id: str) -> Response:
        hypervisor = self._find(server_id)
        if hypervisor is None:
            return _json(404, {"error": f"server {server_id} isn't on this machine"})
        try:
            await self._run(hypervisor.inject_nmi, server_id)
        except HypervisorError as error:
            return _json(409, {"error": str(error)})
        return _json(200, {})

    async def _change_password(self, server_id: str, body: bytes) -> Response:
        """Guests' agents may hang, each for seconds: so they can keep only a few of the driver's threads."""
        try:
            asked = msgspec.json.decode(body, type=NewPassword)
        except msgspec.MsgspecError:
            return _json(400, {"error": "expected a user and a password"})      # and no word of what came instead
        hypervisor = self._find(server_id)
        if hypervisor is None:
            return _json(404, {"error": f"server {server_id} isn't on this machine"})
        if server_id in self._changing:
            return _json(423, {"error": "the server's password is being changed"})
        if len(self._changing) >= PASSWORDS:
            return _json(503, {"error": "many passwords are being changed on this machine; try again soon"})
        self._changing.add(server_id)
        try:
            await self._run(hypervisor.set_password, server_id, asked.user, asked.password)
        except GuestSilent as error:
            return _json(504, {"error": str(error)})
        except (HypervisorError, GuestRefused) as error:
            log.warning("the password of %s on server %s couldn't be changed: %s", asked.user, server_id, error)
            return _json(409, {"error": str(error)})
        finally:
            self._changing.discard(server_id)
        return _json(200, {})


def _json(status: int, value: object) -> Response:
    return Response(status, msgspec.json.encode(value), "application/json")
