"""Image data in directories of several control machines, as one store: each file lies where it was uploaded.

Theory of operation. What is asked of one file is answered here when the file is here, else by the machine that has it;
what is asked of all is asked of all. A machine that doesn't answer may have the file: then nothing is concluded from
its not being elsewhere (``Unavailable``), since a missing file counts as lost data. So while a machine is away, the
images that it holds can't be read and deletions wait; everything else goes on. Who can't bear that uses Ceph.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from stackling.core.errors import NotFound, Unavailable
from stackling.drivers.local.image_store import LocalImageStore, LocalUpload
from stackling.ports.images import Inspection, Piece

log = logging.getLogger(__name__)
T = TypeVar("T")
PATH = "/internal/image-data"
CALLS: dict[str, Any] = {"writing": bool, "pieces": list[Piece], "inventory": list[Piece], "commit": str,
                         "delete": None, "size": int | None, "inspect": Inspection}
"""What one machine asks another, with the types of the answers."""
CONNECT, ANSWER, CHUNK = 3.0, 60.0, 1 << 20         # seconds, seconds, bytes


class Question(msgspec.Struct, frozen=True):
    """A call of the other machine's own store."""

    call: str
    args: list[Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another control machine."""

    address: str
    port: int
    context: ssl.SSLContext

    def ask(self, call: str, *args: Any) -> Any:
        """The answer. Raises ``NotFound``, ``Unavailable``."""
        with self._talking() as connection:
            body = msgspec.json.encode(Question(call, list(args)))
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            self._check(answer.status)
            return None if CALLS[call] is None else msgspec.json.decode(data, type=CALLS[call])

    def chunks(self, location: str, start: int, length: int | None) -> Any:
        """The bytes of a file, as a blocking iterator. Raises ``NotFound``, ``Unavailable``."""
        wanted = {"location": location, "start": start, **({} if length is None else {"length": length})}
        with self._talking() as connection:
            connection.request("GET", f"{PATH}?{urlencode(wanted)}")
            answer = connection.getresponse()
            self._check(answer.status)
            while chunk := answer.read(CHUNK):
                yield chunk

    @contextlib.contextmanager
    def _talking(self) -> Any:
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=CONNECT, context=self.context)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER)
            yield connection
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            raise Unavailable(f"The control machine at {self.address}, which may hold the image's data, doesn't answer "
                              f"({error or type(error).__name__}).") from None
        finally:
            connection.close()

    def _check(self, status: int) -> None:
        if status == 404:
            raise NotFound("There is no such image data.")
        if status != 200:
            raise Unavailable(f"The control machine at {self.address} answered {status}.")


class SpreadImageStore:
    """``ports.images.ImageStore`` over this machine's store and those of *peers*."""

    def __init__(self, own: LocalImageStore, peers: Sequence[Peer]) -> None:
        self.own, self._peers = own, tuple(peers)
        self.name = own.name
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="image-peer")

    def open(self, image_id: str, number: int) -> LocalUpload:
        return self.own.open(image_id, number)

    def writing(self, image_id: str, number: int) -> bool:
        return self.own.writing(image_id, number) or any(self._all("writing", image_id, number))

    def commit(self, image_id: str, number: int) -> str:
        try:
            return self.own.commit(image_id, number)
        except NotFound:
            return self._somewhere("commit", image_id, number)

    def copy(self, image_id: str, number: int, source: str, owner: str) -> tuple[str, int]:
        return self.own.copy(image_id, number, source, owner)

    def pieces(self, image_id: str, numbers: Sequence[int]) -> list[Piece]:
        return self._united(self.own.pieces(image_id, numbers), self._all("pieces", image_id, list(numbers)))

    def inventory(self) -> list[Piece]:
        return self._united(self.own.inventory(), self._all("inventory"))

    def delete(self, location: str) -> None:
        self.own.delete(location)
        self._all("delete", location)

    async def read(self, location: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]:
        if self.own.size(location) is not None:
            async for chunk in self.own.read(location, start, length):
                yield chunk
            return
        loop = asyncio.get_running_loop()
        holder = await loop.run_in_executor(self._threads, self._holder, location)
        chunks = holder.chunks(location, start, length)
        try:
            while (chunk := await loop.run_in_executor(self._threads, next, chunks, None)) is not None:
                yield chunk
        finally:
            await loop.run_in_executor(self._threads, chunks.close)

    def size(self, location: str) -> int | None:
        here = self.own.size(location)
        if here is not None:
            return here
        return self._first(lambda peer: peer.ask("size", location))

    def inspect(self, location: str, declared_format: str) -> Inspection:
        if self.own.size(location) is not None:
            return self.own.inspect(location, declared_format)
        return self._somewhere("inspect", location, declared_format)

    def path(self, location: str) -> Path | None:
        return self.own.path(location) if self.own.size(location) is not None else None

    def close(self) -> None:
        """Let running writes end."""
        self._threads.shutdown()
        self.own.close()

    # -- how

    def _all(self, call: str, *args: Any) -> list[Any]:
        """Every other machine's answer; raises ``Unavailable`` when one is missing."""
        return [peer.ask(call, *args) for peer in self._peers]

    def _first(self, ask: Callable[[Peer], T | None]) -> T | None:
        """The first answer that isn't None; None only when every machine says so."""
        away: Unavailable | None = None
        for peer in self._peers:
            try:
                if (found := ask(peer)) is not None:
                    return found
            except Unavailable as error:
                away = error
        if away is not None:
            raise away
        return None

    def _somewhere(self, call: str, *args: Any) -> Any:
        def ask(peer: Peer) -> Any:
            try:
                return peer.ask(call, *args)
            except NotFound:
                return None

        found = self._first(ask)
        if found is None:
            raise NotFound("The image's data is missing from the store.")
        return found

    def _holder(self, location: str) -> Peer:
        found = self._first(lambda peer: None if peer.ask("size", location) is None else peer)
        if found is None:
            raise NotFound("The image's data is missing from the store.")
        return found

    def _united(self, own: list[Piece], others: list[list[Piece]]) -> list[Piece]:
        found = {piece.location: piece for piece in own}
        for pieces in others:
            found.update((piece.location, piece) for piece in pieces if piece.location not in found)
        return list(found.values())
