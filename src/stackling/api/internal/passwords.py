"""``/internal/machines/{machine}/servers/{server}/password``: what servers post to their metadata service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackling.api.call import Call, Reply
from stackling.api.internal.wakeups import CREDENTIAL
from stackling.compute import facade as compute
from stackling.core.errors import Invalid

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

MAX_BODY = 4096


def _posted(tx: Tx, machine: str, credential: str | None, server: str) -> str:
    return compute.posted_password(tx, compute.check_machine(tx, machine, credential), server)


async def posted(call: Call) -> Reply:
    """GET: the bytes that were posted, or none."""
    found = await call.cloud.read(_posted, call.params["machine"], call.header(CREDENTIAL), call.params["server"])
    return Reply(found.encode(), content_type="text/plain; charset=utf-8")


def _post(tx: Tx, machine: str, credential: str | None, server: str, password: bytes) -> None:
    compute.post_password(tx, compute.check_machine(tx, machine, credential), server, password)


async def post(call: Call) -> Reply:
    """POST: keep the body; 409 while there is a password."""
    data = bytearray()
    async for chunk in call.request.stream:
        data += chunk
        if len(data) > MAX_BODY:
            raise Invalid("Request is too large.")
    await call.cloud.transact(_post, call.params["machine"], call.header(CREDENTIAL), call.params["server"],
                              bytes(data))
    return Reply(status=204)
