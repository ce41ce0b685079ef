"""An ASGI application on a socket, plain or with TLS, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import uvicorn

from stackling.main import notify, tls
from stackling.main.deployment import Listener
from stackling.main.http import BoundedHttp

App = Callable[..., Awaitable[None]]
GRACE = 5           # seconds that running requests get at the end
IDLE = 75           # seconds that a kept-alive connection may idle


class Server(uvicorn.Server):
    """uvicorn, telling when it answers; *ending* is called before it waits for running requests. Beside its sockets
    it answers for another application on one of its own."""

    def __init__(self, config: uvicorn.Config, ready: Path | None, ending: Callable[[], None],
                 aside: tuple[App, Path] | None) -> None:
        super().__init__(config)
        self._ready, self._ending, self._aside = ready, ending, aside
        self._feeding: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._aside is not None:
            app, path = self._aside
            self.servers.append(await asyncio.get_running_loop().create_unix_server(
                self._protocol(_config(app)), sock=_listening_unix(path)))
        if self._ready is not None:
            self._ready.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ready.touch()
        self._feeding = asyncio.create_task(notify.feed())
        notify.tell("READY=1")

    def _protocol(self, config: uvicorn.Config) -> Callable[[], asyncio.Protocol]:
        config.load()
        return lambda: BoundedHttp(config=config, server_state=self.server_state, app_state={})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop answering, and return from ``run``: uvicorn's own would raise the signal again, and end the process."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify.tell("STOPPING=1")
        self._ending()
        await super().shutdown(sockets)


def listening(listener: Listener) -> socket.socket:
    """The socket that the supervisor holds for us, or one of our own."""
    if listener.path is not None:
        return _listening_unix(listener.path)
    inherited = os.environ.pop("STACKLING_LISTEN_FD", None)
    if inherited is not None:
        return socket.socket(fileno=int(inherited))
    return socket.create_server((listener.address, listener.port), backlog=1024)


def _listening_unix(path: Path) -> socket.socket:
    """A unix socket at *path*, which only we may use; one that a dead process left is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    path.chmod(0o600)
    server.listen(1024)
    return server


def serve(app: App, listener: Listener, ready: Path | None, ending: Callable[[], None], *,
          websockets: bool = False, aside: tuple[App, Path] | None = None) -> None:
    """Answer until SIGTERM or SIGINT; running requests get ``GRACE`` seconds after *ending* was called. *aside*:
    another application, and the path of its unix socket."""
    config = _config(app, websockets=websockets)
    config.load()
    if listener.tls is not None:
        config.ssl = tls.server(listener.tls, mutual=listener.mutual)
    Server(config, ready, ending, aside).run(sockets=[listening(listener)])


def _config(app: App, *, websockets: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app, loop="uvloop", http=BoundedHttp, ws="websockets-sansio" if websockets else "none",
        ws_max_size=1 << 20, ws_per_message_deflate=False, lifespan="off", interface="asgi3", access_log=False,
        log_config=None, server_header=False, timeout_keep_alive=IDLE, timeout_graceful_shutdown=GRACE, backlog=1024)
