"""A request whose client goes away while it waits for its turn is not carried out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from stackling.api.app import build_app
from stackling.api.call import Call
from stackling.api.cloud import Cloud
from stackling.api.policy import Policy
from stackling.api.route import Route, Service
from stackling.main.http import BoundedHttp
from stackling.store.database import Database


class Slow:
    """A service with one writer: its first request holds it until it is told to go on."""

    def __init__(self, directory: Path) -> None:
        self.came: list[str] = []
        self.first, self.go_on = threading.Event(), threading.Event()
        routes = [Route("POST", "/{name}", self._make, None, "write")]
        service = Service("slow", "/slow", routes, Policy({}), lambda error, _: (error.message, "text/plain"))
        self.database = Database(f"sqlite:///{directory / 'one.db'}")
        self.app = build_app(Cloud(self.database, self._nobody, public_url="http://x"), [service])

    def _make(self, _tx: Any, call: Call) -> dict[str, str]:
        self.came.append(call.params["name"])
        self.first.set()
        assert self.go_on.wait(30)
        return {"name": call.params["name"]}

    @staticmethod
    def _nobody(*_: Any) -> Any:
        raise AssertionError


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


@pytest.fixture
def server(slow: Slow) -> Iterator[uvicorn.Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(
        slow.app, loop="uvloop", http=BoundedHttp, lifespan="off", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with contextlib.closing(listener):
        yield server
        slow.go_on.set()
        server.should_exit = True
        thread.join(10)
    slow.database.close()


def ask(server: uvicorn.Server, name: str) -> socket.socket:
    connection = socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=30)
    connection.sendall(f"POST /slow/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    return connection


def until(well: Any) -> None:
    end = time.monotonic() + 30
    while not well():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_nobody_waits_for_any_more_is_not_begun(slow: Slow, server: uvicorn.Server) -> None:
    running = ask(server, "running")
    assert slow.first.wait(30)
    leaving = [ask(server, f"leaving-{number}") for number in range(5)]
    staying = ask(server, "staying")
    until(lambda: len(server.server_state.connections) == 7)
    for connection in leaving:
        connection.close()
    until(lambda: len(server.server_state.connections) == 2)
    slow.go_on.set()
    for connection in (running, staying):
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.close()
    assert slow.came == ["running", "staying"]
