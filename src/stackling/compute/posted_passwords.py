"""The password that a server posts to its metadata service, encrypted by itself to its key pair (as Windows guests do).

As Nova's: whoever runs in the server may post one while there is none, and ``DELETE …/os-server-password`` makes room
for another. What it says is the server's affair; it is kept for the server's owner as it came.
"""

from __future__ import annotations

from stackling.compute import changes, hosts, rows
from stackling.compute.model import ServerRow
from stackling.core.errors import Conflict, Forbidden, Invalid
from stackling.store.transaction import Tx

LARGEST = 1020              # bytes, as upstream


def posted(tx: Tx, machine_id: str, server_id: str) -> str:
    """What is kept of the server's password; empty: nothing. Raises ``Forbidden`` when it isn't on this machine."""
    return str(_server(tx, machine_id, server_id)["password"] or "")


def post(tx: Tx, machine_id: str, server_id: str, password: bytes) -> None:
    """Keep *password*. Raises ``Forbidden``, ``Invalid`` for what isn't text or too long, and ``Conflict``."""
    server = _server(tx, machine_id, server_id)
    if server["password"]:
        raise Conflict("The server has a password already.")
    if len(password) > LARGEST:
        raise Invalid("Request is too large.")
    try:
        text = password.decode()
    except UnicodeDecodeError:
        raise Invalid("The password isn't text in UTF-8.") from None
    if "\0" in text:
        raise Invalid("The password holds a zero byte.")
    changes.apply(tx, server, {"password": text})


def _server(tx: Tx, machine_id: str, server_id: str) -> ServerRow:
    server = rows.get(tx, server_id)
    if (server is None or server["deleted"] or server["host_id"] is None
            or hosts.get_host(tx, server["host_id"])["machine_id"] != machine_id):
        raise Forbidden(f"Server {server_id} isn't on this machine.")
    return server
