"""The system calls that make a machine, which Python 3.11 doesn't offer."""

from __future__ import annotations

import ctypes
import os
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_PR_SET_PDEATHSIG = 1


class Namespace(IntFlag):
    """``CLONE_NEW…`` of <linux/sched.h>."""

    TIME = 0x00000080
    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NET = 0x40000000


class Mount(IntFlag):
    """``MS_…`` of <linux/mount.h>."""

    NONE = 0
    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


MNT_DETACH = 2


def unshare(namespaces: Namespace) -> None:
    """Leave the namespaces for new ones (of PID and TIME: the next child does)."""
    _check(_libc.unshare(int(namespaces)), f"unshare {namespaces!r}")


def enter(descriptor: int, kind: Namespace) -> None:
    """Enter the namespace that *descriptor* (of a file like ``/proc/1/ns/net``) stands for."""
    _check(_libc.setns(descriptor, int(kind)), f"enter {kind!r}")


def mount(kind: str, source: str, target: str, flags: Mount = Mount.NONE, options: str = "") -> None:
    """mount(2)."""
    done = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(int(flags)),
                       os.fsencode(options) if options else None)
    _check(done, f"mount {kind or source} on {target}")


def bind(source: str, target: str, *, readonly: bool = False, recursive: bool = False) -> None:
    """Let *target* show *source* (and, *recursive*, what is mounted below it; only the top is then read-only)."""
    mount("", source, target, Mount.BIND | (Mount.REC if recursive else Mount.NONE))
    if readonly:
        mount("", "none", target, Mount.REMOUNT | Mount.BIND | Mount.RDONLY)


def unmount(target: str, *, detach: bool = False) -> None:
    """umount(2); *detach*: at once for the eye, really when nobody uses it any more."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH if detach else 0), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root isn't known on {os.uname().machine}")
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), f"pivot_root to {new}")


def sethostname(name: str) -> None:
    """Name this machine."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def die_with_parent(number: int) -> None:
    """Get the signal *number* when the parent dies; kept over exec."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
