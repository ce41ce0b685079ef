"""The image store in a directory, beyond what every store does (``tests/contract/test_image_store.py``)."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackling.drivers.local.image_store import LocalImageStore

ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    found = LocalImageStore(tmp_path / "store", reserve=0)
    yield found
    found.close()


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at:at + size]


def put(store: LocalImageStore, number: int, data: bytes) -> str:
    upload = store.open(ID, number)
    asyncio.run(upload.write(chunks(data), limit=len(data)))
    location = upload.commit()
    upload.close()
    return location


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
