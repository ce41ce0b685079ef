"""An ASGI application on a socket, until SIGTERM."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn

from stackling.main.http import BoundedHttp

App = Callable[..., Awaitable[None]]
GRACE = 5           # seconds that running requests get at the end
IDLE = 75           # seconds that a kept-alive connection may idle


class Server(uvicorn.Server):
    """uvicorn, telling when it answers; *ending* is called before it waits for running requests."""

    def __init__(self, config: uvicorn.Config, ready: Path | None, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None:
            self._ready.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ready.touch()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


def listening(address: str, port: int) -> socket.socket:
    """The socket that the supervisor holds for us, or one of our own."""
    inherited = os.environ.pop("STACKLING_LISTEN_FD", None)
    if inherited is not None:
        return socket.socket(fileno=int(inherited))
    return socket.create_server((address, port), backlog=1024)


def listening_unix(path: Path) -> socket.socket:
    """A unix socket at *path*, which only we may use; one that a dead process left is replaced."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    path.chmod(0o600)
    server.listen(1024)
    return server


def serve(app: App, server_socket: socket.socket, ready: Path | None, ending: Callable[[], None]) -> None:
    """Answer until SIGTERM or SIGINT; running requests get ``GRACE`` seconds after *ending* was called."""
    config = uvicorn.Config(
        app, loop="uvloop", http=BoundedHttp, ws="none", lifespan="off", interface="asgi3", access_log=False,
        log_config=None, server_header=False, timeout_keep_alive=IDLE, timeout_graceful_shutdown=GRACE, backlog=1024)
    Server(config, ready, ending).run(sockets=[server_socket])
