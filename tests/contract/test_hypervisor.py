"""What every hypervisor does, simulated or real."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from stackling.core.ids import new_id
from stackling.deploy.guest import build
from stackling.drivers.libvirt.domain import Platform
from stackling.drivers.libvirt.hypervisor import LibvirtHypervisor
from stackling.drivers.local.volumes import LocalVolumes
from stackling.drivers.simulated.hypervisor import SimulatedHypervisor
from stackling.ports.document import Nic, Power, RescueDisk, RootDisk, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import ConsoleKind, GuestDisks, GuestRefused, Hypervisor, HypervisorError
from stackling.ports.volumes import Luks
from tests.libvirt import Libvirtd, libvirtd
from tests.ovn import eventually


class Place(Protocol):
    """A hypervisor, and where a guest's disk comes from."""

    hypervisor: Hypervisor

    def disks(self, server: ServerDesired) -> GuestDisks: ...


class Simulated:
    def __init__(self) -> None:
        self.hypervisor: Hypervisor = SimulatedHypervisor()

    def disks(self, server: ServerDesired) -> GuestDisks:
        return GuestDisks(root=Path("/nowhere"))


class Real:
    def __init__(self, server: Libvirtd) -> None:
        self.server = server
        self.hypervisor: Hypervisor = LibvirtHypervisor(
            server.paths.uri, server.paths.instances, Platform(False, server.paths.consoles_inside, bridge="br0"),
            consoles=server.paths.consoles)

    def disks(self, server: ServerDesired) -> GuestDisks:
        directory = self.server.paths.instances / server.id
        directory.mkdir(exist_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", directory / "root.qcow2", "16M"], check=True)
        return GuestDisks(root=directory / "root.qcow2")


@pytest.fixture(scope="module")
def real_libvirtd() -> Iterator[Libvirtd]:
    with libvirtd() as server:
        yield server


@pytest.fixture(params=["simulated", pytest.param("libvirt", marks=pytest.mark.root)])
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    here = Simulated() if request.param == "simulated" else Real(request.getfixturevalue("real_libvirtd"))
    yield here
    for server_id in list(here.hypervisor.guests()):
        here.hypervisor.undefine(server_id)
    here.hypervisor.close()


def server(**values: Any) -> ServerDesired:
    return ServerDesired(id=new_id(), generation=5, name='na<me "&', memory_mib=32, **values)


def defined(place: Place, **values: Any) -> ServerDesired:
    desired = server(**values)
    place.hypervisor.define(desired, place.disks(desired))
    return desired


def power(place: Place, desired: ServerDesired) -> Power:
    guest = place.hypervisor.guest(desired.id)
    assert guest is not None
    return guest.power


def test_a_defined_guest_is_off_and_carries_our_mark(place: Place) -> None:
    desired = defined(place)
    guest = place.hypervisor.guests()[desired.id]
    assert (guest.power, guest.generation, guest.ours, guest.nics) == (Power.STOPPED, 5, True, ())
    assert place.hypervisor.guest(desired.id) == guest
    assert place.hypervisor.guest(new_id()) is None


def test_power(place: Place) -> None:
    desired, hypervisor = defined(place), place.hypervisor
    for step, then in ((hypervisor.start, Power.RUNNING), (hypervisor.start, Power.RUNNING),
                       (hypervisor.pause, Power.PAUSED), (hypervisor.pause, Power.PAUSED),
                       (hypervisor.unpause, Power.RUNNING), (hypervisor.unpause, Power.RUNNING),
                       (hypervisor.suspend, Power.SUSPENDED), (hypervisor.start, Power.RUNNING),
                       (hypervisor.suspend, Power.SUSPENDED), (hypervisor.destroy, Power.STOPPED),
                       (hypervisor.destroy, Power.STOPPED), (hypervisor.start, Power.RUNNING),
                       (hypervisor.destroy, Power.STOPPED), (hypervisor.shutdown, Power.STOPPED)):
        step(desired.id)
        assert power(place, desired) is then


def test_undefine_switches_off_and_forgets(place: Place) -> None:
    desired = defined(place)
    place.hypervisor.start(desired.id)
    place.hypervisor.undefine(desired.id)
    place.hypervisor.undefine(desired.id)
    place.hypervisor.destroy(desired.id)
    assert place.hypervisor.guests() == {}


def test_what_isnt_there_is_an_error(place: Place) -> None:
    for step in (place.hypervisor.start, place.hypervisor.shutdown, place.hypervisor.pause, place.hypervisor.suspend):
        with pytest.raises(HypervisorError):
            step(new_id())


def test_an_older_definition_is_refused(place: Place) -> None:
    desired = defined(place)
    disks = GuestDisks()
    place.hypervisor.define(ServerDesired(id=desired.id, generation=6, memory_mib=32), disks)
    with pytest.raises(HypervisorError, match="newer"):
        place.hypervisor.define(desired, disks)
    guest = place.hypervisor.guest(desired.id)
    assert guest is not None
    assert guest.generation == 6
    place.hypervisor.define(desired, disks, era=2)
    with pytest.raises(HypervisorError, match="newer"):
        place.hypervisor.define(ServerDesired(id=desired.id, generation=7, memory_mib=32), disks)
    guest = place.hypervisor.guest(desired.id)
    assert guest is not None
    assert guest.generation == desired.generation


def test_interfaces_of_a_guest_that_is_off(place: Place) -> None:
    desired = defined(place)
    nic = Nic(port_id=new_id(), mac="fa:16:3e:11:22:33", network_id=new_id())
    for _ in range(2):
        place.hypervisor.attach(desired, nic)
        assert place.hypervisor.guests()[desired.id].nics == (nic.port_id,)
    for _ in range(2):
        place.hypervisor.detach(desired.id, nic.port_id)
        assert place.hypervisor.guests()[desired.id].nics == ()


def volume(place: Place) -> VolumeDisk:
    id = new_id()
    path = Path("/nowhere")
    if isinstance(place, Real):
        path = place.server.paths.instances / f"{id}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    return VolumeDisk(id=new_id(), volume_id=id, location=f"file://{path}?format=qcow2", size_gib=1, device="/dev/vdb")


def test_volumes_of_a_guest_that_is_off(place: Place) -> None:
    desired = defined(place)
    disk = volume(place)
    for _ in range(2):
        place.hypervisor.attach_volume(desired, disk)
        assert place.hypervisor.guests()[desired.id].volumes == (disk.id,)
    place.hypervisor.start(desired.id)
    for _ in range(2):
        place.hypervisor.detach_volume(desired.id, new_id())
        assert place.hypervisor.guests()[desired.id].volumes == (disk.id,)
    place.hypervisor.destroy(desired.id)
    for _ in range(2):
        place.hypervisor.detach_volume(desired.id, disk.id)
        assert place.hypervisor.guests()[desired.id].volumes == ()


def test_a_volume_is_plugged_into_a_running_guest(place: Place) -> None:
    desired = defined(place)
    disk = volume(place)
    place.hypervisor.start(desired.id)
    place.hypervisor.attach_volume(desired, disk)
    guest = place.hypervisor.guests()[desired.id]
    assert guest.volumes == (disk.id,)
    assert guest.on
    assert guest.volume_gib == {disk.id: 1}
    larger = msgspec.structs.replace(disk, size_gib=3)
    for _ in range(2):
        place.hypervisor.extend_volume(desired.id, larger)
        assert place.hypervisor.guests()[desired.id].volume_gib == {disk.id: 3}


def encrypted(place: Place) -> tuple[VolumeDisk, str]:
    id, key = new_id(), Luks("luks", None, None, secrets.token_hex(32))
    location = "file:///nowhere?format=raw"
    if isinstance(place, Real):
        store = LocalVolumes(place.server.paths.instances)
        store.create(id, 1, None, key)
        location = store.location(id)
    disk = VolumeDisk(id=new_id(), volume_id=id, location=location, size_gib=1, device="/dev/vdb", key_id=new_id())
    return disk, key.passphrase


def test_an_encrypted_volume_is_plugged_into_a_running_guest(place: Place) -> None:
    desired, (disk, passphrase) = defined(place), encrypted(place)
    place.hypervisor.start(desired.id)
    with pytest.raises(HypervisorError):
        place.hypervisor.attach_volume(desired, disk)
    for _ in range(2):
        place.hypervisor.give_key(disk, passphrase)
        place.hypervisor.attach_volume(desired, disk)
    assert place.hypervisor.guests()[desired.id].volume_gib == {disk.id: 1}
    larger = msgspec.structs.replace(disk, size_gib=3)
    for _ in range(2):
        place.hypervisor.extend_volume(desired.id, larger)
        assert place.hypervisor.guests()[desired.id].volume_gib == {disk.id: 3}


def test_a_guest_with_an_encrypted_volume_starts_with_its_key(place: Place) -> None:
    disk, passphrase = encrypted(place)
    desired = defined(place, volumes=(disk,))
    with pytest.raises(HypervisorError):
        place.hypervisor.start(desired.id)
    place.hypervisor.give_key(disk, "f" * 64)
    if isinstance(place, Real):
        with pytest.raises(HypervisorError):
            place.hypervisor.start(desired.id)
    place.hypervisor.give_key(disk, passphrase)
    place.hypervisor.start(desired.id)
    assert power(place, desired) is Power.RUNNING
    place.hypervisor.destroy(desired.id)
    place.hypervisor.detach_volume(desired.id, disk.id)
    place.hypervisor.start(desired.id)
    with pytest.raises(HypervisorError):        # the key went with the volume
        place.hypervisor.attach_volume(desired, disk)


@pytest.mark.root
def test_a_volumes_key_is_in_nobodys_arguments_and_on_no_disk(real: Real) -> None:
    disk, passphrase = encrypted(real)
    desired = defined(real, volumes=(disk,))
    real.hypervisor.give_key(disk, passphrase)
    real.hypervisor.start(desired.id)
    pid, = real.server.pids()
    assert passphrase.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert passphrase.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    kept = [path for path in real.server.directory.rglob("*") if path.is_file() and path.suffix != ".luks"
            and path.stat().st_size < 1 << 24]
    assert [path for path in kept if passphrase.encode() in path.read_bytes()] == []


def test_a_guest_whose_root_is_a_volume(place: Place) -> None:
    root, data = msgspec.structs.replace(volume(place), device="/dev/vda", boot_index=0), volume(place)
    desired = server(volumes=(root, data))
    place.disks(desired)
    place.hypervisor.define(desired, GuestDisks())
    assert place.hypervisor.guests()[desired.id].volumes == (root.id, data.id)
    place.hypervisor.start(desired.id)
    assert power(place, desired) is Power.RUNNING
    place.hypervisor.destroy(desired.id)
    place.hypervisor.define(desired, GuestDisks())
    assert set(place.hypervisor.guests()[desired.id].volumes) == {root.id, data.id}


def test_a_change_is_told(place: Place) -> None:
    desired = defined(place)
    told: set[str] = set()
    woken = threading.Event()

    def changed(server_id: str) -> None:
        told.add(server_id)
        if server_id == desired.id:
            woken.set()

    place.hypervisor.watch(changed)
    place.hypervisor.start(desired.id)
    if isinstance(place.hypervisor, SimulatedHypervisor):
        place.hypervisor.power_off(desired.id)
    assert woken.wait(10)


def test_the_inventory_says_what_runs_guests(place: Place) -> None:
    found = place.hypervisor.inventory()
    assert found.hypervisor_type in ("QEMU", "KVM")
    assert found.hypervisor_version >= 7_000_000
    assert found.vcpus >= 1


# -- the real one

@pytest.fixture
def real(real_libvirtd: Libvirtd) -> Iterator[Real]:
    here = Real(real_libvirtd)
    yield here
    for server_id in here.hypervisor.guests():
        here.hypervisor.undefine(server_id)
    here.hypervisor.close()


@pytest.mark.root
@pytest.mark.slow
def test_a_guest_boots_from_a_volume(real: Real, tmp_path: Path) -> None:
    build.build(tmp_path / "tiny.qcow2")
    root = msgspec.structs.replace(volume(real), device="/dev/vda", boot_index=0)
    path = root.location.removeprefix("file://").partition("?")[0]
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", tmp_path / "tiny.qcow2", path], check=True)
    desired = msgspec.structs.replace(server(volumes=(root,)), memory_mib=192)
    (real.server.paths.instances / desired.id).mkdir()
    real.hypervisor.define(desired, GuestDisks())
    real.hypervisor.start(desired.id)
    eventually(lambda: "stackling-guest: " in real.hypervisor.console_log(desired.id, None), 150)
    data = volume(real)
    real.hypervisor.attach_volume(desired, data)
    assert real.hypervisor.guests()[desired.id].volumes == (root.id, data.id)


@pytest.mark.root
def test_qemu_runs_without_rights(real: Real) -> None:
    desired = defined(real)
    real.hypervisor.start(desired.id)
    pid, = real.server.pids()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t0" not in status
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"-vnc\0vnc=unix:" in command
    listening = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Hltn"], capture_output=True, check=True)
    assert listening.stdout == b""


@pytest.mark.root
def test_a_guest_that_is_being_started_is_removed_for_good(real: Real) -> None:
    """The start is another worker's, as of an agent that was killed: whoever is told that nothing runs believes it."""
    other = Real(real.server)
    try:
        for pause in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8):
            desired = defined(real)
            begun = threading.Thread(target=lambda id=desired.id: answers(lambda: other.hypervisor.start(id)))
            begun.start()
            begun.join(pause)
            real.hypervisor.undefine(desired.id)
            here = real.hypervisor.guests()
            begun.join()
            assert desired.id not in here
            assert desired.id not in real.hypervisor.guests()
            assert real.server.pids() == []
    finally:
        other.hypervisor.close()


