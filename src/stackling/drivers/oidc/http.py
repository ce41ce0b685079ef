"""What we ask a provider over HTTP: only at its own hosts, for a bounded time and a bounded number of bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast

import httpx
import msgspec

from stackling.ports.oidc import ProviderDown, host_of

SECONDS, BYTES = 10.0, 1 << 20
"""The most that one answer may take and hold."""


class Asking:
    """Requests to the *hosts* (``name:port``) of one provider, called *name* in messages; no redirects, no proxies."""

    def __init__(self, name: str, hosts: frozenset[str], ca_file: str | None) -> None:
        self._name, self._hosts, self._ca_file = name, hosts, ca_file
        self._tls: ssl.SSLContext | None = None

    def check(self, url: Any, what: str) -> str:
        """*url*, which the provider calls its *what*. Raises ``ProviderDown``."""
        try:
            if not isinstance(url, str) or host_of(url) not in self._hosts:
                raise ValueError("it is on another host than the issuer; name that host in hosts, if it is right")
        except ValueError as error:
            raise ProviderDown(f"Identity provider {self._name}: its {what} isn't asked: {error}.") from None
        return url

    async def json(self, method: str, url: str, *, form: Mapping[str, str] | None = None,
                   headers: Mapping[str, str] | None = None, statuses: tuple[int, ...] = (200,)) -> dict[str, Any]:
        """The object that answers. Raises ``ProviderDown``."""
        try:
            async with asyncio.timeout(SECONDS):
                status, body = await self._bytes(method, url, form, headers)
            if status not in statuses:
                raise ValueError(f"it answers with status {status}")
            found = msgspec.json.decode(body)
            if not isinstance(found, dict):
                raise ValueError("its answer isn't an object")
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise ProviderDown(f"Identity provider {self._name} can't be asked: {why}.") from None
        return cast(dict[str, Any], found)

    async def _bytes(self, method: str, url: str, form: Mapping[str, str] | None,
                     headers: Mapping[str, str] | None) -> tuple[int, bytes]:
        async with (httpx.AsyncClient(verify=self._context(), trust_env=False, follow_redirects=False,
                                      timeout=SECONDS) as client,
                    client.stream(method, url, data=form, headers={
                        "Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}) as response):
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > BYTES:
                    raise ValueError(f"its answer is larger than {BYTES} bytes")
            return response.status_code, bytes(body)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._ca_file)
        return self._tls
