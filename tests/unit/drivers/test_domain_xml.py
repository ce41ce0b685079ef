"""The domain XML, compared with files: ``STACKLING_WRITE_GOLDEN=1`` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from stackling.drivers.libvirt.domain import Platform, domain_xml, interface_xml, volume_xml
from stackling.drivers.libvirt.hardware import choose
from stackling.ports.document import Nic, RescueDisk, RootDisk, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import GuestDisks, GuestRefused, RbdDisk

GOLDEN = Path(__file__).parent.parent / "golden"
NIC = Nic(port_id="6f1c7d1e-0000-4000-8000-00000000000a", mac="fa:16:3e:00:01:0a", network_id="n", mtu=1442)
DISKS = GuestDisks(root=Path("/i/root.0.qcow2"))
TCG = Platform(kvm=False, sockets=Path("/run/guests"))
KVM = Platform(kvm=True, sockets=Path("/run/guests"), netdev=False, uefi=True)


def server(**values: Any) -> ServerDesired:
    return ServerDesired(**{
        "id": "6f1c7d1e-0000-4000-8000-000000000001", "generation": 7, "name": "we<b & \x00\x1b ü", "project_id": "p",
        "memory_mib": 192, "nics": (NIC,), **values})


def rbd(kind: str) -> RbdDisk:
    return RbdDisk("disks", f"6f1c7d1e.0-1-7.{kind}", Path("/etc/stackling/ceph/ceph.conf"), "stackling-m1")


ROOT = RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum="")
RESCUE_DISKS = GuestDisks(root=Path("/i/root.0.qcow2"), ephemeral=Path("/i/e.raw"), config_drive=Path("/i/c.iso"),
                          rescue=Path("/i/rescue.1.qcow2"))
CASES: dict[str, tuple[ServerDesired, GuestDisks, Platform]] = {
    "tcg": (server(), DISKS, TCG),
    "kvm": (server(vcpus=4, hardware={"hw_vif_multiqueue_enabled": "true", "hw_qemu_guest_agent": "yes",
                                      "hw:cpu_sockets": "2", "hw_firmware_type": "uefi"}), DISKS, KVM),
    "pc": (server(machine_type="pc", hardware={"hw_vif_model": "e1000", "hw_cdrom_bus": "ide", "hw_video_model": "none",
                                               "hw_rng:allowed": "false", "hw_watchdog_action": "reset"},
                  root=RootDisk(image_id="i", image_format="raw", image_size=1, image_checksum="", bus="scsi")),
           GuestDisks(root=Path("/i/root.0.qcow2"), ephemeral=Path("/i/e.raw"), swap=Path("/i/s.raw"),
                      config_drive=Path("/i/c.iso")), TCG),
    "rescue": (server(rescue=RescueDisk(number=1, root=ROOT)), RESCUE_DISKS, TCG),
    "stable-rescue": (server(rescue=RescueDisk(number=1, root=ROOT, stable=True, device="cdrom", bus="usb")),
                      RESCUE_DISKS, TCG),
    "rbd": (server(), GuestDisks(root=rbd("root"), ephemeral=rbd("ephemeral"), config_drive=rbd("config")),
            Platform(kvm=False, sockets=Path("/run/guests"), secret="6f1c7d1e-0000-4000-8000-0000000000ff")),
    "shared": (server(), GuestDisks(root=Path("/mnt/i/s/0-1-7/root.0.qcow2"), config_drive=Path("/i/c.iso")),
               Platform(kvm=False, sockets=Path("/run/guests"), shared=Path("/mnt/i"))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_definition_is_the_golden_one(name: str) -> None:
    desired, disks, platform = CASES[name]
    xml = domain_xml(desired, disks, Path("/i/console.log"), platform) + "\n"
    path = GOLDEN / f"domain-{name}.xml"
    if os.environ.get("STACKLING_WRITE_GOLDEN"):
        path.write_text(xml)
    assert xml == path.read_text()


def test_the_userspace_datapath_gets_whole_checksums() -> None:
    assert '<host csum="off" />' in interface_xml(server(), NIC, TCG)
    assert "csum" not in interface_xml(server(), NIC, KVM)


def test_a_volume_in_ceph_is_reached_as_the_machine() -> None:
    volume = VolumeDisk(id="a", volume_id="v", location="rbd://stackling-volumes/v", size_gib=1, device="/dev/vdb")
    platform = Platform(kvm=False, sockets=Path("/run/guests"), secret="s", ceph=(Path("/c/ceph.conf"), "stackling-m1"))
    disk = ElementTree.fromstring(volume_xml(volume, platform))
    source = disk.find("source")
    assert source is not None
    assert (disk.get("type"), source.get("protocol"), source.get("name")) == ("network", "rbd", "stackling-volumes/v")
    assert (source.find("auth[@username='stackling-m1']/secret[@uuid='s']"), source.find("config")) != (None, None)
    shared = msgspec.structs.replace(volume, shared=True)
    assert ['cache="none"' in volume_xml(each, platform) for each in (volume, shared)] == [False, True]
    with pytest.raises(GuestRefused, match="can't reach"):
        volume_xml(volume, TCG)


@pytest.mark.parametrize(("hardware", "words"), [
    ({"hw_machine_type": "microvm"}, "q35 and pc"), ({"hw_machine_type": "pc-q35-7.2'/>"}, "q35 and pc"),
    ({"hw_disk_bus": "fdc"}, "hw_disk_bus 'fdc'"), ({"hw_vif_model": "vmxnet3"}, "hw_vif_model"),
    ({"hw_cdrom_bus": "ide"}, "hw_cdrom_bus"), ({"hw_architecture": "aarch64"}, "x86_64"),
    ({"hw_firmware_type": "uefi"}, "ovmf")])
def test_what_isnt_offered_is_refused(hardware: dict[str, str], words: str) -> None:
    with pytest.raises(GuestRefused, match=words):
        domain_xml(server(hardware=hardware), DISKS, Path("/l"), TCG)


@pytest.mark.parametrize(("wishes", "vcpus", "topology"), [
    ({}, 4, None), ({"hw_cpu_sockets": "2"}, 4, (2, 2, 1)), ({"hw:cpu_cores": "4"}, 4, (1, 4, 1)),
    ({"hw_cpu_threads": "2", "hw_cpu_cores": "2"}, 8, (2, 2, 2)), ({"hw_cpu_sockets": "3"}, 4, None),
    ({"hw_cpu_sockets": "-1"}, 4, None), ({"hw_cpu_sockets": "8"}, 4, None)])
def test_topology_when_it_fits(wishes: dict[str, str], vcpus: int, topology: tuple[int, int, int] | None) -> None:
    assert choose(server(hardware=wishes, vcpus=vcpus)).topology == topology


def test_wishes_that_we_dont_know_are_ignored() -> None:
    assert choose(server(hardware={"hw_video_model": "voodoo", "hw_pointer_model": "usbtablet", "os_type": "x"})) == \
        choose(server())


def test_a_volume_is_booted_from_on_the_bus_that_it_asks_for() -> None:
    def volume(letter: str, **values: Any) -> VolumeDisk:
        return VolumeDisk(**{"id": letter, "volume_id": letter, "location": f"file:///v/{letter}?format=qcow2",
                             "size_gib": 1, "device": f"/dev/vd{letter}", **values})

    own = GuestDisks(ephemeral=Path("/i/e.raw"), swap=Path("/i/s.raw"))
    tree = ElementTree.fromstring(domain_xml(server(volumes=(
        volume("a", boot_index=0, bus="scsi"), volume("d", boot_index=1, bus="sata", type="cdrom"),
        volume("e", boot_index=-1))), own, Path("/log"), TCG))
    disks = {element.find("target").get("dev"): element for element in tree.findall("devices/disk")}   # type: ignore[union-attr]
    assert set(disks) == {"vdb", "vdc", "sda", "sdd", "vde"}
    orders = {name: element.find("boot").get("order") if element.find("boot") is not None else None     # type: ignore[union-attr]
              for name, element in disks.items()}
    assert orders == {"vdb": None, "vdc": None, "sda": "1", "sdd": "2", "vde": None}
    assert (disks["sdd"].get("device"), disks["sdd"].find("readonly") is not None) == ("cdrom", True)
    assert tree.find("os/boot") is None
    assert any(element.get("model") == "virtio-scsi" for element in tree.findall("devices/controller"))
    with pytest.raises(GuestRefused):
        domain_xml(server(volumes=(volume("a", type="cdrom"),)), own, Path("/log"), TCG)
