"""Stand-ins for a control machine's services, as small as Pacemaker's resource agents need them.

``stand_in.py KIND`` runs on a lab machine under /usr/bin/python3. Each speaks just enough of the real protocol; files
under /run/stackling/stand-in change how it behaves.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

ETC, RUN = Path("/etc/stackling"), Path("/run/stackling")
PLACE = RUN / "stand-in"
LEASES = PLACE / "leases"
VERSION = b'{"error":null,"id":0,"result":"a stand-in"}'


def tls(*, mutual: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ETC / "pki/machine.crt", ETC / "pki/machine.key")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ETC / "pki/ca.crt")
    return context


class Talk(socketserver.BaseRequestHandler):
    """Sends ``greeting``, then answers every piece with ``answer``, or itself."""

    greeting = b""
    answer: bytes | None = None

    def handle(self) -> None:
        wire: Any = self.request
        try:
            if self.greeting:
                wire.sendall(self.greeting)
            while piece := wire.recv(4096):
                wire.sendall(self.answer or piece)
        except OSError:
            pass


def talk(place: Path | tuple[str, int], **how: Any) -> socketserver.BaseServer:
    handler = type("Handler", (Talk,), how)
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        return socketserver.ThreadingUnixStreamServer(str(place), handler)
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    return socketserver.ThreadingTCPServer(place, handler)


class Web(http.server.BaseHTTPRequestHandler):
    """The API, the engine and the agent in one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hosts":
            self.reply(200, {"machine": "m", "hosts": {one.name: "held" for one in sorted(LEASES.iterdir())}})
        elif self.path == "/healthz" and (PLACE / "no-database").exists():
            self.reply(503, {"ready": False, "missing": ["the database doesn't answer"]})
        else:
            self.reply(200, {"ready": True})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = self.path.strip("/").split("/")
        host, verb = words[-2], words[-1]
        if words[2] != (ETC / "machine").read_text().strip():       # each machine's leases are its own files
            self.reply(503, {"error": {"message": "ask your own machine's engine"}})
        elif verb == "take" and (PLACE / "refuse").exists():
            self.reply(409, {"error": {"message": "m9 isn't proven to be off"}})
        elif verb == "take" and len(self.headers.get("X-Machine-Credential", "")) != 64:
            self.reply(403, {"error": {"message": "who are you?"}})
        else:
            (LEASES / host).touch() if verb == "take" else (LEASES / host).unlink(missing_ok=True)
            self.reply(200, {"host": host, "epoch": 1} if verb == "take" else {"host": host, "released": True})

    def reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "somebody"

    def log_message(self, format: str, *args: Any) -> None:
        pass


def web(port: int, *, mutual: bool) -> socketserver.BaseServer:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Web)
    server.socket = tls(mutual=mutual).wrap_socket(server.socket, server_side=True)
    return server


class UnixWeb(socketserver.ThreadingUnixStreamServer):
    def get_request(self) -> tuple[Any, Any]:
        return super().get_request()[0], ("local", 0)


def beside(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


def unix_web(path: Path) -> socketserver.BaseServer:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return UnixWeb(str(path), Web)


def main(kind: str) -> None:
    LEASES.mkdir(parents=True, exist_ok=True)
    match kind:
        case "database":
            server = talk(RUN / "database.sock", greeting=b"\x4a\x00\x00\x00\x0a5.5.5-10.11 stand-in\x00")
        case "rabbitmq":
            server = talk(("127.0.0.1", 5672), answer=b"\x01\x00\x00\x00\x00\x00\x00\xce")
        case "ovn-nb" | "ovn-sb":
            server = talk(RUN / f"ovn/{kind.removeprefix('ovn-')}.sock")
        case "northd":
            server = talk(RUN / "ovn/northd.ctl", answer=VERSION)
        case "ovs-db":
            server = talk(RUN / "ovs/conf.sock")
        case "ovs-switch":
            server = talk(RUN / "ovs/ovs-vswitchd.ctl", answer=VERSION)
        case "ovn-controller":
            server = talk(RUN / f"ovs/ovn-controller.{os.getpid()}.ctl", answer=VERSION)
            (RUN / "ovs/ovn-controller.pid").write_text(f"{os.getpid()}\n")
        case "api":
            server = web(8700, mutual=False)
            beside(unix_web(RUN / "health/api.sock"))
        case "engine":
            server = web(8701, mutual=True)
            beside(unix_web(RUN / "health/engine.sock"))
        case "agent":
            server = unix_web(RUN / "agent.sock")
        case _:
            sys.exit(f"there is no stand-in for {kind}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.connect(os.environ["NOTIFY_SOCKET"])
        way.send(b"READY=1")
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
