"""The two file trees of the guest: the one in the initial RAM disk and the root file system."""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stackling.deploy.guest.modules import load_order

LOGIN = "tiny"
_INITRD_APPLETS = ("cat", "echo", "fdisk", "insmod", "mount", "sh", "switch_root", "usleep")
_PROGRAMS = ("usr/sbin/dropbear", "usr/bin/dropbearkey", "sbin/resize2fs")
_DIRECTORIES = (
    "bin",
    "dev",
    "etc/acpi/PWRF",
    "etc/dropbear",
    "home/tiny/.ssh",
    "lib",
    "lib64",
    "mnt",
    "proc",
    "root/.ssh",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "usr/share/guest",
    "var/lib/guest",
    "var/log",
)
_SCRIPTS = {
    "rc": "etc/rc",
    "power-button": "etc/acpi/PWRF/00000080",
    "inittab": "etc/inittab",
    "issue": "etc/issue",
    "profile": "etc/profile",
    **{name: f"usr/share/guest/{name}" for name in (
        "agent", "hotplug", "instance", "json.awk", "link", "udhcpc", "user-data")},
    # what BusyBox has not, or by another name
    **{name: f"usr/bin/{name}" for name in ("blkid", "curl", "lsblk", "mkfs", "sudo")},
}
_DATA = {"etc/inittab", "etc/issue", "etc/profile", "usr/share/guest/json.awk"}


def own_files() -> dict[str, bytes]:
    """The guest's scripts and configuration, by name."""
    directory = resources.files("stackling.deploy.guest") / "files"
    return {entry.name: entry.read_bytes() for entry in directory.iterdir() if entry.is_file()}


def write_initrd(tree: Path, unpacked: Path) -> None:
    """Fill `tree` with what finds, grows and mounts the root file system, from the unpacked packages."""
    for directory in ("bin", "dev", "lib/modules", "proc", "root", "sys"):
        (tree / directory).mkdir(parents=True)
    _copy(_busybox(unpacked), tree / "bin/busybox")
    for applet in _INITRD_APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    modules = load_order(unpacked / "lib/modules")
    for number, module in enumerate(modules):
        _copy(module, tree / "lib/modules" / f"{number:02}-{module.name}", mode=0o644)
    _write(tree / "init", own_files()["init"], mode=0o755)


def write_root(tree: Path, unpacked: Path) -> None:
    """Fill `tree` with the guest's root file system, from the unpacked packages and this machine's C library."""
    for directory in _DIRECTORIES:
        (tree / directory).mkdir(parents=True, exist_ok=True)
    _copy(_busybox(unpacked), tree / "bin/busybox")
    applets = _run([str(_busybox(unpacked)), "--list"]).split()
    for applet in applets:
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    (tree / "sbin/init").symlink_to("/bin/busybox")
    (tree / "var/run").symlink_to("../run")
    for program in _PROGRAMS:
        source = unpacked / program if (unpacked / program).exists() else Path("/") / program
        _copy(source, tree / program)
        for library in libraries(source, unpacked):
            _copy(library.source, tree / library.path.lstrip("/"))
    scripts = own_files()
    for name, path in _SCRIPTS.items():
        _write(tree / path, scripts[name], mode=0o644 if path in _DATA else 0o755)
    _write_accounts(tree / "etc", _busybox(unpacked))
    for private in ("root", "root/.ssh", f"home/{LOGIN}", f"home/{LOGIN}/.ssh", "etc/dropbear"):
        (tree / private).chmod(0o700)


@dataclass(frozen=True)
class Library:
    """A shared library: the file to copy and the path at which the program looks for it."""

    source: Path
    path: str


def libraries(program: Path, unpacked: Path) -> list[Library]:
    """The shared libraries of a program; those of unpacked packages win over the machine's."""
    own = sorted({str(file.parent) for file in unpacked.glob("usr/lib/*/*.so.*")})
    listing = _run(["ldd", str(program)], LD_LIBRARY_PATH=":".join(own))
    found: list[Library] = []
    for name in re.findall(r"(/\S+)", listing):
        source = Path(name)
        path = "/" + str(source.relative_to(unpacked)) if source.is_relative_to(unpacked) else name
        if source.name != program.name:
            found.append(Library(source.resolve(), path))
    return found


def machine_digest() -> str:
    """A digest of the parts that come from this machine and not from a package in the cache."""
    digest = hashlib.sha256()
    program = Path("/sbin/resize2fs")
    for path in [program, *(library.source for library in libraries(program, Path("/nonexistent")))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write_accounts(etc: Path, busybox: Path) -> None:
    # The password is for the console only: the SSH server takes keys and nothing else.
    password = _run([str(busybox), "mkpasswd", "-m", "sha512", "-S", LOGIN * 3, LOGIN]).strip()
    accounts = f"root:*:0:0:root:/root:/bin/sh\n{LOGIN}:{password}:1000:1000:{LOGIN}:/home/{LOGIN}:/bin/sh\n"
    _write(etc / "passwd", accounts.encode())
    _write(etc / "group", f"root:x:0:\n{LOGIN}:x:1000:\n".encode())
    _write(etc / "shells", b"/bin/sh\n")
    _write(etc / "nsswitch.conf", b"passwd: files\n")


def _busybox(unpacked: Path) -> Path:
    return unpacked / "bin/busybox" if (unpacked / "bin/busybox").exists() else unpacked / "usr/bin/busybox"


def _copy(source: Path, target: Path, mode: int = 0o755) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(source, target)
        target.chmod(mode)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def _run(command: list[str], **environment: str) -> str:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True).stdout
