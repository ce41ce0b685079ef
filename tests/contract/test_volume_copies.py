"""Snapshots that a host makes of volumes of its guests, with real libvirt, QEMU and files (and, without them, simulated
ones): what is written after the moment of the snapshot isn't in it, and half a copy is never taken for one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stackling.core.ids import new_id
from stackling.drivers.libvirt.hypervisor import LibvirtHypervisor
from stackling.drivers.local import luks as containers
from stackling.drivers.local.volume_copies import LocalVolumeCopies
from stackling.drivers.local.volumes import LocalVolumes
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.ports.document import ServerDesired, VolumeDisk
from stackling.ports.hypervisor import Copying, GuestDisks, GuestRefused, HypervisorError
from stackling.ports.volumes import FromSnapshot, Luks, StoreDown
from tests.contract.test_hypervisor import Place, Real, defined, encrypted, place, real, real_libvirtd, server, volume
from tests.ovn import eventually

__all__ = ["place", "real", "real_libvirtd"]
COPIES = LocalVolumeCopies()
MIB = 1 << 20


class Host:
    """A host whose guest runs with a volume of a directory that control sees too."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self.store = LocalVolumes(real.server.paths.instances)

    def volume(self, size_gib: int = 1) -> VolumeDisk:
        id = new_id()
        self.store.create(id, size_gib, None)
        return VolumeDisk(id=new_id(), volume_id=id, location=self.store.location(id), size_gib=size_gib,
                          device="/dev/vdb")

    def running(self, disk: VolumeDisk, **values: object) -> ServerDesired:
        desired = defined(self.real, volumes=(disk,), **values)
        self.real.hypervisor.start(desired.id)
        return desired

    def io(self, desired: ServerDesired, disk: VolumeDisk, command: str) -> str:
        """Read and write as the guest does, by QEMU's monitor."""
        done = subprocess.run(
            ["virsh", "-c", self.real.server.paths.uri, "qemu-monitor-command", "--hmp", desired.id,
             f'qemu-io -d /machine/peripheral/ua-{disk.id}/virtio-backend "{command}"'],
            capture_output=True, text=True, timeout=60, check=True)
        assert "failed" not in done.stdout, done.stdout
        return done.stdout

    def copied(self, desired: ServerDesired) -> Copying:
        """The end of the copy that is under way."""
        def now() -> Copying:
            found = self.real.hypervisor.copying(desired.id)
            assert found is not None
            return found

        eventually(lambda: not now().running, 120)
        return now()

    def snapshot(self, desired: ServerDesired, disk: VolumeDisk, id: str) -> None:
        self.real.hypervisor.begin_copy(desired, disk.id, COPIES.prepare(disk, id))
        found = self.copied(desired)
        assert (found.error, found.target) == (None, COPIES.target(disk, id))
        COPIES.finish(disk, id)

    def reads(self, volume_id: str, command: str, key: Luks | None = None) -> str:
        path = self.store.location(volume_id).removeprefix("file://").partition("?")[0]
        if key is None:
            done = subprocess.run(["qemu-io", "-c", command, "-f", "qcow2", path], capture_output=True, text=True,
                                  check=False)
            return done.stdout + done.stderr
        with containers.secret(key) as secret:
            done = subprocess.run(["qemu-io", *secret.words, "-c", command, "--image-opts",
                                   f"driver=luks,key-secret=key,file.driver=file,file.filename={path}"],
                                  capture_output=True, text=True, pass_fds=(secret.fd,), check=False)
        return done.stdout + done.stderr

    def holds(self, snapshot: str, disk: VolumeDisk, command: str, key: Luks | None = None) -> None:
        """A volume made of the snapshot has that."""
        clone = new_id()
        self.store.create(clone, disk.size_gib, FromSnapshot(disk.volume_id, snapshot), key)
        said = self.reads(clone, command, key)
        assert "ops" in said, said
        assert "failed" not in said, said
        self.store.delete(clone)

    def left(self, disk: VolumeDisk) -> list[str]:
        """What lies beside the volume."""
        names = sorted(path.name for path in self.real.server.paths.instances.iterdir() if disk.volume_id in path.name)
        return [name for name in names if name not in (f"{disk.volume_id}.qcow2", f"{disk.volume_id}.luks")]


@pytest.fixture
def host(real: Real) -> Iterator[Host]:
    yield Host(real)
    for path in real.server.paths.instances.glob("*.qcow2*"):
        path.unlink()


