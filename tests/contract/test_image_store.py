"""What every image store does: a local directory, or a pool of a real Ceph cluster."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.core.errors import NotFound, TooLarge, Unavailable
from stackling.drivers.ceph.image_store import RbdImageStore
from stackling.drivers.ceph.names import Location
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.several import Several
from stackling.ports.images import ImageStore, NoSpace, Piece
from tests.ceph import INSTALLED, POOLS, RealCeph, real_ceph
from tests.ovn import eventually

ID = "00000000-0000-4000-8000-000000000001"
needs_ceph = pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")


@pytest.fixture(scope="module")
def ceph() -> Iterator[RealCeph]:
    with real_ceph() as found:
        yield found


@pytest.fixture(params=["local", "several", pytest.param("rbd", marks=needs_ceph)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "several":
        yield from former(LocalImageStore(tmp_path / "now", reserve=0), tmp_path)
        return
    if request.param == "local":
        found = LocalImageStore(tmp_path / "store", reserve=0)
        yield found
        found.close()
        return
    with rbd_store(request.getfixturevalue("ceph")) as found:
        yield found


def former(now: LocalImageStore, tmp_path: Path) -> Iterator[Any]:
    before = LocalImageStore(tmp_path / "before", name="before", prefix="old:", reserve=0)
    both = Several("now", {"before": before, "now": now})
    put(before, 90, b"before")
    location = both.pieces(ID, [90])[0].location
    assert asyncio.run(read(both, location)) == b"before"
    assert [piece.number for piece in both.inventory()] == [90]
    both.delete(location)
    upload = before.open(ID, 91)
    asyncio.run(upload.write(chunks(b"staged"), limit=10))
    assert both.writing(ID, 91)
    upload.keep()
    upload.close()
    assert both.commit(ID, 91).startswith("old:")
    both.delete(both.pieces(ID, [91])[0].location)
    yield _Full(both, now)
    both.close()


class _Full(Several):
    """Stores whose default one's reserve can be set."""

    def __init__(self, both: Several, now: LocalImageStore) -> None:
        super().__init__(both.name, both.members)
        self._now = now

    @property
    def reserve(self) -> int:
        return self._now.reserve

    @reserve.setter
    def reserve(self, value: int) -> None:
        self._now.reserve = value


@pytest.fixture
def rbd(ceph: RealCeph) -> Iterator[RbdImageStore]:
    with rbd_store(ceph) as found:
        yield found


class rbd_store:
    """A store that leaves nothing."""

    def __init__(self, ceph: RealCeph) -> None:
        self.ceph = ceph
        self.store = RbdImageStore(ceph.images, POOLS.images, reserve=0)

    def __enter__(self) -> RbdImageStore:
        return self.store

    def __exit__(self, *error: object) -> None:
        for piece in self.store.inventory():
            self.store.delete(piece.location)
        eventually(lambda: self.ceph.left() == [])
        self.store.close()


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at:at + size]


