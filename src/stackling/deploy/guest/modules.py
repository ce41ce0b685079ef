"""Kernel modules of the guest: which ones, with what they depend on, in the order in which they can be loaded.

A kernel package brings no `modules.dep` (depmod writes it when the package is configured, which never happens here),
so dependencies are read from the modules themselves.
"""

import re
from collections.abc import Iterable
from pathlib import Path

WANTED = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "ext4",
    "virtio_net",
    "virtio_balloon",
    "virtio_console",
    "virtio_rng",
    "button",
    "evdev",
    # the config drive: an ISO 9660 or FAT file system on a disk or a CD-ROM
    "ata_piix",
    "sr_mod",
    "isofs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
)


def load_order(tree: Path, wanted: Iterable[str] = WANTED) -> list[Path]:
    """Module files below `tree` for the wanted names, each after all that it depends on.

    A name without a file is left out: that driver is part of the kernel itself, or of no kernel of this kind.
    """
    files = {_name(file): file for file in sorted(tree.rglob("*.ko"))}
    order: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in files and name not in order:
            for dependency in dependencies(files[name].read_bytes()):
                visit(dependency)
            order[name] = files[name]

    for name in wanted:
        visit(name.replace("-", "_"))
    return list(order.values())


def dependencies(module: bytes) -> list[str]:
    """Names that the `.modinfo` section of a module gives in its `depends=` entry."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return match.group(1).decode().replace("-", "_").split(",") if match and match.group(1) else []


def _name(file: Path) -> str:
    return file.name.removesuffix(".ko").replace("-", "_")
