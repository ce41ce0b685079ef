"""What every backend of volumes does: simulated, a directory, or a pool of a real Ceph cluster."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.ceph.client import CephError
from stackling.drivers.ceph.image_store import RbdImageStore
from stackling.drivers.ceph.volumes import DEEPEST, RbdVolumes
from stackling.drivers.local.volumes import LocalVolumes
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.ports.volumes import FromFile, FromImage, FromSnapshot, FromVolume, StoreDown, StoreFull, StoreRefused
from tests.ceph import INSTALLED, POOLS, RealCeph, real_ceph
from tests.ovn import eventually

needs_ceph = pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")
RBD = pytest.param("rbd", marks=needs_ceph)
GIB = 1 << 30


@pytest.fixture(scope="module")
def ceph() -> Iterator[RealCeph]:
    with real_ceph() as found:
        yield found


@pytest.fixture
def rbd(ceph: RealCeph, tmp_path: Path) -> Iterator[RbdVolumes]:
    found = RbdVolumes(ceph.volumes, POOLS.volumes, tmp_path / "scratch")
    yield found
    for line in ceph.rbd("ls", POOLS.volumes).split():
        with suppress(CephError):       # in use, after a test that failed
            found.client.quick("discard", pool=POOLS.volumes, name=line, delay=0.0)
    found.client.long("purge", pool=POOLS.volumes)
    found.close()


@pytest.fixture(params=["simulated", "local", RBD])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "rbd":
        return request.getfixturevalue("rbd")
    return SimulatedVolumes(tmp_path) if request.param == "simulated" else LocalVolumes(tmp_path / "volumes")


@pytest.fixture(params=["local", RBD])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.getfixturevalue("rbd") if request.param == "rbd" else LocalVolumes(tmp_path / "volumes")


def test_a_volume_lives(store: Any) -> None:
    id = new_id()
    assert store.size(id) is None
    for _ in range(2):
        store.create(id, 1, None)
        assert store.size(id) == 1
    store.grow(id, 3)
    assert store.size(id) == 3
    assert store.inventory() == {id: 0}
    for _ in range(2):
        store.delete(id)
        assert store.size(id) is None
    assert store.inventory() == {}


def test_snapshots_and_what_is_made_of_them(store: Any) -> None:
    id, snapshot, copy, clone = (new_id() for _ in range(4))
    store.create(id, 1, None)
    for _ in range(2):
        store.snapshot(id, snapshot)
        assert list(store.snapshots(id)) == [snapshot]
    store.create(copy, 2, FromSnapshot(id, snapshot))
    store.create(clone, 1, FromVolume(id))
    store.revert(id, snapshot)
    for _ in range(2):
        store.delete_snapshot(id, snapshot)
    store.delete(id)
    assert (store.size(copy), store.size(clone)) == (2, 1)


def test_volumes_are_given_back_and_taken_again(store: Any) -> None:
    id, again = new_id(), new_id()
    store.create(id, 1, None)
    for _ in range(2):
        store.release(id, f"volume-{id}")
        assert [stray.name for stray in store.strays()] == [f"volume-{id}"]
    assert store.inventory() == {}
    assert store.adopt(f"volume-{id}", again) == 1
    assert store.adopt(f"volume-{id}", again) == 1
    with pytest.raises(StoreRefused):
        store.adopt("../etc/passwd", new_id())


def test_snapshots_are_given_back_and_taken_again(store: Any) -> None:
    id, snapshot, again = (new_id() for _ in range(3))
    name = f"_snapshot-{snapshot}"
    store.create(id, 1, None)
    store.snapshot(id, snapshot)
    for _ in range(2):
        store.release_snapshot(id, snapshot, name)
        assert list(store.snapshots(id)) == []
    for bad in ("none", f"../{id}.qcow2", "", new_id()):
        with pytest.raises(StoreRefused):
            store.adopt_snapshot(id, bad, again)
    store.grow(id, 2)
    for _ in range(2):
        assert store.adopt_snapshot(id, name, again) == (2 if store.driver == "simulated" else 1)
        assert list(store.snapshots(id)) == [again]
    with pytest.raises(StoreRefused):
        store.adopt_snapshot(id, name, new_id())
    store.create(copy := new_id(), 2, FromSnapshot(id, again))
    store.release_snapshot(id, again, name)
    for _ in range(2):
        store.delete(id)
    assert store.size(copy) == 2


def test_data_is_kept(real: Any, tmp_path: Path) -> None:
    store, id, snapshot, clone = real, new_id(), new_id(), new_id()
    data = tmp_path / "data"
    data.write_bytes(b"once" * 1024)
    store.create(id, 1, FromFile(data, "raw"))
    store.snapshot(id, snapshot)
    data.write_bytes(b"then" * 1024)
    store.replace(id, 1, FromFile(data, "raw"))
    with store.read(id, "raw") as path:
        assert path.read_bytes()[:4] == b"then"
    with store.read(id, "raw", snapshot) as path:
        assert path.read_bytes()[:4] == b"once"
    store.create(clone, 2, FromSnapshot(id, snapshot))
    with store.read(clone, "raw") as path:
        assert path.read_bytes()[:4] == b"once"
        assert path.stat().st_size == 2 << 30
    store.revert(id, snapshot)
    with store.read(id, "raw") as path:
        assert path.read_bytes()[:4] == b"once"
        assert path.stat().st_size == 1 << 30


def test_a_file_that_names_another_is_not_taken(tmp_path: Path) -> None:
    store = LocalVolumes(tmp_path)
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw",
                    tmp_path / "bad.qcow2", "1G"], check=True)
    with pytest.raises(StoreRefused, match="another file"):
        store.adopt("bad", new_id())
    with pytest.raises(StoreRefused):
        store.create(new_id(), 1, FromFile(tmp_path / "bad.qcow2", "vmdk"))


def test_a_damaged_source_is_refused_and_nothing_is_left(real: Any, tmp_path: Path) -> None:
    id, data = new_id(), tmp_path / "data"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", data, "64M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 8M", data], check=True, capture_output=True)
    whole = data.read_bytes()
    for damaged in (whole[:100], b"QFI\xfb" + os.urandom(100_000), whole[:40] + b"\xff" * 24 + whole[64:]):
        data.write_bytes(damaged)
        with pytest.raises(StoreRefused):
            real.create(id, 1, FromFile(data, "qcow2"))
        assert real.size(id) is None
    assert real.inventory() == {}


@pytest.mark.root
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    place, data = tmp_path / "small", tmp_path / "data"
    place.mkdir()
    data.write_bytes(os.urandom(16 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", place], check=True)
    try:
        store, id = LocalVolumes(place / "volumes"), new_id()
        with pytest.raises(StoreFull):
            store.create(id, 1, FromFile(data, "raw"))
        assert store.size(id) is None
        assert [path for path in (place / "volumes").rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", place], check=True)


# -- Ceph's own

@needs_ceph
def test_a_full_pool_is_said_and_what_is_deleted_goes(rbd: RbdVolumes, ceph: RealCeph, tmp_path: Path) -> None:
    """QEMU and librbd would wait for room for ever."""
    first, second, empty, data = new_id(), new_id(), new_id(), tmp_path / "data"
    data.write_bytes(os.urandom(16 << 20))
    rbd.create(first, 1, FromFile(data, "raw"))
    ceph.ceph.command("osd", "pool", "set-quota", POOLS.volumes, "max_bytes", str(8 << 20))
    try:
        eventually(lambda: "full_quota" in ceph.ceph.command("osd", "pool", "ls", "detail"), 60)
        assert rbd.capacity().free_gib == 0
        began = time.monotonic()
        with pytest.raises(StoreFull, match="full"):
            rbd.create(second, 1, FromFile(data, "raw"))
        assert time.monotonic() - began < 20
        assert rbd.size(second) is None
        with suppress(StoreFull):
            rbd.create(empty, 1, None)      # takes next to nothing
        rbd.delete(empty)
        rbd.delete(first)
        rbd.client.long("purge", pool=POOLS.volumes)
        assert [line for line in ceph.left() if first in line] == []
    finally:
        ceph.ceph.command("osd", "pool", "set-quota", POOLS.volumes, "max_bytes", "0")
        eventually(lambda: "full_quota" not in ceph.ceph.command("osd", "pool", "ls", "detail"), 60)


@needs_ceph
def test_a_volume_is_a_clone_of_its_image_and_outlives_it(rbd: RbdVolumes, ceph: RealCeph) -> None:
    store = RbdImageStore(ceph.images, POOLS.images, reserve=0)
    id, data = new_id(), os.urandom(1 << 20)
    try:
        handle = store.client.data("open_new", pool=POOLS.images, name=f"{id}.1")
        store.client.data("write", data, handle=handle, offset=0)
        store.client.data("finish", handle=handle, size=len(data))
        store.client.data("close", handle=handle)
        location = store.commit(id, 1)
        volume = new_id()
        with pytest.raises(StoreRefused):
            rbd.create(volume, 1, FromImage(location.replace("/snap", "/other"), "raw"))
        rbd.create(volume, 1, FromImage(location, "raw"))
        assert f"parent: {POOLS.images}/{id}.1@snap" in ceph.rbd("info", f"{POOLS.volumes}/{volume}")
        store.delete(location)
        with rbd.read(volume, "raw") as path, path.open("rb") as file:
            assert file.read(len(data)) == data
        rbd.delete(volume)
        rbd.client.long("purge", pool=POOLS.volumes)
        store.client.long("purge", pool=POOLS.images)
        assert ceph.left() == []
    finally:
        store.close()


@needs_ceph
def test_what_has_clones_can_go_and_long_chains_are_flattened(rbd: RbdVolumes, ceph: RealCeph, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"kept" * 1024)
    ids = [new_id() for _ in range(DEEPEST + 3)]
    rbd.create(ids[0], 1, FromFile(data, "raw"))
    depths: list[int] = []
    for before, id in itertools.pairwise(ids):
        rbd.create(id, 1, FromVolume(before))
        rbd.delete(before)
        depths.append(rbd.client.quick("depth", pool=POOLS.volumes, name=id))
    assert max(depths) == DEEPEST
    assert 0 in depths
    with rbd.read(ids[-1], "raw") as path, path.open("rb") as file:
        assert file.read(4) == b"kept"
    rbd.delete(ids[-1])
    assert rbd.inventory() == {}
    rbd.client.long("purge", pool=POOLS.volumes)
    assert ceph.left() == []


@needs_ceph
def test_what_a_guest_uses_is_kept_and_grown_beneath_it(rbd: RbdVolumes, ceph: RealCeph, tmp_path: Path) -> None:
    """A machine's key is enough for its QEMU to write, and to take the snapshot and grow when control asks for it."""
    id, snapshot, clone = (new_id() for _ in range(3))
    rbd.create(new_id(), 1, None)
    rbd.create(id, 1, None)
    machine = ceph.machine()
    with _user(f"driver=raw,{machine.source(POOLS.volumes, id)}") as guest:
        guest("write -P 1 0 4096", "flush")
        rbd.snapshot(id, snapshot)
        guest("write -P 2 0 4096", "flush")
        rbd.create(clone, 1, FromVolume(id))
        rbd.grow(id, 2)
        assert rbd.size(id) == 2
        with pytest.raises(StoreDown, match="in use"):
            rbd.delete(id)
        with pytest.raises(StoreDown, match="in use"):
            rbd.revert(id, snapshot)
        rbd.delete_snapshot(id, new_id())
        guest("write -P 3 0 4096", "flush")
    for of, at, byte in ((id, snapshot, 1), (clone, None, 2), (id, None, 3)):
        with rbd.read(of, "raw", at) as path, path.open("rb") as file:
            assert file.read(4096) == bytes([byte]) * 4096
    for line in ("create --size 1 {}/mine", "rm --no-progress {}/" + id, "rename {0}/" + id + " {0}/mine",
                 "trash mv {}/" + id):
        words = line.format(POOLS.volumes).split()
        done = subprocess.run(["rbd", "-c", machine.conf, "--id", machine.user, *words], capture_output=True,
                              timeout=60, check=False)
        assert done.returncode != 0, line
    assert rbd.size(id) == 2


