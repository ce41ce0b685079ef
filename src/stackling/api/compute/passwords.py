"""Passwords of running servers: ``changePassword``, and what is kept of it for the holder of the server's key pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.compute import agents
from stackling.api.compute.parts import Json, route
from stackling.compute import passwords, servers
from stackling.compute.model import ServerRow
from stackling.compute.passwords import Change
from stackling.core.errors import Conflict, NotImplementedHere, StacklingError, Unavailable

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

PATIENCE = 45.0             # seconds; the hypervisor's driver gives up before


def change_password(tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    """``changePassword``: answered when the guest's agent has done it, as upstream."""
    password: str = value["adminPass"]
    change = passwords.begin(tx, call.ctx, server)

    async def ask() -> Reply:
        if change.refusal is not None:
            raise Conflict(change.refusal)
        try:
            await _ask(call, change, password)
        except StacklingError as error:
            await call.cloud.transact(passwords.end, call.ctx, change, error=error.message)
            raise
        sealed = passwords.sealed(change.public_key, password)
        await call.cloud.transact(passwords.end, call.ctx, change, sealed=sealed)
        return Reply(status=202)

    return Reply(then=ask)


async def _ask(call: Call, change: Change, password: str) -> None:
    id = change.server_id
    failed = Conflict(f"Failed to set admin password on {id} because error setting admin password")
    status, answer = await agents.ask(
        call, change.address, "POST", f"/servers/{id}/password",
        msgspec.json.encode({"user": change.user, "password": password}),
        not_here=failed, no_agent="Unable to set password on instance", timeout=PATIENCE)
    match status:
        case 200:
            return
        case 423:
            raise Conflict(f"Cannot 'changePassword' instance {id} while it is in task_state updating_password")
        case 503:
            raise Unavailable(f"Unable to set password on instance: {answer.get('error')}")
        case 504:
            raise NotImplementedHere("Unable to set password on instance: its guest agent doesn't answer.")
        case _:                         # the guest's own words may tell too much, as upstream holds
            raise failed


def show_password(tx: Tx, call: Call) -> Reply:
    """GET …/os-server-password: the last password set, encrypted to the server's key pair."""
    return Reply({"password": servers.get_server(tx, call.ctx, call.params["id"])["password"] or ""})


def clear_password(tx: Tx, call: Call) -> Reply:
    """DELETE …/os-server-password: the server itself keeps it."""
    passwords.forget(tx, servers.get_server(tx, call.ctx, call.params["id"]))
    return Reply(status=204)


ROUTES = [
    route("GET", "/servers/{id}/os-server-password", show_password, "os-server-password:show"),
    route("DELETE", "/servers/{id}/os-server-password", clear_password, "os-server-password:clear"),
]