async def read(store: ImageStore, location: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([bytes(chunk) async for chunk in store.read(location, start, length)])


def put(store: ImageStore, number: int, data: bytes, declared: str | None = None) -> str:
    upload = store.open(ID, number)
    asyncio.run(upload.write(chunks(data), limit=len(data)))
    if declared:
        assert store.inspect(upload.location, declared).problem is None
    location = upload.commit()
    upload.close()
    return location


def test_written_committed_read_deleted(store: ImageStore) -> None:
    data = os.urandom(20_000_003)
    upload = store.open(ID, 3)
    stored = asyncio.run(upload.write(chunks(data), limit=len(data)))
    assert (stored.size, stored.sha512) == (len(data), hashlib.sha512(data).hexdigest())
    assert stored.md5 == hashlib.md5(data).hexdigest()
    assert store.writing(ID, 3)
    assert store.inventory() == [Piece(ID, 3, True, upload.location)]
    location = upload.commit()
    assert store.writing(ID, 3)
    upload.close()
    assert not store.writing(ID, 3)
    assert store.pieces(ID, [1, 3]) == [Piece(ID, 3, False, location)]
    assert store.size(location) == len(data)
    assert asyncio.run(read(store, location)) == data
    for start, length in ((0, 1), (4095, 2), (8 << 20, 5), ((8 << 20) - 1, 2), (1_234_567, 15_000_000),
                          (20_000_002, 9)):
        assert asyncio.run(read(store, location, start, length)) == data[start:start + length]
    store.delete(location)
    store.delete(location)
    assert store.size(location) is None
    assert store.pieces(ID, [3]) == []
    with pytest.raises(NotFound):
        asyncio.run(read(store, location))


def test_an_upload_that_is_let_go_leaves_nothing(store: ImageStore) -> None:
    upload = store.open(ID, 1)
    with pytest.raises(TooLarge):
        asyncio.run(upload.write(chunks(b"x" * 5_000_000), limit=4_000_000))
    upload.close()
    upload.close()
    assert store.inventory() == []


def test_an_upload_that_breaks_off_leaves_nothing(store: ImageStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 9_000_000
        raise ConnectionResetError

    upload = store.open(ID, 1)
    with pytest.raises(ConnectionResetError):
        asyncio.run(upload.write(broken(), limit=1 << 30))
    upload.close()
    assert store.inventory() == []


def test_staged_and_committed_later_any_number_of_times(store: ImageStore) -> None:
    upload = store.open(ID, 1)
    asyncio.run(upload.write(chunks(b"data"), limit=10))
    upload.keep()
    upload.close()
    assert [piece.staged for piece in store.inventory()] == [True]
    locations = [store.commit(ID, 1) for _ in range(2)]
    assert len(set(locations)) == 1
    assert store.inventory() == [Piece(ID, 1, False, locations[0])]
    assert asyncio.run(read(store, locations[0])) == b"data"
    with pytest.raises(NotFound):
        store.commit(ID, 2)


def test_a_full_store(store: Any) -> None:
    upload = store.open(ID, 1)
    store.reserve = 1 << 62
    with pytest.raises(NoSpace):
        asyncio.run(upload.write(chunks(b"data"), limit=10))
    upload.close()
    assert store.inventory() == []


def test_alien_locations_are_not_found(store: ImageStore) -> None:
    for location in ("", "rbd://x", "images/../../etc/passwd", "rbd://a/b/c/d", "file:///etc/passwd", f"images/{ID}.0"):
        for call in (store.size, store.delete, store.path):
            with pytest.raises(NotFound):
                call(location)
    with pytest.raises(NotFound):
        store.pieces("../x", [1])


def test_a_hostile_image_is_found_out(store: ImageStore, tmp_path: Path) -> None:
    victim, bad = tmp_path / "victim", tmp_path / "bad.qcow2"
    victim.write_bytes(bytes(1 << 20))
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", "-b", victim, "-F", "raw", bad])
    upload = store.open(ID, 1)
    data = bad.read_bytes()
    asyncio.run(upload.write(chunks(data), limit=len(data)))
    assert "file" in (store.inspect(upload.location, "qcow2").problem or "")
    assert store.inspect(upload.location, "raw").mismatch
    upload.close()


# -- Ceph's own

@needs_ceph
def test_qcow2_gets_a_raw_disk_beside_it(rbd: RbdImageStore, ceph: RealCeph, tmp_path: Path) -> None:
    raw, qcow2 = tmp_path / "raw", tmp_path / "qcow2"
    raw.write_bytes(os.urandom(3 << 20) + bytes(29 << 20))
    subprocess.check_call(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2])
    location = put(rbd, 1, qcow2.read_bytes(), "qcow2")
    assert asyncio.run(read(rbd, location)) == qcow2.read_bytes()
    disk = Location.parse(location)
    assert disk is not None
    back = tmp_path / "back"
    ceph.rbd("export", "--no-progress", f"{POOLS.images}/{disk.disk.name}@snap", str(back))
    assert back.read_bytes() == raw.read_bytes()


@needs_ceph
def test_an_image_with_clones_goes_with_the_last_of_them(rbd: RbdImageStore, ceph: RealCeph) -> None:
    location = put(rbd, 1, b"x" * 9_000_000, "raw")
    place = Location.parse(location)
    assert place is not None
    ceph.rbd("clone", "--rbd-default-clone-format=2", f"{place.pool}/{place.name}@snap", f"{POOLS.disks}/c")
    rbd.delete(location)
    assert rbd.size(location) is None
    assert rbd.inventory() == []
    eventually(lambda: len(ceph.left()) == 2)
    assert ceph.rbd("export", "--no-progress", f"{POOLS.disks}/c", "-")[:5] == "xxxxx"
    ceph.rbd("rm", "--no-progress", f"{POOLS.disks}/c")
    rbd.inventory()
    eventually(lambda: ceph.left() == [])


@needs_ceph
def test_a_writer_that_is_gone_is_seen(rbd: RbdImageStore, ceph: RealCeph) -> None:
    writer = RbdImageStore(ceph.images, POOLS.images, reserve=0)
    upload = writer.open(ID, 1)
    asyncio.run(upload.write(chunks(b"x" * 100), limit=100))
    assert rbd.writing(ID, 1)
    writer.close()
    eventually(lambda: not rbd.writing(ID, 1))
    assert [piece.staged for piece in rbd.inventory()] == [True]


@needs_ceph
def test_a_wrong_key_is_refused_in_words(ceph: RealCeph, tmp_path: Path) -> None:
    access = ceph.images
    wrong = tmp_path / "keyring"
    wrong.write_text(access.keyring.read_text().replace("key = A", "key = AQ==B")[:60] + "\n")
    wrong.write_text("[client.stackling-images]\n\tkey = AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==\n")
    store = RbdImageStore(type(access)(access.conf, access.user, wrong), POOLS.images)
    with pytest.raises(Unavailable, match="key"):
        store.inventory()
    store.close()


@needs_ceph
def test_a_cluster_that_hangs_is_told_in_five_seconds(ceph: RealCeph) -> None:
    import time

    store = RbdImageStore(ceph.images, POOLS.images, reserve=0)
    location = put(store, 1, b"data")
    ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        for call in (lambda: store.size(location), lambda: store.open(ID, 2), lambda: store.pieces(ID, [1])):
            begun = time.monotonic()
            with pytest.raises(Unavailable, match="doesn't answer"):
                call()
            assert time.monotonic() - begun < 5.5
    finally:
        ceph.ceph.signal("*", signal.SIGCONT)
    eventually(lambda: _answers(store, location), 120)
    store.delete(location)
    eventually(lambda: ceph.left() == [])
    store.close()


def _answers(store: RbdImageStore, location: str) -> bool:
    try:
        return store.size(location) == 4
    except Unavailable:
        return False
