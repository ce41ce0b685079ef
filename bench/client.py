"""A lean OpenStack client for measuring: one connection pool, endpoints from the catalog."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

PATHS = {"compute": "/v2.1", "network": "/v2.0", "image": "/v2", "identity": "/v3"}
GOOD = frozenset({200, 201, 202, 204})


class Refused(Exception):
    """The cloud answered something else than expected."""


class Client:
    """Credentials come from a ``clouds.yaml``; everything made through ``make`` is deleted by ``clean``."""

    def __init__(self, clouds_yaml: Path, name: str = "stackling") -> None:
        self._cloud: dict[str, Any] = yaml.safe_load(clouds_yaml.read_text())["clouds"][name]
        self._endpoints: dict[str, str] = {}
        self._made: list[tuple[str, str]] = []
        self.token = ""

    async def __aenter__(self) -> Client:
        context = ssl.create_default_context(cafile=self._cloud["cacert"]) if self._cloud.get("cacert") else True
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=context),
                                          timeout=aiohttp.ClientTimeout(total=180))
        self.token, body = await self.issue()
        for service in body["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self._endpoints[service["type"]] = endpoint["url"].rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.clean()
        await self.http.close()

    async def issue(self) -> tuple[str, Any]:
        """Ask for a token by password, scoped to the project."""
        auth = self._cloud["auth"]
        user = {"name": auth["username"], "password": auth["password"], "domain": {"name": auth["user_domain_name"]}}
        scope = {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        url = auth["auth_url"].rstrip("/").removesuffix("/v3") + "/v3/auth/tokens"
        async with self.http.post(url, json=body) as answer:
            data = await answer.read()
            if answer.status != 201:
                raise Refused(f"token: {answer.status} {data[:200]!r}")
            return answer.headers["X-Subject-Token"], msgspec.json.decode(data)

    def url(self, service: str) -> str:
        """The service's endpoint with its version."""
        base = self._endpoints[service]
        return base if base.rsplit("/", 1)[-1].startswith("v") else base + PATHS[service]

    async def raw(self, service: str, method: str, path: str, *, json: Any = None, data: Any = None,
                  headers: dict[str, str] | None = None, good: frozenset[int] = GOOD) -> bytes:
        """One request; the body as it came."""
        head = {"X-Auth-Token": self.token, **(headers or {})}
        async with self.http.request(method, self.url(service) + path, json=json, data=data, headers=head) as answer:
            body = await answer.read()
            if answer.status not in good:
                raise Refused(f"{method} {path[:80]}: {answer.status} {body[:200]!r}")
            return body

    async def call(self, service: str, method: str, path: str, json: Any = None) -> Any:
        """One request; the body decoded."""
        body = await self.raw(service, method, path, json=json)
        return msgspec.json.decode(body) if body else None

    async def make(self, service: str, path: str, json: Any) -> dict[str, Any]:
        """Create a resource and remember it for ``clean``."""
        body = await self.call(service, "POST", path, json)
        made: dict[str, Any] = body if "id" in body else next(iter(body.values()))
        self._made.append((service, f"{path}/{made['id']}"))
        return made

    async def drop(self, service: str, path: str) -> None:
        """Delete a resource; gone already is good."""
        await self.raw(service, "DELETE", path, good=GOOD | {404})
        if (service, path) in self._made:
            self._made.remove((service, path))

    async def clean(self) -> None:
        """Delete, last made first, what is still there."""
        for service, path in reversed(list(self._made)):
            try:
                await self.drop(service, path)
            except Refused as refused:
                print(f"left behind: {refused}")
