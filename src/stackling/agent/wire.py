"""A small HTTP/1.1 client for talking to control nodes: over a unix socket, TCP or TLS, with kept connections.

General clients cost about a millisecond of CPU a request; a server's whole creation has 20 for all processes.
Only what our own servers send is understood: a status line, headers, and a body with a length or in chunks.

A control node that loses its power says nothing. So the kernel asks after one that is silent (keep-alive), gives up
data that nobody confirms, and a connection that isn't made soon is none: the next node is asked within seconds. One
whose process hangs answers the kernel and not us; its watchdog ends it, which closes our connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

log = logging.getLogger(__name__)
CONNECT_TIMEOUT = 2.0               # seconds, with the TLS handshake
SILENCE = (1, 1, 2)                 # seconds until the kernel asks, between its questions, and how many go unanswered
UNCONFIRMED = 3000                  # milliseconds for which sent data may stay unconfirmed
AWAY = 503                          # the node is there, and can't work now
MAX_HEAD = 64 * 1024
MAX_BODY = 256 * 1024 * 1024        # a complete document of some 100,000 servers


class ControlUnreachable(Exception):
    """No control node answered."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a control node listens: a unix socket, or a host and port with or without TLS."""

    url: str
    socket: str | None = None
    host: str = "localhost"
    port: int = 80
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """``http+unix:///run/x.sock`` (or the socket's bare path), ``http://host:port``, ``https://host:port``."""
        if url.startswith("/"):
            return cls(url, socket=url)
        parts = urlsplit(url)
        if parts.scheme in ("http+unix", "unix"):
            path = unquote(parts.netloc + parts.path) if parts.netloc else parts.path
            return cls(url, socket=path)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no control URL: use http+unix:///path, http://host:port or https://host:port")
        tls = parts.scheme == "https"
        return cls(url, host=parts.hostname, port=parts.port or (443 if tls else 80), tls=tls)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


Tunnel = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Lane:
    """One kept connection to whichever control node answers; requests go one after the other.

    A node that fails is left for the next one in the list at the next request.
    """

    def __init__(self, endpoints: Sequence[Endpoint], headers: dict[str, str],
                 tls: ssl.SSLContext | None = None) -> None:
        if not endpoints:
            raise ValueError("no control node is configured")
        self._endpoints = endpoints
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._tls = tls
        self._at = 0
        self._heard: Endpoint | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer:
        """Ask, trying every control node once. Raises ``ControlUnreachable``.

        A request may have been carried out although its answer was lost; callers send what can be repeated.
        """
        problems: list[str] = []
        answer: Answer | None = None
        for _ in range(len(self._endpoints) + 1):
            kept = self._writer is not None
            endpoint = self._endpoints[self._at]
            try:
                async with asyncio.timeout(timeout):
                    answer = await self._ask(endpoint, method, path, body)
                if answer.status != AWAY or len(self._endpoints) == 1:
                    self._note(endpoint, problems)
                    return answer
                problems.append(f"{endpoint.url}: answered {AWAY}")
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
                await self.close()
                if kept and isinstance(error, (ConnectionError, EOFError)):
                    continue                    # a kept connection that the node has closed meanwhile
                problems.append(f"{endpoint.url}: {str(error) or type(error).__name__}")
            except asyncio.CancelledError:
                await self.close()
                raise
            await self.close()
            self._at = (self._at + 1) % len(self._endpoints)
            if len(problems) == len(self._endpoints):
                break
        if answer is not None:
            return answer
        raise ControlUnreachable("; ".join(problems) or "the connection was closed again and again")

    def _note(self, endpoint: Endpoint, problems: list[str]) -> None:
        if self._heard not in (None, endpoint):
            log.info("control is asked at %s now%s", endpoint.url, f" ({'; '.join(problems)})" if problems else "")
        self._heard = endpoint

    async def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    # -- how

    async def _ask(self, endpoint: Endpoint, method: str, path: str, body: bytes | None) -> Answer:
        if self._reader is None or self._writer is None:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._reader, self._writer = await self._connect(endpoint)
        head = f"{method} {path} HTTP/1.1\r\nHost: {endpoint.host}\r\n{self._headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode("latin-1") + b"\r\n" + (body or b""))
        await self._writer.drain()
        answer, keep = await _read_answer(self._reader)
        if not keep:
            await self.close()
        return answer

    async def tunnel(self, path: str, protocol: str, *, timeout: float) -> Tunnel:
        """Open a connection that speaks *protocol* from now on; the lane is used up by it. Raises ``OSError`` when it
        isn't granted, with what the other side says."""
        endpoint = self._endpoints[self._at]
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._connect(endpoint)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {endpoint.host}\r\n{self._headers}Upgrade: {protocol}\r\n"
                             "Connection: Upgrade\r\n\r\n".encode("latin-1"))
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 101 "):
                    return reader, writer
                why = (await reader.read(1024)).decode(errors="replace")
        except (EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            raise ConnectionError(f"{endpoint.url}: {str(error) or type(error).__name__}") from None
        writer.close()
        raise ConnectionError(why)

    async def _connect(self, endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if endpoint.socket is not None:
            return await asyncio.open_unix_connection(endpoint.socket, limit=MAX_HEAD)
        tls = (self._tls or ssl.create_default_context()) if endpoint.tls else None
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=tls, limit=MAX_HEAD)
        notice_silence(writer.get_extra_info("socket"))
        return reader, writer


def notice_silence(connection: Any) -> None:
    """Have the kernel give up a peer that doesn't answer (a socket, or asyncio's view of one)."""
    idle, interval, count = SILENCE
    for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNCONFIRMED)):
        connection.setsockopt(level, option, value)


async def _read_answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    status = int(rest[:3])
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if status in (204, 304):
        return Answer(status, b""), keep
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, await _read_chunks(reader)), keep
    if "content-length" in headers:
        length = int(headers["content-length"])
        if not 0 <= length <= MAX_BODY:
            raise ValueError(f"an answer of {length} bytes is too long")
        return Answer(status, await reader.readexactly(length)), keep
    return Answer(status, await reader.read(MAX_BODY)), False


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        total += length
        if total > MAX_BODY:
            raise ValueError("an answer in chunks is too long")
        chunks.append(await reader.readexactly(length))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(chunks)
