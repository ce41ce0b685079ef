"""The HTTP side of ``joining``: a few paths in front of the public and the internal API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from stackling.core.errors import Invalid, StacklingError, TooLarge

if TYPE_CHECKING:
    from stackling.main.joining import Joining
    from stackling.main.returning import Returning

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]
LARGEST = 256 * 1024
Answer = tuple[int, bytes, bytes]


def public(app: App, joining: Joining) -> App:
    """*app*, and what a machine that joins asks; it has no certificate yet."""
    async def answer(scope: Any, receive: Any) -> Answer | None:
        match scope["method"], scope["path"]:
            case "GET", "/cluster/ca":
                return 200, await asyncio.to_thread(joining.authority), b"application/x-pem-file"
            case "POST", "/cluster/join":
                from stackling.main.joining import Asked

                return await _json(joining.join, await _body(receive, Asked))
        return None

    return _before(app, answer)


def internal(app: App, joining: Joining, returning: Returning) -> App:
    """*app*, and what members ask; behind ``peers.checked``, which names them."""
    async def answer(scope: Any, receive: Any) -> Answer | None:
        headers = dict(scope["headers"])
        machine = headers.get(b"x-machine", b"").decode()
        credential = headers.get(b"x-machine-credential", b"").decode()
        match scope["method"], scope["path"]:
            case "GET", "/internal/cluster":
                return await _json(joining.described, machine, credential)
            case "PUT", "/internal/cluster":
                from stackling.main.joining import Described

                return await _json(joining.replace, machine, credential, await _body(receive, Described))
            case "POST", "/internal/cluster/booted":
                from stackling.main.returning import Booted

                return await _json(returning.booted, machine, await _body(receive, Booted))
            case "POST", "/internal/cluster/leaving":
                return await _json(returning.leaving, machine)
            case "POST", "/internal/cluster/present":
                return await _json(returning.present, machine)
            case "PUT", "/internal/cluster/followed":
                from stackling.main.joining import Follows

                return await _json(joining.follow, machine, credential, await _body(receive, Follows))
            case "GET", "/internal/cluster/ceph":
                return await _json(joining.ceph, machine, credential)
            case "PUT", "/internal/cluster/ceph":
                from stackling.main.joining import CephKeys

                return await _json(joining.give_ceph, machine, credential, await _body(receive, CephKeys))
            case "POST", "/internal/cluster/tokens":
                from stackling.main.joining import NewToken

                return await _json(joining.remember, machine, credential, await _body(receive, NewToken))
        return None

    return _before(app, answer)


def _before(app: App, answer: Callable[[Any, Any], Awaitable[Answer | None]]) -> App:
    async def run(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        try:
            found = await answer(scope, receive)
        except StacklingError as error:
            log.warning("refused %s %s: %d %s", scope["method"], scope["path"], error.status, error.message)
            found = (error.status, msgspec.json.encode({"error": {"code": error.status, "message": error.message}}),
                     b"application/json")
        if found is None:
            await app(scope, receive, send)
            return
        status, body, kind = found
        await send({"type": "http.response.start", "status": status, "headers": [
            (b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]})
        await send({"type": "http.response.body", "body": body})

    return run


async def _json(call: Callable[..., Any], *args: Any) -> Answer:
    return 200, msgspec.json.encode(await asyncio.to_thread(call, *args)), b"application/json"


async def _body(receive: Any, kind: type[Any]) -> Any:
    data = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise Invalid("The request broke off.")
        data += event.get("body", b"")
        if len(data) > LARGEST:
            raise TooLarge(f"The body is larger than {LARGEST} bytes.")
        if not event.get("more_body"):
            break
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"Malformed request body: {error}") from None