@pytest.mark.root
def test_a_snapshot_is_of_one_moment_while_the_guest_writes(host: Host) -> None:
    disk, first, second = host.volume(), new_id(), new_id()
    desired = host.running(disk)
    host.io(desired, disk, "write -P 1 0 128M")
    part = COPIES.prepare(disk, first)
    host.real.hypervisor.begin_copy(desired, disk.id, part)
    for at in range(0, 128, 16):
        host.io(desired, disk, f"write -P 2 {at}M 4k")
    assert host.copied(desired).error is None
    assert list(host.store.snapshots(disk.volume_id)) == []         # it isn't one before it is finished
    for _ in range(2):
        COPIES.finish(disk, first)
    assert list(host.store.snapshots(disk.volume_id)) == [first]
    host.snapshot(desired, disk, second)
    host.holds(first, disk, "read -P 1 0 128M")
    host.holds(second, disk, "read -P 2 112M 4k")
    host.io(desired, disk, "read -P 2 0 4k")
    with pytest.raises(StoreDown, match="in use"):      # control itself keeps its hands off
        host.store.snapshot(disk.volume_id, new_id())
    for id in (first, second):
        host.store.delete_snapshot(disk.volume_id, id)
    assert host.left(disk) == []


@pytest.mark.root
def test_of_an_encrypted_volume_nothing_is_in_the_clear(host: Host) -> None:
    disk, passphrase = encrypted(host.real)
    key, snapshot = Luks("luks", None, None, passphrase), new_id()
    desired = defined(host.real, volumes=(disk,))
    host.real.hypervisor.give_key(disk, passphrase)
    host.real.hypervisor.start(desired.id)
    host.io(desired, disk, "write -P 90 0 8M")
    host.io(desired, disk, "write -P 7 1020M 1M")
    host.snapshot(desired, disk, snapshot)
    host.io(desired, disk, "write -P 3 0 8M")
    file, = (path for path in host.real.server.paths.instances.glob(f"{disk.volume_id}.luks.*"))
    with file.open("rb") as opened:
        head = opened.read(16 * MIB)
    assert head.startswith(containers.MAGIC)
    assert b"Z" * 64 not in head
    assert file.stat().st_size == 1 << 30
    host.holds(snapshot, disk, "read -P 90 0 8M", key)
    host.holds(snapshot, disk, "read -P 7 1020M 1M", key)


@pytest.mark.root
def test_an_agent_that_comes_back_goes_on(host: Host) -> None:
    """A copy under way is known again; of one that has ended meanwhile nobody knows how, so it is made anew."""
    disk, snapshot = host.volume(), new_id()
    desired = host.running(disk)
    host.io(desired, disk, "write -P 1 0 256M")
    host.real.hypervisor.begin_copy(desired, disk.id, COPIES.prepare(disk, snapshot))
    assert isinstance(host.real.hypervisor, LibvirtHypervisor)
    pid = host.real.hypervisor.client.pid
    assert pid is not None
    host.real.hypervisor.client.close()
    again = Real(host.real.server)
    host.real.hypervisor = again.hypervisor
    found = again.hypervisor.copying(desired.id)
    if found is None:
        host.snapshot(desired, disk, snapshot)
    else:
        assert host.copied(desired).error is None
        COPIES.finish(disk, snapshot)
    host.holds(snapshot, disk, "read -P 1 0 256M")


@pytest.mark.root
def test_one_that_is_called_off_or_fails_is_no_snapshot(host: Host) -> None:
    disk, snapshot = host.volume(), new_id()
    desired = host.running(disk)
    host.io(desired, disk, "write -P 1 0 256M")
    host.real.hypervisor.begin_copy(desired, disk.id, COPIES.prepare(disk, snapshot))
    host.real.hypervisor.abort_copy(desired.id)
    host.real.hypervisor.abort_copy(desired.id)
    assert host.real.hypervisor.copying(desired.id) is None
    assert list(host.store.snapshots(disk.volume_id)) == []
    eventually(lambda: host.real.hypervisor.copying(desired.id) is None)
    gone = host.real.server.paths.instances / "nowhere" / "file"
    host.real.hypervisor.begin_copy(desired, disk.id, gone)
    assert host.copied(desired).error
    host.store.delete_snapshot(disk.volume_id, snapshot)
    assert host.left(disk) == []


