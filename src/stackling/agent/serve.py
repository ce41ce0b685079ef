"""A small HTTP/1.1 server for what the agent answers: metadata to guests, console output to control.

Everything is bounded, because guests are not trusted: the size of a request, how long it may take, how many
connections one client holds. Bodies are read (up to a limit) and given to the handler; nothing is streamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus

log = logging.getLogger(__name__)
MAX_HEAD = 8 * 1024
MAX_BODY = 64 * 1024
REQUEST_TIMEOUT = 10.0          # seconds for a request to arrive, or a kept connection to stay idle
ANSWER_TIMEOUT = 30.0           # seconds for the client to take the answer
CONNECTIONS_A_CLIENT = 16
CONNECTIONS = 1024
CHUNK = 64 * 1024
UPGRADE = "stackling-console"
UPGRADED = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {UPGRADE}\r\nConnection: Upgrade\r\n\r\n".encode()
_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (\S{1,4096}) HTTP/1\.([01])\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``client`` is the peer's address as the kernel says it; headers' names are in lower case."""

    method: str
    target: str
    client: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    body: bytes = b""
    type: str = "text/plain; charset=utf-8"
    tunnel: socket.socket | None = None
    """With status 101: the connection from then on carries this one's bytes, both ways."""


Handler = Callable[[Request], Awaitable[Response]]
Callback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class BadRequest(Exception):
    """What came isn't a request that we understand; carries the status."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


class Server:
    """Serves connections of any number of listening sockets with one handler each.

    *callers*: the common names of the certificates whose holders are served; None: anybody is.
    """

    def __init__(self, callers: Collection[str] | None = None) -> None:
        self._callers = callers
        self._clients: Counter[str] = Counter()
        self._open = 0

    def connected(self, handler: Handler, where: str) -> Callback:
        """The callback for ``asyncio.start_server``; *where* tells clients of different sockets apart."""
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            client = str(peer[0]) if isinstance(peer, tuple) and peer else "local"
            key = f"{where} {client}"
            if self._callers is not None and common_name(writer.get_extra_info("peercert")) not in self._callers:
                log.warning("refused a caller from %s: its certificate isn't that of a control machine", client)
                writer.transport.abort()
                return
            if self._open >= CONNECTIONS or (client != "local" and self._clients[key] >= CONNECTIONS_A_CLIENT):
                writer.transport.abort()
                return
            self._clients[key] += 1
            self._open += 1
            try:
                await _serve(handler, client, reader, writer)
            finally:
                self._open -= 1
                self._clients[key] -= 1
                if not self._clients[key]:
                    del self._clients[key]
        return serve


def common_name(certificate: object) -> str | None:
    """The common name in what ``getpeercert`` gave; None when there is none, or more than one."""
    if not isinstance(certificate, dict):
        return None
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else None


async def _serve(handler: Handler, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        keep = True
        while keep:
            request: Request | None = None
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    request, keep = await _read(reader, client)
            except BadRequest as error:
                response, keep = Response(error.status, str(error).encode() + b"\n"), False
            else:
                response, keep = await _handled(handler, request, keep)
            if response.tunnel is not None:
                writer.write(UPGRADED)
                await pump(reader, writer, *await asyncio.open_connection(sock=response.tunnel))
                return
            writer.write(_head(response, keep))
            if request is None or request.method != "HEAD":
                writer.write(response.body)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await writer.drain()
    except (OSError, EOFError, TimeoutError):
        pass
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            writer.close()
            async with asyncio.timeout(1.0):
                await writer.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other_reader: asyncio.StreamReader,
               other_writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until either side ends."""
    tasks = [asyncio.create_task(_carry(reader, other_writer)), asyncio.create_task(_carry(other_reader, writer))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        other_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def _handled(handler: Handler, request: Request, keep: bool) -> tuple[Response, bool]:
    try:
        return await handler(request), keep
    except Exception:
        log.exception("a request of %s failed", request.client)
        return Response(500, b"internal error\n"), False


async def _read(reader: asyncio.StreamReader, client: str) -> tuple[Request, bool]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequest(431) from None
    line = _REQUEST_LINE.match(head[0])
    if line is None:
        raise BadRequest(400)
    headers: dict[str, str] = {}
    for each in head[1:-2]:
        name, colon, value = each.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400)
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise BadRequest(411)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(400)
    if int(length) > MAX_BODY:
        raise BadRequest(413)
    body = await reader.readexactly(int(length)) if length != "0" else b""
    kept = headers.get("connection", "").lower()
    keep = kept != "close" and (line[3] == "1" or kept == "keep-alive")
    return Request(line[1], line[2], client, headers, body), keep


def _head(response: Response, keep: bool) -> bytes:
    return (f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\nContent-Type: {response.type}\r\n"
            f"Content-Length: {len(response.body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n").encode()
