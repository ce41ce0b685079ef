"""A control node that takes connections and says nothing: the next one is asked soon."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from stackling.agent.keys import KeyFetch
from stackling.agent.leases import Leases
from stackling.agent.wire import Endpoint, Lane
from stackling.ha.model import Settings
from stackling.ports.document import VolumeKey


class Node(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    beats = 0

    def do_GET(self) -> None:
        self.answer(200, msgspec.json.encode(VolumeKey(passphrase="open")))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).beats += 1
        self.answer(204, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def nodes() -> Iterator[list[Endpoint]]:
    """One that hangs, and one that answers."""
    with socket.create_server(("127.0.0.1", 0)) as hung, ThreadingHTTPServer(("127.0.0.1", 0), Node) as well:
        threading.Thread(target=well.serve_forever, daemon=True).start()
        yield [Endpoint.parse(f"http://127.0.0.1:{one}") for one in (hung.getsockname()[1], well.server_port)]
        well.shutdown()


def test_a_key_comes_from_the_next_node(nodes: list[Endpoint]) -> None:
    began = time.monotonic()
    assert KeyFetch(nodes, {})("k") == "open"
    assert time.monotonic() - began < 10


def test_a_heartbeat_comes_to_the_next_node_before_it_counts_as_lost(nodes: list[Endpoint]) -> None:
    async def beat() -> None:
        await Leases(Lane(nodes, {}), Lane(nodes, {}), "m1", "boot-1", lambda held: None).beat()

    before, began = Node.beats, time.monotonic()
    asyncio.run(beat())
    assert Node.beats == before + 1
    assert time.monotonic() - began < Settings().loss_after