@pytest.mark.root
def test_a_guest_that_is_off_is_copied_as_it_lies(host: Host) -> None:
    disk, snapshot = host.volume(), new_id()
    desired = host.running(disk)
    host.io(desired, disk, "write -P 1 0 1M")
    with pytest.raises(HypervisorError):        # not beneath the guest
        COPIES.copy(disk, snapshot)
    host.real.hypervisor.destroy(desired.id)
    for _ in range(2):
        COPIES.copy(disk, snapshot)
    host.holds(snapshot, disk, "read -P 1 0 1M")
    assert host.left(disk) == [f"{disk.volume_id}.qcow2.{snapshot}"]
    with pytest.raises(HypervisorError):
        host.real.hypervisor.begin_copy(desired, disk.id, COPIES.target(disk, new_id()))
    with pytest.raises(GuestRefused):
        COPIES.copy(msgspec.structs.replace(disk, location="file:///nowhere.qcow2?format=qcow2"), new_id())


@pytest.mark.root
def test_a_guest_that_goes_off_ends_the_copy(host: Host) -> None:
    disk, snapshot = host.volume(), new_id()
    desired = host.running(disk)
    host.io(desired, disk, "write -P 1 0 256M")
    host.real.hypervisor.begin_copy(desired, disk.id, COPIES.prepare(disk, snapshot))
    host.real.hypervisor.destroy(desired.id)
    assert host.real.hypervisor.copying(desired.id) is None
    COPIES.copy(disk, snapshot)
    host.holds(snapshot, disk, "read -P 1 0 256M")
    host.real.hypervisor.start(desired.id)
    assert host.real.hypervisor.copying(desired.id) is None


@pytest.mark.root
def test_a_guest_grows_its_volume_itself(host: Host) -> None:
    """Control can't, as long as the guest is on."""
    disk = host.volume()
    desired = host.running(disk)
    with pytest.raises(StoreDown, match="in use"):
        host.store.grow(disk.volume_id, 2)
    host.real.hypervisor.extend_volume(desired.id, msgspec.structs.replace(disk, size_gib=2))
    assert host.store.size(disk.volume_id) == 2
    host.store.grow(disk.volume_id, 2)
    host.real.hypervisor.destroy(desired.id)
    host.store.grow(disk.volume_id, 3)
    assert host.store.size(disk.volume_id) == 3


@pytest.mark.root
def test_a_demand_for_rest_that_isnt_met_ends_it(host: Host) -> None:
    disk, snapshot = host.volume(), new_id()
    desired = host.running(disk, hardware={"hw_qemu_guest_agent": "yes", "os_require_quiesce": "yes"})
    host.real.hypervisor.begin_copy(desired, disk.id, COPIES.prepare(disk, snapshot))
    found = host.real.hypervisor.copying(desired.id)
    assert found is not None
    assert not found.running
    assert "agent" in (found.error or "")
    wished = msgspec.structs.replace(desired, hardware={"hw_qemu_guest_agent": "yes"})
    host.real.hypervisor.begin_copy(wished, disk.id, COPIES.prepare(disk, snapshot))
    assert host.copied(desired).error is None


def test_what_every_hypervisor_refuses(place: Place) -> None:
    disk = volume(place)
    desired = defined(place)
    with pytest.raises(HypervisorError):
        place.hypervisor.begin_copy(desired, disk.id, Path("/nowhere"))
    place.hypervisor.start(desired.id)
    with pytest.raises(HypervisorError):
        place.hypervisor.begin_copy(desired, disk.id, Path("/nowhere"))
    assert place.hypervisor.copying(desired.id) is None
    place.hypervisor.abort_copy(desired.id)


def test_one_copy_of_a_guest_at_a_time() -> None:
    here = SimulatedHypervisor()
    here.hold_copies = True
    disk = VolumeDisk(id=new_id(), volume_id=new_id(), location="file:///v?format=qcow2", size_gib=1, device="/dev/vdb")
    desired = server(volumes=(disk,))
    here.define(desired, GuestDisks())
    here.start(desired.id)
    for _ in range(2):
        here.begin_copy(desired, disk.id, Path("/a"))
    with pytest.raises(HypervisorError, match="another"):
        here.begin_copy(desired, disk.id, Path("/b"))
    assert here.copying(desired.id) == Copying(Path("/a"), True)
    here.end_copy(desired.id)
    assert here.copying(desired.id) == Copying(Path("/a"), False)
