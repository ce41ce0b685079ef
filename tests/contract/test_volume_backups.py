"""What every place for backups does: whole ones, what has changed since, and damage that is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.ceph.shelf import RbdBackups
from stackling.drivers.chunked import CHUNK
from stackling.drivers.local.backups import LocalBackups
from stackling.ports.volumes import BackupMissing, StoreDown, StoreRefused
from tests.ceph import POOLS, RealCeph
from tests.contract.test_volume_store import RBD, needs_ceph
from tests.contract.test_volume_store import ceph as ceph

SIZE = 64 * CHUNK


class Disk:
    """A raw disk whose chunks a test writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        os.truncate(path, SIZE)

    def write(self, chunk: int, byte: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(chunk * CHUNK)
            file.write(bytes([byte]) * CHUNK)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


@pytest.fixture(params=["local", RBD])
def backups(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "local":
        yield LocalBackups(tmp_path / "backups")
        return
    ceph: RealCeph = request.getfixturevalue("ceph")
    found = RbdBackups(ceph.volumes, POOLS.backups, tmp_path / "scratch")
    yield found
    found.close()
    for line in ceph.rbd("ls", POOLS.backups).split():
        ceph.rbd("rm", "--no-progress", f"{POOLS.backups}/{line}")


def content(backups: Any, id: str) -> bytes:
    with backups.read(id) as found:
        assert found.format == "raw"
        return found.file.read_bytes()


def test_a_chain_is_read_at_each_of_its_ends(backups: Any, disk: Disk) -> None:
    ids = [new_id() for _ in range(4)]
    disk.write(0, 1)
    disk.write(5, 2)
    states: list[bytes] = []
    for number, id in enumerate(ids):
        if number == 1:
            disk.write(5, 3)
            disk.write(63, 9)
        if number == 2:
            disk.write(0, 0)            # zeros again
            disk.write(7, 7)
        if number == 3:
            os.truncate(disk.path, 2 * SIZE)
        for _ in range(2):
            backups.write(id, disk.path, ids[number - 1] if number else None)
        states.append(disk.path.read_bytes())
    for id, state in zip(ids, states, strict=True):
        assert content(backups, id) == state
    kept = [backups.find(id).size // CHUNK for id in ids]
    assert kept == [2, 2, 1, 0]
    backups.delete(ids[3])
    assert content(backups, ids[2]) == states[2]


def test_what_is_gone_is_said_to_be_gone(backups: Any, disk: Disk) -> None:
    whole, after = new_id(), new_id()
    disk.write(1, 1)
    with pytest.raises(BackupMissing):
        backups.write(after, disk.path, whole)
    assert backups.find(after) is None
    backups.write(whole, disk.path)
    backups.write(after, disk.path, whole)
    for _ in range(2):
        backups.delete(whole)
        assert backups.find(whole) is None
    with pytest.raises(BackupMissing):
        content(backups, whole)
    with pytest.raises(BackupMissing):
        content(backups, after)
    backups.delete(after)


def test_names_lead_nowhere_else(backups: Any, disk: Disk) -> None:
    for name in ("../../etc/passwd", "a", ""):
        with pytest.raises(StoreRefused):
            backups.write(name, disk.path)
        with pytest.raises(StoreRefused):
            backups.delete(name)


# -- a pool's own

@needs_ceph
def test_a_pool_keeps_nothing_of_what_was_deleted_or_interrupted(ceph: RealCeph, tmp_path: Path, disk: Disk) -> None:
    backups, id = RbdBackups(ceph.volumes, POOLS.backups, tmp_path / "scratch"), new_id()
    disk.write(1, 1)
    ceph.rbd("create", "--size", "5", f"{POOLS.backups}/{id}.data.new")
    backups.write(id, disk.path)
    assert ceph.rbd("ls", POOLS.backups).split() == [f"{id}.data", f"{id}.index"]
    assert content(backups, id) == disk.path.read_bytes()
    backups.delete(id)
    backups.close()
    assert [line for line in ceph.left() if POOLS.backups in line] == []


@needs_ceph
def test_a_pool_that_isnt_there_is_said_to_be_missing(ceph: RealCeph, tmp_path: Path, disk: Disk) -> None:
    backups = RbdBackups(ceph.volumes, "nowhere", tmp_path / "scratch")
    with pytest.raises(StoreDown, match="storage add ceph"):
        backups.find(new_id())
    backups.close()


# -- a directory's own

def test_damage_is_noticed(tmp_path: Path, disk: Disk) -> None:
    backups, id = LocalBackups(tmp_path / "backups"), new_id()
    disk.write(3, 3)
    backups.write(id, disk.path)
    data, index = (tmp_path / "backups" / f"{id}.{kind}" for kind in ("data", "index"))
    for path, words in ((data, "damaged"), (index, "index of backup .* is damaged")):
        good = path.read_bytes()
        path.write_bytes(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:])
        with pytest.raises(StoreRefused, match=words):
            content(backups, id)
        path.write_bytes(good)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(StoreRefused, match="damaged"):
        content(backups, id)


def test_one_that_a_crash_interrupted_is_written_anew(tmp_path: Path, disk: Disk) -> None:
    backups, id = LocalBackups(tmp_path / "backups"), new_id()
    disk.write(3, 3)
    (tmp_path / "backups" / f"{id}.data").write_bytes(b"half")
    (tmp_path / "backups" / f".{id}.index.12345678.new").write_bytes(b"half")
    assert backups.find(id) is None
    backups.write(id, disk.path)
    assert content(backups, id) == disk.path.read_bytes()
    backups.delete(id)
    assert list((tmp_path / "backups").iterdir()) == []


def test_those_of_former_versions_are_read_and_followed(tmp_path: Path, disk: Disk) -> None:
    backups, old, id = LocalBackups(tmp_path / "backups"), new_id(), new_id()
    (tmp_path / "backups" / f"{old}.qcow2").write_bytes(b"QFI\xfb")
    with backups.read(old) as found:
        assert (found.format, found.file.read_bytes()) == ("qcow2", b"QFI\xfb")
    disk.write(2, 2)
    backups.write(id, disk.path, old)
    backups.delete(old)
    assert content(backups, id) == disk.path.read_bytes()
