"""The listeners of a control machine: TLS for clients, mutual TLS under its own name for a machine."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from stackling.agent.wire import Endpoint, Lane
from stackling.core.errors import Unavailable
from stackling.deploy.cluster import pki
from stackling.deploy.cluster.description import Cluster, Machine
from stackling.main import health, peers, server, tls
from stackling.main.tls import Tls

CLUSTER = Cluster(name="c1", virtual_ip="127.9.9.9/8", machines=(
    Machine(name="m1", address="127.0.0.1"), Machine(name="m2", address="127.0.0.2")))


def issued(directory: Path, authority: pki.Pair, machine: Machine) -> Tls:
    """*machine*'s files in *directory*."""
    directory.mkdir()
    made = pki.issue(authority, CLUSTER, machine)
    found = Tls(directory / "crt", directory / "key", directory / "ca")
    for path, content in (
            (found.certificate, made.certificate), (found.key, made.key), (found.ca, authority.certificate)):
        path.write_bytes(content)
    return found


@pytest.fixture
def machines(tmp_path: Path) -> dict[str, Tls]:
    """The certificates of two machines, and of one that another cluster calls m1."""
    authority, foreign = pki.make_authority("c1"), pki.make_authority("c1")
    return {"m1": issued(tmp_path / "m1", authority, CLUSTER.machine("m1")),
            "m2": issued(tmp_path / "m2", authority, CLUSTER.machine("m2")),
            "foreign": issued(tmp_path / "foreign", foreign, CLUSTER.machine("m1"))}


async def tell(scope: Any, _receive: Any, send: Any) -> None:
    """Answers with what it knows of the client."""
    named = [value.decode() for name, value in scope["headers"] if name == b"x-machine"]
    body = json.dumps({"machines": named, "path": scope["path"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(app: Any, own: Tls, *, mutual: bool) -> Iterator[int]:
    """*app* on a free port of the loopback."""
    config = uvicorn.Config(app, loop="uvloop", http=server.BoundedHttp, ws="none", lifespan="off", interface="asgi3",
                            log_config=None)
    config.load()
    config.ssl = tls.server(own, mutual=mutual)
    listening, ready = socket.create_server(("127.0.0.1", 0)), threading.Event()

    class Telling(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    running = Telling(config)
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield listening.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(10)


def get(port: int, context: ssl.SSLContext, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """(status, decoded body)."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def nobody(ca: Path) -> ssl.SSLContext:
    """A client without a certificate."""
    return ssl.create_default_context(cafile=str(ca))


def test_clients_of_the_public_api_need_only_our_authority(machines: dict[str, Tls]) -> None:
    with serving(tell, machines["m1"], mutual=False) as port:
        assert get(port, nobody(machines["m1"].ca), "/")[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(port, nobody(machines["foreign"].ca), "/")
        with pytest.raises(ssl.SSLCertVerificationError):
            get(port, ssl.create_default_context(), "/")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(machines: dict[str, Tls]) -> None:
    old = nobody(machines["m1"].ca)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with serving(tell, machines["m1"], mutual=False) as port, pytest.raises((ssl.SSLError, ConnectionError)):
        get(port, old, "/")


def test_without_a_certificate_of_ours_nobody_gets_in(machines: dict[str, Tls]) -> None:
    foreign = ssl.create_default_context(cafile=str(machines["m1"].ca))
    foreign.load_cert_chain(machines["foreign"].certificate, machines["foreign"].key)
    with serving(peers.checked(tell), machines["m1"], mutual=True) as port:
        for context in (nobody(machines["m1"].ca), foreign):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                get(port, context, "/internal/machines/m1/documents")


def test_a_machine_speaks_for_itself_only(machines: dict[str, Tls]) -> None:
    with serving(peers.checked(tell), machines["m1"], mutual=True) as port:
        m2 = tls.client(machines["m2"])
        status, said = get(port, m2, "/internal/machines/m2/documents", {"X-Machine": "m1"})
        assert (status, said["machines"]) == (200, ["m2"])
        for path in ("/internal/machines/m1/documents", "/internal/machines/M2/report", "/internal/machines//report",
                     "/internal/machines/m2%00/report"):
            assert get(port, m2, path)[0] == 403, path
        status, said = get(port, m2, "/internal/images/1/file", {"x-MACHINE": "m1"})
        assert said["machines"] == ["m2"]


def test_an_agent_gets_in_and_only_to_its_cluster(machines: dict[str, Tls]) -> None:
    async def ask(own: Tls, port: int) -> int:
        lane = Lane([Endpoint.parse(f"https://127.0.0.1:{port}")], {}, tls.client(own))
        try:
            return (await lane.request("GET", "/internal/machines/m2/documents", timeout=5)).status
        finally:
            await lane.close()

    with serving(peers.checked(tell), machines["m1"], mutual=True) as port:
        assert asyncio.run(ask(machines["m2"], port)) == 200


class Slow:
    """A database as the health check sees it."""

    def __init__(self) -> None:
        self.answer: Any = True
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()

    def read(self, _use_case: Any) -> Any:
        self.asked += 1
        assert self.hold.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    monkeypatch.setattr(health, "FRESH", -1.0)
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    return Slow()


def test_health_says_what_is_missing_and_nothing_else(machines: dict[str, Tls], slow: Slow) -> None:
    context = nobody(machines["m1"].ca)
    with serving(health.answering(tell, slow), machines["m1"], mutual=False) as port:      # type: ignore[arg-type]
        assert get(port, context, "/healthz") == (200, {"ready": True})
        assert get(port, context, "/healthz/x")[1]["path"] == "/healthz/x"
        slow.answer = None
        assert get(port, context, "/healthz") == (
            503, {"ready": False, "missing": ["the cloud's first start isn't done"]})
        slow.answer = Unavailable("The database isn't available; try again.")
        assert get(port, context, "/healthz")[0] == 503
        slow.answer = ValueError("mysql://stackling:sesame@x")
        status, said = get(port, context, "/healthz")
        assert status == 503
        assert "sesame" not in json.dumps(said)


def test_a_database_that_hangs_is_asked_once(machines: dict[str, Tls], slow: Slow) -> None:
    context = nobody(machines["m1"].ca)
    with serving(health.answering(tell, slow), machines["m1"], mutual=False) as port:      # type: ignore[arg-type]
        slow.hold.clear()
        for _ in range(3):
            status, said = get(port, context, "/healthz")
            assert status == 503
            assert "doesn't answer" in said["missing"][0]
        assert slow.asked == 1
        slow.hold.set()
        while get(port, context, "/healthz")[0] != 200:
            pass
