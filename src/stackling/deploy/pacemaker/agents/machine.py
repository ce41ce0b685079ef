"""This machine as ``/etc/stackling`` describes it, and talking to what runs on it and on the control machines."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import tomllib
from pathlib import Path
from typing import Any

from .resource import Code, Failed

ETC, RUN = Path("/etc/stackling"), Path("/run/stackling")
PUBLIC_PORT, INTERNAL_PORT = 8700, 8701


def name() -> str:
    """This machine's name."""
    return _text(ETC / "machine")


def cluster() -> dict[str, Any]:
    """The cluster's description."""
    try:
        with (ETC / "cluster.toml").open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Failed(f"{ETC}/cluster.toml: {error}; run `stackling cluster join`", Code.INSTALLED) from None


def address() -> str:
    """This machine's address on the management network."""
    own = name()
    for machine in cluster().get("machines", ()):
        if machine.get("name") == own:
            return str(machine["address"])
    raise Failed(f"machine {own} isn't in {ETC}/cluster.toml", Code.CONFIGURED)


def control_addresses() -> list[str]:
    """Those of the control machines, this machine first."""
    own = name()
    found = [machine for machine in cluster().get("machines", ()) if machine.get("control", True)]
    return [str(machine["address"]) for machine in sorted(found, key=lambda one: one.get("name") != own)]


def credential() -> str:
    """What this machine shows to control, beside its certificate."""
    return _text(ETC / "secrets/credential")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}; run `stackling cluster join`", Code.INSTALLED) from None


def identity() -> ssl.SSLContext:
    """TLS as this machine, towards others of the cluster."""
    pki = ETC / "pki"
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "machine.crt"), str(pki / "machine.key"))
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{pki}: {error}", Code.INSTALLED) from None
    return context


def control() -> ssl.SSLContext:
    """TLS as the control machines know each other: one certificate, the same on all of them."""
    path = ETC / "secrets/control_identity"
    try:
        context = ssl.create_default_context(cafile=str(path))
        context.check_hostname = False
        context.load_cert_chain(str(path))
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{path}: {error}", Code.INSTALLED) from None
    return context


def anybody() -> ssl.SSLContext:
    """TLS to this machine itself, whatever its certificate: only used on the loopback interface."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str] | None = None,
        body: Any = None) -> tuple[int, Any]:
    """(status, the answer as JSON where it is). Raises ``OSError``."""
    try:
        connection.request(method, path, None if body is None else json.dumps(body).encode(),
                           {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        data = answer.read(1 << 20)
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP: {error}") from None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, None


def converse(place: tuple[str, int] | Path, limit: float, *, send: bytes = b"", expect: bytes = b"",
             context: ssl.SSLContext | None = None) -> bytes:
    """Connect, send, and read until *expect* has come (or anything, when it is empty). Raises ``OSError``."""
    end = time.monotonic() + limit
    plain = socket.socket(socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET)
    with plain:
        plain.settimeout(limit)
        plain.connect(str(place) if isinstance(place, Path) else place)
        wire = context.wrap_socket(plain, server_hostname=str(place[0])) if context and isinstance(place, tuple) \
            else plain
        with wire:
            wire.sendall(send)
            data = b""
            while not data or expect not in data:
                wire.settimeout(max(0.05, end - time.monotonic()))
                piece = wire.recv(4096)
                if not piece:
                    raise ConnectionError("the connection was closed")
                data += piece
            return data