@pytest.mark.root
def test_guests_outlive_libvirtd_and_are_found_again(real: Real) -> None:
    desired = defined(real)
    real.hypervisor.start(desired.id)
    pids = real.server.pids()
    real.server.kill()
    with pytest.raises(HypervisorError, match="the server starts when it is back"):
        real.hypervisor.guests()
    assert real.server.pids() == pids
    told = threading.Event()
    real.hypervisor.watch(lambda server_id: told.set() if server_id == "" else None)
    real.server.start()
    assert told.wait(20)                # "look at everything"
    eventually(lambda: answers(real.hypervisor.guests))
    assert power(real, desired) is Power.RUNNING
    assert real.server.pids() == pids


@pytest.mark.root
def test_what_isnt_offered_is_refused_in_words(real: Real) -> None:
    refused = {"q35 and pc": {"hw_machine_type": "virt"}, "virtio, e1000": {"hw_vif_model": "ne2k_pci"},
               "x86_64": {"hw_architecture": "aarch64"}, "ovmf": {"hw_firmware_type": "uefi"}}
    for words, hardware in refused.items():
        with pytest.raises(GuestRefused, match=words):
            defined(real, hardware=hardware)


@pytest.mark.root
@pytest.mark.parametrize("hardware", [
    {"hw_machine_type": "pc"}, {"hw_disk_bus": "scsi", "hw_vif_model": "e1000", "hw_video_model": "virtio"},
    {"hw_disk_bus": "sata", "hw_video_model": "none", "hw_qemu_guest_agent": "yes", "hw_watchdog_action": "reset"}])
