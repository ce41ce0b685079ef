"""What would be inside of a simulated guest: counters that grow with its time, and the hashes of its passwords."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from stackling.ports.diagnostics import CpuUse, Diagnostics, DiskUse, NicUse, Traffic
from stackling.ports.document import ServerDesired
from stackling.ports.hypervisor import GuestDisks

BOOT_SECONDS = 4.0          # of a processor, to boot
LOAD = 0.02                 # of each processor, ever after
READ, WRITTEN = 4096, 8192  # bytes a second of each disk; a request has so many bytes
BOOT_READ = 48 << 20
FRAME = 100                 # bytes of a frame; each second has one, both ways
USED = 0.6                  # of the memory
ROUNDS = 1000               # of hashing: nobody's secret hangs on it, and tests set many


def has_agent(server: ServerDesired) -> bool:
    """Whether the image says that a guest agent runs in it."""
    return server.hardware.get("hw_qemu_guest_agent", "no").lower() in ("true", "t", "yes", "y", "1", "on")


def disk_names(disks: GuestDisks) -> tuple[str, ...]:
    """What its own disks are called, as the real driver calls them."""
    letters = iter("abcd" if disks.root is not None else "bcd")
    names = [f"vd{next(letters)}" for disk in (disks.root, disks.ephemeral, disks.swap) if disk is not None]
    return (*names, "vdz") if disks.config_drive is not None else tuple(names)


def hashed(server_id: str, user: str, password: str) -> str:
    """What is kept of a password."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), f"{server_id} {user}".encode(), ROUNDS).hex()


def used(seconds: float, vcpus: int, memory_mib: int, devices: Sequence[str], nics: Sequence[tuple[str, str]],
         ) -> Diagnostics:
    """The counters of a guest that has run for *seconds*; *nics* are (port, MAC address)."""
    seconds = max(0.0, seconds)
    boot = min(seconds, BOOT_SECONDS)
    cpus = tuple(CpuUse(id=number, time=int((seconds * LOAD + (0 if number else boot)) * 1e9))
                 for number in range(vcpus))
    disks = tuple(_disk(device, seconds, int(BOOT_READ * boot / BOOT_SECONDS) if not at else 0)
                  for at, device in enumerate(devices))
    frames = int(seconds)
    traffic = Traffic(rx_octets=frames * FRAME, rx_packets=frames, tx_octets=frames * FRAME, tx_packets=frames)
    most = memory_mib * 1024
    return Diagnostics(memory_most=most, memory_used=most, cpus=cpus, disks=disks, nics=tuple(
        NicUse(mac=mac, name=f"tap{port[:11]}", traffic=traffic) for port, mac in nics),
        memory={"actual": most, "rss": int(most * USED)})


def _disk(device: str, seconds: float, booted: int) -> DiskUse:
    read, written = int(seconds) * READ + booted, int(seconds) * WRITTEN
    return DiskUse(device=device, read_requests=read // READ, read_bytes=read, write_requests=written // WRITTEN,
                   write_bytes=written)
