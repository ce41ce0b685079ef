"""Bytes on a socket that are no request, or one without an end: the API refuses them and keeps its memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e.clouds import TestCloud, cloud

pytestmark = pytest.mark.e2e
START = b"GET /identity/v3 HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def simulated() -> Iterator[TestCloud]:
    with cloud("--simulated") as made:
        yield made


def status(made: TestCloud, *parts: bytes) -> int | None:
    """The status that is answered to *parts*; None where the connection is closed without an answer."""
    auth = yaml.safe_load(made.directory.clouds_yaml.read_text())["clouds"]["stackling"]["auth"]
    url = urlsplit(auth["auth_url"])
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=20) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
            answer = connection.recv(4096)
        except ConnectionError:
            answer = answer or connection.recv(4096)
        return int(answer.split()[1]) if answer else None


def memory(made: TestCloud) -> int:
    """The API's resident KiB."""
    text = Path(f"/proc/{made.pid('control-api')}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def test_ordinary_requests_are_answered(simulated: TestCloud) -> None:
    assert status(simulated, START + b"\r\n") == 200
    assert status(simulated, START + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n") == 200
    assert status(simulated, START[:10], START[10:], b"\r\n") == 200


@pytest.mark.parametrize(("parts", "expected"), [
    ([START + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n"], 431),
    ([START, *[b"X-%d: a\r\n" % n for n in range(20_000)], b"\r\n"], 431),
    ([b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"], 431),
    ([b"\0\1\2 garbage\r\n\r\n"], 400), ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400),
    ([b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n"], 400),
    ([POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], 400),
    ([POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}  "], 400),
    ([POST + b"Content-Length: -1\r\n\r\n"], 400), ([POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], 400),
    ([POST + b"Content-Length: 99999999\r\n\r\n{"], 413),
], ids=["long header", "many headers", "long line", "garbage", "tls", "connect", "both lengths", "two lengths",
        "negative length", "bad chunk", "large body"])
def test_what_is_no_request(simulated: TestCloud, parts: list[bytes], expected: int) -> None:
    try:
        assert status(simulated, *parts) in ((400, 431) if expected == 431 else (expected,))
    except ConnectionError:
        assert expected == 431      # the answer was on its way when more came
    assert status(simulated, START + b"\r\n") == 200


def test_a_head_without_an_end_takes_no_memory(simulated: TestCloud) -> None:
    before = memory(simulated)
    with suppress(ConnectionError):
        assert status(simulated, START + b"X-A: ", *[b"a" * 1_000_000] * 40) in (431, None)
    assert memory(simulated) - before < 10_000
    chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    with suppress(ConnectionError):
        assert status(simulated, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40) in (413, None)
    assert memory(simulated) - before < 10_000


def test_nothing_of_it_was_a_failure_of_ours(simulated: TestCloud) -> None:
    for path in (simulated.directory.root / "logs").iterdir():
        assert "Traceback" not in path.read_text()
