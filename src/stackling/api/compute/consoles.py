"""Remote consoles: addresses with a token, for browsers (noVNC) and terminals (serial)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import Json, obj, only, route
from stackling.api.console import PAGE, SOCKET
from stackling.api.schema import Schemas
from stackling.compute import consoles, servers
from stackling.compute.model import ServerRow
from stackling.core.errors import Invalid, Unauthorized
from stackling.core.ids import new_id
from stackling.ports.hypervisor import ConsoleKind

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

KINDS = {("vnc", "novnc"): ConsoleKind.VNC, ("serial", "serial"): ConsoleKind.SERIAL}
"""What is offered, by protocol and type; all else is unavailable, as in a Nova that isn't configured for it."""
ONCE = "X-Stackling-Console"
"""A request that says ``once`` in this header gets a token for a single console; unmodified clients don't, since theirs
may come back with the same address, as Nova lets them."""
_OLD = {"os-getVNCConsole": "vnc", "os-getSPICEConsole": "spice", "os-getSerialConsole": "serial",
        "os-getRDPConsole": "rdp"}


def _url(tx: Tx, call: Call, server: ServerRow, protocol: str, type: str) -> str:
    kind = KINDS.get((protocol, type))
    video = (server["image"] or {}).get("properties", {}).get("hw_video_model")
    if kind is None or (kind is ConsoleKind.VNC and video == "none"):
        raise Invalid(f"Unavailable console type {type}.")
    token = new_id()
    consoles.issue(tx, call.ctx, server, kind, token, call.header(ONCE) == "once")
    socket = f"{SOCKET}?token={token}"
    if kind is ConsoleKind.VNC:
        return f"{call.base}{PAGE}?path={quote(socket.removeprefix('/'), safe='')}"
    return f"{call.base.replace('http', 'ws', 1)}{socket}"


def remote_console(tx: Tx, call: Call) -> Reply:
    """POST …/remote-consoles."""
    server = servers.get_server(tx, call.ctx, call.params["id"])
    wanted: Json = call.body["remote_console"]
    url = _url(tx, call, server, wanted["protocol"], wanted["type"])
    return Reply({"remote_console": {"protocol": wanted["protocol"], "type": wanted["type"], "url": url}})


def old_console(action: str, tx: Tx, call: Call, server: ServerRow, value: Json) -> Reply:
    """The actions from before 2.6."""
    type = value["type"] if isinstance(value, dict) and "type" in value else "rdp-html5"
    return Reply({"console": {"type": type, "url": _url(tx, call, server, _OLD[action], type)}}, 200)


def show_token(tx: Tx, call: Call) -> Reply:
    """GET /os-console-auth-tokens/{token}. Consoles have no ports here: proxies reach them through the host's agent."""
    found = consoles.find(tx, call.params["token"])
    if call.version < (2, 31):
        raise Unauthorized("The requested console type details are not accessible")
    shown: Json = {"instance_uuid": found.server_id, "host": found.host, "port": 0, "internal_access_path": None}
    if call.version >= (2, 99):
        shown["tls_port"] = None
    return Reply({"console": shown})


def _console(*types: str) -> Json:
    protocols = ["vnc", "spice", "serial", "rdp", *(["mks"] if "webmks" in types else [])]
    return only("remote_console", obj({"protocol": {"type": "string", "enum": protocols},
                                       "type": {"type": "string", "enum": list(types)}}, "protocol", "type"))


_TYPES = ("novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5")
ROUTES = [
    route("POST", "/servers/{id}/remote-consoles", remote_console, "os-remote-consoles", min=(2, 6), body=Schemas({
        (2, 6): _console(*_TYPES), (2, 8): _console(*_TYPES, "webmks"),
        (2, 99): _console(*_TYPES, "webmks", "spice-direct")})),
    route("GET", "/os-console-auth-tokens/{token}", show_token, "os-console-auth-tokens"),
]
