"""The password of a user inside of a running guest, changed by the QEMU guest agent.

Theory of operation. As with Nova, the caller waits: the password is in the request, goes to the agent of the server's
host over its own socket (or mutual TLS) and from there to the guest, and is written down nowhere. So there is nothing
to be erased, and nothing to be resumed: when a process dies between, the caller gets no answer and asks again, which
changes the same to the same. What is recorded is that somebody asked, and how it ended (``begin`` and ``end`` are two
transactions). Where the server has an RSA key pair, the password encrypted to it is kept for the pair's holder
(``GET …/os-server-password``), as Nova does it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from stackling.compute import block_devices, changes, hosts, rows, servers, timeline
from stackling.compute.model import ServerRow
from stackling.core.context import Context
from stackling.core.errors import Conflict
from stackling.store.transaction import Tx

ACTION = "changePassword"
RUNNING = 1
NOT_ENABLED = "QEMU guest agent is not enabled"


@dataclass(frozen=True, slots=True)
class Change:
    """Whom to ask for it: the agent at *address*, for *user* of the server. ``refusal``: nobody, and why."""

    server_id: str
    user: str
    address: str | None
    public_key: str | None
    refusal: str | None = None


def begin(tx: Tx, ctx: Context, server: ServerRow) -> Change:
    """Note that somebody asks for it. Raises ``Conflict`` for a locked server, or one that isn't active; what only
    Nova's compute service would find is recorded, and refused by ``Change.refusal``."""
    servers.check_unlocked(ctx, server)
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    servers.check_state(server, ACTION, ("active",))
    image: Mapping[str, Any] = server["image"] or {"properties": {}}
    properties: Mapping[str, Any] = image["properties"]
    keypair: Mapping[str, str] = server["keypair"] or {}
    change = Change(server["id"], admin_user(properties), hosts.get_host(tx, server["host_id"])["address"],
                    keypair.get("public_key"), _refusal(server, properties))
    timeline.add(tx, [timeline.entry(tx, ctx, server, ACTION, error=change.refusal)])
    tx.event(ctx, "server", server["id"], ACTION, change.refusal, project_id=server["project_id"])
    return change


def end(tx: Tx, ctx: Context, change: Change, *, sealed: str | None = None, error: str | None = None) -> None:
    """Note how it ended: *error*, or *sealed* to be kept for the key pair's holder."""
    server = rows.get(tx, change.server_id)
    if server is None or server["deleted"]:
        return
    timeline.end(tx, server, ctx.request_id, ACTION, error)
    if error is not None:
        tx.event(ctx, "server", server["id"], "change_password_failed", error, project_id=server["project_id"])
    elif sealed is not None:
        changes.apply(tx, server, {"password": sealed})


def forget(tx: Tx, server: ServerRow) -> None:
    """Keep it for nobody any more."""
    if server["password"] is not None:
        changes.apply(tx, server, {"password": None})


def _refusal(server: ServerRow, properties: Mapping[str, Any]) -> str | None:
    if server["power_state"] != RUNNING:
        return f"Failed to set admin password on {server['id']} because instance {server['id']} is not running"
    if not block_devices.is_true(properties.get("hw_qemu_guest_agent", False)):
        return NOT_ENABLED
    return None


def admin_user(properties: Mapping[str, Any]) -> str:
    """Whose password it is: as the image says, or by its operating system."""
    windows = str(properties.get("os_type", "")).lower() == "windows"
    return str(properties.get("os_admin_user") or ("Administrator" if windows else "root"))


def sealed(public_key: str | None, password: str) -> str | None:
    """The password in base64 so that only the holder of the RSA key can read it (PKCS #1 v1.5, which is what
    ``nova get-password`` undoes); None for other keys, and for what is too long for the key."""
    if public_key is None or not public_key.startswith("ssh-rsa"):
        return None
    try:
        key = load_ssh_public_key(public_key.strip().encode())
        if not isinstance(key, rsa.RSAPublicKey):
            return None
        return base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()
    except (ValueError, UnsupportedAlgorithm):
        return None
