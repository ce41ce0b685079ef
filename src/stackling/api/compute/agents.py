"""Asking the agent of a server's host, after the transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from stackling.api.call import Call
from stackling.api.compute.parts import Json
from stackling.core.errors import NotImplementedHere, StacklingError, Unavailable


async def ask(call: Call, address: str | None, method: str, path: str, *more: bytes, not_here: StacklingError,
              no_agent: str, **values: Any) -> tuple[int, Json]:
    """(status, JSON) from the agent at *address*. Raises ``NotImplementedHere`` with the words *no_agent* where there
    is none, ``Unavailable`` when it doesn't answer, and *not_here* when it knows no such server."""
    if call.cloud.ask_agent is None or address is None:
        raise NotImplementedHere(no_agent)
    try:
        status, body = await call.cloud.ask_agent(address, method, path, *more, **values)
    except OSError as error:
        raise Unavailable(f"The server's host doesn't answer: {error}") from None
    if status == 404:
        raise not_here
    try:
        answer: Json = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        answer = {}
    return int(status), answer