def test_hardware_that_images_ask_for_starts(real: Real, hardware: dict[str, str]) -> None:
    desired = server(hardware=hardware, vcpus=2)
    disks = real.disks(desired)
    drive = real.server.paths.instances / desired.id / "config.iso"
    drive.write_bytes(bytes(1 << 16))
    real.hypervisor.define(desired, GuestDisks(root=disks.root, config_drive=drive))
    real.hypervisor.start(desired.id)
    assert power(real, desired) is Power.RUNNING
    real.hypervisor.undefine(desired.id)
    shutil.rmtree(real.server.paths.instances / desired.id)
    assert not real.server.pids()


def answers(call: Callable[[], object]) -> bool:
    try:
        call()
    except HypervisorError:
        return False
    return True


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    from stackling.drivers.libvirt.client import WorkerClient

    count = tmp_path / "count"
    script = f"""
import json, sys, time
open({str(count)!r}, "a").write("x")
for line in sys.stdin:
    request = json.loads(line)
    if request["call"] == "hang":
        time.sleep(1000)
    print(json.dumps({{"id": request["id"], "result": request["call"]}}), flush=True)
"""
    client = WorkerClient("", command=("/usr/bin/python3", "-I", "-c", script))
    try:
        assert client.call("one", 10) == "one"
        pid = client.pid
        assert pid
        with pytest.raises(HypervisorError, match="doesn't answer"):
            client.call("hang", 0.3)
        assert client.call("two", 10) == "two"
        assert client.pid != pid
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        assert count.read_text() == "xx"
        os.kill(client.pid or 0, 9)
        eventually(lambda: answers(lambda: client.call("three", 10)))
    finally:
        client.close()


