"""Images in directories of two control machines: one store, from either of them, and safe while one is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackling.core.errors import NotFound, Unavailable
from stackling.deploy.cluster import pki
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.local.spread import Peer, SpreadImageStore
from stackling.main import image_peers, peers, tls
from tests.cluster.test_listeners import CLUSTER, issued, serving, tell

IMAGE = "0b5e0c4e-0000-4000-8000-000000000001"
DATA = bytes(range(256)) * 9000


class Pair:
    """Two machines' stores, each seeing the other; ``away`` takes one's API away."""

    def __init__(self, tmp_path: Path) -> None:
        self._stack = {"m1": ExitStack(), "m2": ExitStack()}
        authority = pki.make_authority("c1")
        own = {name: issued(tmp_path / name, authority, CLUSTER.machine("m1" if name == "m1" else "m2"))
               for name in ("m1", "m2")}
        here = {name: LocalImageStore(tmp_path / f"{name}-images") for name in ("m1", "m2")}
        ports: dict[str, int] = {}
        for name in ("m1", "m2"):
            app = peers.checked(image_peers.answering(tell, here[name], ("m1", "m2")))
            # Both listen on 127.0.0.1, so both must show the certificate of that address.
            ports[name] = self._stack[name].enter_context(serving(app, own["m1"], mutual=True))
        self.own = own
        self.ports = ports
        self.stores = {name: SpreadImageStore(here[name], [Peer("127.0.0.1", ports[other], tls.client(own[name]))])
                       for name, other in (("m1", "m2"), ("m2", "m1"))}

    def away(self, name: str) -> None:
        self._stack[name].close()

    def close(self) -> None:
        for name, stack in self._stack.items():
            stack.close()
            self.stores[name].close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    found = Pair(tmp_path)
    yield found
    found.close()


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start:start + 100_000]


def upload(store: SpreadImageStore, number: int, *, commit: bool = True) -> str:
    held = store.open(IMAGE, number)
    asyncio.run(held.write(_chunks(DATA), limit=1 << 30))
    held.keep()
    location = held.commit() if commit else held.location
    held.close()
    return location


def read(store: SpreadImageStore, location: str, start: int = 0, length: int | None = None) -> bytes:
    async def run() -> bytes:
        return b"".join([bytes(chunk) async for chunk in store.read(location, start, length)])
    return asyncio.run(run())


def test_what_lies_on_one_machine_is_read_from_the_other(pair: Pair) -> None:
    location = upload(pair.stores["m1"], 1)
    for store in pair.stores.values():
        assert read(store, location) == DATA
        assert read(store, location, 70_001, 5) == DATA[70_001:70_006]
        assert store.size(location) == len(DATA)
        assert [piece.location for piece in store.pieces(IMAGE, [1, 2])] == [location]
        assert [piece.location for piece in store.inventory()] == [location]
        assert store.inspect(location, "raw").format == "raw"


def test_the_other_machine_finishes_and_deletes(pair: Pair) -> None:
    upload(pair.stores["m1"], 3, commit=False)
    location = pair.stores["m2"].commit(IMAGE, 3)
    assert read(pair.stores["m1"], location) == DATA
    pair.stores["m2"].delete(location)
    assert pair.stores["m1"].size(location) is None
    assert pair.stores["m2"].size(location) is None
    with pytest.raises(NotFound):
        pair.stores["m2"].commit(IMAGE, 3)
    with pytest.raises(NotFound):
        read(pair.stores["m2"], location)


def test_an_upload_under_way_is_seen_from_the_other(pair: Pair) -> None:
    held = pair.stores["m1"].open(IMAGE, 4)
    assert pair.stores["m2"].writing(IMAGE, 4)
    held.close()
    assert not pair.stores["m2"].writing(IMAGE, 4)


def test_nothing_is_concluded_from_a_machine_that_is_away(pair: Pair) -> None:
    location, here = upload(pair.stores["m1"], 5), upload(pair.stores["m2"], 6)
    pair.away("m1")
    store = pair.stores["m2"]
    for ask in (lambda: store.size(location), lambda: store.pieces(IMAGE, [5]), store.inventory,
                lambda: store.delete(location), lambda: store.writing(IMAGE, 5), lambda: read(store, location)):
        with pytest.raises(Unavailable):
            ask()
    assert read(store, here) == DATA


def test_only_control_machines_share_image_data(tmp_path: Path) -> None:
    authority = pki.make_authority("c1")
    m1, m2 = (issued(tmp_path / name, authority, CLUSTER.machine(name)) for name in ("m1", "m2"))
    store = LocalImageStore(tmp_path / "images")
    with serving(peers.checked(image_peers.answering(tell, store, ("m1",))), m1, mutual=True) as port:
        with pytest.raises(Unavailable, match="403"):
            Peer("127.0.0.1", port, tls.client(m2)).ask("inventory")
        assert Peer("127.0.0.1", port, tls.client(m1)).ask("inventory") == []
        for bad in (("close",), ("size", 1, 2), ("at", "x")):
            with pytest.raises((Unavailable, KeyError)):
                Peer("127.0.0.1", port, tls.client(m1)).ask(*bad)
    store.close()
    assert threading.active_count() < 40
