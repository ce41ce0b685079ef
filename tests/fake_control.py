"""A control node as an agent sees it: documents by long poll, reports, image data; scripted by a test."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from stackling.ports.document import (
    Documents,
    GuestReport,
    HostDocument,
    MetadataNetwork,
    Report,
    ReportAnswer,
    ServerDesired,
)

CREDENTIAL = "correct horse"


class FakeControl:
    """Listens on a unix socket in *directory*. One host; everything may be called from the test's thread."""

    def __init__(self, directory: Path, host: str = "h1", machine: str = "m1") -> None:
        self.path, self.host, self.machine = directory / "control.sock", host, machine
        self.era, self.epoch, self.generation = 1, 1, 1
        self.servers: dict[str, tuple[int, ServerDesired]] = {}
        self.networks: tuple[MetadataNetwork, ...] = ()
        self.images: dict[str, bytes] = {}
        self.reports: list[Report] = []
        self.seen: dict[str, GuestReport] = {}
        self.polls: list[dict[str, str]] = []
        self.resend = False
        self.changed = threading.Condition()
        self._server: Any = None

    @property
    def url(self) -> str:
        return f"http+unix://{self.path}"

    def start(self) -> FakeControl:
        self.path.unlink(missing_ok=True)
        self._server = _Server(str(self.path), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Gone, with its connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.end()
            self._server = None
            self.path.unlink(missing_ok=True)

    # -- what the test says

    def put(self, server: ServerDesired) -> ServerDesired:
        """A new desired state; gets the next generation."""
        with self.changed:
            self.generation += 1
            server = msgspec.structs.replace(server, generation=self.generation)
            self.servers[server.id] = (self.generation, server)
            self.changed.notify_all()
        return server

    def change(self, server_id: str, **values: Any) -> ServerDesired:
        return self.put(msgspec.structs.replace(self.servers[server_id][1], **values))

    def set_networks(self, *networks: MetadataNetwork) -> None:
        with self.changed:
            self.generation += 1
            self.networks = networks
            self.changed.notify_all()

    # -- what the test waits for

    def wait(self, condition: Callable[[], Any], timeout: float = 20.0) -> Any:
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise AssertionError(f"not within {timeout} s; last said: {self.seen}")
            return condition()

    def wait_guest(self, server_id: str, timeout: float = 20.0, **values: Any) -> GuestReport:
        """Until the last word on a server has these values."""
        def found() -> GuestReport | None:
            report = self.seen.get(server_id)
            good = report is not None and all(getattr(report, name) == value for name, value in values.items())
            return report if good else None
        return self.wait(found, timeout)

    def wait_converged(self, server: ServerDesired, timeout: float = 20.0, **values: Any) -> GuestReport:
        return self.wait_guest(server.id, timeout, generation=server.generation, converged=True, **values)

    # -- answers

    def documents(self, query: dict[str, str]) -> Documents:
        since, epoch, wait = int(query["since"]), int(query["epoch"]), float(query["wait"])
        deadline = time.monotonic() + wait
        with self.changed:
            self.polls.append(query)
            if epoch != self.epoch:
                since = 0
            while since and since >= self.generation and (left := deadline - time.monotonic()) > 0:
                self.changed.wait(left)
            if since and since >= self.generation:
                return Documents()
            changed = tuple(server for at, server in self.servers.values() if at > since or not since)
            return Documents(documents=(HostDocument(
                host=self.host, era=self.era, epoch=self.epoch, generation=self.generation, complete=not since,
                servers=changed, networks=self.networks),))

    def take(self, report: Report) -> ReportAnswer:
        with self.changed:
            if self.reports and report.sequence <= self.reports[-1].sequence:
                return ReportAnswer(accepted=False)
            self.reports.append(report)
            self.seen.update({guest.id: guest for guest in report.guests})
            for guest in report.guests:
                desired = self.servers.get(guest.id)
                if guest.converged and guest.power == "absent" and desired and not desired[1].present:
                    del self.servers[guest.id]
            resend, self.resend = self.resend, False
            self.changed.notify_all()
            return ReportAnswer(accepted=True, resend=resend)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[Any] = set()
        super().__init__(*arguments)

    def get_request(self) -> Any:
        request, _ = super().get_request()
        self.connections.add(request)
        return request, ("local", 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def end(self) -> None:
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(2)


def _handler(control: FakeControl) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            base = f"/internal/machines/{control.machine}/"
            if self.headers["X-Machine-Credential"] != CREDENTIAL:
                self.answer(401, b"who are you?")
            elif parts.path == base + "documents" and query["host"] == control.host:
                self.answer(200, msgspec.json.encode(control.documents(query)))
            elif parts.path.startswith("/internal/images/"):
                data = control.images.get(parts.path.split("/")[-2])
                self.answer(200 if data is not None else 404, data or b"")
            else:
                self.answer(404, b"no such path")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = control.take(msgspec.json.decode(body, type=Report))
            self.answer(200, msgspec.json.encode(answer))

        def do_PUT(self) -> None:
            image = urlsplit(self.path).path.split("/")[-2]
            control.images[image] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(204, b"")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
