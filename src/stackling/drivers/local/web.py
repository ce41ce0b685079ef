"""Fetching URLs that users name, without becoming their way into our own network.

Theory of operation. A name that was checked may resolve to something else a moment later, so what is connected to is
an address that was itself checked: the connection's back end resolves, refuses the name if any of its addresses is
one that only this machine or its network reaches, and connects to the first of those addresses. That holds for every
connection, thus for every redirect. TLS still checks the certificate against the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from stackling.ports.web import WebRefused

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
REDIRECTS = 5
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64: what an IPv4 address is called in IPv6."""


def is_public(address: Address) -> bool:
    """Whether everybody reaches it: not loopback, private, link-local, multicast, reserved, nor one of these in
    disguise."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _TRANSLATED) or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_elsewhere(address: Address) -> bool:
    """Whether it may be another machine's, also one that only our network reaches: for URLs of administrators."""
    if isinstance(address, IPv6Address) and (inner := address.ipv4_mapped or address.sixtofour) is not None:
        return is_elsewhere(inner)
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
                or address.is_reserved)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of *host*. Raises ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that *allowed* takes, and to no other."""

    def __init__(self, allowed: Callable[[Address], bool], resolve: Resolve) -> None:
        self._allowed, self._resolve = allowed, resolve
        self._inner: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()     # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                          socket_options: Iterable[Any] | None = None) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = [ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        except (OSError, TimeoutError, UnicodeError):
            raise WebRefused(f"the name {host} can't be resolved") from None
        if not addresses:
            raise WebRefused(f"the name {host} can't be resolved")
        if not all(self._allowed(address) for address in addresses):
            raise WebRefused(f"{host} has an address that images aren't fetched from")
        return await self._inner.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, path: str, timeout: float | None = None,
                                  socket_options: Iterable[Any] | None = None) -> httpcore.AsyncNetworkStream:
        raise WebRefused("images aren't fetched from sockets")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class CheckedWeb:
    """``Web`` over HTTP and HTTPS. *seconds* is the most that one fetch may take, *stall* that it may be silent; no
    *ports*: any may be; *redirects* are followed so often."""

    def __init__(self, *, allowed: Callable[[Address], bool] = is_public, resolve: Resolve = resolve,
                 ports: frozenset[int] = frozenset({80, 443}), seconds: float = 3600.0, stall: float = 60.0,
                 redirects: int = REDIRECTS) -> None:
        self._allowed, self._resolve, self._ports, self._redirects = allowed, resolve, ports, redirects
        self._seconds, self._stall = seconds, stall

    def check(self, url: str) -> None:
        self._checked(url)

    def fetch(self, url: str, headers: Mapping[str, str] | None = None
              ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._fetch(url, headers or {})

    @asynccontextmanager
    async def _fetch(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with (asyncio.timeout_at(deadline),
                        httpcore.AsyncConnectionPool(network_backend=CheckedBackend(self._allowed, self._resolve),
                                                     max_keepalive_connections=0) as pool,
                        self._follow(pool, url, headers) as response):
                yield self._body(response)
        except TimeoutError:
            raise WebRefused(f"it took longer than {self._seconds:.0f} seconds") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise WebRefused(f"it can't be fetched: {error or type(error).__name__}") from None

    @asynccontextmanager
    async def _follow(self, pool: httpcore.AsyncConnectionPool, url: str, headers: Mapping[str, str]
                      ) -> AsyncIterator[httpcore.Response]:
        for _ in range(self._redirects + 1):
            parts = self._checked(url)
            async with pool.stream("GET", url, headers=[*_headers(parts), *headers.items()], extensions={"timeout": {
                    "connect": 10.0, "read": self._stall, "write": self._stall, "pool": self._stall}}) as response:
                if response.status == 200:
                    yield response
                    return
                if response.status not in (301, 302, 303, 307, 308):
                    raise WebRefused(f"it answers with status {response.status}")
                target = next((value for name, value in response.headers if name.lower() == b"location"), b"")
                url = urljoin(url, target.decode("latin-1"))
        raise WebRefused(f"it redirects more than {self._redirects} times" if self._redirects else "it redirects")

    async def _body(self, response: httpcore.Response) -> AsyncIterator[bytes]:
        async for chunk in response.aiter_stream():
            yield chunk

    def _checked(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise WebRefused("it isn't a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
            raise WebRefused("it isn't a URL of http or https")
        if "@" in parts.netloc:
            raise WebRefused("a URL with a user's name in it isn't fetched")
        if self._ports and port not in self._ports:
            raise WebRefused(f"port {port} isn't one that images are fetched from")
        try:
            address = ip_address(parts.hostname)
        except ValueError:
            return parts
        if not self._allowed(address):
            raise WebRefused(f"{parts.hostname} is an address that images aren't fetched from")
        return parts


def _headers(parts: SplitResult) -> list[tuple[str, str]]:
    return [("Host", parts.netloc), ("Accept", "*/*"), ("Accept-Encoding", "identity"),
            ("User-Agent", "stackling-image-import")]
