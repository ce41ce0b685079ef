"""What every backend of volumes does, simulated or a directory."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackling.core.ids import new_id
from stackling.drivers.local.volumes import LocalVolumes
from stackling.drivers.simulated.volumes import SimulatedVolumes
from stackling.ports.volumes import FromFile, FromSnapshot, FromVolume, StoreRefused


@pytest.fixture(params=["simulated", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return SimulatedVolumes(tmp_path) if request.param == "simulated" else LocalVolumes(tmp_path / "volumes")


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


def test_data_is_kept(tmp_path: Path) -> None:
    store, id, snapshot = LocalVolumes(tmp_path / "volumes"), new_id(), new_id()
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
