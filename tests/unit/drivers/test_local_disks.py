"""Disks and image cache in a directory, with the tools that really make them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackling.drivers.local import config_drive
from stackling.drivers.local.disks import LocalDisks
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.ports.document import InjectedFile, MetadataDocument, RootDisk, ServerDesired
from stackling.ports.hypervisor import GuestRefused, HypervisorError

IMAGE = bytes(range(256)) * 4096
needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def root(data: bytes = IMAGE, **values: Any) -> RootDisk:
    return RootDisk(**{"image_id": "i", "image_format": "raw", "image_size": len(data),
                       "image_checksum": hashlib.sha512(data).hexdigest(), **values})


class Store:
    """Where images come from; counts."""

    def __init__(self, data: bytes = IMAGE) -> None:
        self.data, self.fetched = data, 0

    def __call__(self, disk: RootDisk, write: Callable[[bytes], object]) -> None:
        self.fetched += 1
        for at in range(0, len(self.data), 100_000):
            write(self.data[at:at + 100_000])


class Place:
    def __init__(self, directory: Path, **limits: float) -> None:
        self.store, self.images = Store(), directory / "images"
        self.cache = ImageCache(self.images, self.store, Limits(**limits))
        self.disks = LocalDisks(directory / "instances", self.cache)
        self.said: list[str] = []

    def make(self, server: ServerDesired) -> None:
        self.disks.make(server, self.said.append)

    def bases(self) -> list[Path]:
        return [path for path in self.images.iterdir() if path.suffix != ".json"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def server(id: str = "a", **values: Any) -> ServerDesired:
    return ServerDesired(**{"id": id, "generation": 1, "root": root(), **values})


@needs_qemu
def test_an_image_is_fetched_once_and_overlays_name_it(place: Place) -> None:
    for id in ("a", "b"):
        place.make(server(id))
        assert place.disks.find(id) == 0
    assert place.store.fetched == 1
    assert place.said == ["downloading image"]
    base, = place.bases()
    assert base.read_bytes() == IMAGE
    assert base.stat().st_mode & 0o777 == 0o444
    path = place.disks.paths(server()).root
    assert path is not None
    shown = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", path]))
    assert (shown["backing-filename"], shown["backing-filename-format"]) == (str(base), "raw")
    assert path.stat().st_mode & 0o777 == 0o600


@needs_qemu
def test_a_rebuild_replaces_everything(place: Place) -> None:
    place.make(server(swap_mib=1))
    place.make(server(swap_mib=1, rebuilds=3))
    assert place.disks.find("a") == 3
    assert sorted(path.name for path in (place.disks._root / "a").iterdir()) == [  # pyright: ignore[reportPrivateUsage]
        "disks.3.json", "root.3.qcow2", "swap.3.raw"]
    place.disks.remove("a", 1, 1)
    place.disks.remove("a", 1, 1)
    assert place.disks.find("a") is None


@needs_qemu
def test_what_a_crash_left_half_made_doesnt_count(place: Place, tmp_path: Path) -> None:
    place.make(server())
    (tmp_path / "instances/a/disks.0.json").unlink()
    (tmp_path / "instances/a/root.0.qcow2").write_bytes(b"torn")
    assert place.disks.find("a") is None
    place.make(server())
    subprocess.check_call(["qemu-img", "check", "-q", tmp_path / "instances/a/root.0.qcow2"])


@needs_qemu
def test_an_image_that_doesnt_fit_is_refused(place: Place) -> None:
    big = RootDisk(image_id="i", image_format="raw", image_size=3 << 30, image_checksum="0" * 128, size_gib=2)

    class Sparse(ImageCache):
        def _download(self, path: Path, disk: RootDisk) -> None:
            with path.open("wb") as file:
                file.truncate(disk.image_size)
            path.with_name(path.name + ".json").write_text("{}")

    place.disks._cache = Sparse(place.images, place.store)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(GuestRefused, match="larger flavor"):
        place.make(server(root=big))


def test_a_damaged_arrival_is_never_kept(place: Place) -> None:
    for data in (IMAGE[:-1], IMAGE + b"x", IMAGE[:-1] + b"\x00"):
        place.store.data = data
        with pytest.raises(HypervisorError):
            place.make(server())
        assert list(place.images.iterdir()) == []


@needs_qemu
@pytest.mark.parametrize("damage", ["truncate", "touch", "flip"])
def test_a_damaged_base_is_fetched_anew(place: Place, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make(server("a"))
    base, = place.bases()
    base.chmod(0o600)
    before = base.stat()
    if damage == "truncate":
        os.truncate(base, 5)
    elif damage == "touch":
        os.utime(base)
    else:                       # bit rot: size and time are as they were
        base.write_bytes(IMAGE[:-1] + b"\x00")
        os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
    place.make(server("b"))
    assert place.store.fetched == 2
    assert base.read_bytes() == IMAGE


@needs_qemu
def test_only_what_nobody_needs_is_pruned(tmp_path: Path) -> None:
    place = Place(tmp_path, days=0.0)
    place.make(server())
    (place.images / "x.raw.part").write_bytes(b"half")
    place.disks.tidy({"other"})
    assert len(place.bases()) == 1          # an overlay lies on it
    place.disks.remove("a", 1, 1)
    place.disks.tidy({"i"})
    assert len(place.bases()) == 1          # a document names it
    place.disks.tidy(set())
    assert list(place.images.iterdir()) == []


@needs_qemu
def test_an_unused_image_is_kept_for_a_while(place: Place) -> None:
    place.make(server())
    place.disks.remove("a", 1, 1)
    place.disks.tidy(set())
    assert len(place.bases()) == 1


def test_a_console_log_is_cut(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "instances/a/console.log"
    log.parent.mkdir()
    log.write_bytes(b"old\n" * (1 << 21) + b"newest\n")
    place.disks.tidy(set())
    assert log.stat().st_size == 1 << 20
    assert log.read_bytes().endswith(b"newest\n")


def test_ids_are_no_paths(place: Place) -> None:
    for id in ("../x", "..", "a/b"):
        with pytest.raises(GuestRefused):
            place.disks.find(id)


def test_the_config_drive_holds_what_the_metadata_service_shows(tmp_path: Path) -> None:
    document = MetadataDocument(meta_data={"uuid": "u"}, vendor_data={"v": 1}, ec2={"instance-id": "i-1"},
                                user_data=base64.b64encode(b"#cloud-config\n").decode())
    target = tmp_path / "drive.iso"
    config_drive.make(document, target)
    shown = subprocess.check_output(["isoinfo", "-d", "-i", target]).decode()
    assert "Volume id: config-2" in shown

    def read(path: str) -> bytes:
        return subprocess.check_output(["isoinfo", "-R", "-x", path, "-i", target])

    meta_data = json.loads(read("/openstack/latest/meta_data.json"))
    assert meta_data["uuid"] == "u"
    assert len(base64.b64decode(meta_data["random_seed"])) == 512
    assert read("/openstack/latest/user_data") == b"#cloud-config\n"
    assert "files" not in meta_data
    assert json.loads(read("/openstack/latest/vendor_data2.json")) == {"static": {"v": 1}}
    assert json.loads(read("/ec2/latest/meta-data.json")) == {"instance-id": "i-1"}
    assert list(tmp_path.iterdir()) == [target]


def test_the_config_drive_holds_files() -> None:
    document = MetadataDocument(meta_data={"uuid": "u"}, files=(
        InjectedFile(path="/etc/motd", contents=base64.b64encode(b"hello\n").decode()),
        InjectedFile(path="/root/b", contents="AAE=\n")))
    shown = config_drive.files(document, "seed")
    told = [{"path": "/etc/motd", "content_path": "/content/0000"},
            {"path": "/root/b", "content_path": "/content/0001"}]
    for version in config_drive.VERSIONS:
        assert json.loads(shown[f"openstack/{version}/meta_data.json"])["files"] == told
    assert (shown["openstack/content/0000"], shown["openstack/content/0001"]) == (b"hello\n", b"\0\1")