@pytest.mark.parametrize(("stable", "device", "bus"), [
    (False, "disk", ""), (True, "disk", "virtio"), (True, "cdrom", "ide"), (True, "disk", "scsi"),
    (True, "disk", "usb")])
def test_a_rescued_guest_boots_from_another_disk(place: Place, stable: bool, device: str, bus: str) -> None:
    root = RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum="")
    desired = server(root=root, rescue=RescueDisk(number=1, root=root, stable=stable, device=device, bus=bus))
    disks = place.disks(desired)
    if disks.root != Path("/nowhere"):
        assert isinstance(disks.root, Path)
        rescue = disks.root.with_name("rescue.1.qcow2")
        shutil.copy(disks.root, rescue)
        disks = replace(disks, rescue=rescue)
    place.hypervisor.define(desired, disks)
    place.hypervisor.start(desired.id)
    assert power(place, desired) is Power.RUNNING
    place.hypervisor.define(msgspec.structs.replace(desired, generation=6, rescue=None), disks)
    place.hypervisor.destroy(desired.id)
    place.hypervisor.start(desired.id)
    assert power(place, desired) is Power.RUNNING


def test_the_consoles_of_a_guest_that_runs(place: Place) -> None:
    desired = defined(place)
    for kind in ConsoleKind:
        with pytest.raises(HypervisorError):
            place.hypervisor.open_console(desired.id, kind)
    place.hypervisor.start(desired.id)
    with place.hypervisor.open_console(desired.id, ConsoleKind.VNC) as screen:
        screen.settimeout(10)
        assert screen.recv(12) == b"RFB 003.008\n"
    with place.hypervisor.open_console(desired.id, ConsoleKind.SERIAL) as terminal:
        terminal.sendall(b"x")
