"""Does KVM work here? Found out by starting something, not by looking whether ``/dev/kvm`` exists.

A boot sector (``probe.S``), run as QEMU's own account, goes the way of every system: real mode, paging and long mode,
timer interrupts. Machines are known (nested ones) on which the device opens and even that works, ten times slower
than without KVM, and no kernel boots. So KVM must also not be slower than TCG, and boot a kernel where one is at hand.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QEMU = "/usr/bin/qemu-system-x86_64"
DEVICE = Path("/dev/kvm")
TIMEOUT, KERNEL_TIMEOUT = 5.0, 15.0
SLOWEST = (1.0, 4.0)            # KVM may take this many seconds for the boot sector, or so many times what TCG takes
_END = b"ticks"
_KERNEL_END = b"Kernel panic"   # it finds no root file system, as intended
_BOOT_SECTOR = bytes.fromhex("""
fafc31c08ed88ec08ed0bc007cbe097de86000bf00106631c0b9001066f3ab66c70600100320000066c70600200330000066
c70600308300000066b8001000000f22d80f20e06683c8200f22e066b9800000c00f32660d000100000f300f0116407d0f20
c0660d010000800f22c0ea7d7c0800ac84c07404e6e9ebf7c3b8100000008ed88ec08ed0bc007c0000be147d0000e8680000
00bf00520000b8f77c000066890766c74702080066c74704008ec1e810668947060f011c25467d0000b011e620b020e621b0
04e621b001e621b0fee621b034e643b09ce640b02ee64031dbfbf483fb0372fabe1f7d0000e80d000000e6f4f4ebfdffc3b0
20e62048cfac84c07404e6e9ebf7c37265616c206d6f64650a006c6f6e67206d6f64650a007469636b730a00669000000000
0000000000000000009a200000000000009200001700287d0000ff020050
""")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """``kvm`` or not, and why, for people."""

    kvm: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Run:
    """How a trial went: ``problem`` is None when it reached its end."""

    seconds: float
    problem: str | None


def probe(cache: Path, boot_id: str, kernels: Sequence[Path] | None = None) -> Accelerator:
    """The answer, kept in the file *cache* until the machine boots anew. *kernels*: those in ``/boot`` by default."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(cache.read_text())
        if kept["boot_id"] == boot_id:
            return Accelerator(bool(kept["kvm"]), str(kept["reason"]))
    found = try_kvm(sorted(Path("/boot").glob("vmlinuz-*")) if kernels is None else kernels)
    with contextlib.suppress(OSError):
        temporary = cache.with_suffix(".new")
        temporary.write_text(json.dumps({"boot_id": boot_id, "kvm": found.kvm, "reason": found.reason}))
        temporary.rename(cache)
    return found


def try_kvm(kernels: Sequence[Path], account: str = "libvirt-qemu", group: str = "kvm") -> Accelerator:
    """Really start something."""
    if not DEVICE.exists():
        return Accelerator(False, "there is no /dev/kvm: the processor's virtualization is switched off, or this is a "
                                  "virtual machine without it")
    if os.geteuid() == 0:
        try:
            user: dict[str, Any] = {"user": pwd.getpwnam(account).pw_uid, "group": grp.getgrnam(group).gr_gid,
                                    "extra_groups": []}
        except KeyError:
            return Accelerator(False, f"there is no account {account} with group {group}")
    else:
        user = {}
    trial = run_boot_sector("kvm", user)
    if trial.problem:
        return Accelerator(False, trial.problem)
    without = run_boot_sector("tcg", user)
    if without.problem is None and trial.seconds > max(SLOWEST[0], SLOWEST[1] * without.seconds):
        return Accelerator(False, f"it works, but slower than without it ({trial.seconds:.1f} s against "
                                  f"{without.seconds:.1f} s for a boot sector)")
    for kernel in kernels[-1:]:
        booted = _run_kernel(kernel, user)
        if booted.problem:
            return Accelerator(False, f"{kernel.name} doesn't boot with it: {booted.problem}")
    return Accelerator(True, f"a guest ran in {trial.seconds:.1f} s")


def run_boot_sector(accelerator: str, user: dict[str, Any]) -> _Run:
    """Run the boot sector with ``kvm`` or ``tcg``."""
    with tempfile.TemporaryDirectory(prefix="stackling-probe-") as directory:
        Path(directory).chmod(0o755)
        disk = Path(directory, "boot")
        disk.write_bytes(_BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
        disk.chmod(0o644)
        return _run(("-accel", accelerator, "-m", "32", "-drive", f"file={disk},format=raw,if=none,id=d,readonly=on",
                     "-device", "virtio-blk-pci,drive=d", "-debugcon", "stdio", "-serial", "none",
                     "-device", "isa-debug-exit,iobase=0xf4,iosize=1"), user, _END, TIMEOUT)


def _run_kernel(kernel: Path, user: dict[str, Any]) -> _Run:
    with kernel.open("rb") as file:
        return _run(("-accel", "kvm", "-m", "256", "-kernel", f"/proc/self/fd/{file.fileno()}", "-serial", "stdio",
                     "-append", "console=ttyS0 panic=-1", "-no-reboot"),
                    {**user, "pass_fds": (file.fileno(),)}, _KERNEL_END, KERNEL_TIMEOUT)


def _run(arguments: Sequence[str], how: dict[str, Any], end: bytes, timeout: float) -> _Run:
    started = time.monotonic()
    command = (QEMU, "-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
               *arguments)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
                              cwd="/", env={"PATH": "/usr/bin:/bin"}, **how)
    except subprocess.TimeoutExpired as late:
        return _Run(timeout, f"a guest got no further than {_reached(late.stdout)} in {timeout:g} s")
    except OSError as error:
        return _Run(0.0, f"QEMU can't be run: {error.strerror}")
    if end in done.stdout:
        return _Run(time.monotonic() - started, None)
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return _Run(0.0, words[-1] if words else f"a guest got no further than {_reached(done.stdout)}")


def _reached(output: bytes | None) -> str:
    lines = [line.strip() for line in (output or b"").decode(errors="replace").splitlines() if line.strip()]
    return repr(lines[-1]) if lines else "its firmware"