class _user:
    """QEMU that has a disk open, as a guest's has it."""

    def __init__(self, disk: str) -> None:
        self._process = subprocess.Popen(["qemu-io", "--image-opts", disk], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)

    def __enter__(self) -> Any:
        self._prompted()
        return self._say

    def _say(self, *commands: str) -> None:
        assert self._process.stdin is not None
        for command in commands:
            self._process.stdin.write(f"{command}\n".encode())
            said = self._prompted()
            assert b"failed" not in said, said

    def _prompted(self) -> bytes:
        assert self._process.stdout is not None
        said, deadline = b"", time.monotonic() + 20
        while not said.endswith(b"qemu-io> "):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            more = self._process.stdout.read(4096) if ready else b""
            assert more, said
            said += more
        return said

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate(b"quit\n", 20)


@needs_ceph
def test_strays_that_nobody_could_use_are_refused(rbd: RbdVolumes, ceph: RealCeph) -> None:
    ceph.rbd("create", "--size", "1500", f"{POOLS.volumes}/theirs")
    ceph.rbd("create", "--size", "10", f"{POOLS.volumes}/a.b")
    assert [(each.name, each.size_gib) for each in rbd.strays()] == [("theirs", 2)]
    id = new_id()
    for name in ("a.b", "none", new_id(), "stackling-disks/x", ""):
        with pytest.raises(StoreRefused):
            rbd.adopt(name, id)
    assert rbd.adopt("theirs", id) == 2
    assert rbd.size(id) == 2


