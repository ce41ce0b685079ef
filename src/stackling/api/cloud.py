"""What handlers reach the rest through: transactions, the one who checks tokens, and stores for streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from stackling.core.context import Context

if TYPE_CHECKING:
    from stackling.ports.images import ImageStore
    from stackling.ports.web import Web
    from stackling.store.transaction import Tx

P = ParamSpec("P")
T = TypeVar("T")


class Transactions(Protocol):
    """The database, as ``store.database.Database`` is."""

    is_sqlite: bool

    def read(self, use_case: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...
    def write(self, use_case: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


Authenticate = Callable[["Tx", str, str], Context]
"""(tx, token, request id) → context; raises ``Unauthorized``."""


class Cloud:
    """One process's way to the cloud.

    *public_url* is how clients reach us (catalog). *ask_agent* sends a request to an agent's own socket:
    ``await ask_agent(address, "GET", "/servers/ID/console-output?lines=10")`` gives (status, body), or raises
    ``OSError`` when it can't be reached; after those may come a body, and ``timeout`` in seconds. *tunnel* opens a
    connection through it: ``await tunnel(address, path)`` gives (reader, writer), or raises ``OSError``. *web* fetches
    images from URLs, and *regions* from the image services of other regions, where that is allowed.
    """

    def __init__(self, database: Transactions, authenticate: Authenticate, *, public_url: str,
                 image_store: ImageStore | None = None, threads: int = 8,
                 ask_agent: Callable[..., Any] | None = None,
                 tunnel: Callable[[str, str], Any] | None = None, web: Web | None = None,
                 regions: Web | None = None) -> None:
        self.database = database
        self.authenticate = authenticate
        self.public_url = public_url
        self.image_store = image_store
        self.ask_agent = ask_agent
        self.tunnel = tunnel
        self.web, self.regions = web, regions
        self.inline_reads = database.is_sqlite
        # SQLite has one writer: a queue of one thread is fairer and cheaper than threads that wait for its lock.
        self._writers = ThreadPoolExecutor(1 if database.is_sqlite else threads, thread_name_prefix="write")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="read")

    async def transact(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a writing use-case in one transaction, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            self._writers, lambda: self.database.write(use_case, *args, **kwargs))

    async def read(self, use_case: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a reading use-case; on SQLite inside the loop (a short read is cheaper than a thread hop)."""
        if self.inline_reads:
            return self.database.read(use_case, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self.database.read(use_case, *args, **kwargs))

    async def blocking(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run anything that blocks, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: call(*args, **kwargs))

    def close(self) -> None:
        """Let running transactions end."""
        self._writers.shutdown()
        self._readers.shutdown()
