"""What image properties (``hw_*``) and extra specs say about the machine, checked. Pure.

Names and values are those of Nova's image properties (``nova.objects.image_meta_fields``). What we don't offer and
what would leave the server without its disk or network is refused; what is merely a wish is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stackling.ports.document import ServerDesired
from stackling.ports.hypervisor import GuestRefused

DISK_BUSES = ("virtio", "scsi", "sata", "ide")
RESCUE_BUSES = (*DISK_BUSES, "usb")
RESCUE_DEVICES = ("disk", "cdrom")
VIF_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
VIDEO_MODELS = ("vga", "virtio", "cirrus", "none")
WATCHDOG_ACTIONS = ("reset", "poweroff", "pause", "none")
_MACHINE = re.compile(r"(q35|pc|pc-q35-\d+\.\d+|pc-i440fx-\d+\.\d+)\Z")
_TRUE = ("true", "t", "yes", "y", "1", "on")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A checked choice. ``topology`` is (sockets, cores, threads), None where QEMU chooses."""

    machine: str = "q35"
    disk_bus: str = "virtio"
    cdrom_bus: str = "virtio"
    vif_model: str = "virtio"
    video: str = "vga"
    rng: bool = True
    guest_agent: bool = False
    boot_menu: bool = False
    uefi: bool = False
    watchdog: str | None = None
    multiqueue: bool = False
    topology: tuple[int, int, int] | None = None
    rescue_device: str = "disk"
    rescue_bus: str = "virtio"

    @property
    def q35(self) -> bool:
        """PCI Express (q35) or the old PCI machine."""
        return "q35" in self.machine


def choose(server: ServerDesired) -> Hardware:
    """The hardware of *server*. Raises ``GuestRefused`` with the property's name and what is offered."""
    wishes = server.hardware
    machine = server.machine_type or wishes.get("hw_machine_type") or "q35"
    if not _MACHINE.match(machine):
        raise GuestRefused(f"The image's hw_machine_type {machine!r} isn't offered here; there are q35 and pc, "
                           "each also with a version (pc-q35-7.2).")
    architecture = wishes.get("hw_architecture", "x86_64")
    if architecture not in ("x86_64", "i686", "amd64"):
        raise GuestRefused(f"The image is for {architecture}; this host runs x86_64.")
    q35 = "q35" in machine
    bus = server.root.bus if server.root else wishes.get("hw_disk_bus", "virtio")
    buses = tuple(name for name in DISK_BUSES if name != ("ide" if q35 else "sata"))
    return Hardware(
        machine=machine, disk_bus=_one_of("hw_disk_bus", bus, buses),
        cdrom_bus=_one_of("hw_cdrom_bus", wishes.get("hw_cdrom_bus", "virtio"), buses),
        vif_model=_one_of("hw_vif_model", wishes.get("hw_vif_model", "virtio"), VIF_MODELS),
        video=_wish(wishes, "hw_video_model", VIDEO_MODELS) or "vga",
        rng=wishes.get("hw_rng:allowed", "true").lower() in _TRUE,
        guest_agent=wishes.get("hw_qemu_guest_agent", "no").lower() in _TRUE,
        boot_menu=wishes.get("hw_boot_menu", wishes.get("hw:boot_menu", "no")).lower() in _TRUE,
        uefi=wishes.get("hw_firmware_type", "bios").lower() == "uefi",
        watchdog=(_wish(wishes, "hw:watchdog_action", WATCHDOG_ACTIONS)
                  or _wish(wishes, "hw_watchdog_action", WATCHDOG_ACTIONS)),
        multiqueue=wishes.get("hw_vif_multiqueue_enabled", "false").lower() in _TRUE,
        topology=_topology(wishes, server.vcpus), **_rescue(server, q35))


def quiesce(server: ServerDesired) -> str:
    """Whether the guest's file systems are put to rest for copies of its volumes: ``must``, ``try``, or "" not. As with
    Nova, whoever demands it (``os_require_quiesce``) gets no copy of a guest whose agent doesn't do so."""
    if server.hardware.get("os_require_quiesce", "no").lower() in _TRUE:
        return "must"
    return "try" if server.hardware.get("hw_qemu_guest_agent", "no").lower() in _TRUE else ""


def _rescue(server: ServerDesired, q35: bool) -> dict[str, str]:
    """What the rescue disk is plugged in as. ``ide`` and ``sata`` are the machine's own bus for old disks."""
    if server.rescue is None:
        return {}
    device, bus = server.rescue.device, server.rescue.bus
    _one_of("hw_rescue_device", device, RESCUE_DEVICES)
    bus = _one_of("hw_rescue_bus", bus, RESCUE_BUSES) if bus else "virtio"
    if bus in ("ide", "sata") or (bus == "virtio" and device == "cdrom"):
        bus = "sata" if q35 else "ide"
    return {"rescue_device": device, "rescue_bus": bus}


def _one_of(name: str, value: str, offered: tuple[str, ...]) -> str:
    if value not in offered:
        raise GuestRefused(f"The image's {name} {value!r} isn't offered here; there are {', '.join(offered)}.")
    return value


def _wish(wishes: Mapping[str, str], name: str, offered: tuple[str, ...]) -> str | None:
    value = wishes.get(name)
    return value if value in offered else None


def _topology(wishes: Mapping[str, str], vcpus: int) -> tuple[int, int, int] | None:
    """Sockets, cores, threads, when they are given and multiply to the number of processors."""
    found: list[int] = []
    for part in ("sockets", "cores", "threads"):
        text = wishes.get(f"hw:cpu_{part}", wishes.get(f"hw_cpu_{part}", "0"))
        found.append(int(text) if text.isdecimal() and len(text) < 5 else 0)
    if not any(found):
        return None
    known = 1
    for number in found:
        known *= number or 1
    if vcpus % known:
        return None
    missing = [at for at, number in enumerate(found) if not number]
    for at in missing:
        found[at] = 1
    if missing:
        found[missing[0]] = vcpus // known
    sockets, cores, threads = found
    return (sockets, cores, threads) if sockets * cores * threads == vcpus else None
