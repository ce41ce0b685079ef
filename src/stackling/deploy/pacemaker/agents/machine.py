"""This machine as ``/etc/stackling`` describes it, and talking to what runs on it and on the control machines."""

from __future__ import annotations

import _socket  # what ``socket`` is made of: a monitor needs no more, and it costs nothing to import
import time

from .resource import Code, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    Place = tuple[str, int] | str
    """Where somebody listens: address and port, or the path of a unix socket."""

ETC, RUN = "/etc/stackling", "/run/stackling"
INTERNAL_PORT = 8701
LARGEST = 1 << 20               # bytes of an answer


def name() -> str:
    """This machine's name."""
    return _text(f"{ETC}/machine")


def cluster() -> dict[str, Any]:
    """The cluster's description."""
    import tomllib

    try:
        with open(f"{ETC}/cluster.toml", "rb") as file:
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
    return _text(f"{ETC}/secrets/credential")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}; run `stackling cluster join`", Code.INSTALLED) from None


def identity() -> ssl.SSLContext:
    """TLS as this machine, towards others of the cluster."""
    import ssl

    pki = f"{ETC}/pki"
    try:
        context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        context.load_cert_chain(f"{pki}/machine.crt", f"{pki}/machine.key")
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{pki}: {error}", Code.INSTALLED) from None
    return context


def anybody() -> ssl.SSLContext:
    """TLS to this machine itself, whatever its certificate: only used on the loopback interface."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(place: Place, limit: float, method: str, path: str, *, headers: dict[str, str] | None = None, body: Any = None,
        context: ssl.SSLContext | None = None) -> tuple[int, Any]:
    """One HTTP request: (status, the answer as JSON where it is). Raises ``OSError``."""
    import json

    data = b"" if body is None else json.dumps(body).encode()
    status, answer = request(place, limit, method, path, headers=headers, data=data, context=context)
    try:
        return status, json.loads(answer)
    except ValueError:
        return status, None


def request(place: Place, limit: float, method: str, path: str, *, headers: dict[str, str] | None = None,
            data: bytes = b"", context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """One HTTP request: (status, body). Raises ``OSError``.

    By hand, because ``http.client`` takes four times as long to be imported as all of an agent's own work.
    """
    fields = {"Host": "localhost" if isinstance(place, str) else place[0], "Accept": "application/json",
              "Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    head = f"{method} {path} HTTP/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    answer = _exchange(place, limit, head.encode() + b"\r\n" + data, lambda got: len(got) > LARGEST, context)
    first, _, rest = answer.partition(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ConnectionError("no HTTP")
    return int(words[1]), rest.partition(b"\r\n\r\n")[2]


def converse(place: Place, limit: float, *, send: bytes = b"", expect: bytes = b"") -> bytes:
    """Connect, send, and read until *expect* has come (or anything, when it is empty). Raises ``OSError``."""
    answer = _exchange(place, limit, send, lambda got: bool(got) and expect in got, None)
    if not answer or expect not in answer:
        raise ConnectionError("the connection was closed")
    return answer


def echo(place: Place, limit: float) -> None:
    """A server of Open vSwitch's databases answers (RFC 7047, 4.1.11). Raises ``OSError``."""
    converse(place, limit, send=b'{"id":"echo","method":"echo","params":["stackling"]}', expect=b"stackling")


def alive(place: Place, limit: float) -> None:
    """A daemon of Open vSwitch or OVN answers at its control socket (ovs-appctl(8)). Raises ``OSError``."""
    converse(place, limit, send=b'{"id":0,"method":"version","params":[]}', expect=b'"result"')


def _exchange(place: Place, limit: float, send: bytes, enough: Callable[[bytes], bool],
              context: ssl.SSLContext | None) -> bytes:
    """What comes back until it is *enough* or the other side closes. Raises ``OSError``."""
    end = time.monotonic() + limit
    wire = _connected(place, limit, context)
    try:
        wire.sendall(send)
        data = b""
        while not enough(data):
            wire.settimeout(max(0.05, end - time.monotonic()))
            piece = wire.recv(4096)
            if not piece:
                break
            data += piece
        return data
    finally:
        wire.close()


def _connected(place: Place, limit: float, context: ssl.SSLContext | None) -> _socket.socket:
    if context is None or isinstance(place, str):
        plain = _socket.socket(_socket.AF_UNIX if isinstance(place, str) else _socket.AF_INET, _socket.SOCK_STREAM)
        try:
            plain.settimeout(limit)
            plain.connect(place)
        except BaseException:
            plain.close()
            raise
        return plain
    import socket

    with socket.create_connection(place, limit) as secured:
        return context.wrap_socket(secured, server_hostname=place[0])
