"""Remote consoles: what is offered to whom, tokens, and the WebSocket behind them."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stackling.api import console
from stackling.api.dashboard import site
from stackling.compute import consoles
from stackling.core import clock
from stackling.store.tables.compute import console_tokens
from tests.api.compute_world import LATEST, V, World, version, world
from tests.api.conftest import Client

__all__ = ["world"]


def ask(client: Client, id: str, protocol: str = "vnc", type: str = "novnc", minor: int = 104,
        once: bool = False) -> Any:
    return client.post(f"{V}/servers/{id}/remote-consoles", {"remote_console": {"protocol": protocol, "type": type}},
                       headers=version(minor) | ({"X-Stackling-Console": "once"} if once else {}))


def token_of(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    return query["token"][0] if "token" in query else parse_qs(urlsplit(query["path"][0]).query)["token"][0]


def test_an_address_with_a_token(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    shown = ask(member, id).json()["remote_console"]
    assert (shown["protocol"], shown["type"]) == ("vnc", "novnc")
    assert urlsplit(shown["url"]).path == "/console/vnc.html"
    serial = ask(member, id, "serial", "serial").json()["remote_console"]["url"]
    assert serial.startswith("ws://")
    old = world.act(member, id, "os-getVNCConsole", {"type": "novnc"}, headers=version(5)).json()["console"]
    assert old["type"] == "novnc"
    details = world.admin.get(f"{V}/os-console-auth-tokens/{token_of(shown['url'])}", headers=LATEST).json()["console"]
    assert (details["instance_uuid"], details["host"]) == (id, "h1")
    stored = world.cloud.database.read(lambda tx: tx.all(console_tokens.select()))
    assert len(stored) == 3
    assert token_of(shown["url"]) not in str(stored)


def test_what_is_refused(world: World, member: Client, other: Client) -> None:
    id = world.create(member)["id"]
    assert ask(member, id).status_code == 409
    world.settle()
    assert ask(other, id).status_code == 404
    assert ask(member, id, minor=5).status_code == 404
    for protocol, type in (("spice", "spice-html5"), ("rdp", "rdp-html5"), ("mks", "webmks"), ("vnc", "xvpvnc"),
                           ("serial", "novnc"), ("vnc", "what")):
        assert ask(member, id, protocol, type).status_code == 400, type
    assert world.act(member, id, "os-getSPICEConsole", {"type": "spice-html5"}, headers=version(5)).status_code == 400
    token = token_of(ask(member, id).json()["remote_console"]["url"])
    path = f"{V}/os-console-auth-tokens/{token}"
    assert member.get(path, headers=LATEST).status_code == 403
    assert world.admin.get(path, headers=version(30)).status_code == 401
    assert world.admin.get(f"{V}/os-console-auth-tokens/bad", headers=LATEST).status_code == 404


def test_a_token_ends_with_its_time_and_its_server(world: World, member: Client,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    id = world.active(member)["id"]
    first, second = (token_of(ask(member, id).json()["remote_console"]["url"]) for _ in range(2))
    later = clock.wall() + consoles.SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr(clock, "wall", lambda: later)
        assert world.cloud.database.read(_known, first) is False
    assert world.cloud.database.read(_known, second) is True
    member.delete(f"{V}/servers/{id}")
    world.settle()
    assert world.cloud.database.read(_known, second) is False


def _known(tx: Any, token: str) -> bool:
    try:
        consoles.find(tx, token)
    except Exception:
        return False
    return True


class Browser:
    """One WebSocket, as the ASGI server shows it to us."""

    def __init__(self, token: str, origin: str | None = None) -> None:
        headers = [(b"host", b"cloud:8700"), *([(b"origin", origin.encode())] if origin else [])]
        self.scope = {"type": "websocket", "path": "/console/ws", "query_string": f"token={token}".encode(),
                      "headers": headers, "subprotocols": ["binary"]}
        self.to_cloud: asyncio.Queue[Any] = asyncio.Queue()
        self.to_us: asyncio.Queue[Any] = asyncio.Queue()
        self.to_cloud.put_nowait({"type": "websocket.connect"})

    async def run(self, world: World) -> None:
        app = console.serving(world.cloud.cloud, world.cloud.cloud)     # type: ignore[arg-type]
        await app(self.scope, self.to_cloud.get, self.to_us.put)


def test_bytes_go_both_ways(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    token = token_of(ask(member, id).json()["remote_console"]["url"])
    paths: list[str] = []

    async def play() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                writer.write(data.upper())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)

        async def tunnel(address: str, path: str) -> Any:
            paths.append(path)
            return await asyncio.open_connection(*server.sockets[0].getsockname()[:2])

        world.cloud.cloud.tunnel = tunnel
        for browser in (Browser("bad" + token), Browser(token, "http://evil.example")):
            await browser.run(world)
            assert (await browser.to_us.get())["type"] == "websocket.close"
        assert paths == []
        browser = Browser(token, "http://cloud:8700")
        running = asyncio.create_task(browser.run(world))
        assert await browser.to_us.get() == {"type": "websocket.accept", "subprotocol": "binary"}
        browser.to_cloud.put_nowait({"type": "websocket.receive", "bytes": b"hello"})
        assert await browser.to_us.get() == {"type": "websocket.send", "bytes": b"HELLO"}
        browser.to_cloud.put_nowait({"type": "websocket.disconnect"})
        await asyncio.wait_for(running, 10)
        server.close()

    world.cloud.database.write(lambda tx: tx.execute(_address()))
    asyncio.run(play())
    assert paths == [f"/servers/{id}/consoles/vnc"]


def test_a_token_for_a_single_use_opens_one_console(world: World, member: Client) -> None:
    id = world.active(member)["id"]
    usual = token_of(ask(member, id).json()["remote_console"]["url"])
    spent, unreachable, raced = (token_of(ask(member, id, once=True).json()["remote_console"]["url"]) for _ in range(3))
    world.cloud.database.write(lambda tx: tx.execute(_address()))

    async def play() -> None:
        async def tunnel(_address: str, _path: str) -> Any:
            return asyncio.StreamReader(), Writer()

        async def nowhere(_address: str, _path: str) -> Any:
            raise OSError("the host is away")

        async def outcome(*tokens: str) -> list[str]:
            browsers = [Browser(token) for token in tokens]
            running = [asyncio.create_task(browser.run(world)) for browser in browsers]
            first = [(await asyncio.wait_for(browser.to_us.get(), 10))["type"] for browser in browsers]
            for browser in browsers:
                browser.to_cloud.put_nowait({"type": "websocket.disconnect"})
            await asyncio.wait_for(asyncio.gather(*running), 10)
            return [type.removeprefix("websocket.") for type in first]

        world.cloud.cloud.tunnel = nowhere
        assert await outcome(unreachable) == ["close"]
        world.cloud.cloud.tunnel = tunnel
        assert await outcome(spent) == ["accept"]
        assert await outcome(spent) == ["close"]
        assert await outcome(usual) == ["accept"]
        assert await outcome(usual, usual) == ["accept", "accept"]
        assert await outcome(unreachable) == ["accept"]
        assert sorted(await outcome(raced, raced)) == ["accept", "close"]

    asyncio.run(play())
    for token in (spent, unreachable, raced):
        assert world.admin.get(f"{V}/os-console-auth-tokens/{token}", headers=LATEST).status_code == 404
    assert world.admin.get(f"{V}/os-console-auth-tokens/{usual}", headers=LATEST).status_code == 200


class Writer:
    """The half of a console that takes what is typed, and forgets it."""

    def write(self, _data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


def _address() -> Any:
    from stackling.store.tables.fleet import machines

    return machines.update().values(address="/nowhere")


def test_the_page_runs_what_the_dashboard_s_files_hold() -> None:
    found = console._read("vnc.html")                                           # pyright: ignore[reportPrivateUsage]
    assert found is not None
    scripts = re.findall(r'<script[^>]* src="/dashboard/([^"]+)"', found[1].decode())
    assert scripts
    assert all(site.Site().find(name) for name in scripts)
    assert not re.search(r"https?://", found[1].decode())
    for name in ("../call.py", "novnc/core/rfb.js", "novnc/../../../../etc/passwd.js", "x/vnc.html", "none.html", ""):
        assert console._read(name) is None, name                                # pyright: ignore[reportPrivateUsage]
