"""What a running guest uses, as its hypervisor counts it. JSON by msgspec: it crosses the agent's socket as it is."""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base: unknown fields are ignored, so that versions can differ by one."""


class CpuUse(Struct, frozen=True):
    """A processor; ``time`` in nanoseconds, None where the hypervisor doesn't tell processors apart."""

    id: int
    time: int | None = None


class DiskUse(Struct, frozen=True):
    """A disk by its name in the definition (``vda``); requests, bytes, and errors (-1: not counted)."""

    device: str
    read_requests: int = 0
    read_bytes: int = 0
    write_requests: int = 0
    write_bytes: int = 0
    errors: int = -1


class Traffic(Struct, frozen=True):
    """What went through an interface, counted from the machine's side as libvirt does it."""

    rx_octets: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_drop: int = 0
    tx_octets: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_drop: int = 0


class NicUse(Struct, frozen=True):
    """An interface: its address, its name on the machine, and its counters where they can be read."""

    mac: str
    name: str = ""
    traffic: Traffic | None = None


class Diagnostics(Struct, frozen=True):
    """All of a guest that runs. Memory in KiB; ``memory`` is what else is known of it, by libvirt's names
    (``actual``, ``rss``, ``swap_in`` …)."""

    memory_most: int
    memory_used: int
    cpus: tuple[CpuUse, ...] = ()
    disks: tuple[DiskUse, ...] = ()
    nics: tuple[NicUse, ...] = ()
    memory: dict[str, int] = {}
