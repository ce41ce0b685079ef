"""Asking an agent: on its own socket, which one machine's control processes may use, or over mutual TLS."""

from __future__ import annotations

import ssl

from stackling.agent.serve import UPGRADE
from stackling.agent.wire import ControlUnreachable, Endpoint, Lane, Tunnel
from stackling.main import tls
from stackling.main.tls import Tls

TIMEOUT = 10.0


class Asking:
    """``await ask(address, method, path)`` gives (status, body); raises ``OSError`` when nobody answers there in
    *timeout* seconds."""

    def __init__(self, own: Tls | None = None) -> None:
        self._own = own
        self._context: ssl.SSLContext | None = None

    async def __call__(self, address: str, method: str, path: str, body: bytes | None = None, *,
                       timeout: float = TIMEOUT) -> tuple[int, bytes]:
        """(status, body) from the agent at *address*, a socket's path or a URL."""
        endpoint = Endpoint.parse(address)
        lane = Lane([endpoint], {}, self._tls() if endpoint.tls else None)
        try:
            answer = await lane.request(method, path, body, timeout=timeout)
        except ControlUnreachable as error:
            raise ConnectionError(str(error)) from None
        finally:
            await lane.close()
        return answer.status, answer.body

    async def tunnel(self, address: str, path: str) -> Tunnel:
        """A console's bytes, both ways, from the agent at *address*. Raises ``OSError``."""
        endpoint = Endpoint.parse(address)
        return await Lane([endpoint], {}, self._tls() if endpoint.tls else None).tunnel(path, UPGRADE, timeout=TIMEOUT)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            if self._own is None:
                raise ConnectionError("this cloud has no certificates, by which to know an agent")
            self._context = tls.client(self._own)
        return self._context
