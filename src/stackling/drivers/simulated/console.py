"""Consoles of simulated guests: a screen that says hello by RFB (RFC 6143), a serial port that echoes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

from stackling.ports.hypervisor import ConsoleKind

WIDTH, HEIGHT = 640, 400
PATIENCE = 3600.0           # seconds for which a peer may be silent
_PIXELS = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


def connect(server_id: str, kind: ConsoleKind, log: str) -> socket.socket:
    """One end of a console; a thread plays the guest at the other end until this one is closed."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE)
    play: Callable[[], None] = (lambda: _screen(theirs, server_id)) if kind is ConsoleKind.VNC else (
        lambda: _terminal(theirs, log))
    threading.Thread(target=_playing, args=(theirs, play), name=f"console-{server_id[:8]}", daemon=True).start()
    return ours


def _playing(end: socket.socket, play: Callable[[], None]) -> None:
    with end, contextlib.suppress(OSError, EOFError):
        play()


def _screen(end: socket.socket, server_id: str) -> None:
    end.sendall(b"RFB 003.008\n")
    _take(end, 12)
    end.sendall(b"\x01\x01")                # one kind of security: none
    _take(end, 1)
    end.sendall(bytes(4))
    _take(end, 1)
    name = f"simulated {server_id}".encode()
    end.sendall(struct.pack(">HH", WIDTH, HEIGHT) + _PIXELS + struct.pack(">I", len(name)) + name)
    while end.recv(4096):
        pass                                # nothing ever changes on this screen


def _terminal(end: socket.socket, log: str) -> None:
    end.sendall(log.replace("\n", "\r\n").encode())
    while typed := end.recv(4096):
        end.sendall(typed)


def _take(end: socket.socket, length: int) -> None:
    while length:
        data = end.recv(length)
        if not data:
            raise EOFError
        length -= len(data)
