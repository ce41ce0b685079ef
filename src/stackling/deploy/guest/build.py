"""Build the tiny guest image: a few seconds from Debian packages to a bootable qcow2 of about 17 MB.

The guest is Debian's cloud kernel, BusyBox and Dropbear. It takes its addresses by DHCP (IPv4) and router
advertisements (IPv6), host name, keys and user data from a config drive or the metadata service, grows its root file
system to the disk, and stops at once on ACPI's power button. It boots by BIOS, on x86-64.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.guest import cpio, packages
from stackling.deploy.guest.disk import MIB, Tools, assemble
from stackling.deploy.guest.tree import LOGIN, machine_digest, own_files, write_initrd, write_root

_RECIPE = 2  # to be raised when the code of this package changes the image's content


@dataclass(frozen=True)
class GuestImage:
    """A built image."""

    path: Path
    disk_format: str
    virtual_size: int
    """bytes"""
    size: int
    """bytes of the file"""
    digest: str
    """of all that the image was made from: equal digests, equal content"""
    login: str
    """the account that the instance's keys are for, besides root"""
    min_ram_mib: int


def build(out: Path, *, extra_mib: int = 24, cache: Path | None = None, refresh: bool = False) -> GuestImage:
    """Write the image to `out` (qcow2, compressed), from the cache when it was built from the same parts before.

    `extra_mib` is the size of the root file system as it is in the image. The file appears complete or not at all.
    Raises `packages.PackageError` when a package can't be had and `subprocess.CalledProcessError` when a tool fails.
    """
    cache = cache or packages.default_cache()
    parts = packages.fetch(cache, refresh=refresh)
    digest = _digest(parts, extra_mib)
    built = cache / "images" / f"{digest}.qcow2"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as work:
            image = _build(Path(work), parts, extra_mib)
            _replace_older(built)
            image.replace(built)
    _place(built, out)
    return GuestImage(
        path=out,
        disk_format="qcow2",
        virtual_size=_virtual_size(out),
        size=out.stat().st_size,
        digest=digest,
        login=LOGIN,
        min_ram_mib=128,
    )


def _build(work: Path, parts: dict[str, Path], root_mib: int) -> Path:
    unpacked = work / "packages"
    for package in parts.values():
        packages.unpack(package, unpacked)
    (work / "initrd").mkdir()
    write_initrd(work / "initrd", unpacked)
    write_root(work / "root", unpacked)

    boot = work / "boot"
    boot.mkdir()
    (kernel,) = unpacked.glob("boot/vmlinuz-*")
    kernel.replace(boot / "vmlinuz")
    (boot / "initrd.gz").write_bytes(gzip.compress(cpio.archive(work / "initrd"), 9, mtime=0))
    (boot / "syslinux.cfg").write_bytes(own_files()["syslinux.cfg"])

    raw = work / "disk.raw"
    boot_files = [boot / name for name in ("syslinux.cfg", "vmlinuz", "initrd.gz")]
    assemble(raw, boot_files=boot_files, root_tree=work / "root", root_mib=root_mib, tools=Tools(unpacked))
    image = work / "disk.qcow2"
    Tools(unpacked).run("qemu-img", "convert", "-q", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    return image


def _digest(parts: dict[str, Path], root_mib: int) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([_RECIPE, root_mib, sorted(file.name for file in parts.values())]).encode())
    for name, content in sorted(own_files().items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    digest.update(machine_digest().encode())
    return digest.hexdigest()[:32]


def _replace_older(built: Path) -> None:
    """Keep no image of other parts: one is built in seconds, and each takes 17 MB."""
    for other in built.parent.glob("*.qcow2"):
        other.unlink(missing_ok=True)


def _place(built: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.part")
    shutil.copyfile(built, partial)
    partial.replace(out)


def _virtual_size(image: Path) -> int:
    """The size field of a qcow2 header (QEMU, docs/interop/qcow2.txt: bytes 24 to 31, big endian)."""
    with image.open("rb") as file:
        return int.from_bytes(file.read(32)[24:], "big")


def main() -> None:
    """Command line: build an image and say what it is."""
    parser = argparse.ArgumentParser(
        prog="python -m stackling.deploy.guest.build", description="Build the guest image."
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--extra-mib", type=int, default=24, help="size of the root file system in the image")
    parser.add_argument("--refresh", action="store_true", help="download today's versions of the packages")
    options = parser.parse_args()
    try:
        image = build(options.out, extra_mib=options.extra_mib, refresh=options.refresh)
    except packages.PackageError as error:
        sys.exit(f"guest image: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"guest image: {error}\n{error.stderr}")
    print(f"{image.path}: {image.size / 1e6:.1f} MB, virtual {image.virtual_size // MIB} MiB, parts {image.digest}")


if __name__ == "__main__":
    main()
