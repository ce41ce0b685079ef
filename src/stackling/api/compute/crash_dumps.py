"""``trigger_crash_dump``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute import agents
from stackling.compute import crash_dumps
from stackling.compute.crash_dumps import CrashDump
from stackling.compute.model import ServerRow
from stackling.core.errors import NotFound, StacklingError

if TYPE_CHECKING:
    from stackling.store.transaction import Tx


def trigger(tx: Tx, call: Call, server: ServerRow, _value: Any) -> Reply:
    """Accepted as soon as it may be asked for, as upstream; what becomes of it is in the server's actions."""
    dump = crash_dumps.begin(tx, call.ctx, server)

    async def ask() -> Reply:
        await call.cloud.transact(crash_dumps.end, call.ctx, dump, await _failure(call, dump))
        return Reply(status=202)

    return Reply(then=ask)


async def _failure(call: Call, dump: CrashDump) -> str | None:
    try:
        status, answer = await agents.ask(
            call, dump.address, "POST", f"/servers/{dump.server_id}/nmi",
            not_here=NotFound("the guest isn't on its host"), no_agent="the server's host has no agent to be asked")
    except StacklingError as error:
        return error.message
    return None if status == 200 else str(answer.get("error"))
