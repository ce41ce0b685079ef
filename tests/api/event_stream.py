"""``GET /stackling/v1/events`` as a server runs it for a client that reads what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.api.conftest import CloudUnderTest

App = Callable[..., Any]
PATH = "/stackling/v1/events"


class Stream:
    """One stream. ``events`` are (event, data, id) in the order in which they came."""

    def __init__(self, cloud: CloudUnderTest, app: App, token: str | None, query: str = "",
                 last: str | None = None) -> None:
        self._cloud, self._app = cloud, app
        headers = [(b"host", b"cloud.test"), (b"accept", b"text/event-stream")]
        if token is not None:
            headers.append((b"x-auth-token", token.encode()))
        if last is not None:
            headers.append((b"last-event-id", last.encode()))
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.1"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": query.encode(),
            "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("cloud.test", 80)}
        self.status, self.ended, self.text = 0, False, ""
        self.headers: dict[str, str] = {}
        self.events: list[tuple[str, dict[str, Any], str | None]] = []
        self._asked, self._left, self._came = False, asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> Stream:
        """Ask; returns once it is known what comes."""
        self._cloud.run(self._open())
        return self

    def until(self, wanted: Callable[[Stream], bool], seconds: float = 10.0) -> Stream:
        """Wait for *wanted*."""
        self._cloud.run(self._until(wanted, seconds))
        return self

    def told(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What came of changes, of one kind or of all."""
        return [data for event, data, _ in self.events if event == "change" and kind in (None, data["kind"])]

    def names(self) -> list[str]:
        """The events' names."""
        return [event for event, _, _ in self.events]

    @property
    def last(self) -> str | None:
        """The id that a client that comes back would send."""
        return next((id for _, _, id in reversed(self.events) if id is not None), None)

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        self._cloud.run(self._ended())

    # -- how

    async def _open(self) -> None:
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        await self._until(lambda one: one.ended or bool(one.events) or one.status >= 400, 10.0)

    async def _until(self, wanted: Callable[[Stream], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not wanted(self):
                    assert self._task is not None
                    if self._task.done():
                        self._task.result()
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"it didn't come; there came {self.status} {self.text!r}") from None

    async def _ended(self) -> None:
        assert self._task is not None
        async with asyncio.timeout(10):
            await self._task

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.ended = not message.get("more_body", False)
            if self.status == 200:
                self.events = [found for block in self.text.split("\n\n")[:-1] if (found := _event(block))]
        self._came.set()


def _event(block: str) -> tuple[str, dict[str, Any], str | None] | None:
    fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
    if "data" not in fields:
        return None
    return fields["event"], json.loads(fields["data"]), fields.get("id")
