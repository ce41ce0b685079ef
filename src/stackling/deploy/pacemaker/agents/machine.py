"""This machine as ``/etc/stackling`` describes it, and talking to what runs on it and on the control machines."""

from __future__ import annotations

# What takes long to be imported is imported where it is used: agents are called every few seconds.
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resource import Code, Failed

if TYPE_CHECKING:
    import ssl

ETC, RUN = Path("/etc/stackling"), Path("/run/stackling")
PUBLIC_PORT, INTERNAL_PORT = 8700, 8701
LARGEST = 1 << 20               # bytes of an answer
Place = tuple[str, int] | Path
"""Where somebody listens: address and port, or a unix socket."""


def name() -> str:
    """This machine's name."""
    return _text(ETC / "machine")


def cluster() -> dict[str, Any]:
    """The cluster's description."""
    import tomllib

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
    import ssl

    pki = ETC / "pki"
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "machine.crt"), str(pki / "machine.key"))
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{pki}: {error}", Code.INSTALLED) from None
    return context


def control() -> ssl.SSLContext:
    """TLS as the control machines know each other: one certificate, the same on all of them."""
    import ssl

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
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(place: Place, limit: float, method: str, path: str, *, headers: dict[str, str] | None = None, body: Any = None,
        context: ssl.SSLContext | None = None) -> tuple[int, Any]:
    """One HTTP request: (status, the answer as JSON where it is). Raises ``OSError``.

    By hand, because ``http.client`` takes four times as long to be imported as all of an agent's own work.
    """
    data = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost" if isinstance(place, Path) else place[0], "Accept": "application/json",
              "Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    head = f"{method} {path} HTTP/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    answer = _exchange(place, limit, head.encode() + b"\r\n" + data, lambda got: len(got) > LARGEST, context)
    first, _, rest = answer.partition(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectionError("no HTTP")
    try:
        return int(words[1]), json.loads(rest.partition(b"\r\n\r\n")[2])
    except ValueError:
        return int(words[1]), None


def converse(place: Place, limit: float, *, send: bytes = b"", expect: bytes = b"",
             context: ssl.SSLContext | None = None) -> bytes:
    """Connect, send, and read until *expect* has come (or anything, when it is empty). Raises ``OSError``."""
    answer = _exchange(place, limit, send, lambda got: bool(got) and expect in got, context)
    if not answer or expect not in answer:
        raise ConnectionError("the connection was closed")
    return answer


def _exchange(place: Place, limit: float, send: bytes, enough: Callable[[bytes], bool],
              context: ssl.SSLContext | None) -> bytes:
    """What comes back until it is *enough* or the other side closes. Raises ``OSError``."""
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
            while not enough(data):
                wire.settimeout(max(0.05, end - time.monotonic()))
                piece = wire.recv(4096)
                if not piece:
                    break
                data += piece
            return data
