"""The image store in a directory."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackling.core.errors import NotFound, TooLarge
from stackling.drivers.local.image_store import LocalImageStore
from stackling.ports.images import NoSpace, Piece

ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    found = LocalImageStore(tmp_path / "store", reserve=0)
    yield found
    found.close()


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at:at + size]


async def read(store: LocalImageStore, location: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([bytes(chunk) async for chunk in store.read(location, start, length)])


def put(store: LocalImageStore, number: int, data: bytes) -> str:
    upload = store.open(ID, number)
    asyncio.run(upload.write(chunks(data), limit=len(data)))
    location = upload.commit()
    upload.close()
    return location


def test_written_committed_read_deleted(store: LocalImageStore) -> None:
    data = os.urandom(20_000_003)
    upload = store.open(ID, 3)
    stored = asyncio.run(upload.write(chunks(data), limit=len(data)))
    assert (stored.size, stored.sha512) == (len(data), hashlib.sha512(data).hexdigest())
    assert store.writing(ID, 3)
    assert store.inventory() == [Piece(ID, 3, True, f"staging/{ID}.3")]
    location = upload.commit()
    assert store.writing(ID, 3)
    upload.close()
    assert not store.writing(ID, 3)
    assert store.pieces(ID, [1, 3]) == [Piece(ID, 3, False, location)]
    assert asyncio.run(read(store, location)) == data
    for start, length in ((0, 1), (4095, 2), (8 << 20, 5), ((8 << 20) - 1, 2), (1_234_567, 15_000_000),
                          (20_000_002, 9)):
        assert asyncio.run(read(store, location, start, length)) == data[start:start + length]
    store.delete(location)
    store.delete(location)
    assert store.size(location) is None
    with pytest.raises(NotFound):
        asyncio.run(read(store, location))


def test_an_upload_that_is_let_go_leaves_nothing(store: LocalImageStore) -> None:
    upload = store.open(ID, 1)
    with pytest.raises(TooLarge):
        asyncio.run(upload.write(chunks(b"x" * 5_000_000), limit=4_000_000))
    upload.close()
    upload.close()
    assert store.inventory() == []


def test_staged_and_committed_later_any_number_of_times(store: LocalImageStore) -> None:
    upload = store.open(ID, 1)
    asyncio.run(upload.write(chunks(b"data"), limit=10))
    upload.keep()
    upload.close()
    assert [store.commit(ID, 1) for _ in range(2)] == [f"images/{ID}.1"] * 2
    with pytest.raises(NotFound):
        store.commit(ID, 2)


def test_a_full_store(store: LocalImageStore) -> None:
    store.reserve = 1 << 62
    upload = store.open(ID, 1)
    with pytest.raises(NoSpace):
        asyncio.run(upload.write(chunks(b"data"), limit=10))
    upload.close()
    assert store.inventory() == []


def test_whoever_looks_at_the_lock_delays_nobody_for_long(store: LocalImageStore) -> None:
    path = store.at("staging", ID, 1)
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        store.open(ID, 1).close()
    assert store.inventory() == []


def test_files_are_for_the_group_to_read(store: LocalImageStore) -> None:
    path = store.path(put(store, 1, b"data"))
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o640


def test_alien_files_are_no_pieces(store: LocalImageStore) -> None:
    (store.directory / "images" / "readme").touch()
    (store.directory / "images" / "x.0").touch()
    assert store.inventory() == []
