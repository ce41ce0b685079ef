"""What a handler receives and returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from stackling.core.context import Context
from stackling.core.errors import Invalid

if TYPE_CHECKING:
    import falcon.asgi

    from stackling.api.cloud import Cloud
    from stackling.api.route import Route, Service

Version = tuple[int, int]
LEFT = "stackling.left"     # in a scope's extensions: whether the client has closed the connection


class Query(dict[str, list[str]]):
    """The query string: every key with its values in order."""

    @classmethod
    def parse(cls, text: str) -> Query:
        """Raises ``Invalid`` for more than 1000 fields."""
        if not text:
            return cls()
        try:
            return cls(parse_qs(text, keep_blank_values=True, max_num_fields=1000))
        except ValueError:
            raise Invalid("Too many query parameters.") from None

    def first(self, key: str, default: str | None = None) -> str | None:
        """The first value of *key*."""
        values = self.get(key)
        return values[0] if values else default

    def last(self, key: str, default: str | None = None) -> str | None:
        """The last value of *key* (what Nova and Keystone take)."""
        values = self.get(key)
        return values[-1] if values else default

    def all(self, key: str) -> list[str]:
        """Every value of *key*."""
        return self.get(key, [])


@dataclass(slots=True)
class Call:
    """One request. ``ctx`` is set before the handler runs; ``version`` is the negotiated microversion."""

    ctx: Context
    cloud: Cloud
    service: Service
    route: Route
    params: Mapping[str, str]
    query: Query
    request: falcon.asgi.Request
    body: Any = None
    version: Version = (0, 0)

    @property
    def base(self) -> str:
        """``http://host:port`` as the client wrote it, for links."""
        return f"{self.request.forwarded_scheme}://{self.request.netloc}"

    def header(self, name: str) -> str | None:
        """A request header."""
        return self.request.get_header(name)

    def left(self) -> bool:
        """Whether the client has gone away, as far as the server can tell. From any thread."""
        told = self.request.scope.get("extensions")
        return bool(told and LEFT in told and told[LEFT]())

    async def gone(self) -> None:
        """Returns once the client has closed the connection. For streams that have no end; their bodies were read."""
        receive = self.request._receive     # pyright: ignore[reportPrivateUsage]
        while (await receive())["type"] != "http.disconnect":
            pass

    def authorize(self, target: Mapping[str, Any] | None = None, rule: str | None = None) -> None:
        """Check a policy rule (the route's own when None) against *target*; raises ``Forbidden``."""
        self.service.policy.authorize(rule or self.route.policy, self.ctx, target)

    def allowed(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        """Whether the policy allows *rule*."""
        return self.service.policy.allows(rule, self.ctx, target)


@dataclass(slots=True)
class Reply:
    """A response. ``body`` is encoded as JSON unless it is bytes (sent as they are) or None (no body)."""

    body: Any = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content_type: str = "application/json"
    stream: Any = None
    """An async iterator of bytes, instead of ``body``."""
    then: Callable[[], Awaitable[Reply]] | None = None
    """Awaited after the transaction has ended, for what needs another machine; its ``Reply`` is sent instead."""
