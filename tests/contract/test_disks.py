"""What servers' disks do everywhere: in a local directory, one of several machines, a pool of a real Ceph cluster."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from stackling.core.ids import new_id
from stackling.drivers.ceph.disks import RbdDisks
from stackling.drivers.ceph.image_store import RbdImageStore
from stackling.drivers.directory.bases import SharedBases
from stackling.drivers.directory.disks import SharedDisks
from stackling.drivers.directory.place import Place as SharedPlace
from stackling.drivers.local.disks import LocalDisks
from stackling.drivers.local.image_cache import ImageCache, Limits
from stackling.ports.disks import InstanceDisks
from stackling.ports.document import MetadataDocument, RescueDisk, RootDisk, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import GuestRefused, HypervisorError, RbdDisk
from tests.ceph import INSTALLED, POOLS, RealCeph, real_ceph
from tests.ovn import eventually

GIB = 1 << 30
IMAGE = bytes(range(256)) * 4096
needs_ceph = pytest.mark.skipif(not INSTALLED, reason="needs Ceph: ./setup test")


@pytest.fixture(scope="module")
def ceph() -> Iterator[RealCeph]:
    with real_ceph() as found:
        yield found


class Images:
    """Where images come from that no shared storage has."""

    def __init__(self) -> None:
        self.fetched, self.data = 0, IMAGE

    def __call__(self, disk: RootDisk, write: Callable[[bytes], object]) -> None:
        self.fetched += 1
        write(self.data)


class Place(Protocol):
    images: Images

    @property
    def disks(self) -> InstanceDisks: ...
    def read(self, where: Any, length: int, format: str = "qcow2") -> bytes: ...
    def size(self, where: Any) -> int: ...
    def write(self, where: Any, data: bytes) -> None: ...
    def left(self) -> list[str]: ...


class Local:
    def __init__(self, directory: Path) -> None:
        self.images, self.directory = Images(), directory
        self.disks = LocalDisks(directory / "instances", ImageCache(directory / "cache", self.images))

    def read(self, where: Any, length: int, format: str = "qcow2") -> bytes:
        raw = self.directory / "raw"
        subprocess.check_call(["qemu-img", "convert", "-f", format, "-O", "raw", where, raw])
        return raw.open("rb").read(length)

    def size(self, where: Any) -> int:
        return json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", where]))["virtual-size"]

    def write(self, where: Any, data: bytes) -> None:
        assert set(data) == {data[0]}
        subprocess.check_output(["qemu-io", "-f", "qcow2", "-c", f"write -P {data[0]} 0 {len(data)}", where])

    def left(self) -> list[str]:
        return [path.name for path in (self.directory / "instances").iterdir()]


class Directory(Local):
    """The directory *shared* as one of several machines has it."""

    def __init__(self, directory: Path, shared: Path | None = None, machine: str = "m1") -> None:
        self.images, self.directory, self.shared = Images(), directory, shared or directory / "shared"
        self.shared.mkdir(exist_ok=True, parents=True)
        self.place = SharedPlace(self.shared, "d1", machine)
        self.place.prepare()
        self.place.note_proof()
        self.bases = SharedBases(self.place.images, self.images, Limits(days=0))
        self.disks: SharedDisks = SharedDisks(self.place, self.bases, instances=directory / "instances")   # type: ignore[assignment]

    def left(self) -> list[str]:
        return [path.name for top in (self.directory, self.shared) for path in (top / "instances").iterdir()]


class Rbd:
    def __init__(self, directory: Path, ceph: RealCeph, machine: str = "m1") -> None:
        self.images, self.directory, self.ceph = Images(), directory, ceph
        self.disks = RbdDisks(ceph.machine(machine), POOLS.disks, ImageCache(directory / "cache", self.images),
                              machine=machine, instances=directory / "instances")

    def read(self, where: Any, length: int, format: str = "raw") -> bytes:
        raw = self.directory / "raw"
        raw.unlink(missing_ok=True)
        name = f"{where.pool}/{where.name}" if isinstance(where, RbdDisk) else _spec(where)
        self.ceph.rbd("export", "--no-progress", name, str(raw))
        return raw.open("rb").read(length)

    def size(self, where: Any) -> int:
        return json.loads(self.ceph.rbd("info", "--format", "json", f"{where.pool}/{where.name}"))["size"]

    def write(self, where: Any, data: bytes) -> None:
        access = self.ceph.machine()
        subprocess.check_output([
            "qemu-io", "--image-opts", "-c", f"write -P {data[0]} 0 {len(data)}",
            f"driver=raw,{access.source(where.pool, where.name)}"])

    def left(self) -> list[str]:
        admin = ("-c", self.ceph.ceph.conf, "-k", self.ceph.ceph.admin_keyring)
        for pool in (POOLS.disks, POOLS.images):
            for line in self.ceph.rbd("trash", "ls", pool).splitlines():
                subprocess.run(["rbd", *admin, "trash", "rm", "--force", "--no-progress", f"{pool}/{line.split()[0]}"],
                               capture_output=True, check=False)
        objects = subprocess.check_output(["rados", *admin, "-p", POOLS.disks, "ls"], text=True)
        found = [each for each in self.ceph.left() if "/base." not in each]
        return found + [each for each in objects.split() if each.startswith("server.")]


def _spec(location: str) -> str:
    from stackling.drivers.ceph.names import Location
    where = Location.parse(location)
    assert where is not None
    return f"{where.pool}/{where.name}@{where.snapshot}"


@pytest.fixture(params=["local", "directory", pytest.param("rbd", marks=needs_ceph)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "local":
        yield Local(tmp_path)
        return
    if request.param == "directory":
        yield Directory(tmp_path)
        return
    found = Rbd(tmp_path, request.getfixturevalue("ceph"))
    yield found
    found.disks.close()


@pytest.fixture
def rbd(ceph: RealCeph, tmp_path: Path) -> Iterator[Rbd]:
    found = Rbd(tmp_path, ceph)
    yield found
    found.disks.close()


def image(**values: Any) -> RootDisk:
    return RootDisk(**{"image_id": "i", "image_format": "raw", "image_size": len(IMAGE), "size_gib": 1,
                       "image_checksum": hashlib.sha512(IMAGE).hexdigest(), **values})


def server(**values: Any) -> ServerDesired:
    return ServerDesired(**{"id": new_id(), "generation": 1, "root": image(), **values})


def make(place: Place, desired: ServerDesired) -> ServerDesired:
    place.disks.make(desired, lambda words: None)
    return desired


def change(desired: ServerDesired, **values: Any) -> ServerDesired:
    return msgspec.structs.replace(desired, generation=desired.generation + 1, **values)


def test_made_found_and_removed(place: Place) -> None:
    made = server(ephemeral_gib=1, swap_mib=16, config_drive=True, metadata=MetadataDocument(meta_data={"uuid": "u"}))
    assert place.disks.find(made.id) is None
    make(place, made)
    make(place, made)
    assert place.disks.find(made.id) == 0
    disks = place.disks.paths(made)
    assert place.read(disks.root, len(IMAGE) + 4) == IMAGE + bytes(4)
    assert place.size(disks.root) == GIB
    assert place.size(disks.ephemeral) == GIB
    assert place.size(disks.swap) == 16 << 20
    assert place.read(disks.config_drive, 40_000, "raw")[32_769:32_774] == b"CD001"
    place.disks.guard(made)
    for _ in range(2):
        place.disks.remove(made.id, 1, made.generation)
    assert place.disks.find(made.id) is None
    eventually(lambda: place.left() == [])


def test_one_image_is_fetched_once(place: Place) -> None:
    fetched = place.images.fetched
    both = [make(place, server()) for _ in range(2)]
    assert place.images.fetched - fetched <= 1
    place.write(place.disks.paths(both[0]).root, b"a" * 512)
    assert place.read(place.disks.paths(both[1]).root, 4) == IMAGE[:4]
    for each in both:
        place.disks.remove(each.id, 1, 1)


def test_a_rebuild_replaces_everything(place: Place) -> None:
    made = make(place, server(swap_mib=1))
    place.write(place.disks.paths(made).root, b"a" * 512)
    again = make(place, change(made, rebuilds=3))
    assert place.disks.find(made.id) == 3
    assert place.read(place.disks.paths(again).root, 4) == IMAGE[:4]
    place.disks.remove(made.id, 1, again.generation)
    eventually(lambda: place.left() == [])


def test_a_whole_disk_doesnt_need_its_image(place: Place) -> None:
    made = make(place, server(root=image(flat=True)))
    place.disks.tidy(())
    disk = place.disks.paths(made).root
    assert place.read(disk, len(IMAGE) + 4) == IMAGE + bytes(4)
    assert place.size(disk) == GIB
    if isinstance(disk, Path):
        assert "backing" not in subprocess.check_output(["qemu-img", "info", disk], text=True)
    place.disks.remove(made.id, 1, 1)


def test_a_rescue_disk_comes_beside_the_others(place: Place) -> None:
    made = make(place, server())
    place.write(place.disks.paths(made).root, b"a" * 512)
    for number in (1, 1, 2):
        rescued = change(made, rescue=RescueDisk(number=number, root=image(size_gib=0, flat=True)))
        place.disks.make_rescue(rescued, lambda words: None)
        disks = place.disks.paths(rescued)
        assert place.read(disks.rescue, 4) == IMAGE[:4]
        assert place.size(disks.rescue) >= len(IMAGE)
        assert place.read(disks.root, 4) == b"aaaa"
    for _ in range(2):
        place.disks.drop_rescue(made)
    assert not any("rescue" in str(name) for name in place.left())
    place.disks.make_rescue(rescued, lambda words: None)
    place.disks.remove(made.id, 1, rescued.generation)
    eventually(lambda: place.left() == [])


def test_an_image_that_doesnt_fit_is_refused(place: Place, tmp_path: Path) -> None:
    big = tmp_path / "big"
    subprocess.check_call(["qemu-img", "create", "-q", "-f", "qcow2", big, "2G"])
    place.images.data = big.read_bytes()
    wanted = server(root=image(image_format="qcow2", image_size=len(place.images.data),
                               image_checksum=hashlib.sha512(place.images.data).hexdigest()))
    with pytest.raises(GuestRefused, match="larger flavor"):
        make(place, wanted)
    place.disks.remove(wanted.id, 1, 1)
    eventually(lambda: place.left() == [])


def test_a_resize_confirmed_and_one_undone(place: Place) -> None:
    made = make(place, server(ephemeral_gib=1))
    root = place.disks.paths(made).root
    place.write(root, b"a" * 512)
    larger = change(made, root=image(size_gib=2), ephemeral_gib=2, resizes=1, kept_resize=1)
    for _ in range(2):
        place.disks.resize(larger)
    assert place.size(place.disks.paths(larger).ephemeral) == 2 * GIB
    assert place.size(root) == 2 * GIB
    place.write(root, b"b" * 512)
    back = change(larger, root=image(), ephemeral_gib=1, resizes=2, kept_resize=0, restored_resize=1)
    for _ in range(2):
        place.disks.resize(back)
    assert place.size(root) == GIB
    assert place.size(place.disks.paths(back).ephemeral) == GIB
    assert place.read(root, 4) == b"aaaa"
    again = change(back, root=image(size_gib=3), resizes=3, kept_resize=3, restored_resize=0)
    place.disks.resize(again)
    confirmed = change(again, kept_resize=0)
    place.disks.forget_kept(confirmed)
    place.disks.resize(change(confirmed, restored_resize=3))
    assert place.size(root) == 3 * GIB      # nothing is kept that could be brought back
    place.disks.remove(made.id, 1, 99)
    eventually(lambda: place.left() == [])


def test_an_export_is_the_disk_as_it_was(place: Place) -> None:
    made = change(make(place, server()), snapshot="copy")
    root = place.disks.paths(made).root
    place.write(root, b"a" * 512)
    place.disks.export(made)
    place.disks.export(made)
    place.write(root, b"b" * 512)
    assert place.read(place.disks.exported(made), 4) == b"aaaa"
    place.disks.drop_export(made)
    place.disks.remove(made.id, 1, 99)
    eventually(lambda: place.left() == [])


def test_ids_are_no_names(place: Place) -> None:
    for id in ("../x", "..", "a/b"):
        with pytest.raises(GuestRefused):
            place.disks.find(id)


def test_tidying_takes_nothing_that_is_in_use(place: Place) -> None:
    made = make(place, server())
    place.disks.tidy(set())
    assert place.read(place.disks.paths(made).root, 4) == IMAGE[:4]
    place.disks.remove(made.id, 1, 1)


# -- Ceph's own

async def chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


@needs_ceph
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_an_image_in_the_cluster_is_cloned_and_a_disk_becomes_one(
        rbd: Rbd, ceph: RealCeph, tmp_path: Path, format: str) -> None:
    store = RbdImageStore(ceph.images, POOLS.images, reserve=0)
    data = IMAGE
    if format == "qcow2":
        (tmp_path / "r").write_bytes(IMAGE)
        subprocess.check_call(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "r", tmp_path / "q"])
        data = (tmp_path / "q").read_bytes()
    upload = store.open("image", 1)
    asyncio.run(upload.write(chunks(data), limit=len(data)))
    store.inspect(upload.location, format)
    location = upload.commit()
    upload.close()
    made = make(rbd, server(root=image(image_format=format, image_size=len(data), image_location=location)))
    assert rbd.images.fetched == 0
    root = rbd.disks.paths(made).root
    assert rbd.read(root, len(IMAGE)) == IMAGE
    assert "parent: stackling-images/image.1" in ceph.rbd("info", f"{POOLS.disks}/{root.name}")    # type: ignore[union-attr]
    rbd.write(root, b"z" * 512)
    saved = change(made, snapshot="other")
    rbd.disks.export(saved)
    _, size = store.copy("other", 7, rbd.disks.exported(saved), made.id)      # type: ignore[arg-type]
    rbd.disks.drop_export(saved)
    assert size == GIB
    piece, = store.pieces("other", [7])
    assert not piece.staged
    rbd.disks.remove(made.id, 1, 99)
    store.delete(location)
    assert rbd.read(piece.location, 4) == b"zzzz"
    clone = make(rbd, server(root=image(image_location=piece.location, image_size=size)))
    assert rbd.read(rbd.disks.paths(clone).root, 4) == b"zzzz"
    rbd.disks.remove(clone.id, 1, 99)
    store.delete(piece.location)
    eventually(lambda: rbd.left() == [])
    store.close()


@needs_ceph
def test_a_copy_is_a_file_where_images_lie_elsewhere(rbd: Rbd, ceph: RealCeph, tmp_path: Path) -> None:
    made = change(make(rbd, server()), snapshot="copy")
    elsewhere = RbdDisks(ceph.machine(), POOLS.disks, ImageCache(tmp_path / "cache", rbd.images), machine="m1",
                         instances=tmp_path / "instances", images_here=False)
    for _ in range(2):
        elsewhere.export(made)
    path = elsewhere.exported(made)
    assert isinstance(path, Path)
    assert Local(tmp_path).read(path, len(IMAGE)) == IMAGE
    elsewhere.drop_export(made)
    assert not path.exists()
    assert elsewhere.capacity_gib() >= 1
    elsewhere.close()
    rbd.disks.remove(made.id, 1, 99)
    eventually(lambda: rbd.left() == [])


@needs_ceph
def test_a_disk_of_another_server_is_no_source(rbd: Rbd, ceph: RealCeph) -> None:
    from stackling.core.errors import Unavailable

    made = change(make(rbd, server()), snapshot="x")
    rbd.disks.export(made)
    store = RbdImageStore(ceph.images, POOLS.images, reserve=0)
    for owner in (new_id(), "", made.id[:8]):
        with pytest.raises(Unavailable, match="no disk"):
            store.copy("x", 1, rbd.disks.exported(made), owner)     # type: ignore[arg-type]
    assert store.inventory() == []
    store.close()
    rbd.disks.remove(made.id, 1, 99)


@needs_ceph
def test_an_older_order_neither_starts_nor_deletes(rbd: Rbd, ceph: RealCeph, tmp_path: Path) -> None:
    made = make(rbd, server(generation=5))
    other = Rbd(tmp_path / "m2", ceph, "m2")
    moved = msgspec.structs.replace(made, generation=7)
    assert other.disks.find(made.id) == 0
    other.disks.guard(moved)
    for stale in (lambda: rbd.disks.guard(made), lambda: rbd.disks.remove(made.id, 1, 5),
                  lambda: make(rbd, msgspec.structs.replace(made, rebuilds=1, generation=6))):
        with pytest.raises(HypervisorError, match="newer"):
            stale()
    assert other.read(other.disks.paths(moved).root, 4) == IMAGE[:4]
    restored = msgspec.structs.replace(made, generation=2)
    rbd.disks.guard(restored, 2)            # of a later era: the database was restored
    rbd.disks.remove(made.id, 2, 2)
    other.disks.close()


@needs_ceph
def test_a_server_whose_volume_is_open_elsewhere_is_not_started(rbd: Rbd, ceph: RealCeph) -> None:
    id = new_id()
    ceph.rbd("create", "--size", "16", f"{POOLS.volumes}/{id}")
    volume = VolumeDisk(id=new_id(), volume_id=id, location=f"rbd://{POOLS.volumes}/{id}", size_gib=1,
                        device="/dev/vdb")
    made = make(rbd, server(volumes=(volume,)))
    try:
        with writer(ceph, RbdDisk(POOLS.volumes, id, ceph.machine().conf, ceph.machine().user)):
            eventually(lambda: "watcher=" in ceph.rbd("status", f"{POOLS.volumes}/{id}"))
            rbd.disks.client._address = "10.0.0.9"      # pyright: ignore[reportPrivateUsage]
            with pytest.raises(HypervisorError, match=r"still open on another machine \(127.0.0.1\)"):
                rbd.disks.guard(made)
            rbd.disks.guard(msgspec.structs.replace(made, volumes=(msgspec.structs.replace(volume, shared=True),)))
            rbd.disks.client._address = "127.0.0.1"     # pyright: ignore[reportPrivateUsage]
            rbd.disks.guard(made)               # what is left of our own is shut out
    finally:
        rbd.disks.remove(made.id, 1, 1)
        eventually(lambda: "watcher=" not in ceph.rbd("status", f"{POOLS.volumes}/{id}"), 45)
        ceph.rbd("rm", "--no-progress", f"{POOLS.volumes}/{id}")


@needs_ceph
def test_a_disk_that_is_open_elsewhere_is_not_started(rbd: Rbd, ceph: RealCeph) -> None:
    made = make(rbd, server())
    root = rbd.disks.paths(made).root
    assert isinstance(root, RbdDisk)
    with writer(ceph, root):
        eventually(lambda: rbd.disks.used_by(made.id) == ("127.0.0.1",))
        rbd.disks.client._address = "10.0.0.9"      # pyright: ignore[reportPrivateUsage]
        with pytest.raises(HypervisorError, match=r"still open on another machine \(127.0.0.1\)"):
            rbd.disks.guard(made)
        with pytest.raises(HypervisorError, match=r"in use by 127\.0\.0\.1"):
            rbd.disks.remove(made.id, 1, 1)
    rbd.disks.client._address = ""          # pyright: ignore[reportPrivateUsage]
    eventually(lambda: not rbd.disks.used_by(made.id))
    rbd.disks.remove(made.id, 1, 1)
    eventually(lambda: rbd.left() == [])


class writer:
    """A QEMU tool that holds a disk open."""

    def __init__(self, ceph: RealCeph, disk: RbdDisk) -> None:
        self.process = subprocess.Popen(
            ["qemu-io", "--image-opts", f"driver=raw,{ceph.machine().source(disk.pool, disk.name)}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> subprocess.Popen[bytes]:
        assert self.process.stdin
        self.process.stdin.write(b"write -P 1 0 512\n")
        self.process.stdin.flush()
        return self.process

    def __exit__(self, *error: object) -> None:
        self.process.communicate(b"quit\n", timeout=30)


@needs_ceph
def test_what_this_machine_has_left_open_is_shut_out_by_a_start(rbd: Rbd, ceph: RealCeph) -> None:
    made = make(rbd, server())
    root = rbd.disks.paths(made).root
    assert isinstance(root, RbdDisk)
    with writer(ceph, root) as left_over:
        eventually(lambda: rbd.disks.used_by(made.id))
        rbd.disks.guard(made)
        assert left_over.stdin
        left_over.stdin.write(b"write -P 2 0 512\n")
        left_over.stdin.flush()
        assert rbd.read(root, 4) == b"\1\1\1\1"
    assert rbd.read(root, 4) == b"\1\1\1\1"
    rbd.disks.remove(made.id, 1, 1)


@needs_ceph
def test_a_half_made_set_is_made_again(rbd: Rbd, monkeypatch: pytest.MonkeyPatch) -> None:
    made = server(swap_mib=1)
    monkeypatch.setattr(rbd.disks, "_formatted", lambda *_: (_ for _ in ()).throw(HypervisorError("crash")))
    with pytest.raises(HypervisorError):
        make(rbd, made)
    assert rbd.disks.find(made.id) == -1
    monkeypatch.undo()
    make(rbd, made)
    assert rbd.disks.find(made.id) == 0
    rbd.disks.remove(made.id, 1, 1)
    eventually(lambda: rbd.left() == [])


@needs_ceph
def test_what_a_server_leaves_on_a_machine_goes(rbd: Rbd, ceph: RealCeph, tmp_path: Path) -> None:
    import os
    import time

    made = make(rbd, server())
    local = tmp_path / "instances"
    log = local / made.id / "console.log"
    log.write_bytes(b"words")
    (local / new_id()).mkdir()
    os.utime(log, (time.time() - 2 * 86_400,) * 2)
    rbd.disks.tidy(())
    assert [path.name for path in local.iterdir()] == [made.id]
    other = Rbd(tmp_path / "m2", ceph, "m2")
    other.disks.guard(change(made))         # it has moved
    rbd.disks.tidy(())
    assert list(local.iterdir()) == []
    other.disks.remove(made.id, 1, 99)
    other.disks.close()


@needs_ceph
def test_a_machine_can_write_no_image(rbd: Rbd, ceph: RealCeph) -> None:
    from stackling.drivers.ceph.client import CephError

    with pytest.raises(CephError, match="rights"):
        rbd.disks.client.quick("create", pool=POOLS.images, name="x", size=1)
