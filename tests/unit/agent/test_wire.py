"""The small HTTP client and server of the agent, against each other and against bad peers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stackling.agent import serve
from stackling.agent.report import Sequence
from stackling.agent.serve import Request, Response, Server
from stackling.agent.wire import ControlUnreachable, Endpoint, Lane

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listening(path: Path, peer: Peer) -> asyncio.Server:
    return await asyncio.start_unix_server(peer, path)


async def echo(request: Request) -> Response:
    return Response(200, f"{request.method} {request.target} {request.headers.get('x')} ".encode() + request.body)


def lane(*paths: Path) -> Lane:
    return Lane([Endpoint.parse(f"http+unix://{path}") for path in paths], {"X": "y"})


def fixed(*answers: bytes) -> Peer:
    """Answers each request of one connection in turn, then closes."""
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        await writer.drain()
        writer.close()
    return peer


def test_requests_share_a_connection(tmp_path: Path) -> None:
    async def run() -> None:
        connections = 0
        inner = Server().connected(echo, "x")

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await inner(reader, writer)

        async with await listening(tmp_path / "s", peer):
            one = lane(tmp_path / "s")
            assert (await one.request("GET", "/a", timeout=5)).body == b"GET /a y "
            assert (await one.request("POST", "/b", b"body", timeout=5)).body == b"POST /b y body"
            assert connections == 1
            await one.close()

    asyncio.run(run())


def test_a_kept_connection_that_was_closed_is_made_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with await listening(tmp_path / "s", fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")):
            one = lane(tmp_path / "s")
            for _ in range(3):
                assert (await one.request("GET", "/", timeout=5)).body == b"ok"
            await one.close()

    asyncio.run(run())


@pytest.mark.parametrize(("answer", "body"), [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n", b"abcde"),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest", b"rest"), (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x")])
def test_shapes_of_answers(tmp_path: Path, answer: bytes, body: bytes) -> None:
    async def run() -> None:
        async with await listening(tmp_path / "s", fixed(answer)):
            one = lane(tmp_path / "s")
            assert (await one.request("GET", "/", timeout=5)).body == body
            await one.close()

    asyncio.run(run())


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_nonsense_counts_as_unreachable(tmp_path: Path, answer: bytes) -> None:
    async def run() -> None:
        async with await listening(tmp_path / "s", fixed(answer)):
            with pytest.raises(ControlUnreachable):
                await lane(tmp_path / "s").request("GET", "/", timeout=1)

    asyncio.run(run())


def test_the_next_node_is_tried(tmp_path: Path) -> None:
    async def run() -> None:
        async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with (await listening(tmp_path / "hangs", hangs),
                    await listening(tmp_path / "good", Server().connected(echo, "x"))):
            one = lane(tmp_path / "gone", tmp_path / "hangs", tmp_path / "good")
            assert (await one.request("GET", "/a", timeout=0.2)).status == 200
            assert (await one.request("GET", "/b", timeout=0.2)).status == 200
            await one.close()
            with pytest.raises(ControlUnreachable, match=r"gone.*hangs"):
                await lane(tmp_path / "gone", tmp_path / "hangs").request("GET", "/", timeout=0.2)

    asyncio.run(run())


@pytest.mark.parametrize("url", ["ftp://x", "http://", "x"])
def test_urls_that_mean_nothing(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(url)


def test_urls() -> None:
    assert Endpoint.parse("http+unix:///run/x.sock").socket == Endpoint.parse("/run/x.sock").socket == "/run/x.sock"
    assert Endpoint.parse("https://c1").port == 443
    assert (Endpoint.parse("http://[::1]:8").host, Endpoint.parse("http://[::1]:8").port) == ("::1", 8)


@pytest.mark.parametrize(("sent", "status"), [
    (b"GET / HTTP/1.1\r\n\r\n", 200), (b"nonsense\r\n\r\n", 400), (b"GET  / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
    (b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431)])
def test_what_the_server_takes(tmp_path: Path, sent: bytes, status: int) -> None:
    async def run() -> None:
        callback = Server().connected(echo, "x")
        async with await asyncio.start_unix_server(callback, tmp_path / "s", limit=serve.MAX_HEAD):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(sent)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 %d " % status)
            writer.close()

    asyncio.run(run())


async def answered(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


def test_a_client_holds_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REQUEST_TIMEOUT", 0.5)

    async def run() -> None:
        server = await asyncio.start_server(Server().connected(echo, "x"), "127.0.0.1", 0, limit=serve.MAX_HEAD)
        async with server:
            port = server.sockets[0].getsockname()[1]
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(serve.CONNECTIONS_A_CLIENT)]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await answered(reader) == b""        # one too many, let go before it says anything
            for each, _ in held:                        # those that say nothing are let go
                assert await answered(each) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /again HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert b"/again" in await asyncio.wait_for(reader.read(), 5)
            for _, each in [*held, (reader, writer)]:
                each.close()

    asyncio.run(run())


def test_report_numbers_rise_over_restarts_and_clock_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [0]

    async def reserve(number: int) -> None:
        kept[0] = number

    async def take(sequence: Sequence) -> int:
        return await sequence.take()

    now = 2_000_000.0
    monkeypatch.setattr("stackling.core.clock.wall", lambda: now)
    first = Sequence(kept[0], reserve)
    numbers = [asyncio.run(take(first)) for _ in range(3)]
    now = 1_000.0                                       # the clock steps back
    numbers.append(asyncio.run(take(Sequence(kept[0], reserve))))
    now = 3_000_000.0
    numbers.append(asyncio.run(take(Sequence(0, reserve))))     # the ledger is lost
    assert numbers == sorted(set(numbers))
