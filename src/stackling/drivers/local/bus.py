"""A bus for the processes of one machine: unix datagrams, one socket a listener in a common directory.

Theory of operation. Whoever listens binds ``<directory>/<pid>-<random>``; whoever sends writes one datagram to every
socket in the directory, without ever waiting: a full queue means that its owner has been woken already and hasn't
looked yet, a refused one belongs to a dead process and is deleted. The list of sockets is read again when the
directory's modification time changes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)
Keys = Sequence[tuple[str, str]]
LARGEST = 32 * 1024
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[str, str]]).decode


class LocalBus:
    """``ports.bus.Bus`` in *directory* (which only we may enter)."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._own = directory / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._receiver: socket.socket | None = None
        self._listeners: list[Callable[[Keys], None]] = []
        self._peers: list[str] = []
        self._read_at = -1
        self._lock = threading.Lock()

    def send(self, keys: Keys) -> None:
        self._deliver(keys)
        data = _encode(keys)
        if len(data) > LARGEST:
            data = b"[]"
        for peer in self._others():
            try:
                self._sender.sendto(data, peer)
            except (ConnectionRefusedError, FileNotFoundError):
                self._bury(peer)
            except OSError as error:
                log.debug("wake-up to %s is lost: %s", peer, error)

    def listen(self, woken: Callable[[Keys], None]) -> None:
        self._listeners.append(woken)
        with self._lock:
            if self._receiver is not None:
                return
            self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._receiver.bind(str(self._own))
        threading.Thread(target=self._receive, args=(self._receiver,), name="bus", daemon=True).start()

    def close(self) -> None:
        if self._receiver is not None:
            with contextlib.suppress(OSError):
                self._sender.sendto(b"", str(self._own))        # ends the thread
            self._own.unlink(missing_ok=True)
        self._sender.close()

    # -- how

    def _deliver(self, keys: Keys) -> None:
        for woken in self._listeners:
            try:
                woken(keys)
            except Exception:
                log.exception("a listener failed")

    def _receive(self, receiver: socket.socket) -> None:
        while True:
            try:
                data = receiver.recv(2 * LARGEST)
            except OSError:
                return
            if not data:
                receiver.close()
                return
            try:
                keys = _decode(data)
            except msgspec.DecodeError:
                keys = []
            self._deliver(keys)

    def _others(self) -> list[str]:
        try:
            changed = self._directory.stat().st_mtime_ns
            if changed != self._read_at:
                self._peers = [entry.path for entry in os.scandir(self._directory) if entry.path != str(self._own)]
                self._read_at = changed
        except OSError:
            return []
        return self._peers

    def _bury(self, peer: str) -> None:
        with contextlib.suppress(OSError):
            Path(peer).unlink(missing_ok=True)
        self._read_at = -1
