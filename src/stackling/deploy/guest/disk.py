"""Assembly of the guest's disk without mounts, loop devices or root: a boot partition and a root partition.

The layout is 1 MiB of gap with the boot record, a FAT16 partition that SYSLINUX boots from, and an ext4 partition that
comes last so that it can grow. What tools would take from the clock or from chance is fixed: two builds from the same
parts differ in nothing but the change times of inodes.
"""

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SECTOR = 512
_GAP_MIB = 1
_FAT16_MIN_MIB = 20
_EPOCH = 1577836800  # 2020-01-01: FAT knows no time before 1980, and the guest's clock never runs behind this
_DISK_SIGNATURE = 0x53544B4C
_VOLUME_ID = "53544b4c"
_ROOT_UUID = "5374616b-6c69-4e67-8000-000000000001"
_PARTITION_FAT16_LBA = 0x0E
_PARTITION_LINUX = 0x83


@dataclass(frozen=True)
class Partition:
    """A primary partition; start and size in sectors of 512 bytes."""

    start: int
    size: int
    kind: int
    bootable: bool = False


@dataclass(frozen=True)
class Tools:
    """The programs of unpacked packages (mtools, dosfstools, syslinux) that put a disk together."""

    unpacked: Path

    def run(self, *command: str) -> None:
        """Run a program; raises `subprocess.CalledProcessError` with its output."""
        path = os.pathsep.join(str(self.unpacked / part) for part in ("usr/bin", "usr/sbin", "sbin"))
        environment = os.environ | {
            "PATH": f"{path}{os.pathsep}{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin",
            "MTOOLS_SKIP_CHECK": "1",
            "SOURCE_DATE_EPOCH": str(_EPOCH),
            "E2FSPROGS_FAKE_TIME": str(_EPOCH),
            "LC_ALL": "C",
            "TZ": "UTC",
        }
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def boot_record(code: bytes, partitions: list[Partition]) -> bytes:
    """A master boot record: at most 440 bytes of boot code and up to four partitions."""
    if len(code) > 440 or len(partitions) > 4:
        raise ValueError("a boot record holds 440 bytes of code and 4 partitions")
    # Cylinders, heads and sectors are not used by anything that knows the LBA fields.
    table = b"".join(
        struct.pack(
            "<B3sB3sII", 0x80 * part.bootable, b"\xfe\xff\xff", part.kind, b"\xfe\xff\xff", part.start, part.size
        )
        for part in partitions
    )
    return code.ljust(440, b"\0") + struct.pack("<IH", _DISK_SIGNATURE, 0) + table.ljust(64, b"\0") + b"\x55\xaa"


def assemble(disk: Path, *, boot_files: list[Path], root_tree: Path, root_mib: int, tools: Tools) -> None:
    """Write a raw disk image with `boot_files` on its boot partition and `root_tree` as its root file system."""
    boot_mib = max(_FAT16_MIN_MIB, sum(file.stat().st_size for file in boot_files) // MIB + 3)
    boot = Partition(_GAP_MIB * MIB // SECTOR, boot_mib * MIB // SECTOR, _PARTITION_FAT16_LBA, bootable=True)
    root = Partition(boot.start + boot.size, root_mib * MIB // SECTOR, _PARTITION_LINUX)
    code = (tools.unpacked / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    with disk.open("wb") as file:
        file.write(boot_record(code, [boot, root]))
        file.truncate((root.start + root.size) * SECTOR)
    _write_boot(disk, boot, boot_files, tools)
    _write_root(disk, root, root_tree, tools)


def _write_boot(disk: Path, part: Partition, files: list[Path], tools: Tools) -> None:
    blocks = str(part.size * SECTOR // 1024)
    tools.run(
        "mkfs.fat", "--invariant", "-i", _VOLUME_ID, "-F", "16", "-n", "BOOT",
        "--offset", str(part.start), str(disk), blocks,
    )  # fmt: skip
    for file in files:
        os.utime(file, (_EPOCH, _EPOCH))
    tools.run("mcopy", "-m", "-i", f"{disk}@@{part.start * SECTOR}", *map(str, files), "::")
    tools.run("syslinux", "--install", "--offset", str(part.start * SECTOR), str(disk))


def _write_root(disk: Path, part: Partition, tree: Path, tools: Tools) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (_EPOCH, _EPOCH), follow_symlinks=False)
    image = disk.with_suffix(".root")
    # Everything belongs to root inside, whoever builds; checksums of metadata would need another kernel module.
    as_root = () if os.geteuid() == 0 else ("unshare", "--map-root-user")
    tools.run(
        *as_root, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "guest-root", "-m", "0", "-U", _ROOT_UUID,
        "-O", "^metadata_csum", "-J", "size=4",
        "-E", f"lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,hash_seed={_ROOT_UUID}",
        "-d", str(tree), str(image), str(part.size * SECTOR // 4096),
    )  # fmt: skip
    with image.open("rb") as source, disk.open("r+b") as target:
        target.seek(part.start * SECTOR)
        shutil.copyfileobj(source, target, MIB)
    image.unlink()
