"""HTTP/1.1 for uvicorn, with bounds on a request's head and on how slowly its body may come.

httptools bounds the request line and nothing else: without this a client may send headers for ever, all of which are
kept, open connections and send nothing on them, or announce a body and let everybody wait for it. While it is we who
don't read (a disk that is slow takes an upload), nobody's time runs out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stackling.agent.serve import common_name
from stackling.api.call import LEFT

LARGEST_HEAD = 64 * 1024    # bytes of all header fields of a request
PEER = "stackling.peer"     # in a scope's extensions: the common name in the client's certificate
SLOWEST_HEAD = 30.0         # seconds from a request's first byte (a connection's start) to the end of its head
SLOWEST_BODY = 8 * 1024     # bytes that must come in each BODY_WINDOW while we read, or the rest of the body
BODY_WINDOW = 65.0          # seconds; longer than an upload may stall, which is then told in better words


class HeadTooLarge(Exception):
    """Ends the parsing of a request."""


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 to a head that is too large and 408 to a body that doesn't come; closes a connection whose request
    doesn't come."""

    _in_head = True
    _unfinished = 0         # bytes that came since the head began and that no callback has told of
    _fields = 0
    _too_large = False
    _deadline: asyncio.TimerHandle | None = None
    _window: asyncio.TimerHandle | None = None
    _came = 0               # bytes of the body in this window
    _ours = False           # this window began while it was we who didn't read
    _peer: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:    # type: ignore[override]
        super().connection_made(transport)
        if (secured := transport.get_extra_info("ssl_object")) is not None:
            self._peer = common_name(secured.getpeercert())
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_window()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._unfinished += len(data)
            if self._unfinished > 2 * LARGEST_HEAD + len(data):
                self._too_large = True
                self.send_400_response("")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        told: dict[str, Any] = {LEFT: self.transport.is_closing}
        if self._peer is not None:
            told[PEER] = self._peer
        self.scope["extensions"] = told
        self._in_head, self._fields = True, 0
        if self._deadline is None:
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += len(name) + len(value) + 4
        if self._fields > LARGEST_HEAD:
            self._too_large = True
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._unfinished = False, 0
        self._stop_waiting()
        super().on_headers_complete()
        self._open_window(self.expect_100_continue)

    def on_body(self, body: bytes) -> None:
        self._came += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_window()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        self._stop_window()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        if not self._too_large:
            super().send_400_response(msg)
        elif not self.transport.is_closing():
            text = f"The headers are larger than {LARGEST_HEAD} bytes.".encode()
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(text), text))
            self.transport.close()

    # -- how

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(SLOWEST_HEAD, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _open_window(self, ours: bool) -> None:
        self._came, self._ours = 0, ours
        self._window = self.loop.call_later(BODY_WINDOW, self._end_window)

    def _stop_window(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None

    def _end_window(self) -> None:
        """Go on with a body that comes, or that we don't read yet; give one up that is too slow."""
        self._window = None
        cycle = self.cycle
        if self.transport.is_closing():
            return
        unread = bool(not cycle.response_complete and (cycle.body or cycle.waiting_for_100_continue))
        ours = self.flow.read_paused or unread
        if self._came >= SLOWEST_BODY or ours or self._ours:
            self._open_window(ours)
            return
        if not cycle.response_started:
            text = f"The body came too slowly: {self._came} bytes in {BODY_WINDOW:g} seconds.".encode()
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(text), text))
        cycle.disconnected = True
        self.transport.close()
