"""Where machines' disks can lie, and what of the outer machine they need to see beyond its root filesystem.

An overlay's upper directory must be on a filesystem that takes its special files and attributes. Another overlay (the
root of most containers) doesn't; there the lab mounts a filesystem in memory for the disks.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from stackling.lab import disk, kernel
from stackling.lab.kernel import Mount, Namespace
from stackling.lab.problem import LabError

MEMORY_SHARE = "70%"
IN_MEMORY = ("/run", "/tmp")
"""What each life of a machine has empty, in memory."""


def prepare(directory: Path, *, in_memory: bool) -> bool:
    """Make *directory* fit for machines' disks; whether they are in memory."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_mount():
        return True
    if not in_memory:
        if serves(directory):
            return False
        if any(directory.iterdir()):
            raise LabError(f"{directory} has disks on a filesystem that takes no overlay; run `stackling lab down`")
    kernel.mount("tmpfs", "stackling-lab", str(directory), Mount.NODEV, f"size={MEMORY_SHARE},mode=700")
    if not serves(directory):
        release(directory)
        raise LabError("this kernel mounts no overlay here: a lab needs overlayfs (CONFIG_OVERLAY_FS) and the right "
                       "to mount it")
    return True


def release(directory: Path) -> None:
    """Undo ``prepare``; what was in memory is gone."""
    while directory.is_mount():
        kernel.unmount(str(directory), detach=True)


def serves(directory: Path) -> bool:
    """Whether an overlay of the root takes its upper directory from here: by trying."""
    trial = Path(tempfile.mkdtemp(prefix=".trial-", dir=directory))
    try:
        for name in ("upper", "work", "root"):
            (trial / name).mkdir()
        os.setxattr(trial / "upper", "trusted.overlay.opaque", b"y")
        os.removexattr(trial / "upper", "trusted.overlay.opaque")
        return _in_child(trial)
    except OSError:
        return False
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _in_child(trial: Path) -> bool:
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(Namespace.MOUNT)
            kernel.mount("", "none", "/", Mount.REC | Mount.PRIVATE)
            kernel.mount("overlay", "trial", str(trial / "root"), options=overlay("/", trial))
            (trial / "root" / "etc" / "stackling-trial").write_text("")
            (trial / "root" / "etc" / "stackling-trial").unlink()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def overlay(lower: str, place: Path) -> str:
    """The options of an overlay mount."""
    return f"lowerdir={lower},upperdir={place}/upper,workdir={place}/work"


def also_needed() -> list[str]:
    """Directories with our program, the interpreter and the system that a machine doesn't see through its overlay, not
    being on the root filesystem or being where a machine has its own files: they are bound into machines, for reading.
    Raises ``LabError`` where that isn't enough."""
    root = Path("/").stat().st_dev
    for name in ("/etc", "/var", "/var/lib", "/var/log"):
        if Path(name).stat().st_dev != root:
            raise LabError(f"{name} is a filesystem of its own here; a lab needs it on the root filesystem")
    found: list[str] = []
    for name in ("/usr", "/opt", sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])):
        path = Path(name).resolve()
        if not path.exists():
            continue
        if any(path.is_relative_to(place) for place in (*disk.EMPTY, *IN_MEMORY)):
            found.append(str(path))
        elif path.stat().st_dev != root:
            found.append(next(str(one) for one in (path, *path.parents) if one.is_mount()))
    return list(dict.fromkeys(found))
