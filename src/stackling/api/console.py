"""Consoles in the browser: ``/console/vnc.html`` and the WebSocket behind it.

Theory of operation. The token in the WebSocket's address is all that is asked for; it is worth one server's console for
ten minutes. One for a single use is spent when the way to the console stands, so that a host that can't be reached
doesn't cost it; of two who come with it at once one gets in. A connection goes browser → here → the agent of the
server's host → the guest's unix socket; no host has an open port for it. Each direction waits for the other side to
take what came, so nothing piles up here. Pages of other origins are refused, as Nova's proxy does it.

noVNC comes with the dashboard's built files (``/dashboard/console.js``); the page itself is the only file served here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stackling.api.cloud import Cloud
from stackling.compute import consoles
from stackling.core.errors import NotFound, StacklingError

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]
PREFIX = "/console/"
PAGE, SOCKET = f"{PREFIX}vnc.html", f"{PREFIX}ws"
ASSETS = Path(__file__).parent / "console_assets"
CHUNK = 64 * 1024
POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'unsafe-inline'", "connect-src 'self'",
    "img-src 'self' data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors http: https:"))
"""Scripts and sockets of this host only; noVNC sets styles on what it draws. Horizon, on a host of its own, shows the
page in a frame: whoever knows the address has the token, and there is nothing else that a frame could lend it."""
_TYPES = {".html": "text/html; charset=utf-8"}
_SAFETY = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-cache"))


def serving(app: App, cloud: Cloud) -> App:
    """*app*, and consoles."""
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await _connect(cloud, scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await _file(scope, send, await asyncio.to_thread(_read, scope["path"].removeprefix(PREFIX)))
        else:
            await app(scope, receive, send)

    return answer


# -- files

def _read(name: str) -> tuple[str, bytes] | None:
    """(type, content) of one of our files."""
    path = ASSETS / name
    if "/" in name or path.suffix not in _TYPES:
        return None
    try:
        return _TYPES[path.suffix], path.read_bytes()
    except OSError:
        return None


async def _file(scope: Any, send: Any, found: tuple[str, bytes] | None) -> None:
    allowed = scope["method"] in ("GET", "HEAD")
    kind, body = found if found and allowed else ("text/plain; charset=utf-8", b"There is no such file.\n")
    await send({"type": "http.response.start", "status": 200 if found and allowed else 404 if allowed else 405,
                "headers": [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *_SAFETY]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


# -- the socket

async def _connect(cloud: Cloud, scope: Any, receive: Any, send: Any) -> None:
    await receive()                             # websocket.connect
    tunnel = await _tunnel(cloud, scope)
    if tunnel is None:
        await send({"type": "websocket.close", "code": 1008})
        return
    reader, writer = tunnel
    offered = scope.get("subprotocols") or ()
    try:
        await send({"type": "websocket.accept", "subprotocol": "binary" if "binary" in offered else None})
        tasks = [asyncio.create_task(_down(reader, send)), asyncio.create_task(_up(receive, writer))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not tasks[1].done() or tasks[1].cancelled():
            await send({"type": "websocket.close", "code": 1000})
    finally:
        writer.close()


async def _tunnel(cloud: Cloud, scope: Any) -> Any:
    """The way to the console that the token names; None where there is none."""
    token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
    if scope["path"] != SOCKET or not token or len(token) > 64 or not _same_origin(scope) or cloud.tunnel is None:
        return None
    try:
        found = await cloud.read(consoles.find, token)
        if found.address is None:
            return None
        reader, writer = await cloud.tunnel(found.address, f"/servers/{found.server_id}/consoles/{found.kind}")
    except NotFound:
        return None
    except OSError as error:
        log.info("a console can't be opened: %s", error)
        return None
    if found.once:
        try:
            await cloud.transact(consoles.use, token)
        except StacklingError:
            writer.close()
            return None
    return reader, writer


def _same_origin(scope: Any) -> bool:
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}").hostname
    return urlsplit(origin.decode("latin-1")).hostname == host


async def _down(reader: asyncio.StreamReader, send: Any) -> None:
    while data := await reader.read(CHUNK):
        await send({"type": "websocket.send", "bytes": data})


async def _up(receive: Any, writer: asyncio.StreamWriter) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        data = event.get("bytes")
        writer.write(data if data is not None else event["text"].encode())
        await writer.drain()
