"""What this machine has to give, besides what the hypervisor knows."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import msgspec

from stackling.ports.document import Inventory

GIB = 1024 ** 3
RESERVED_MIB = 512          # for the machine and the cloud's own processes, at least
RESERVED_SHARE = 16         # or this fraction of the memory, up to
RESERVED_MOST_MIB = 4096


def reserve(memory_mib: int) -> int:
    """MiB of *memory_mib* that are not for guests."""
    return min(max(RESERVED_MIB, memory_mib // RESERVED_SHARE), RESERVED_MOST_MIB, memory_mib // 2)


def measure(hypervisor: Inventory, instances: Path, *, reserved_mib: int | None = None) -> Inventory:
    """The hypervisor's inventory with this machine's processors, memory less a reserve, and instance disk."""
    memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024)
    held_back = reserve(memory_mib) if reserved_mib is None else reserved_mib
    facts = {"kernel": platform.release(), "machine": platform.node(), "memory_mib_total": memory_mib,
             "memory_mib_reserved": held_back, "disk_free_gib": shutil.disk_usage(instances).free // GIB}
    return msgspec.structs.replace(
        hypervisor, vcpus=len(os.sched_getaffinity(0)), memory_mib=max(0, memory_mib - held_back),
        disk_gib=shutil.disk_usage(instances).total // GIB, facts={**facts, **hypervisor.facts})
