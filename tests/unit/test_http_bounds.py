"""How long the server waits for a request's body, with its windows made short."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from stackling.main import http
from stackling.main.http import BoundedHttp

WINDOW, BYTES = 0.5, 50
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
Scope = dict[str, Any]


class App:
    """Reads the body, as slowly as it is told, and answers with its length; forgets what broke off."""

    def __init__(self) -> None:
        self.pause, self.reads = 0.0, True
        self.running = 0
        self.ended: list[int | None] = []

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.running += 1
        try:
            self.ended.append(size := await self._read(receive) if self.reads else 0)
            if size is not None:
                text = str(size).encode()
                await send({"type": "http.response.start", "status": 200,
                            "headers": [(b"content-length", str(len(text)).encode())]})
                await send({"type": "http.response.body", "body": text})
        finally:
            self.running -= 1

    async def _read(self, receive: Callable[..., Any]) -> int | None:
        size = 0
        while True:
            await asyncio.sleep(self.pause)
            event = await receive()
            if event["type"] != "http.request":
                return None
            size += len(event.get("body", b""))
            if not event.get("more_body"):
                return size


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def address(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(http, "BODY_WINDOW", WINDOW)
    monkeypatch.setattr(http, "SLOWEST_BODY", BYTES)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedHttp, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes, or answers 200."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while (data := connection.recv(4096)) and not (found := found + data).startswith(b"HTTP/1.1 200"):
            pass
    return found


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=10)


def test_an_announced_body_that_does_not_come_is_given_up(app: App, address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\n")
        found = answer(connection)
    assert found.startswith(b"HTTP/1.1 408 ")
    assert found.endswith(f"The body came too slowly: 0 bytes in {WINDOW:g} seconds.".encode())
    while app.running:
        time.sleep(0.01)
    assert app.ended == [None]


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_drips_is_given_up(app: App, address: tuple[str, int], head: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD + head)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + 5 * WINDOW:
                connection.sendall(b"1\r\na\r\n" if b"chunked" in head else b"a")
                time.sleep(WINDOW / 10)
        assert answer(connection).startswith(b"HTTP/1.1 408 ")
    assert app.ended == [None]


def test_a_slow_upload_goes_through(app: App, address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 640\r\n\r\n")
        for _ in range(10):
            connection.sendall(bytes(64))
            time.sleep(WINDOW / 2)
        assert answer(connection).endswith(b"640")


def test_a_reader_that_is_slow_costs_nobody_the_upload(app: App, address: tuple[str, int]) -> None:
    app.pause = 3 * WINDOW
    with connect(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 500000\r\n\r\n" + bytes(300_000))
        time.sleep(2 * WINDOW)
        connection.sendall(bytes(200_000))
        assert answer(connection).endswith(b"500000")


def test_who_waits_to_be_told_to_go_on_is_not_slow(app: App, address: tuple[str, int]) -> None:
    app.pause = 3 * WINDOW
    with connect(address) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert answer(connection).endswith(b"2")


def test_what_comes_after_the_answer_is_bounded_too(app: App, address: tuple[str, int]) -> None:
    app.reads = False
    with connect(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        assert answer(connection).endswith(b"0")
        with pytest.raises(ConnectionError):
            drip(connection)


def drip(connection: socket.socket) -> None:
    """A byte now and then."""
    until = time.monotonic() + 10 * WINDOW
    while time.monotonic() < until:
        connection.sendall(b"a")
        time.sleep(WINDOW / 10)


def test_kept_alive_connections_serve_several(app: App, address: tuple[str, int]) -> None:
    with connect(address) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"Content-Length: 4\r\n\r\nabcd")
            assert answer(connection).endswith(b"4")
            time.sleep(1.5 * WINDOW)
    assert app.ended == [4, 4, 4]