@needs_ceph
def test_what_a_crash_left_half_made_is_made_anew(rbd: RbdVolumes, ceph: RealCeph) -> None:
    id, other = new_id(), new_id()
    ceph.rbd("create", "--size", "5", f"{POOLS.volumes}/{id}.new")
    assert rbd.size(id) is None
    rbd.create(id, 1, None)
    assert ceph.rbd("ls", POOLS.volumes).split() == [id]
    ceph.rbd("create", "--size", "5", f"{POOLS.volumes}/{other}.new")
    rbd.client.long("abandon", pool=POOLS.volumes, suffix=".new", seconds=3600.0)
    assert sorted(ceph.rbd("ls", POOLS.volumes).split()) == sorted([id, f"{other}.new"])
    rbd.client.long("abandon", pool=POOLS.volumes, suffix=".new", seconds=-1.0)
    assert ceph.rbd("ls", POOLS.volumes).split() == [id]


@needs_ceph
def test_a_cluster_that_hangs_is_told_in_five_seconds(rbd: RbdVolumes, ceph: RealCeph) -> None:
    id = new_id()
    rbd.create(id, 1, None)
    ceph.ceph.signal("*", signal.SIGSTOP)
    try:
        for call in (lambda: rbd.create(new_id(), 1, None), lambda: rbd.snapshot(id, new_id())):
            began = time.monotonic()
            with pytest.raises(StoreDown, match="doesn't answer in time"):
                call()
            assert time.monotonic() - began < 5.5
    finally:
        ceph.ceph.signal("*", signal.SIGCONT)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert rbd.size(id) == 1
            return
        except StoreDown:
            assert time.monotonic() < deadline
