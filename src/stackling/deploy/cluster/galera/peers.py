"""How the start programs of the control machines talk: a line of JSON each way, over TLS with the control identity.

Whoever can't show that identity isn't heard. Every call is bounded; no answer means nothing.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from stackling.deploy.cluster.galera.layout import PEER_PORT
from stackling.deploy.cluster.galera.rules import Report

log = logging.getLogger(__name__)
TIMEOUT = 1.5               # seconds a peer has for its answer
LONGEST = 4096


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``report``: how are you; ``promise``: accept nothing below *epoch*; ``leave``: stay while *name* leaves."""

    name: str
    ask: Literal["report", "promise", "leave"]
    epoch: int = 0


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*granted* has no meaning for ``report``."""

    report: Report
    granted: bool = False


class Peers:
    """The other control machines, by name and address, asked all at once."""

    def __init__(self, name: str, addresses: Mapping[str, str], identity: Path) -> None:
        self._name, self._addresses = name, dict(addresses)
        self._tls = _context(identity, ssl.PROTOCOL_TLS_CLIENT)
        self._pool = ThreadPoolExecutor(max(1, len(self._addresses)), thread_name_prefix="ask")

    def ask(self, what: Literal["report", "promise", "leave"], epoch: int = 0,
            whom: tuple[str, ...] | None = None) -> list[Answer]:
        """The answers of those (all, or *whom*) that gave one."""
        question = Question(self._name, what, epoch)
        names = [name for name in self._addresses if whom is None or name in whom]
        return [answer for answer in self._pool.map(lambda name: self._ask(name, question), names) if answer]

    def _ask(self, name: str, question: Question) -> Answer | None:
        try:
            with socket.create_connection((self._addresses[name], PEER_PORT), TIMEOUT) as plain, \
                    self._tls.wrap_socket(plain) as connection:
                connection.sendall(msgspec.json.encode(question) + b"\n")
                answer = msgspec.json.decode(_line(connection), type=Answer)
        except (OSError, msgspec.DecodeError) as error:
            log.debug("no answer from %s: %s", name, error)
            return None
        return answer if answer.report.name == name else None


class Listener:
    """Answers the others' questions, in threads of its own, until closed."""

    def __init__(self, address: str, identity: Path, answer: Callable[[Question], Answer]) -> None:
        self._tls = _context(identity, ssl.PROTOCOL_TLS_SERVER)
        self._answer = answer
        self._socket = socket.create_server((address, PEER_PORT), backlog=16)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="answer")
        threading.Thread(target=self._accept, name="peers", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(RuntimeError):
                self._pool.submit(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(TIMEOUT)
        try:
            with plain, self._tls.wrap_socket(plain, server_side=True) as connection:
                question = msgspec.json.decode(_line(connection), type=Question)
                connection.sendall(msgspec.json.encode(self._answer(question)) + b"\n")
        except (OSError, msgspec.DecodeError) as error:
            log.debug("a question was not understood: %s", error)
        except Exception:
            log.exception("a question could not be answered")


def _context(identity: Path, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False          # the identity is the same on all of them, and on nobody else
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(identity)
    context.load_cert_chain(identity)
    return context


def _line(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        if len(data) > LONGEST or not (more := connection.recv(LONGEST)):
            raise ConnectionError("no whole line came")
        data += more
    return data
