"""Whether servers run with KVM on this machine: tried once a boot, and remembered in the state directory."""

from __future__ import annotations

import json
from pathlib import Path

from stackling.deploy.embedded import probe
from stackling.deploy.embedded.directory import StateDirectory

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def find_out(directory: StateDirectory) -> bool:
    """Try it where this boot of the machine hasn't tried yet; takes seconds then."""
    return probe.probe(_memory(directory), _BOOT_ID.read_text().strip()).kvm


def known(directory: StateDirectory) -> bool:
    """What ``find_out`` found; False before."""
    try:
        return bool(json.loads(_memory(directory).read_text())["kvm"])
    except (OSError, ValueError, KeyError):
        return False


def try_now() -> tuple[bool, str]:
    """Try it, whatever is remembered: whether it works, and why or why not."""
    found = probe.try_kvm(sorted(Path("/boot").glob("vmlinuz-*")))
    return found.kvm, found.reason


def _memory(directory: StateDirectory) -> Path:
    return directory.root / "kvm.json"
